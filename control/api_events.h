// SPDX-License-Identifier: BSD-2-Clause
// The API's events (docs/api.md).
#pragma once

#include "control/http_server.h"
#include "control/event_log.h"

namespace xebec {

/// GET /v1/events. epoch: names the daemon's run, since numbers begin anew with each.
HttpResponse report_events(const EventLog& event_log, const std::string& epoch, const HttpRequest& request);

}  // namespace xebec
