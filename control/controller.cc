// SPDX-License-Identifier: BSD-2-Clause
#include "control/controller.h"

#include <poll.h>

#include <algorithm>
#include <random>
#include <set>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/config_dns.h"
#include "control/config_quic.h"
#include "control/doctor_host.h"
#include "control/netdev.h"
#include "control/stacked_links.h"
#include "dataplane/clock.h"
#include "dataplane/limits.h"
#include "dataplane/rss.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;

/// The sockets were bound when the MTU was smaller.
std::string too_long(const std::string& interface, uint32_t mtu) {
  return fmt::format(
      "interface {}: received packets longer than {} bytes are lost until a restart, the MTU is {} now",
      interface, kMaxFrameLength, mtu);
}

// Workers pass a quiescent point every round, so a retired table is free microseconds later and the first look
// finds it so. A worker stuck in the kernel delays memory, nothing else.
constexpr auto kReclaimDelay = 50ms;
constexpr auto kReviewDelay = 1s;
// A queue that nobody serves is an alarm within two seconds; so often that a look that comes late is no matter.
constexpr auto kCareInterval = 500ms;

ChangeError error(ChangeError::Kind kind, std::string message, std::string hint = {}) {
  return {kind, std::move(message), std::move(hint), {}};
}

ChangeError invalid(Diagnostics diagnostics) {
  std::string first = diagnostics.empty() ? "invalid" : diagnostics.front().message;
  if (!diagnostics.empty()) {
    const std::string& pointer = diagnostics.front().pointer;
    const std::string field = pointer.substr(pointer.rfind('/') + 1);  // of none: npos + 1 is 0
    if (!field.empty()) first = field + ": " + first;
  }
  if (diagnostics.size() > 1) first += fmt::format(" (and {} more)", diagnostics.size() - 1);
  return {ChangeError::Kind::invalid, "configuration rejected: " + first, {}, std::move(diagnostics)};
}

auto find_backend(ServiceConfig& service, const IpAddress& address) {
  return std::find_if(service.backends.begin(), service.backends.end(),
                      [&](const BackendConfig& b) { return b.address == address; });
}

ChangeError no_service(const Config& config, const std::string& name) {
  std::string known;
  for (const ServiceConfig& s : config.services) known += (known.empty() ? "" : ", ") + s.name;
  return error(ChangeError::Kind::not_found, fmt::format("service {}: there is none of this name", name),
               known.empty() ? "no service is configured" : "configured: " + known);
}

ChangeError no_backend(const std::string& service, const IpAddress& address) {
  return error(ChangeError::Kind::not_found,
               fmt::format("backend {}: service {} has none", address.to_string(), service));
}

/// What cannot change while running, by its first path element; empty if everything can.
std::string fixed_part(const std::vector<ConfigChange>& changes) {
  for (const ConfigChange& c : changes) {
    for (const std::string_view part :
         {"interfaces", "hash_seed", "flow_table", "instance", "control", "fallback_verdict", "hugepages",
          "nat/ports", "nat/capacity", "nat/timeouts"}) {
      if (std::string_view(c.path).starts_with(part)) return c.path;
    }
  }
  return {};
}

}  // namespace

Controller::Controller(EventLoop& loop, Options options)
    : loop_(loop),
      config_(std::move(options.config)),
      config_file_(std::move(options.config_file)),
      instance_given_(options.instance_given),
      history_(config_, "start", std::chrono::system_clock::now()),
      run_id_(std::random_device()()),
      builder_(options.hash_seed),
      doctor_(loop),
      started_at_(std::chrono::steady_clock::now()) {}

tl::expected<std::unique_ptr<Controller>, StartError> Controller::start(EventLoop& loop, Options options,
                                                                        Preflight& preflight) {
  std::unique_ptr<Controller> self(new Controller(loop, std::move(options)));
  auto hops = NextHops::create(loop, [c = self.get()] { c->on_network_change(); });
  if (!hops) return tl::unexpected(StartError{1, "netlink: " + hops.error(), {}});
  self->hops_ = std::move(*hops);
  auto addresses = HostAddresses::follow(loop, [c = self.get()] { c->on_network_change(); });
  if (!addresses) return tl::unexpected(StartError{1, "netlink: " + addresses.error(), {}});
  self->addresses_ = std::move(*addresses);
  auto engine = Engine::start(self->config_, preflight);
  if (!engine) return tl::unexpected(engine.error());
  self->engine_ = std::move(*engine);
  self->captures_ =
      std::make_unique<Captures>(loop, *self->engine_, [c = self.get()] { c->schedule_reclaim(); });
  self->follow_xdp_features();
  self->follow_channels();
  self->look_after_queues();
  self->curl_ = std::make_unique<CurlLoop>(loop);
  self->vip_prober_ = std::make_unique<VipProber>(
      loop, [c = self.get()](const HealthCheck& check) { return c->way_to_vip(check); });
  self->health_ = std::make_unique<HealthMonitor>(
      loop, make_probe_starter(loop, *self->curl_, self->vip_prober_.get()),
      [c = self.get()] { c->on_health_change(); }, std::random_device()());
  self->health_->on_transition(
      [c = self.get()](const HealthEntry& entry, const HealthTransition& t) { c->note_health(entry, t); });
  self->health_->on_good([c = self.get()](const HealthCheck::Key& key, std::chrono::nanoseconds took) {
    if (c->response_timer_ != 0) c->response_times_.observe(key, took);  // somebody wants it
  });
  self->follow_destinations();
  self->follow_drains(nullptr);
  if (auto r = self->rebuild(); !r) return tl::unexpected(StartError{1, r.error(), {}});
  for (const Finding& f : self->port_findings()) {
    if (f.level != Finding::Level::ok) preflight.warn(f.text, f.mend);  // never a reason not to start
  }
  self->follow_checks();
  self->look_at_openings();  // from now on they count
  self->discovery_ = std::make_unique<Discovery>(
      loop, make_dns_ask(loop),
      [c = self.get()](const std::string& service, const std::vector<DiscoveredBackend>& found) {
        return c->take_discovered(service, found);
      });
  self->discovery_->follow(self->config_);
  return self;
}

Controller::~Controller() {
  if (reclaim_timer_ != 0) loop_.cancel(reclaim_timer_);
  if (feature_watch_ != 0) loop_.unwatch(feature_watch_);
  if (review_timer_ != 0) loop_.cancel(review_timer_);
  if (channel_watch_ != 0) loop_.unwatch(channel_watch_);
  if (care_timer_ != 0) loop_.cancel(care_timer_);
  if (confirm_timer_ != 0) loop_.cancel(confirm_timer_);
  if (drain_timer_ != 0) loop_.cancel(drain_timer_);
  if (share_timer_ != 0) loop_.cancel(share_timer_);
  if (slow_start_timer_ != 0) loop_.cancel(slow_start_timer_);
  if (response_timer_ != 0) loop_.cancel(response_timer_);
}

NetworkView Controller::network() const {
  NetworkView view;
  for (const ServedInterface& i : engine_->interfaces()) {
    const auto link = hops_->link(i.ifindex);
    ServedLink served{i.ifindex, i.config.name, {}, 0};
    if (link) {
      served.mac = link->mac;
      served.mtu = link->mtu;
    }
    view.links.push_back(std::move(served));
  }
  StackedLinks stacked = stacked_links(hops_->links(), view.links);
  view.vlans = std::move(stacked.vlans);
  view.bonds = std::move(stacked.bonds);
  view.own = addresses_->all();
  view.find_hop = [this](const IpAddress& address) { return hops_->find(address); };
  return view;
}

HealthView Controller::health_view(const Config& config, const Leaving& leaving) const {
  HealthView view;
  view.drained = [this](const ServiceConfig& service, const BackendConfig& backend) {
    return drains_.is_drained({service.name, backend.address});
  };
  view.removed = [&leaving](const ServiceConfig& service, const BackendConfig& backend) {
    return leaving.contains({service.name, backend.address});
  };
  view.weight_permille = [this, now_ms = monotonic_ns() / 1'000'000](const ServiceConfig& service,
                                                                     const BackendConfig& backend) {
    const uint64_t started = slow_start_.permille(service, backend.address, now_ms);
    const uint64_t both =
        started * response_times_.permille(service, backend.address) / ResponseTimes::kWhole;
    return static_cast<uint32_t>(std::max<uint64_t>(both, 1));
  };
  // Of the configuration in force, which may be newer than what the monitor follows: a check that is gone says
  // nothing any more, one that is new has its initial state.
  view.why_down = [this, &config](const ServiceConfig& service, const BackendConfig& backend) -> std::string {
    const HealthCheck check = check_of(config, service, backend);
    if (!check.settings.is_watched()) return {};
    const HealthEntry* entry = health_->find(check.key());
    const Health health = entry == nullptr ? check.settings.initial : entry->state.health();
    if (health != Health::down) return {};
    if (entry == nullptr || entry->history.empty()) return "down: no check has been good yet";
    return "down: " + entry->history.back().reason;
  };
  return view;
}

/// What the workers have seen of clients' connections, to the monitor.
void Controller::look_at_openings() {
  if (health_ == nullptr) return;  // still starting
  const std::vector<HealthCheck::Key> watched = health_->passive();
  std::erase_if(openings_, [&](const auto& seen) {
    return std::find(watched.begin(), watched.end(), seen.first) == watched.end();
  });
  for (const HealthCheck::Key& key : watched) {
    const auto status = builder_.status().find(key);
    if (status == builder_.status().end()) continue;
    const Openings now = engine_->openings(status->second.id);
    // What was seen before it was watched, or under an id that it has no more, says nothing.
    const auto [seen, fresh] = openings_.try_emplace(key, SeenOpenings{status->second.id, now});
    if (!fresh && seen->second.id == status->second.id) health_->observe(key, now - seen->second.openings);
    seen->second = {status->second.id, now};
  }
}

void Controller::on_health_change() {
  if (auto r = rebuild(); !r) spdlog::error("table not updated after a change of health: {}", r.error());
}

tl::expected<uint64_t, ChangeError> Controller::check_backend(const std::string& name,
                                                              const IpAddress& address) {
  ServiceConfig* service = find_service(config_, name);
  if (service == nullptr) return tl::unexpected(no_service(config_, name));
  for (const auto* list : {&service->backends, &service->fallback}) {
    for (const BackendConfig& backend : *list) {
      if (backend.address != address) continue;
      const HealthCheck check = check_of(config_, *service, backend);
      if (check.settings.type != HealthType::none) return health_->check_once(check);
      return tl::unexpected(
          error(ChangeError::Kind::conflict,
                fmt::format("backend {}: service {} does not check it", address.to_string(), name),
                "\"health\": {\"type\": \"tcp\"} in the configuration makes it"));
    }
  }
  return tl::unexpected(no_backend(name, address));
}

tl::expected<void, std::string> Controller::rebuild() {
  const auto before = builder_.status();
  const NetworkView view = network();
  if (auto r = engine_->set_macs(view.links); !r) return r;
  for (std::size_t i = 0; i < view.links.size(); ++i) {
    const ServedLink& link = view.links[i];
    const bool news = i >= seen_.links.size() || seen_.links[i].mtu != link.mtu;
    if (news && link.mtu > kMaxSingleFrameMtu && !engine_->interfaces()[i].multi_frame)
      spdlog::warn(too_long(link.name, link.mtu));
  }
  seen_ = {hops_->all(), view.links, view.vlans, view.bonds, view.own};
  auto table = builder_.build(served(), view, monotonic_ns(), health_view(served(), leaving_));
  if (!table) return tl::unexpected(table.error());
  const ReplyRules replies = reply_rules_of(**table, config_.nat.table, view.own);
  auto published = engine_->publish(std::move(*table), replies);
  for (const auto& [key, status] : builder_.status()) {
    auto& baseline = baselines_[status.id];
    if (baseline.first != key) baseline = {key, raw_totals(status.id)};  // a rested id begins at zero again
    const auto old = before.find(key);
    const bool was = old != before.end() && old->second.usable;
    if (status.usable == was && (status.usable || (old != before.end() && old->second.why == status.why)))
      continue;
    if (status.down || (old != before.end() && old->second.down)) continue;  // the monitor has said it
    if (status.usable) {
      spdlog::info("backend {} of {}: usable", key.second.to_string(), key.first);
    } else {
      spdlog::warn("backend {} of {}: not usable: {}", key.second.to_string(), key.first, status.why);
    }
  }
  note_table(before);
  schedule_reclaim();
  share_flow_counts();
  follow_slow_start();
  follow_response_times();
  return published;
}

void Controller::follow_xdp_features() {
  auto events = XdpFeatureEvents::open();
  if (!events) return;  // an old kernel: what was chosen at start stays
  feature_events_ = std::move(*events);
  feature_watch_ = loop_.watch(feature_events_->fd(), POLLIN, [this](short) {
    feature_events_->drain();
    review_transmit();
  });
  review_transmit();  // what changed between the choice and the watch
}

void Controller::review_transmit() {
  if (engine_->review_transmit() || review_timer_ != 0) return;
  // Nothing would tell when the kernel answers again (descriptors or memory were short).
  review_timer_ = loop_.after(kReviewDelay, [this] {
    review_timer_ = 0;
    review_transmit();
  });
}

void Controller::follow_channels() {
  auto events = ChannelEvents::open();
  if (!events) return;  // an old kernel: looking every half second has to do
  channel_events_ = std::move(*events);
  channel_watch_ = loop_.watch(channel_events_->fd(), POLLIN, [this](short) {
    if (channel_events_->drain()) look_after_queues();
  });
}

void Controller::look_after_queues() {
  if (care_timer_ != 0) loop_.cancel(care_timer_);
  if (engine_->look_after(monotonic_ns() / 1'000'000, *hops_)) on_network_change();
  look_at_balance();
  look_at_openings();
  problem_watch_.look(problems(), event_log_);
  care_timer_ = loop_.after(kCareInterval, [this] {
    care_timer_ = 0;
    look_after_queues();
  });
}

void Controller::look_at_balance() {
  std::vector<uint64_t> received;
  for (const auto& worker : engine_->workers()) received.push_back(worker->state().counters.received.read());
  if (!balance_.observe(monotonic_ns() / 1'000'000, received)) return;
  if (balance_.warning().empty()) {
    spdlog::info("the packets are spread over the workers again");
  } else {
    spdlog::warn("{}", balance_.warning());
  }
}

std::vector<std::string> Controller::warnings() const {
  std::vector<std::string> warnings;
  if (!balance_.warning().empty()) warnings.push_back(balance_.warning());
  for (const ServedInterface& i : engine_->interfaces()) {
    if (!i.hardware.receive_hashing) continue;
    const std::string skew = hashing_warning(i.config.name, queue_shares(*i.hardware.receive_hashing));
    if (!skew.empty()) warnings.push_back(skew);
  }
  for (const Finding& f : port_findings()) {
    if (f.level != Finding::Level::ok) warnings.push_back(fmt::format("{} (mend: {})", f.text, f.mend));
  }
  return warnings;
}

std::vector<Finding> Controller::port_findings() const {
  HostFacts facts = read_host_facts();
  facts.chosen.emplace();
  for (const auto& [backend, hop] : hops_->all()) {
    if (hop.preferred_source) facts.chosen->insert(*hop.preferred_source);
  }
  return examine_ports(config_, facts);
}

void Controller::follow_destinations() {
  std::vector<IpAddress> destinations;
  for (const ServiceConfig& s : served().services) {
    for (const BackendConfig& b : s.backends) destinations.push_back(b.address);
    for (const BackendConfig& b : s.fallback) destinations.push_back(b.address);
  }
  std::sort(destinations.begin(), destinations.end());
  destinations.erase(std::unique(destinations.begin(), destinations.end()), destinations.end());
  hops_->follow(destinations);
}

void Controller::on_network_change() {
  if (engine_ == nullptr) return;  // still starting: start() builds the first table itself
  watch_network();
  const NetworkView view = network();
  if (SeenNetwork{hops_->all(), view.links, view.vlans, view.bonds, view.own} == seen_) return;
  if (auto r = rebuild(); !r) spdlog::error("table not updated after a network change: {}", r.error());
}

void Controller::schedule_reclaim() {
  if (reclaim_timer_ != 0 || engine_->reclaim() == 0) return;
  reclaim_timer_ = loop_.after(kReclaimDelay, [this] {
    reclaim_timer_ = 0;
    schedule_reclaim();
  });
}

ChangeResult Controller::apply(Config wanted, const ChangeTerms& terms) {
  if (auto refused = refusal(terms)) return tl::unexpected(std::move(*refused));
  if (wanted.interfaces.empty()) wanted.interfaces = config_.interfaces;
  if (!wanted.hash_seed)
    wanted.hash_seed = config_.hash_seed;  // GET leaves it out; a PUT of the same must not stumble
  fill_hidden_keys(wanted, config_);
  if (instance_given_) wanted.instance = config_.instance;
  carry_discovered(config_, wanted, terms.whole);
  std::set<AdminOrders::Key> standing;
  if (terms.whole) standing = orders_.merge(wanted);
  if (Diagnostics problems = validate(wanted); !problems.empty())
    return tl::unexpected(invalid(std::move(problems)));
  ChangeReport report;
  report.dry_run = terms.dry_run;
  report.diff = diff(config_, wanted);
  report.generation = builder_.generation();
  report.config_generation = history_.generation();
  for (const AdminOrders::Key& key : standing) report.warnings.push_back(orders_.sentence(key));
  if (const std::string path = fixed_part(report.diff); !path.empty()) {
    return tl::unexpected(error(ChangeError::Kind::conflict, path + ": cannot change while the daemon runs",
                                "restart xebecd with the new configuration"));
  }
  report.changed = !report.diff.empty();
  Leaving leaving = leaving_.next(config_, wanted);
  if (terms.at_once) {
    for (const Leaving::Key& key : leaving.keys()) {
      if (!leaving_.contains(key)) leaving.erase(key);
    }
  }
  if (report.changed) {
    for (std::string& sentence : ends_of_services(wanted)) report.warnings.push_back(std::move(sentence));
  }
  if (report.changed && terms.dry_run) {
    auto impact = find_impact(wanted, leaving);
    if (!impact) return tl::unexpected(error(ChangeError::Kind::failed, "dry run: " + impact.error()));
    report.impact = std::move(*impact);
  }
  if (terms.dry_run) return report;
  if (!report.changed) {
    if (terms.whole) orders_.settle(config_, &standing);
    return report;
  }

  Config before = config_;
  const Leaving left_before = leaving_;
  const Drains drains_before = drains_;
  put_in_force(std::move(wanted), std::move(leaving));
  for (const Leaving::Key& key : left_before.keys()) {
    if (!leaving_.contains(key)) drains_.forget(key);  // one that is back begins anew
  }
  follow_destinations();
  if (auto r = rebuild(); !r) {
    put_in_force(std::move(before), left_before);
    drains_ = drains_before;
    follow_destinations();
    (void)rebuild();
    return tl::unexpected(error(ChangeError::Kind::failed, "change not applied: " + r.error()));
  }
  follow_checks();
  look_at_openings();
  discovery_->follow(config_);
  std::erase_if(refused_answers_, [this](const auto& entry) {
    const ServiceConfig* service = find_service(config_, entry.first);
    return service == nullptr || !service->backends_from;
  });
  report.generation = builder_.generation();
  commit_to_history(terms, report);
  follow_drains(terms.whole ? &standing : nullptr);
  for (std::string& sentence : begin_leaving(before, left_before, terms.by))
    report.warnings.push_back(std::move(sentence));
  note_change(terms.by, report);
  for (const auto& [key, status] : builder_.status()) {
    if (!status.usable && !status.removed) {
      report.warnings.push_back(
          fmt::format("{}: backend {} takes no packets: {}", key.first, key.second.to_string(), status.why));
    }
  }
  return report;
}

ChangeResult Controller::reload(const ChangeTerms& terms) {
  if (!config_file_.known()) {
    return tl::unexpected(
        error(ChangeError::Kind::conflict, "reload: the daemon was started without a file"));
  }
  const auto text = config_file_.read();
  if (!text) return tl::unexpected(error(ChangeError::Kind::invalid, "reload: " + text.error().message));
  auto wanted = read_config(*text, config_file_.path());
  if (!wanted) return tl::unexpected(invalid(std::move(wanted.error())));
  ChangeTerms whole = terms;
  whole.whole = true;
  ChangeResult result = apply(*wanted, whole);
  if (result && !terms.dry_run) config_file_.took(*text);
  return result;
}

ChangeResult Controller::add_service(const nlohmann::json& json, const ChangeTerms& terms) {
  auto service = read_service(json, config_);
  if (!service) return tl::unexpected(invalid(std::move(service.error())));
  Config wanted = config_;
  if (find_service(wanted, service->name) != nullptr) {
    return tl::unexpected(
        error(ChangeError::Kind::conflict, fmt::format("service {}: exists already", service->name)));
  }
  wanted.services.push_back(std::move(*service));
  return apply(wanted, terms);
}

ChangeResult Controller::set_service(const std::string& name, const nlohmann::json& fields,
                                     const ChangeTerms& terms) {
  Config wanted = config_;
  ServiceConfig* service = find_service(wanted, name);
  if (service == nullptr) return tl::unexpected(no_service(config_, name));
  if (!fields.is_object() || fields.contains("name")) {
    return tl::unexpected(
        error(ChangeError::Kind::invalid, "service: an object of the fields to change, without name"));
  }
  auto changed = read_service(merged_service(*service, fields), wanted);
  if (!changed) return tl::unexpected(invalid(std::move(changed.error())));
  *service = std::move(*changed);
  return apply(wanted, terms);
}

ChangeResult Controller::remove_service(const std::string& name, const ChangeTerms& terms) {
  Config wanted = config_;
  if (find_service(wanted, name) == nullptr) return tl::unexpected(no_service(config_, name));
  std::erase_if(wanted.services, [&](const ServiceConfig& s) { return s.name == name; });
  return apply(wanted, terms);
}

ChangeResult Controller::add_backend(const std::string& name, const nlohmann::json& json,
                                     const ChangeTerms& terms) {
  Config wanted = config_;
  ServiceConfig* service = find_service(wanted, name);
  if (service == nullptr) return tl::unexpected(no_service(config_, name));
  auto backend = read_backend(json, *service);
  if (!backend) return tl::unexpected(invalid(std::move(backend.error())));
  if (find_backend(*service, backend->address) != service->backends.end()) {
    return tl::unexpected(
        error(ChangeError::Kind::conflict,
              fmt::format("backend {}: service {} has it already", backend->address.to_string(), name),
              "xebec backend set changes it"));
  }
  service->backends.push_back(std::move(*backend));
  return apply(wanted, terms);
}

ChangeResult Controller::set_backend(const std::string& name, const IpAddress& address,
                                     const nlohmann::json& fields, const ChangeTerms& terms) {
  Config wanted = config_;
  ServiceConfig* service = find_service(wanted, name);
  if (service == nullptr) return tl::unexpected(no_service(config_, name));
  const auto it = find_backend(*service, address);
  if (it == service->backends.end()) {
    return tl::unexpected(no_backend(name, address));
  }
  if (!fields.is_object() || fields.contains("address")) {
    return tl::unexpected(
        error(ChangeError::Kind::invalid, "backend: an object of the fields to change, without address"));
  }
  nlohmann::json merged = nlohmann::json::parse(write_backend(*it).dump());
  merged.update(fields);
  auto backend = read_backend(merged, *service);
  if (!backend) return tl::unexpected(invalid(std::move(backend.error())));
  const Admin before = it->admin;
  const Admin now = backend->admin;
  *it = std::move(*backend);
  ChangeResult result = apply(wanted, terms);
  if (result && before != now) orders_.set({name, address}, before, now);
  return result;
}

ChangeResult Controller::remove_backend(const std::string& name, const IpAddress& address,
                                        const ChangeTerms& terms) {
  Config wanted = config_;
  ServiceConfig* service = find_service(wanted, name);
  if (service == nullptr) return tl::unexpected(no_service(config_, name));
  ChangeTerms at_once = terms;
  at_once.at_once = true;
  const auto it = find_backend(*service, address);
  if (it != service->backends.end()) {
    service->backends.erase(it);
    return apply(wanted, at_once);
  }
  if (!leaving_.contains({name, address})) return tl::unexpected(no_backend(name, address));
  if (auto refused = refusal(terms)) return tl::unexpected(std::move(*refused));
  return let_go({name, address});
}

BackendTotals Controller::raw_totals(uint32_t id) const {
  BackendTotals t;
  for (const auto& worker : engine_->workers()) {
    const BackendCounters& c = worker->state().counters.backends[id];
    t.packets += c.packets.read();
    t.bytes += c.bytes.read();
    t.new_flows += c.new_flows.read();
  }
  return t;
}

BackendTotals Controller::totals(uint32_t id) const {
  BackendTotals t = raw_totals(id);
  if (const auto it = baselines_.find(id); it != baselines_.end()) {
    const BackendTotals& base = it->second.second;
    t.packets -= base.packets;
    t.bytes -= base.bytes;
    t.new_flows -= base.new_flows;
  }
  return t;
}

std::vector<std::string> Controller::problems() const {
  std::vector<std::string> problems;
  for (std::size_t index = 0; index < engine_->interfaces().size(); ++index) {
    const ServedInterface& i = engine_->interfaces()[index];
    const auto link = hops_->link(i.ifindex);
    if (!link) {
      // What is there again under its name has a sentence of its own.
      if (engine_->why_not_attached_again(index).empty())
        problems.push_back(fmt::format("interface {}: gone", i.config.name));
    } else if (!link->up || !link->carrier) {
      problems.push_back(fmt::format("interface {}: {}", i.config.name, link->up ? "no carrier" : "down"));
    } else if (link->mtu > kMaxSingleFrameMtu && !i.multi_frame) {
      problems.push_back(too_long(i.config.name, link->mtu));
    }
  }
  for (std::string& problem : engine_->problems()) problems.push_back(std::move(problem));
  if (discovery_ != nullptr) {
    for (std::string& problem : discovery_->complaints()) problems.push_back(std::move(problem));
  }
  for (const auto& [service, why] : refused_answers_)
    problems.push_back(fmt::format(
        "service {}: an answer of DNS is refused, and the backends that it has stay: {}", service, why));
  for (const auto& [key, status] : builder_.status()) {
    if (!status.usable && !status.by_intent) {
      problems.push_back(fmt::format("backend {} of {}: {}", key.second.to_string(), key.first, status.why));
    }
  }
  std::set<std::string_view> open;  // not told yet; with weights of 0 alone it is of no use, and told below
  for (const Service& s : engine_->table().services()) {
    if (!s.lookup->empty()) open.insert(s.name);
  }
  for (const auto& [key, status] : builder_.status()) {
    if (status.stands_in) {
      problems.push_back(fmt::format("service {}: no backend is up, its fallback {} takes new connections",
                                     key.first, key.second.to_string()));
    }
    if (status.open && open.erase(key.first) != 0)
      problems.push_back(
          fmt::format("service {}: no backend is up, all are used as if they were (fail open)", key.first));
  }
  for (const Service& s : engine_->table().services()) {
    if (!s.lookup->empty()) continue;
    constexpr const char* kFates[] = {"its packets are dropped", "senders are told so (fail reset)",
                                      "its packets are left to this host (fail pass)"};
    problems.push_back(fmt::format("service {}: no usable backend, {}", s.name,
                                   kFates[static_cast<std::size_t>(s.no_backend)]));
  }
  return problems;
}

}  // namespace xebec
