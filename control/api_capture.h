// SPDX-License-Identifier: BSD-2-Clause
// The API's captures (docs/api.md): to start, read and end one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/controller.h"
#include "control/http_server.h"

namespace xebec {

/// path: split, without "v1". Empty: the request is not about captures.
std::optional<HttpResponse> handle_capture_request(Controller& controller, const HttpRequest& request,
                                                   const std::vector<std::string>& path);

}  // namespace xebec
