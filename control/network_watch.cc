// SPDX-License-Identifier: BSD-2-Clause
#include "control/network_watch.h"

#include <fmt/format.h>

namespace xebec {
namespace {

std::string words_for(const ResolvedHop& hop) {
  if (hop.state != ResolvedHop::State::reachable) return std::string(to_string(hop.state));
  const std::string gateway = hop.gateway ? fmt::format(" by {}", hop.gateway->to_string()) : "";
  return fmt::format("{} at {}{}", to_string(hop.state), to_string(hop.mac), gateway);
}

std::string words_for(const WatchedLink& watched) {
  if (!watched.link) return "gone";
  const LinkState& link = *watched.link;
  const std::string named = link.name != watched.name ? fmt::format("named {}, ", link.name) : "";
  return fmt::format("{}{}, {}, MTU {}, {}", named, link.up ? "up" : "down",
                     link.carrier ? "carrier" : "no carrier", link.mtu, to_string(link.mac));
}

}  // namespace

void NetworkWatch::compare_hops(const std::map<IpAddress, ResolvedHop>& hops, EventLog& event_log,
                                std::chrono::system_clock::time_point now) const {
  for (const auto& [address, hop] : hops) {
    const auto before = hops_.find(address);
    if (before == hops_.end() || before->second == hop) continue;  // what is new has just been asked for
    event_log.add("neighbour",
                  fmt::format("next hop of {}: {} -> {}", address.to_string(), words_for(before->second),
                              words_for(hop)),
                  {{"address", address.to_string()},
                   {"from", to_string(before->second.state)},
                   {"to", to_string(hop.state)},
                   {"mac", hop.state == ResolvedHop::State::reachable ? to_string(hop.mac) : ""}},
                  now);
  }
}

void NetworkWatch::compare_links(const std::vector<WatchedLink>& links, EventLog& event_log,
                                 std::chrono::system_clock::time_point now) const {
  for (std::size_t i = 0; i < links.size() && i < links_.size(); ++i) {
    const auto& link = links[i].link;
    if (links[i].attached_again != links_[i].attached_again) {
      event_log.add("link", fmt::format("{}: made anew, attached again", links[i].name),
                    {{"interface", links[i].name},
                     {"there", link.has_value()},
                     {"ifindex", link ? link->ifindex : 0},
                     {"attached_again", links[i].attached_again}},
                    now);
    }
    if (link == links_[i].link) continue;
    event_log.add("link",
                  fmt::format("{}: {} -> {}", links[i].name, words_for(links_[i]), words_for(links[i])),
                  {{"interface", links[i].name},
                   {"there", link.has_value()},
                   {"up", link && link->up},
                   {"carrier", link && link->carrier},
                   {"mtu", link ? link->mtu : 0}},
                  now);
  }
}

void NetworkWatch::look(const std::map<IpAddress, ResolvedHop>& hops, const std::vector<WatchedLink>& links,
                        EventLog& event_log, std::chrono::system_clock::time_point now) {
  if (looked_) {
    compare_links(links, event_log, now);
    compare_hops(hops, event_log, now);
  }
  looked_ = true;
  hops_ = hops;
  links_ = links;
}

}  // namespace xebec
