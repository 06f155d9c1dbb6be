// SPDX-License-Identifier: BSD-2-Clause
// What a second brought, out of two answers of the daemon. Pure.
#pragma once

#include "control/cli_error.h"

namespace xebec {

/// `after` with every counter as its increase a second since `before`, rounded. What is no counter stays as it is; rows are
/// found again by what names them. A counter that is less than before (the daemon was restarted) or was not there counts
/// from zero.
CliJson rates_between(const CliJson& before, const CliJson& after, double seconds);

}  // namespace xebec
