// SPDX-License-Identifier: BSD-2-Clause
#include "control/daemon_launch.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include <fmt/format.h>

#include "control/cli_file.h"
#include "control/daemon_paths.h"

namespace xebec {
namespace {

namespace fs = std::filesystem;

std::string absolute(const std::string& path) {
  return path.empty() ? path : fs::absolute(path).lexically_normal().string();
}

}  // namespace

std::string find_xebecd() {
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& path : {here / "xebecd", here.parent_path() / "sbin" / "xebecd"}) {
    if (!error && access(path.c_str(), X_OK) == 0) return path.string();
  }
  const char* path = std::getenv("PATH");
  std::istringstream directories(path != nullptr ? path : "");
  for (std::string directory; std::getline(directories, directory, ':');) {
    const fs::path found = fs::path(directory) / "xebecd";
    if (access(found.c_str(), X_OK) == 0) return found.string();
  }
  return {};
}

CliError no_xebecd() {
  return {"failed", "xebecd: is neither beside this program nor on the PATH", ""};
}

std::vector<std::string> daemon_options(const DaemonArguments& a) {
  std::vector<std::string> words;
  const auto add = [&words](const char* option, const std::string& value) {
    if (value.empty()) return;
    words.emplace_back(option);
    words.push_back(value);
  };
  add("-c", absolute(a.config));
  for (const std::string& interface : a.interfaces) add("-i", interface);
  add("--instance", a.instance);
  add("--socket", absolute(a.socket));
  add("--log", a.log);
  add("--log-level", a.log_level);
  return words;
}

std::vector<char*> argv_of(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  return argv;
}

std::string daemon_socket(const DaemonArguments& arguments) {
  std::string configured;
  const std::string file = arguments.config.empty() ? kDefaultConfigFile : arguments.config;
  if (arguments.socket.empty()) {
    if (const auto config = read_config_file(file)) configured = config->control.socket;
  }
  return absolute(socket_path(arguments.socket, configured, arguments.instance));
}

CliError daemon_refused(int code) {
  switch (code) {
    case 2:
      return {"usage", "xebecd: does not take these arguments", "xebecd --help"};
    case 4:
      return {"permission", "xebecd: lacks what it needs to start", "run as root"};
    case 6:
      return {"invalid_config", "xebecd: the configuration was refused", ""};
    case 7:
      return {"conflict", "xebecd: another one runs already", ""};
    default:
      return {"failed", fmt::format("xebecd: did not start, exit code {}", code),
              "xebec debug shows all it has to say"};
  }
}

}  // namespace xebec
