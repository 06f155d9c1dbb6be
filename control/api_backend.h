// SPDX-License-Identifier: BSD-2-Clause
// Changes of one backend: /v1/services/NAME/backends/ADDR (docs/api.md).
#pragma once

#include "control/api_answer.h"

namespace xebec {

HttpResponse change_backend(const Call& call);

/// null, or where the backend's drain stands: what its row in a list has.
Json report_drain(const Controller& controller, const std::string& service, const IpAddress& address);

}  // namespace xebec
