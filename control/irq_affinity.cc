// SPDX-License-Identifier: BSD-2-Clause
// On which CPUs a device's interrupts are handled.
#include "control/irq_affinity.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "control/cpu_plan.h"
#include "control/text_file.h"

namespace xebec {
namespace {

namespace fs = std::filesystem;

// More commands than this are not for typing.
constexpr std::size_t kCommandsShown = 4;

std::string affinity_file(const std::string& root, uint32_t irq) {
  return fmt::format("{}/proc/irq/{}/smp_affinity_list", root, irq);
}

/// 0, or the errno. The kernel takes or refuses the value at the write.
int write_line(const std::string& path, const std::string& value) {
  errno = 0;
  std::ofstream file(path);
  file << value << std::flush;
  if (file.good()) return 0;
  return errno != 0 ? errno : EIO;
}

/// A handler's name is the directory's beside the files (kernel/irq/proc.c, register_handler_proc).
std::string handler_name(const std::string& root, uint32_t irq) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fmt::format("{}/proc/irq/{}", root, irq), error)) {
    if (entry.is_directory(error)) return entry.path().filename();
  }
  return {};
}

}  // namespace

std::optional<uint32_t> queue_of_interrupt(std::string_view name) {
  std::string text(name.substr(0, name.find('@')));  // mlx5_comp3@pci:0000:01:00.0
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::size_t last = text.find_last_not_of("0123456789");
  if (last == std::string::npos || last + 1 == text.size()) return std::nullopt;
  const std::string_view digits = std::string_view(text).substr(last + 1);
  const std::string_view word = std::string_view(text).substr(0, last + 1);
  // ixgbe, i40e, ice, igc, bnxt: eth0-TxRx-3, ice-eth0-TxRx-3; ena: eth0-Tx-Rx-3; igb, r8169-like: eth0-rx-3;
  // mlx5: mlx5_comp3; virtio_net: virtio0-input.3. Transmit only (-tx-3, output.3) is nobody's wake-up.
  constexpr std::string_view kEndings[] = {"txrx-", "tx-rx-", "rxtx-", "-rx-", "mlx5_comp", "-input."};
  if (std::none_of(std::begin(kEndings), std::end(kEndings),
                   [&](std::string_view e) { return word.ends_with(e); }))
    return std::nullopt;
  uint32_t queue = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), queue).ec != std::errc())
    return std::nullopt;
  return queue;
}

std::vector<IrqMove> plan_irqs(const std::vector<Interrupt>& interrupts, const std::vector<uint32_t>& cpus) {
  std::vector<IrqMove> moves;
  for (const Interrupt& interrupt : interrupts) {
    const auto queue = queue_of_interrupt(interrupt.name);
    if (!queue || *queue >= cpus.size()) continue;
    if (interrupt.cpus.size() == 1 && interrupt.cpus.front() == cpus[*queue]) continue;
    moves.push_back({interrupt.number, *queue, cpus[*queue]});
  }
  std::sort(moves.begin(), moves.end(), [](const IrqMove& a, const IrqMove& b) { return a.queue < b.queue; });
  return moves;
}

std::optional<Finding> advise_irqs(const std::string& interface, const std::vector<IrqMove>& moves) {
  if (moves.empty()) return std::nullopt;
  std::string mend = "\"irq_affinity\": \"set\"";
  if (moves.size() <= kCommandsShown) {
    mend += ", or ";
    for (const IrqMove& move : moves) {
      mend += fmt::format("{}echo {} > /proc/irq/{}/smp_affinity_list", &move == &moves.front() ? "" : "; ",
                          move.cpu, move.irq);
    }
  }
  return Finding{Finding::Level::warn,
                 fmt::format("{}: interrupts of {} queue{} may be handled on other CPUs than their workers'",
                             interface, moves.size(), moves.size() == 1 ? "" : "s"),
                 std::move(mend)};
}

std::vector<Interrupt> read_interrupts(const std::string& interface, const std::string& root) {
  std::vector<Interrupt> interrupts;
  // A virtio device's interrupts are those of the PCI device it is on.
  for (const char* place : {"device/msi_irqs", "device/../msi_irqs"}) {
    std::error_code error;
    const fs::path directory = fs::path(fmt::format("{}/sys/class/net/{}/{}", root, interface, place));
    for (const auto& entry : fs::directory_iterator(directory, error)) {
      const std::string text = entry.path().filename();
      uint32_t number = 0;
      if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) continue;
      const auto cpus = parse_cpu_list(first_line(affinity_file(root, number)));
      interrupts.push_back({number, handler_name(root, number), cpus.value_or(std::vector<uint32_t>{})});
    }
    if (!interrupts.empty()) break;
  }
  std::sort(interrupts.begin(), interrupts.end(),
            [](const Interrupt& a, const Interrupt& b) { return a.number < b.number; });
  return interrupts;
}

tl::expected<IrqAffinity, std::string> IrqAffinity::apply(const std::vector<IrqMove>& moves,
                                                          std::string root) {
  IrqAffinity affinity(std::move(root));
  for (const IrqMove& move : moves) {
    const std::string path = affinity_file(affinity.root_, move.irq);
    std::string before = first_line(path);
    if (const int error = write_line(path, std::to_string(move.cpu)); error != 0) {
      // EIO: the driver manages the interrupt's affinity itself (kernel/irq/proc.c).
      return tl::unexpected(fmt::format(
          "cannot move interrupt {} of queue {} to CPU {}: {}", move.irq, move.queue, move.cpu,
          error == EIO ? "the driver keeps its interrupts where they are" : std::strerror(error)));
    }
    affinity.moved_.push_back({move.irq, std::move(before), std::to_string(move.cpu)});
  }
  return affinity;
}

IrqAffinity::~IrqAffinity() {
  for (const Moved& moved : moved_) {
    const std::string path = affinity_file(root_, moved.irq);
    if (first_line(path) == moved.now) (void)write_line(path, moved.before);
  }
}

}  // namespace xebec
