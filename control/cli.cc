// SPDX-License-Identifier: BSD-2-Clause
// The tool `xebec`: an operator's way to a running xebecd, over its control socket.
#include <cstdio>
#include <exception>

#include "control/cli_grammar.h"

int main(int argc, char** argv) {
  try {
    return xebec::run_cli(argc, argv);
  } catch (const std::exception& error) {  // no memory, or a mistake of ours
    std::fprintf(stderr, "xebec: error: %s\n", error.what());
    return 1;
  }
}
