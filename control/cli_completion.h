// SPDX-License-Identifier: BSD-2-Clause
// Completion: what may stand next on a command line of `xebec`, by the grammar itself and the daemon's names; and the few
// lines that teach a shell to ask.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace xebec {

/// The first word of a command line that asks for candidates: xebec __complete -- WORDS..., the last one unfinished.
inline constexpr const char* kCompleteWord = "__complete";

struct Candidate {
  std::string word;
  std::string what;  ///< a description; may be empty
};

struct Completion {
  bool files = false;  ///< the shell knows better: names of files
  std::vector<Candidate> candidates;
};

/// Who knows the names that a daemon has. `socket`: as the line says, or empty.
struct NameSource {
  std::function<std::vector<std::string>(const std::string& socket)> services;
  std::function<std::vector<std::string>(const std::string& socket, const std::string& service)> backends;
  std::function<std::vector<std::string>()> interfaces;
};

/// `words` as typed behind "xebec", the last of them up to the cursor.
Completion complete(const CLI::App& app, const std::vector<std::string>& words, const NameSource& names);

/// The daemon's own, by its API, within half a second or not at all; `socket` as for the tool.
NameSource daemon_names(const std::string& default_socket);

/// Does all that kCompleteWord asks: one candidate a line, "WORD<TAB>WHAT", or ":files".
void print_completion(const CLI::App& app, int argc, const char* const* argv,
                      const std::string& default_socket);

/// For `shell`: bash, zsh or fish.
std::string completion_script(const std::string& shell);

}  // namespace xebec
