// SPDX-License-Identifier: BSD-2-Clause
// /v1/flows and what is below it (docs/api.md): what the workers remember, told in pieces, and forgotten by order.
#pragma once

#include "control/api_answer.h"

namespace xebec {

HttpResponse read_flow_resource(const Call& call);
HttpResponse write_flow_resource(const Call& call);

}  // namespace xebec
