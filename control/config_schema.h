// SPDX-License-Identifier: BSD-2-Clause
#pragma once

namespace xebec {

/// docs/xebec.schema.json as it was when this was built.
extern const char* const kConfigSchema;

}  // namespace xebec
