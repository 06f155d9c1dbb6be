// SPDX-License-Identifier: BSD-2-Clause
// `xebec capture`: packets out of the data path into a pcapng file.
#pragma once

#include <cstdint>
#include <string>

#include <CLI/App.hpp>

#include "control/cli_verbs.h"

namespace xebec {

struct CaptureArguments {
  std::string file;  ///< "-": standard output
  std::vector<std::string>
      reasons;  ///< of drops; "any": all of them. None: every packet, whatever becomes of it
  std::string service, backend;
  std::string sample = "1";  ///< N or 1/N
  uint64_t count = 0;        ///< 0: without end
  double seconds = 0;        ///< 0: without end
  uint32_t snaplen = 0;      ///< 0: as much as there is
  bool sent = false;
};

/// Adds the verb to `app`; what it reads is `arguments`'.
CLI::App* add_capture_verb(CLI::App& app, CaptureArguments& arguments);

/// Until the count, the seconds, SIGINT or SIGTERM end it.
VerbResult capture(const CliOptions& options, const CaptureArguments& arguments);

}  // namespace xebec
