// SPDX-License-Identifier: BSD-2-Clause
// The control API (docs/api.md): what a request asks of the controller, and the JSON it gets.
#pragma once

#include "control/controller.h"
#include "control/http_server.h"

namespace xebec {

/// Answers one request. Never throws: whatever goes wrong is an answer.
HttpResponse handle_api_request(Controller& controller, const HttpRequest& request);

}  // namespace xebec
