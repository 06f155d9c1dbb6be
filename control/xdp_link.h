// SPDX-License-Identifier: BSD-2-Clause
// The hold an XDP program has on an interface: a bpf_link, which ends with the process whatever ends that.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

#include "control/config.h"
#include "control/steering.h"

namespace xebec {

/// Move-only; the destructor detaches.
class XdpLink {
 public:
  /// Native first where `mode` allows it, then generic. A program of somebody else on the interface is an
  /// error that names it, in every mode: it is neither replaced nor joined in the other mode.
  static tl::expected<XdpLink, SteeringError> attach(int program_fd, int ifindex, XdpMode mode);

  XdpLink(XdpLink&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        mode_(other.mode_),
        native_refusal_(std::move(other.native_refusal_)) {}
  XdpLink& operator=(XdpLink&& other) noexcept;
  XdpLink(const XdpLink&) = delete;
  XdpLink& operator=(const XdpLink&) = delete;
  ~XdpLink();

  /// False once the interface is gone or somebody has detached the link.
  bool holds() const;
  /// "native" or "generic".
  std::string_view mode() const { return mode_; }
  /// Why it is not native; empty if it is, or if native was not tried.
  std::string_view native_refusal() const { return native_refusal_; }

 private:
  XdpLink(int fd, std::string_view mode, std::string native_refusal)
      : fd_(fd), mode_(mode), native_refusal_(std::move(native_refusal)) {}
  void release();

  int fd_;
  std::string_view mode_;
  std::string native_refusal_;
};

}  // namespace xebec
