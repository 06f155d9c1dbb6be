// SPDX-License-Identifier: BSD-2-Clause
// A device that nothing is sent to, for an XDP program that has to be attached somewhere.
//
// The kernel calls XDP programs through a dispatcher that it patches when the first device takes a program
// and when the last one lets go of it. BPF_PROG_RUN with repeat > 1 counts as a device for as long as it
// lasts: two rewrites of code that every CPU has to see, some 60 ms a call (measured). With the program
// natively attached to any device, the call finds it in place.
//
// A tap device and not a veth pair: it is bound to a descriptor, so it goes with the process however that
// ends, and no daemon has to look for what a killed one has left.
#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace xebec {

/// Move-only; the destructor removes the device.
class Placeholder {
 public:
  /// Named xebec-inj0, or the next free number. It stays down. The error is a sentence.
  static tl::expected<Placeholder, std::string> create();

  Placeholder(Placeholder&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), ifindex_(other.ifindex_), name_(std::move(other.name_)) {}
  Placeholder& operator=(Placeholder&&) = delete;
  ~Placeholder();

  int ifindex() const { return ifindex_; }
  const std::string& name() const { return name_; }

 private:
  Placeholder(int fd, int ifindex, std::string name) : fd_(fd), ifindex_(ifindex), name_(std::move(name)) {}

  int fd_;
  int ifindex_;
  std::string name_;
};

}  // namespace xebec
