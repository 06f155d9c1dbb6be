// SPDX-License-Identifier: BSD-2-Clause
// How the ports of a worker will send: which by the ring, which by injection, and why.
#include "control/transmit_plan.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "control/ethtool.h"
#include "control/netdev.h"
#include "dataplane/limits.h"

namespace xebec {
namespace {

TransmitChoice ring(TransmitMode wanted, std::string why) {
  return {.inject = false, .ready = false, .in_vain = wanted == TransmitMode::inject, .why = std::move(why)};
}

/// Where queues outnumber CPUs virtio_net takes it that it has transmit queues for XDP beside them, and without any writes to
/// one that is not there (kernel, virtnet_xdp_get_sq; seen on 7.3: NULL dereference in virtnet_xdp_xmit).
bool redirect_crashes(const std::string& interface) {
  const long cpus = sysconf(_SC_NPROCESSORS_CONF);
  return Ethtool::driver_info(interface).driver == "virtio_net" &&
         static_cast<long>(receive_queues(interface)) > cpus;
}

}  // namespace

TransmitChoice choose_transmit(const TransmitFacts& facts) {
  if (facts.wanted == TransmitMode::ring) return ring(facts.wanted, "configured");
  if (facts.zerocopy) return ring(facts.wanted, "zero-copy");
  if (facts.redirect_crashes)
    return ring(facts.wanted,
                "virtio_net with more queues than CPUs crashes the kernel on redirected packets");
  const bool by_name = facts.wanted == TransmitMode::inject;
  if (!facts.features) {
    const XdpFeaturesError& error = facts.features.error();
    // What a driver that takes none is given is lost without a word; who asks for it by name knows the driver.
    if (error.never && by_name)
      return {.inject = true, .ready = true, .in_vain = false, .why = "configured; " + error.message};
    if (error.never) return ring(facts.wanted, error.message);
    return {.inject = true, .ready = false, .in_vain = by_name, .why = error.message};
  }
  if ((*facts.features & kXdpRedirectTarget) == 0) {
    return {.inject = true,
            .ready = false,
            .in_vain = by_name,
            .why = "the driver takes no redirected packets now (on veth the peer needs XDP or GRO)"};
  }
  return {.inject = true, .ready = true, .in_vain = false, .why = by_name ? "configured" : "no zero-copy"};
}

TransmitChoice choose_by_length(TransmitChoice choice, TransmitMode wanted, uint32_t mtu,
                                uint32_t max_length) {
  if (!choice.inject || wanted == TransmitMode::inject || mtu + kMaxLinkHeader <= max_length) return choice;
  return ring(wanted, fmt::format("packets of MTU {} do not fit live frames of {} bytes", mtu, max_length));
}

TransmitPlan plan_transmit(const std::vector<TransmitInterface>& interfaces, bool zerocopy,
                           uint32_t frame_count) {
  TransmitPlan plan;
  for (const TransmitInterface& i : interfaces) {
    plan.choices.push_back(
        choose_transmit({i.wanted, zerocopy, xdp_features(i.ifindex), redirect_crashes(i.name)}));
  }
  const auto injects = [](const TransmitChoice& choice) { return choice.inject; };
  if (std::none_of(plan.choices.begin(), plan.choices.end(), injects)) return plan;

  auto injector = Injector::load(frame_count);
  for (std::size_t k = 0; k < interfaces.size(); ++k) {
    TransmitChoice& choice = plan.choices[k];
    if (!choice.inject) continue;
    choice = injector ? choose_by_length(choice, interfaces[k].wanted, mtu_of(interfaces[k].name),
                                         (*injector)->max_length())
                      : ring(interfaces[k].wanted, injector.error());
  }
  if (std::any_of(plan.choices.begin(), plan.choices.end(), injects)) plan.injector = std::move(*injector);
  return plan;
}

}  // namespace xebec
