// SPDX-License-Identifier: BSD-2-Clause
// Follows the names that services have their backends from: asks when an answer's time is over, keeps what was known while nobody
// answers, and tells what has changed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/config.h"
#include "control/dns_channel.h"
#include "control/event_loop.h"

namespace xebec {

struct DiscoveredBackend {
  IpAddress address;
  uint16_t port = 0;  ///< 0: the service's
  uint32_t weight = 0;
  bool operator==(const DiscoveredBackend&) const = default;
};

/// Asks a name's servers. Called back once, from the loop and never from within.
using DnsAsk = std::function<void(const std::vector<std::string>& servers, const std::string& name,
                                  uint16_t type, DnsDone done)>;
/// Over channels of its own, one for each list of servers. They end with it.
DnsAsk make_dns_ask(EventLoop& loop);

class Discovery {
 public:
  using Clock = EventLoop::Clock;
  /// The service's backends are these from now on; told after each answer, changed or not. False: not now, offer them again in a
  /// while.
  using Found =
      std::function<bool(const std::string& service, const std::vector<DiscoveredBackend>& backends)>;

  Discovery(EventLoop& loop, DnsAsk ask, Found found, std::function<Clock::time_point()> now = Clock::now)
      : loop_(loop), ask_(std::move(ask)), found_(std::move(found)), now_(std::move(now)) {}
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;
  ~Discovery();

  /// What is to be followed. A source that is there again goes on as if nothing had happened; one that has changed is asked at once.
  void follow(const Config& config);

  /// Sentences about sources whose last answer was none.
  std::vector<std::string> complaints() const;

  static constexpr std::size_t kMaxTargets = 64;  ///< of SRV records, whose addresses are asked for
  static constexpr std::chrono::seconds kOfferAgain{1};

 private:
  struct Followed {
    DnsSource source;
    bool v4 = true;
    EventLoop::TimerId timer = 0;
    uint64_t lookup = 0;  ///< 0: none is on its way
    std::size_t pending = 0;
    std::string failed;  ///< of the lookup on its way
    uint32_t ttl_s = 0;
    Clock::time_point good_until{};  ///< of `known`: not asked again before
    std::vector<DiscoveredBackend> collected;
    std::optional<std::vector<DiscoveredBackend>> known;  ///< absent: no answer yet
    uint32_t failures = 0;                                ///< in a row
    std::string complaint;
  };
  void begin(const std::string& service);
  void ask(const std::string& service, const std::string& name, uint16_t type, const DiscoveredBackend& like);
  void take(const std::string& service, Followed& f, const DnsReply& reply, const DiscoveredBackend& like);
  void take_servers(const std::string& service, Followed& f, const struct DnsAnswer& answer);
  void finish(const std::string& service, Followed& f);
  void offer(const std::string& service);
  void wait(const std::string& service, Followed& f, Clock::time_point until,
            void (Discovery::*then)(const std::string& service));
  uint16_t address_type(const Followed& f) const;

  EventLoop& loop_;
  DnsAsk ask_;
  Found found_;
  std::function<Clock::time_point()> now_;
  std::map<std::string, Followed> followed_;
  uint64_t last_lookup_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< answers may come when this has gone
};

}  // namespace xebec
