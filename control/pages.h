// SPDX-License-Identifier: BSD-2-Clause
// What the HTTP servers answer: the API, and beside it the pages for browsers and Prometheus. On TCP, where anybody may
// ask, what is safe to tell anybody.
#pragma once

#include "control/controller.h"
#include "control/http_server.h"

namespace xebec {

/// The unix socket's: everything. Never throws.
HttpResponse handle_request(Controller& controller, const HttpRequest& request);

/// TCP's, of an address that is loopback or not: what refuse_public_request (public_pages.h) lets through.
HttpResponse handle_public_request(Controller& controller, const HttpRequest& request, bool loopback);

}  // namespace xebec
