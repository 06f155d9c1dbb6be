// SPDX-License-Identifier: BSD-2-Clause
// What the daemon tells about the machine before it starts work: one line a finding, with the command that
// mends it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "control/config.h"
#include "dataplane/umem.h"

namespace xebec {

struct Finding {
  enum class Level : uint8_t { ok, warn, fail };
  Level level = Level::ok;
  std::string text;
  std::string mend;  ///< a command or a setting; may be empty
};

class Preflight {
 public:
  /// `show` is called with every finding as it is made.
  explicit Preflight(std::function<void(const Finding&)> show) : show_(std::move(show)) {}

  void ok(std::string text) { add({Finding::Level::ok, std::move(text), {}}); }
  void warn(std::string text, std::string mend = {}) {
    add({Finding::Level::warn, std::move(text), std::move(mend)});
  }
  void fail(std::string text, std::string mend = {}) {
    add({Finding::Level::fail, std::move(text), std::move(mend)});
  }
  void add(const Finding& finding) {
    failed_ = failed_ || finding.level == Finding::Level::fail;
    show_(finding);
  }
  bool failed() const { return failed_; }

 private:
  std::function<void(const Finding&)> show_;
  bool failed_ = false;
};

/// "ok    text", "warn  text (mend: command)", ...
std::string to_string(const Finding& finding);

/// Capabilities the daemon needs to start and does not have, by name ("CAP_BPF").
std::vector<std::string> missing_capabilities();

/// Kernel, capabilities, memory.
void check_host(Preflight& out);

/// What a worker's packet memory is made of. `in_map`: it is a BPF map's, for the injector.
Finding packet_memory(uint32_t worker, const Umem& umem, bool in_map, HugepageMode wanted);

/// Existence, and what control/hardware_advice.h has to say.
void check_interface(const InterfaceConfig& interface, Preflight& out);

}  // namespace xebec
