// SPDX-License-Identifier: BSD-2-Clause
// What the daemon tells about the machine before it starts work: one line a finding, with the command that
// mends it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/config.h"

namespace xebec {

struct Finding {
  enum class Level : uint8_t { ok, warn, fail };
  Level level = Level::ok;
  std::string text;
  std::string mend;  ///< a command or a setting; may be empty
};

class Preflight {
 public:
  void ok(std::string text) { findings_.push_back({Finding::Level::ok, std::move(text), {}}); }
  void warn(std::string text, std::string mend = {}) {
    findings_.push_back({Finding::Level::warn, std::move(text), std::move(mend)});
  }
  void fail(std::string text, std::string mend = {}) {
    findings_.push_back({Finding::Level::fail, std::move(text), std::move(mend)});
  }
  bool failed() const;
  const std::vector<Finding>& findings() const { return findings_; }

 private:
  std::vector<Finding> findings_;
};

/// "ok    text", "warn  text (mend: command)", ...
std::string to_string(const Finding& finding);

/// Capabilities the daemon needs to start and does not have, by name ("CAP_BPF").
std::vector<std::string> missing_capabilities();

/// Kernel, capabilities, memory.
void check_host(Preflight& out);

/// Existence, MTU, queues, offloads that hide bytes from XDP (VLAN stripping, LRO).
void check_interface(const InterfaceConfig& interface, Preflight& out);

}  // namespace xebec
