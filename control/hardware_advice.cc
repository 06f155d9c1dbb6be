// SPDX-License-Identifier: BSD-2-Clause
// What a preflight says to an interface's hardware.
#include "control/hardware_advice.h"

#include <algorithm>

#include <fmt/format.h>

#include "bpf/abi.h"
#include "dataplane/limits.h"

namespace xebec {
namespace {

using Level = Finding::Level;

// An indirection table of 128 entries over 3, 5 or 6 queues cannot be even: the worst is 22 of 128 where 21.3 is fair.
// A quarter more than fair is somebody's doing.
constexpr double kSkew = 1.25;

class Advice {
 public:
  Advice(const InterfaceConfig& interface, const Hardware& hardware)
      : interface_(interface), hardware_(hardware), name_(interface.name) {}

  std::vector<Finding> take() {
    if (stands_on_others()) return std::move(findings_);
    add(Level::ok, fmt::format("{}: driver {}, receive queues: {}, MTU {}", name_, hardware_.driver.driver,
                               hardware_.receive_queues, hardware_.mtu));
    queues();
    spreading();
    mtu();
    offloads();
    return std::move(findings_);
  }

 private:
  void add(Level level, std::string text, std::string mend = {}) {
    findings_.push_back({level, std::move(text), std::move(mend)});
  }
  std::string set_queues(uint32_t count) const {
    const char* word = hardware_.channels ? hardware_.channels->receive_word() : "combined";
    return fmt::format("ethtool -L {} {} {}", name_, word, count);
  }

  /// An interface whose packets come by another one: AF_XDP has no queue of it.
  bool stands_on_others() {
    const std::string& driver = hardware_.driver.driver;
    const std::string lower =
        hardware_.lower.empty() ? "none at present" : fmt::format("{}", fmt::join(hardware_.lower, ", "));
    if (driver == "bonding" || driver == "team") {
      add(Level::fail,
          fmt::format(
              "{}: it is a bond: packets are received by its members, and AF_XDP sockets are theirs; its "
              "members: {}",
              name_, lower),
          fmt::format("name the members under \"interfaces\" instead of {}", name_));
      return true;
    }
    if (driver == "802.1Q VLAN Support") {  // net/8021q/vlan.h, DRV_FULLNAME
      add(Level::fail,
          fmt::format("{}: it is a VLAN of {}, whose queues receive its packets, tag and all", name_, lower),
          fmt::format("name {} under \"interfaces\" instead of {}",
                      hardware_.lower.empty() ? "its parent" : lower, name_));
      return true;
    }
    if (driver == "bridge") {
      add(Level::fail, fmt::format("{}: it is a bridge: packets are received by its ports: {}", name_, lower),
          fmt::format("name a port under \"interfaces\" instead of {}", name_));
      return true;
    }
    return false;
  }

  void queues() {
    const uint32_t present = hardware_.receive_queues;
    if (present > XEBEC_MAX_QUEUES) {
      add(Level::fail,
          fmt::format("{}: {} receive queues, at most {} can be served", name_, present, XEBEC_MAX_QUEUES),
          set_queues(XEBEC_MAX_QUEUES));
    }
    if (interface_.queues != 0 && interface_.queues < present && !hashes_to_served_only()) {
      add(Level::warn,
          fmt::format("{}: {} of {} receive queues are served; VIP packets that arrive on the others get the "
                      "fallback verdict",
                      name_, interface_.queues, present),
          fmt::format("\"queues\": \"auto\", or {}", set_queues(interface_.queues)));
    }
    if (interface_.queues > present) {
      add(Level::fail,
          fmt::format("{}: {} queues are configured, the interface has {}", name_, interface_.queues,
                      present),
          set_queues(interface_.queues));
    }
  }

  uint32_t served() const { return interface_.queues != 0 ? interface_.queues : hardware_.receive_queues; }
  bool hashes_to_served_only() const {
    if (!hardware_.receive_hashing || hardware_.receive_hashing->indirection.empty()) return false;
    return queue_shares(*hardware_.receive_hashing).size() <= served();
  }

  void spreading() {
    if (!hardware_.receive_hashing) return;
    const std::vector<double> shares = queue_shares(*hardware_.receive_hashing);
    if (shares.empty() || served() == 0) return;
    const std::string mend = fmt::format("ethtool -X {} equal {}", name_, served());
    double unserved = 0;
    for (std::size_t q = served(); q < shares.size(); ++q) unserved += shares[q];
    if (unserved > 0) {
      add(Level::warn,
          fmt::format("{}: receive hashing (RSS) sends {:.0f} % of the flows to queues that nobody serves",
                      name_, 100 * unserved),
          mend);
      return;
    }
    const auto idle =
        static_cast<std::size_t>(std::count(shares.begin(), shares.end(), 0.0)) + served() - shares.size();
    const double most = *std::max_element(shares.begin(), shares.end());
    if (idle != 0) {
      add(Level::warn,
          fmt::format("{}: receive hashing (RSS) leaves {} of {} served queues without flows", name_, idle,
                      served()),
          mend);
    } else if (most > kSkew / served()) {
      add(Level::warn,
          fmt::format("{}: receive hashing (RSS) gives one queue {:.0f} % of the flows, fair were {:.0f} %",
                      name_, 100 * most, 100.0 / served()),
          mend);
    }
  }

  void mtu() {
    if (hardware_.mtu <= kMaxMtu) return;
    add(Level::fail, fmt::format("{}: MTU {} is too large, {} is the most", name_, hardware_.mtu, kMaxMtu),
        fmt::format("ip link set {} mtu {}", name_, kMaxMtu));
  }

  void offloads() {
    if (hardware_.has("rx-lro")) {
      add(Level::warn, fmt::format("{}: large receive offload merges packets before XDP sees them", name_),
          fmt::format("ethtool -K {} lro off", name_));
    }
    if (hardware_.has("rx-gro-hw")) {
      add(Level::warn, fmt::format("{}: the NIC merges packets (hardware GRO) before XDP sees them", name_),
          fmt::format("ethtool -K {} rx-gro-hw off", name_));
    }
    // On veth the flags are always set and mean little: a tag is out of XDP's sight only if the peer's own VLAN
    // device offloads it (docs/modes.md), so a warning at every start would be noise.
    if (hardware_.driver.driver == "veth") return;
    if (hardware_.has("rx-vlan-hw-parse")) {
      add(Level::warn, fmt::format("{}: the NIC strips VLAN tags: tagged VIP traffic looks untagged", name_),
          fmt::format("ethtool -K {} rxvlan off", name_));
    }
    if (hardware_.has("rx-vlan-stag-hw-parse")) {
      add(Level::warn,
          fmt::format("{}: the NIC strips 802.1ad tags: tagged VIP traffic looks untagged", name_),
          fmt::format("ethtool -K {} rx-vlan-stag-hw-parse off", name_));
    }
  }

  const InterfaceConfig& interface_;
  const Hardware& hardware_;
  const std::string& name_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> advise(const InterfaceConfig& interface, const Hardware& hardware) {
  return Advice(interface, hardware).take();
}

}  // namespace xebec
