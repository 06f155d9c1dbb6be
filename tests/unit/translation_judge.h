// SPDX-License-Identifier: BSD-2-Clause
// Judges one packet that was translated (modes dnat and nat, without a client note), byte by byte; shares no code with the
// translator but the parser.
#pragma once

#include <string>

#include "dataplane/table.h"
#include "tests/support/frame_builder.h"

namespace xebec::test {

/// Empty: right. Otherwise what is wrong. backend: the one it went to; null: it went back to a client.
std::string judge_translated(const Bytes& received, const Bytes& out, const Backend* backend,
                             const Table& table);

}  // namespace xebec::test
