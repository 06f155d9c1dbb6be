// SPDX-License-Identifier: BSD-2-Clause
// /v1/config and what is below it (docs/api.md).
#pragma once

#include "control/api_answer.h"

namespace xebec {

HttpResponse read_config_resource(const Call& call);
HttpResponse write_config_resource(const Call& call);

}  // namespace xebec
