// SPDX-License-Identifier: BSD-2-Clause
// Next hops: destination -> route -> neighbour, kept true as the kernel changes its mind.
//
// Notifications only say that something may have changed; what is true is then asked for. Routes are looked
// up by the kernel itself (RTM_GETROUTE), so that policy rules, metrics, next-hop objects and dead interfaces
// count as they do for packets. Work is done in pieces of some milliseconds, so that a hundred thousand
// destinations do not hold up the loop.
#include "control/next_hops.h"

#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "control/neighbours.h"
#include "control/netlink.h"
#include "control/rtnetlink.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;
using Clock = EventLoop::Clock;
using State = ResolvedHop::State;

constexpr Clock::duration kFold = 10ms;  // between two calls of on_change
constexpr std::size_t kRoutesPerTurn = 512;
// The kernel takes IPv4 routes down with their interface without a word, and says that the interface is down
// before it has done so (__dev_notify_flags). So after a word about a link, everything is looked up at once
// and again a little later.
constexpr Clock::duration kLinkSettles = 100ms;
// Nothing tells of an ICMP redirect or of what we have not thought of.
constexpr Clock::duration kRecheck = 10s;
constexpr Clock::duration kAskAgain = 1s;   // of lookups the kernel did not answer
constexpr Clock::duration kResync = 100ms;  // between two readings of everything after lost notifications
constexpr int kDumpAttempts = 3;

/// A lookup's error is the route's answer (ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, ...), unless it is
/// about the asking.
bool says_unreachable(int error) {
  return error != 0 && error != ETIMEDOUT && error != ENOBUFS && error != ENOMEM && error != EBADMSG;
}

class KernelNextHops final : public NextHops {
 public:
  KernelNextHops(EventLoop& loop, std::function<void()> on_change, std::unique_ptr<Netlink> events,
                 std::unique_ptr<Netlink> requests)
      : loop_(loop),
        on_change_(std::move(on_change)),
        events_(std::move(events)),
        requests_(std::move(requests)),
        neighbours_(*requests_) {}
  KernelNextHops(const KernelNextHops&) = delete;
  KernelNextHops& operator=(const KernelNextHops&) = delete;
  ~KernelNextHops() override;

  tl::expected<void, std::string> start();

  void follow(const std::vector<IpAddress>& destinations) override;
  const ResolvedHop* find(const IpAddress& destination) const override;
  const std::map<IpAddress, ResolvedHop>& all() const override { return hops_; }
  std::optional<LinkState> link(int ifindex) const override;
  std::optional<LinkState> link(const std::string& name) const override;
  const std::map<int, LinkState>& links() const override { return links_; }

 private:
  void hear();
  void on_message(const nlmsghdr* message);
  void on_link(const nlmsghdr* message);
  void on_neighbour(const nlmsghdr* message);
  void look_up(const Prefix& prefix);

  bool read_links();
  void resync();
  void work();
  void look_up_routes();
  void set_route(const IpAddress& destination, const RouteAnswer& route);
  void drop_user(const NeighbourKey& key, const IpAddress& destination);
  void refresh_users(const NeighbourKey& key);
  void schedule();
  void changed();

  EventLoop& loop_;
  std::function<void()> on_change_;
  std::unique_ptr<Netlink> events_;
  std::unique_ptr<Netlink> requests_;
  Neighbours neighbours_;

  std::map<int, LinkState> links_;
  std::map<IpAddress, ResolvedHop> hops_;
  std::map<IpAddress, NeighbourKey> neighbour_of_;     // destinations with a route
  std::map<NeighbourKey, std::set<IpAddress>> users_;  // the same, the other way round
  std::set<IpAddress> stale_routes_;                   // to be looked up
  bool all_stale_ = false;
  std::vector<NeighbourKey> unused_;  // to be released

  Clock::time_point routes_at_{};  // not before
  Clock::time_point recheck_at_{};
  std::optional<Clock::time_point> resync_at_;
  Clock::time_point last_resync_{};
  Clock::time_point last_notified_{};
  EventLoop::WatchId watch_ = 0;
  EventLoop::TimerId work_timer_ = 0;
  EventLoop::TimerId notify_timer_ = 0;
};

tl::expected<void, std::string> KernelNextHops::start() {
  // The groups were joined before this reading, so nothing falls between.
  if (!read_links()) return tl::unexpected(std::string("the kernel does not list its network interfaces"));
  recheck_at_ = Clock::now() + kRecheck;
  watch_ = loop_.watch(events_->fd(), POLLIN, [this](short) { hear(); });
  schedule();
  return {};
}

KernelNextHops::~KernelNextHops() {
  loop_.unwatch(watch_);
  loop_.cancel(work_timer_);
  loop_.cancel(notify_timer_);
  std::vector<NeighbourKey> keys = std::move(unused_);
  for (const auto& [key, users] : users_) keys.push_back(key);
  neighbours_.release(keys);
}

// ---- what is asked of us

void KernelNextHops::follow(const std::vector<IpAddress>& destinations) {
  const std::set<IpAddress> wanted(destinations.begin(), destinations.end());
  for (auto hop = hops_.begin(); hop != hops_.end();) {
    const IpAddress& destination = hop->first;
    if (wanted.contains(destination)) {
      ++hop;
      continue;
    }
    if (const auto key = neighbour_of_.find(destination); key != neighbour_of_.end()) {
      drop_user(key->second, destination);
      neighbour_of_.erase(key);
    }
    stale_routes_.erase(destination);
    hop = hops_.erase(hop);
    changed();
  }
  for (const IpAddress& destination : wanted) {
    if (!hops_.try_emplace(destination, ResolvedHop{State::resolving, 0, {}, {}, {}}).second) continue;
    stale_routes_.insert(destination);
    changed();
  }
  work();
}

const ResolvedHop* KernelNextHops::find(const IpAddress& destination) const {
  const auto found = hops_.find(destination);
  return found == hops_.end() ? nullptr : &found->second;
}

std::optional<LinkState> KernelNextHops::link(int ifindex) const {
  const auto found = links_.find(ifindex);
  if (found == links_.end()) return std::nullopt;
  return found->second;
}

std::optional<LinkState> KernelNextHops::link(const std::string& name) const {
  const auto found = std::find_if(links_.begin(), links_.end(),
                                  [&name](const auto& entry) { return entry.second.name == name; });
  if (found == links_.end()) return std::nullopt;
  return found->second;
}

// ---- what the kernel says

void KernelNextHops::hear() {
  const auto heard = events_->receive([this](const nlmsghdr* message) { on_message(message); });
  if (heard == Netlink::Heard::overrun && !resync_at_) {
    resync_at_ = std::max(Clock::now(), last_resync_ + kResync);
  }
  work();
}

void KernelNextHops::on_message(const nlmsghdr* message) {
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return on_link(message);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return on_neighbour(message);
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const auto prefix = read_route_prefix(message);
      if (prefix) look_up(*prefix);
      return;
    }
    default:  // addresses, rules, next-hop objects: they bear on any route
      all_stale_ = true;
  }
}

void KernelNextHops::on_link(const nlmsghdr* message) {
  const auto ifindex = link_index(message);
  if (!ifindex) return;
  const auto found = links_.find(*ifindex);
  LinkState now = found == links_.end() ? LinkState{} : found->second;
  if (message->nlmsg_type == RTM_DELLINK) {
    if (found == links_.end()) return;
    links_.erase(found);
  } else {
    if (!read_link(message, now)) return;
    LinkState& known = links_[*ifindex];
    if (known == now) return;
    known = now;
  }
  changed();
  all_stale_ = true;
  recheck_at_ = std::min(recheck_at_, Clock::now() + kLinkSettles);
}

void KernelNextHops::on_neighbour(const nlmsghdr* message) {
  const auto entry = read_neighbour(message);
  if (!entry) return;
  const auto now = Clock::now();
  const bool news = message->nlmsg_type == RTM_DELNEIGH ? neighbours_.removed(entry->key, now)
                                                        : neighbours_.update(*entry, now);
  if (news) refresh_users(entry->key);
}

/// Marks the destinations of a route, all of them at once where they are many: a burst of messages about the
/// default route must not cost a walk over everything for each.
void KernelNextHops::look_up(const Prefix& prefix) {
  if (all_stale_) return;
  const auto end = hops_.upper_bound(prefix.last);
  std::size_t count = 0;
  for (auto hop = hops_.lower_bound(prefix.first); hop != end; ++hop) {
    if (++count > kRoutesPerTurn) {
      all_stale_ = true;
      return;
    }
    stale_routes_.insert(hop->first);
  }
}

// ---- what we ask

bool KernelNextHops::read_links() {
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    std::map<int, LinkState> links;
    const auto result = requests_->dump(RTM_GETLINK, AF_UNSPEC, [&links](const nlmsghdr* message) {
      LinkState link;
      if (message->nlmsg_type == RTM_NEWLINK && read_link(message, link)) links[link.ifindex] = link;
    });
    if (result == Netlink::Dump::failed) return false;
    if (links != links_) {
      links_ = std::move(links);
      changed();
    }
    if (result == Netlink::Dump::complete) return true;
  }
  // Interrupted each time. What was missed is on its way as a notification, but look again all the same.
  resync_at_ = Clock::now() + kResync;
  return true;
}

void KernelNextHops::resync() {
  last_resync_ = Clock::now();
  resync_at_.reset();
  if (!read_links()) resync_at_ = last_resync_ + kAskAgain;
  all_stale_ = true;
  neighbours_.look_again(last_resync_);
}

void KernelNextHops::work() {
  const auto now = Clock::now();
  if (resync_at_ && *resync_at_ <= now) resync();
  if (recheck_at_ <= now) {
    recheck_at_ = now + kRecheck;
    all_stale_ = true;
  }
  if (std::exchange(all_stale_, false)) {
    stale_routes_.clear();
    for (const auto& [destination, hop] : hops_) stale_routes_.insert(stale_routes_.end(), destination);
  }
  if (!stale_routes_.empty() && routes_at_ <= now) look_up_routes();
  if (!unused_.empty()) {
    // Another destination may have come to use it meanwhile.
    std::erase_if(unused_, [this](const NeighbourKey& key) { return users_.contains(key); });
    neighbours_.release(std::exchange(unused_, {}));
  }
  std::vector<NeighbourKey> news;
  neighbours_.ask(Clock::now(), news);
  for (const NeighbourKey& key : news) refresh_users(key);
  schedule();
}

void KernelNextHops::look_up_routes() {
  const auto begin = Clock::now();
  std::vector<IpAddress> batch;
  while (batch.size() < kRoutesPerTurn && !stale_routes_.empty()) {
    batch.push_back(*stale_routes_.begin());
    stale_routes_.erase(stale_routes_.begin());
  }
  bool unanswered = false;
  requests_->exchange(
      batch.size(), [&](std::size_t i, nlmsghdr* request) { ask_route(request, batch[i]); },
      [&](std::size_t i, int error, const nlmsghdr* message) {
        const auto route = message != nullptr ? read_route(message) : std::nullopt;
        if (route) return set_route(batch[i], *route);
        if (says_unreachable(error)) return set_route(batch[i], {});
        stale_routes_.insert(batch[i]);
        unanswered = true;
      });
  // As long a pause as the work took: route churn may have half of the control thread, not all of it.
  const auto end = Clock::now();
  routes_at_ = unanswered ? end + kAskAgain : end + (end - begin);
}

void KernelNextHops::set_route(const IpAddress& destination, const RouteAnswer& route) {
  ResolvedHop& hop = hops_.at(destination);
  const ResolvedHop before = hop;
  const auto old_key = neighbour_of_.find(destination);
  const NeighbourKey key{route.ifindex, route.gateway.value_or(destination)};
  if (old_key != neighbour_of_.end() && (!route.usable || old_key->second != key)) {
    drop_user(old_key->second, destination);
    neighbour_of_.erase(old_key);
  }
  if (route.usable) {
    neighbour_of_[destination] = key;
    users_[key].insert(destination);
    neighbours_.want(key, Clock::now());
  }
  hop = {State::no_route, route.ifindex, route.gateway, route.preferred_source, {}};
  if (route.usable) {
    const Neighbours::View view = neighbours_.view(key);
    hop.state = view.state;
    hop.mac = view.mac;
  }
  if (hop != before) changed();
}

void KernelNextHops::drop_user(const NeighbourKey& key, const IpAddress& destination) {
  const auto users = users_.find(key);
  users->second.erase(destination);
  if (!users->second.empty()) return;
  users_.erase(users);
  unused_.push_back(key);
}

void KernelNextHops::refresh_users(const NeighbourKey& key) {
  const auto users = users_.find(key);
  if (users == users_.end()) return;
  const Neighbours::View view = neighbours_.view(key);
  for (const IpAddress& destination : users->second) {
    ResolvedHop& hop = hops_.at(destination);
    if (hop.state == view.state && hop.mac == view.mac) continue;
    hop.state = view.state;
    hop.mac = view.mac;
    changed();
  }
}

// ---- time

void KernelNextHops::schedule() {
  auto next = recheck_at_;
  if (resync_at_) next = std::min(next, *resync_at_);
  if (!stale_routes_.empty()) next = std::min(next, routes_at_);
  if (const auto ask = neighbours_.next()) next = std::min(next, *ask);
  loop_.cancel(work_timer_);
  work_timer_ = loop_.at(next, [this] { work(); });
}

void KernelNextHops::changed() {
  if (notify_timer_ != 0) return;
  notify_timer_ = loop_.at(std::max(Clock::now(), last_notified_ + kFold), [this] {
    notify_timer_ = 0;
    last_notified_ = Clock::now();
    on_change_();
  });
}

}  // namespace

std::string_view to_string(ResolvedHop::State state) {
  switch (state) {
    case State::no_route:
      return "no_route";
    case State::resolving:
      return "resolving";
    case State::failed:
      return "failed";
    case State::reachable:
      return "reachable";
  }
  return "unknown";
}

tl::expected<std::unique_ptr<NextHops>, std::string> NextHops::create(EventLoop& loop,
                                                                      std::function<void()> on_change) {
  auto events =
      Netlink::open({RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_IFADDR,
                     RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP});
  if (!events) return tl::unexpected(std::move(events.error()));
  auto requests = Netlink::open({});
  if (!requests) return tl::unexpected(std::move(requests.error()));
  auto hops =
      std::make_unique<KernelNextHops>(loop, std::move(on_change), std::move(*events), std::move(*requests));
  if (auto started = hops->start(); !started) return tl::unexpected(std::move(started.error()));
  return hops;
}

}  // namespace xebec
