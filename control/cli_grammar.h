// SPDX-License-Identifier: BSD-2-Clause
// The command line of `xebec`: which objects, verbs and options there are, and what a wrong one is told.
#pragma once

namespace xebec {

/// Parses, runs the verb, prints what went wrong; the process's exit code.
int run_cli(int argc, const char* const* argv);

}  // namespace xebec
