// SPDX-License-Identifier: BSD-2-Clause
// Workers and interrupts on CPUs.
#include "control/placement.h"

#include <fmt/format.h>

#include "control/cpu_plan.h"
#include "dataplane/affinity.h"

namespace xebec {

std::vector<uint32_t> place_workers(uint32_t workers, const std::vector<InterfaceConfig>& interfaces,
                                    const std::vector<Hardware>& hardware, Preflight& preflight) {
  CpuQuestion question;
  question.workers = workers;
  question.wanted = interfaces.front().cpus;
  question.allowed = allowed_cpus();
  for (std::size_t i = 0; i < interfaces.size(); ++i)
    question.devices.push_back(place_of(interfaces[i].name, hardware[i].numa_node));
  const CpuPlan plan = plan_cpus(question);
  for (const Finding& finding : plan.findings) preflight.add(finding);
  return plan.cpus;
}

std::vector<IrqAffinity> place_interrupts(const InterfaceConfig& interface, const std::vector<uint32_t>& cpus,
                                          Preflight& preflight) {
  std::vector<IrqAffinity> kept;
  const std::vector<Interrupt> interrupts = read_interrupts(interface.name);
  const std::vector<IrqMove> moves = plan_irqs(interrupts, cpus);
  if (interface.irq_affinity == IrqMode::leave) {
    if (const auto advice = advise_irqs(interface.name, moves)) preflight.add(*advice);
    return kept;
  }
  if (interrupts.empty()) {
    preflight.warn(
        fmt::format("{}: \"irq_affinity\": \"set\" changes nothing: the device has no interrupts of its own",
                    interface.name));
    return kept;
  }
  auto moved = IrqAffinity::apply(moves);
  if (!moved) {
    preflight.warn(fmt::format("{}: {}", interface.name, moved.error()), "\"irq_affinity\": \"leave\"");
    return kept;
  }
  preflight.ok(fmt::format("{}: {} interrupts moved to their workers' CPUs", interface.name, moves.size()));
  kept.push_back(std::move(*moved));
  return kept;
}

}  // namespace xebec
