// SPDX-License-Identifier: BSD-2-Clause
// `xebec doctor`: the machine and the backends examined, each finding with the command that mends it.
#pragma once

#include <string>
#include <vector>

#include <CLI/App.hpp>

#include "control/cli_verbs.h"

namespace xebec {

struct DoctorArguments {
  std::string service;                  ///< empty: all
  std::string config;                   ///< a file: then the daemon is not asked
  std::vector<std::string> interfaces;  ///< if the configuration names none
};

CLI::App* add_doctor_verb(CLI::App& app, DoctorArguments& arguments);

/// Exit code 1 if something has to be mended.
VerbResult examine(const CliOptions& options, const DoctorArguments& arguments);

}  // namespace xebec
