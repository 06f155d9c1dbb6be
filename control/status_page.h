// SPDX-License-Identifier: BSD-2-Clause
// The status page of `/`: control/status_page.html, which asks the API for what it shows.
#pragma once

#include "control/http_server.h"

namespace xebec {

/// With a content security policy that lets in nothing but the page's own script and style, known by a number used once.
HttpResponse status_page();

}  // namespace xebec
