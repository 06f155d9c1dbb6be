// SPDX-License-Identifier: BSD-2-Clause
// From an errno of bpf(2) to a sentence an operator can act on.
#pragma once

#include <string>
#include <string_view>

#include "control/libbpf_log.h"
#include "control/steering.h"

namespace xebec {

/// what: what was tried ("load the XDP program"). error: a positive errno. The message is "WHAT: WHY"; for
/// lack of privilege WHY names the capabilities this process lacks, for a refused program it ends with the
/// verifier's last lines.
SteeringError steering_error(std::string_view what, int error, const LibbpfLog& log);

/// An error that the kernel was not asked about.
SteeringError steering_error(SteeringError::Kind kind, std::string message);

}  // namespace xebec
