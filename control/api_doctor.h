// SPDX-License-Identifier: BSD-2-Clause
// The API's examination of backends (docs/api.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/controller.h"
#include "control/http_server.h"

namespace xebec {

/// path: split, without "v1". Empty: the request is not about it.
std::optional<HttpResponse> handle_doctor_request(Controller& controller, const HttpRequest& request,
                                                  const std::vector<std::string>& path);

}  // namespace xebec
