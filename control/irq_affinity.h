// SPDX-License-Identifier: BSD-2-Clause
// On which CPUs a device's interrupts are handled. The queue's worker finds the packet in its own CPU's cache if they
// are the same; and one that busy-polls is not disturbed by anybody's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "control/preflight.h"

namespace xebec {

/// One interrupt of a device.
struct Interrupt {
  uint32_t number = 0;
  std::string name;            ///< "eth0-TxRx-3", "virtio0-input.0"
  std::vector<uint32_t> cpus;  ///< that it may be handled on
};

struct IrqMove {
  uint32_t irq = 0;
  uint32_t queue = 0;
  uint32_t cpu = 0;
  bool operator==(const IrqMove&) const = default;
};

/// The receive queue that an interrupt of this name is for; nullopt: of none, or a driver's way of naming that is not known.
std::optional<uint32_t> queue_of_interrupt(std::string_view name);

/// What is to be moved so that each queue's interrupt is handled where its worker runs. `cpus`: by queue.
std::vector<IrqMove> plan_irqs(const std::vector<Interrupt>& interrupts, const std::vector<uint32_t>& cpus);

/// What to tell who left the interrupts as they were; nullopt: nothing.
std::optional<Finding> advise_irqs(const std::string& interface, const std::vector<IrqMove>& moves);

/// The device's interrupts, from `root`/sys and `root`/proc. Empty for a device without any of its own (veth).
std::vector<Interrupt> read_interrupts(const std::string& interface, const std::string& root = {});

/// Interrupts moved for as long as this lives. Each goes back to where it was, unless somebody has moved it since.
class IrqAffinity {
 public:
  /// The error is a sentence; what had been moved is back where it was.
  static tl::expected<IrqAffinity, std::string> apply(const std::vector<IrqMove>& moves,
                                                      std::string root = {});
  IrqAffinity(IrqAffinity&& other) noexcept : root_(std::move(other.root_)), moved_(std::move(other.moved_)) {
    other.moved_.clear();
  }
  IrqAffinity& operator=(IrqAffinity&&) = delete;
  ~IrqAffinity();

 private:
  struct Moved {
    uint32_t irq;
    std::string before;
    std::string now;
  };
  explicit IrqAffinity(std::string root) : root_(std::move(root)) {}
  std::string root_;
  std::vector<Moved> moved_;
};

}  // namespace xebec
