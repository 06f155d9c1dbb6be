// SPDX-License-Identifier: BSD-2-Clause
#include "control/discovery.h"

#include <arpa/nameser.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/dns_answer.h"

namespace xebec {
namespace {

/// A source that fails again and again is asked ever later, up to its max_ttl_s.
constexpr uint32_t kMaxDoublings = 10;

}  // namespace

DnsAsk make_dns_ask(EventLoop& loop) {
  using DnsChannels = std::map<std::vector<std::string>, std::unique_ptr<DnsChannel>>;
  return [&loop, channels = std::make_shared<DnsChannels>()](
             const std::vector<std::string>& servers, const std::string& name, uint16_t type, DnsDone done) {
    auto& channel = (*channels)[servers];
    if (channel == nullptr) {
      auto opened = DnsChannel::open(loop, servers);
      if (!opened) {
        loop.after({}, [done = std::move(done), why = opened.error()] { done(tl::unexpected(why)); });
        return;
      }
      channel = std::move(*opened);
    }
    channel->query(name, type, std::move(done));
  };
}

Discovery::~Discovery() {
  for (auto& [service, f] : followed_) {
    if (f.timer != 0) loop_.cancel(f.timer);
  }
}

void Discovery::follow(const Config& config) {
  std::map<std::string, const ServiceConfig*> wanted;
  for (const ServiceConfig& service : config.services) {
    if (service.backends_from) wanted.emplace(service.name, &service);
  }
  std::erase_if(followed_, [&](auto& entry) {
    if (wanted.contains(entry.first)) return false;
    if (entry.second.timer != 0) loop_.cancel(entry.second.timer);
    return true;
  });
  for (const auto& [name, service] : wanted) {
    const auto [it, fresh] = followed_.try_emplace(name);
    Followed& f = it->second;
    if (!fresh && f.source == *service->backends_from && f.v4 == service->vip.is_v4()) continue;
    if (f.timer != 0) loop_.cancel(f.timer);
    f = Followed{};
    f.source = *service->backends_from;
    f.v4 = service->vip.is_v4();
    // From the loop: who follows may be in the middle of a change.
    f.timer = loop_.at(now_(), [this, service = name] { begin(service); });
  }
}

std::vector<std::string> Discovery::complaints() const {
  std::vector<std::string> all;
  for (const auto& [service, f] : followed_) {
    if (f.complaint.empty()) continue;
    all.push_back(
        fmt::format("service {}: {}: {}; {}", service, f.source.name, f.complaint,
                    f.known ? "the backends that it named before stay" : "no backend is known from it"));
  }
  return all;
}

uint16_t Discovery::address_type(const Followed& f) const {
  return f.v4 ? ns_t_a : ns_t_aaaa;
}

void Discovery::wait(const std::string& service, Followed& f, Clock::time_point until,
                     void (Discovery::*then)(const std::string&)) {
  if (f.timer != 0) loop_.cancel(f.timer);
  f.timer = loop_.at(until, [this, service, then] { (this->*then)(service); });
}

void Discovery::begin(const std::string& service) {
  Followed& f = followed_.at(service);
  f.timer = 0;
  f.lookup = ++last_lookup_;
  f.pending = 0;
  f.failed.clear();
  f.ttl_s = f.source.max_ttl_s;
  f.collected.clear();
  const DiscoveredBackend like{{}, f.source.port, f.source.weight};
  uint16_t type = address_type(f);
  if (f.source.type == DnsRecords::a) type = ns_t_a;
  if (f.source.type == DnsRecords::aaaa) type = ns_t_aaaa;
  if (f.source.type == DnsRecords::srv) type = ns_t_srv;
  ask(service, f.source.name, type, like);
}

/// like: port and weight of the backends that the answer names.
void Discovery::ask(const std::string& service, const std::string& name, uint16_t type,
                    const DiscoveredBackend& like) {
  Followed& f = followed_.at(service);
  ++f.pending;
  ask_(f.source.servers, name, type,
       [this, service, like, lookup = f.lookup, alive = std::weak_ptr<bool>(alive_)](const DnsReply& reply) {
         if (alive.expired()) return;
         const auto found = followed_.find(service);
         if (found == followed_.end() || found->second.lookup != lookup) return;
         take(service, found->second, reply, like);
       });
}

void Discovery::take(const std::string& service, Followed& f, const DnsReply& reply,
                     const DiscoveredBackend& like) {
  --f.pending;
  if (!reply) {
    if (f.failed.empty()) f.failed = reply.error();
  } else if (const auto answer = parse_dns_answer(*reply); !answer) {
    if (f.failed.empty()) f.failed = answer.error();
  } else {
    f.ttl_s = std::min(f.ttl_s, answer->ttl_s);
    for (const DnsAddress& a : answer->addresses) f.collected.push_back({a.address, like.port, like.weight});
    if (!answer->servers.empty()) take_servers(service, f, *answer);
  }
  if (f.pending == 0) finish(service, f);
}

/// Those of the first priority (RFC 2782): the others are for when none of them is there, which is what `fallback` is for.
void Discovery::take_servers(const std::string& service, Followed& f, const DnsAnswer& answer) {
  uint16_t first = UINT16_MAX;
  for (const DnsServer& server : answer.servers) first = std::min(first, server.priority);
  std::size_t targets = 0;
  for (const DnsServer& server : answer.servers) {
    // A target "." says that there is no such service.
    if (server.priority != first || server.target == "." || server.target.empty()) continue;
    if (++targets > kMaxTargets) break;
    // A weight of 0 is the smallest there, and none here.
    const DiscoveredBackend like{{}, server.port, std::clamp<uint32_t>(server.weight, 1, kMaxWeight)};
    bool added = false;
    for (const DnsAddress& a : answer.additional) {
      if (a.name != server.target || a.address.is_v4() != f.v4) continue;
      f.collected.push_back({a.address, like.port, like.weight});
      added = true;
    }
    if (!added) ask(service, server.target, address_type(f), like);
  }
}

void Discovery::finish(const std::string& service, Followed& f) {
  f.lookup = 0;
  std::sort(f.collected.begin(), f.collected.end(),
            [](const DiscoveredBackend& a, const DiscoveredBackend& b) {
              return std::tie(a.address, a.port) < std::tie(b.address, b.port);
            });
  // A backend is its address: of two ports of one the first.
  f.collected.erase(std::unique(f.collected.begin(), f.collected.end(),
                                [](const auto& a, const auto& b) { return a.address == b.address; }),
                    f.collected.end());
  if (f.failed.empty() && f.collected.empty()) f.failed = "no addresses";
  if (!f.failed.empty()) {
    const uint64_t doubled = uint64_t{f.source.min_ttl_s} << std::min(f.failures, kMaxDoublings);
    ++f.failures;
    if (f.complaint != f.failed) spdlog::warn("dns: {} of service {}: {}", f.source.name, service, f.failed);
    f.complaint = f.failed;
    const std::chrono::seconds pause(std::min<uint64_t>(doubled, f.source.max_ttl_s));
    return wait(service, f, now_() + pause, &Discovery::begin);
  }
  if (!f.complaint.empty()) spdlog::info("dns: {} of service {}: answered again", f.source.name, service);
  f.complaint.clear();
  f.failures = 0;
  f.good_until = now_() + std::chrono::seconds(std::max(f.ttl_s, f.source.min_ttl_s));
  f.known = std::move(f.collected);
  offer(service);
}

void Discovery::offer(const std::string& service) {
  followed_.at(service).timer = 0;
  const auto backends = *followed_.at(service).known;
  const bool taken = found_(service, backends);
  // The change may have changed what is followed.
  const auto found = followed_.find(service);
  if (found == followed_.end() || found->second.timer != 0) return;
  Followed& f = found->second;
  const bool offered_again = !taken && now_() + kOfferAgain < f.good_until;
  wait(service, f, offered_again ? now_() + kOfferAgain : f.good_until,
       offered_again ? &Discovery::offer : &Discovery::begin);
}

}  // namespace xebec
