// SPDX-License-Identifier: BSD-2-Clause
#include "control/report.h"

#include <unistd.h>

#include <cmath>

#include <fmt/format.h>

#include "control/report_drain.h"
#include "control/report_hardware.h"
#include "control/report_health.h"
#include "control/report_latency.h"
#include "dataplane/flow_key.h"
#include "dataplane/rss.h"

namespace xebec {
namespace {

constexpr uint32_t kToeplitz = 1;  // ETH_RSS_HASH_TOP of linux/ethtool.h

const Service* in_table(const Controller& controller, const std::string& name) {
  for (const Service& s : controller.engine().table().services()) {
    if (s.name == name) return &s;
  }
  return nullptr;
}

std::string address_or_empty(const std::optional<IpAddress>& address) {
  return address ? address->to_string() : "";
}

struct Sums {
  uint64_t received = 0, received_bytes = 0, forwarded = 0, passed = 0, replied = 0, dropped = 0,
           completed = 0, transmit_errors = 0, held = 0, resets = 0, mss_clamped = 0, cut = 0;
  std::array<uint64_t, kIcmpErrorKinds> icmp_errors{};
  std::array<uint64_t, kDropReasonCount> drops{};

  void add(const Worker& worker) {
    const WorkerCounters& c = worker.state().counters;
    // Results before what they are results of, so that a snapshot taken while packets move never shows more
    // results than packets.
    for (std::size_t i = 0; i < kDropReasonCount; ++i) {
      const uint64_t n = c.drops[i].read();
      drops[i] += n;
      dropped += n;
    }
    forwarded += c.forwarded.read();
    passed += c.passed.read();
    replied += c.replied.read();
    held += c.held.read();
    completed += c.checksums_completed.read();
    resets += c.resets.read();
    mss_clamped += c.mss_clamped.read();
    cut += c.cut.read();
    for (std::size_t i = 0; i < kIcmpErrorKinds; ++i) icmp_errors[i] += c.icmp_errors[i].read();
    received_bytes += c.received_bytes.read();
    received += c.received.read();
    for (const WorkerPort& p : worker.ports()) transmit_errors += p.port->transmit().totals().errors;
  }

  Json json() const {
    Json reasons = Json::object();
    for (std::size_t i = 0; i < kDropReasonCount; ++i) {
      if (drops[i] != 0) reasons[std::string(kDropReasons[i].name)] = drops[i];
    }
    Json errors = Json::object();
    for (std::size_t i = 0; i < kIcmpErrorKinds; ++i)
      errors[std::string(name_of(static_cast<IcmpErrorKind>(i)))] = icmp_errors[i];
    return {{"received", received},
            {"received_bytes", received_bytes},
            {"forwarded", forwarded},
            {"passed", passed},
            {"replied", replied},
            {"dropped", dropped},
            {"drops", reasons},
            {"held", held},
            {"icmp_errors", errors},
            {"resets", resets},
            {"mss_clamped", mss_clamped},
            {"cut", cut},
            {"checksums_completed", completed},
            {"transmit_errors", transmit_errors}};
  }
};

Json frames_of(const Worker& worker) {
  const LoopCounters& l = worker.loop();
  const uint64_t total = worker.umem() != nullptr ? worker.umem()->count() : 0;
  const uint64_t free = l.frames_free.read(), receive = l.frames_receive.read(),
                 transmit = l.frames_transmit.read(), in_hand = l.frames_in_hand.read();
  return {{"total", total},
          {"free", free},
          {"receive", receive},
          {"transmit", transmit},
          {"in_hand", in_hand},
          {"lost", static_cast<int64_t>(total) - static_cast<int64_t>(free + receive + transmit + in_hand)}};
}

std::string_view name_of(Idle idle) {
  constexpr std::string_view kNames[] = {"busy", "adaptive", "interrupt"};
  return kNames[static_cast<std::size_t>(idle)];
}

Json queue_row(const Engine& engine, const Worker& worker, const XskPort& port) {
  const QueueHealth& health = engine.health(port.options().interface_index, port.options().queue);
  QueueTotals totals = health.closed;
  totals += port;
  return {{"queue", port.options().queue},
          {"worker", worker.options().id},
          {"bind", port.zerocopy() ? "zerocopy" : "copy"},
          {"transmit", port.transmit().name()},
          {"transmitted", totals.sent.frames},
          {"injected", totals.sent.injected},
          {"transmit_calls", totals.sent.kicks},
          {"poll", name_of(worker.idle())},
          {"poll_why", engine.why_not_busy(worker.options().id)},
          {"napi_id", port.napi_id()},
          {"rx_dropped", totals.lost.rx_dropped},
          {"rx_ring_full", totals.lost.rx_ring_full},
          {"fill_ring_empty", totals.lost.fill_ring_empty},
          {"tx_invalid", totals.lost.tx_invalid},
          {"self_test", to_string(health.self_test.result)},
          {"self_test_why", health.self_test.why},
          {"transmit_stuck", health.transmit.stuck()},
          {"transmit_stalls", health.transmit.times_stuck()}};
}

/// null: nothing goes by it, or no check was good yet.
Json response_ms(const Controller& controller, const ServiceConfig& service, const BackendConfig& backend) {
  if (service.weights != WeightSource::response_time) return nullptr;
  const auto average = controller.response_times().average_ms({service.name, backend.address});
  if (!average) return nullptr;
  return std::round(*average * 1000) / 1000;
}

/// 0 of one that gets no new flows.
Json effective_weight(const BackendConfig& backend, const BackendStatus& status) {
  if (!status.taking) return 0;
  if (status.weight_permille == SlowStart::kWhole) return backend.weight;
  return backend.weight * status.weight_permille / 1000.0;
}

Json nat_ports_of(const Engine& engine, std::size_t interface) {
  const ReplyHoming& homing = engine.reply_homing(interface);
  const ReplyHoming::Counts counts = engine.reply_arrivals(interface);
  Json chosen, home, away;
  for (std::size_t c = 0; c < kHashClasses; ++c) {
    const std::string name(kHashClassNames[c]);
    chosen[name] = name_of(homing.state(static_cast<HashClass>(c)));
    home[name] = counts[c].home;
    away[name] = counts[c].away;
  }
  return {{"summary", summary_of(homing)}, {"chosen", chosen}, {"home", home}, {"away", away}};
}

}  // namespace

Json report_packets(const Controller& controller) {
  Sums sums;
  for (const auto& worker : controller.engine().workers()) sums.add(*worker);
  return sums.json();
}

Json report_service(const Controller& controller, const ServiceConfig& service) {
  std::size_t usable = 0;
  std::size_t down = 0;
  BackendTotals totals;
  FlowCount flows;
  for (const BackendConfig& b : service.backends) {
    const auto it = controller.builder().status().find({service.name, b.address});
    if (it == controller.builder().status().end()) continue;
    if (it->second.usable) ++usable;
    if (it->second.down) ++down;
    const BackendTotals t = controller.totals(it->second.id);
    totals.packets += t.packets;
    totals.bytes += t.bytes;
    totals.new_flows += t.new_flows;
    const FlowCount now = controller.engine().flows(it->second.id);
    flows.flows += now.flows;
    flows.open += now.open;
  }
  for (const BackendConfig& b : controller.leaving().of(service.name)) {
    const auto it = controller.builder().status().find({service.name, b.address});
    if (it == controller.builder().status().end()) continue;
    const FlowCount now = controller.engine().flows(it->second.id);
    flows.flows += now.flows;
    flows.open += now.open;
  }
  const Service* s = in_table(controller, service.name);
  return {{"name", service.name},
          {"vip", service.match().vip.to_string()},
          {"port", service.match().is_range() ? Json(port_text(service.match())) : Json(service.port)},
          {"protocol", protocol_name(service.protocol)},
          {"mode", to_string(service.mode)},
          {"table_size", service.table_size},
          {"stateless", service.stateless},
          {"hash", to_string(service.hash)},
          {"algorithm", to_string(service.algorithm)},
          {"weights", to_string(service.weights)},
          {"backends", {{"total", service.backends.size()}, {"usable", usable}, {"down", down}}},
          {"fail", to_string(service.fail)},
          {"on_down", to_string(service.on_down)},
          {"digest", fmt::format("{:016x}", s != nullptr ? s->lookup->digest() : 0)},
          {"packets", totals.packets},
          {"bytes", totals.bytes},
          {"new_flows", totals.new_flows},
          {"flows", flows.flows},
          {"open_flows", flows.open}};
}

Json report_services(const Controller& controller) {
  Json rows = Json::array();
  for (const ServiceConfig& s : controller.config().services) rows.push_back(report_service(controller, s));
  return rows;
}

Json report_backends(const Controller& controller, const ServiceConfig& service) {
  Json rows = Json::array();
  std::vector<BackendConfig> all = service.backends;
  all.insert(all.end(), service.fallback.begin(), service.fallback.end());
  for (BackendConfig& leaving : controller.leaving().of(service.name)) all.push_back(std::move(leaving));
  for (const BackendConfig& b : all) {
    const auto it = controller.builder().status().find({service.name, b.address});
    const BackendStatus status = it != controller.builder().status().end() ? it->second : BackendStatus{};
    Json hop = {{"state", "unknown"}, {"mac", ""}, {"interface", ""}, {"gateway", ""}};
    if (const ResolvedHop* h = controller.next_hops().find(b.address)) {
      const auto link = controller.next_hops().link(h->ifindex);
      hop = {{"state", to_string(h->state)},
             {"mac", h->state == ResolvedHop::State::reachable ? to_string(h->mac) : ""},
             {"interface", link ? link->name : ""},
             {"gateway", address_or_empty(h->gateway)}};
    }
    if (b.mac) {
      hop["state"] = "static";
      hop["mac"] = to_string(*b.mac);
    }
    const BackendTotals t = controller.totals(status.id);
    const FlowCount flows = controller.engine().flows(status.id);
    rows.push_back({{"service", service.name},
                    {"address", b.address.to_string()},
                    {"weight", b.weight},
                    {"effective_weight", effective_weight(b, status)},
                    {"admin", to_string(b.admin)},
                    {"mode", to_string(b.mode.value_or(service.mode))},
                    {"usable", status.usable},
                    {"why", status.why},
                    {"health", report_health_of(controller, service, b)},
                    {"drain", report_drain(controller, service.name, b.address)},
                    {"fallback", status.fallback},
                    {"removed", status.removed},
                    {"discovered", b.discovered},
                    {"share", status.share},
                    {"response_ms", response_ms(controller, service, b)},
                    {"next_hop", hop},
                    {"packets", t.packets},
                    {"bytes", t.bytes},
                    {"new_flows", t.new_flows},
                    {"flows", flows.flows},
                    {"open_flows", flows.open}});
  }
  return rows;
}

Json report_interfaces(const Controller& controller) {
  Json rows = Json::array();
  const auto& interfaces = controller.engine().interfaces();
  for (std::size_t index = 0; index < interfaces.size(); ++index) {
    const ServedInterface& i = interfaces[index];
    Json queues = Json::array();
    for (const auto& worker : controller.engine().workers()) {
      for (const WorkerPort& p : worker->ports()) {
        if (p.port->options().interface_index == index)
          queues.push_back(queue_row(controller.engine(), *worker, *p.port));
      }
    }
    const auto link = controller.next_hops().link(i.ifindex);
    const ShimCounters shim = i.shim->counters();
    rows.push_back({{"name", i.config.name},
                    {"ifindex", i.ifindex},
                    {"driver", i.hardware.driver.driver},
                    {"mac", link ? to_string(link->mac) : ""},
                    {"mtu", link ? link->mtu : 0},
                    {"up", link && link->up},
                    {"carrier", link && link->carrier},
                    {"xdp", i.shim->attached()},
                    {"attached_again", controller.engine().times_attached_again(index)},
                    {"native_refusal", i.shim->native_refusal()},
                    {"transmit_why", i.transmit_why},
                    {"hardware", report_hardware(i.hardware)},
                    {"nat_ports", nat_ports_of(controller.engine(), index)},
                    {"queues", queues},
                    {"shim",
                     {{"steered", shim.steered},
                      {"no_socket", shim.no_socket},
                      {"stale", shim.stale},
                      {"denied", shim.denied},
                      {"passed", shim.passed}}}});
  }
  return rows;
}

Json report_workers(const Controller& controller) {
  Json rows = Json::array();
  for (const auto& worker : controller.engine().workers()) {
    Json ports = Json::array();
    for (const WorkerPort& p : worker->ports()) {
      ports.push_back(fmt::format("{}:{}", p.port->options().interface, p.port->options().queue));
    }
    Sums sums;
    sums.add(*worker);
    const WorkerCounters& c = worker->state().counters;
    Json cpu = nullptr;
    if (worker->pinned()) cpu = worker->options().cpu.value_or(0);
    rows.push_back({{"worker", worker->options().id},
                    {"cpu", cpu},
                    {"ports", ports},
                    {"generation", worker->generation()},
                    {"asleep", worker->reader().asleep()},
                    {"packets", sums.json()},
                    {"flows",
                     {{"used", c.flows_used.read()},
                      {"capacity", worker->state().flows.capacity()},
                      {"hits", c.flow_hits.read()},
                      {"misses", c.flow_misses.read()},
                      {"second_chances", c.second_chances.read()},
                      {"inserts", c.flow_inserts.read()},
                      {"refused", c.flow_refused.read()}}},
                    {"nat",
                     {{"used", c.nat_used.read()},
                      {"created", c.nat_created.read()},
                      {"expired", c.nat_expired.read()},
                      {"reused", c.nat_reused.read()},
                      {"refused", c.nat_refused.read()},
                      {"replies", c.nat_replies.read()},
                      {"replies_home", c.nat_replies_home.read()},
                      {"client_told", c.nat_client_told.read()},
                      {"client_untold", c.nat_client_untold.read()}}},
                    {"quic", {{"routed", c.quic_routed.read()}, {"unrouted", c.quic_unrouted.read()}}},
                    {"frames", frames_of(*worker)},
                    {"latency", report_latency(worker->latency())},
                    {"loop",
                     {{"rounds", worker->loop().rounds.read()},
                      {"empty_rounds", worker->loop().empty_rounds.read()},
                      {"sleeps", worker->loop().sleeps.read()}}}});
  }
  return rows;
}

Json report_status(const Controller& controller) {
  const auto problems = controller.problems();
  std::size_t degraded = 0;
  const TableBuilder::Tally tally = controller.builder().tally();
  for (const ServiceConfig& s : controller.config().services) {
    bool one_serves = false, all_as_meant = true;
    for (const BackendConfig& b : s.backends) {
      const auto it = controller.builder().status().find({s.name, b.address});
      const bool known = it != controller.builder().status().end();
      one_serves |= known && it->second.usable;
      all_as_meant &= known && (it->second.usable || it->second.by_intent);
    }
    if (!one_serves || !all_as_meant) ++degraded;
  }
  Json interfaces = Json::array();
  for (const ServedInterface& i : controller.engine().interfaces()) interfaces.push_back(i.config.name);
  const auto uptime = std::chrono::steady_clock::now() - controller.started_at();
  return {{"schema", "xebec.status/1"},
          {"version", XEBEC_VERSION},
          {"instance", controller.config().instance},
          {"pid", getpid()},
          {"uptime_seconds", std::chrono::duration_cast<std::chrono::seconds>(uptime).count()},
          {"generation", controller.engine().table().generation()},
          {"healthy", problems.empty()},
          {"problems", problems},
          {"warnings", controller.warnings()},
          {"loop", controller.loop().backend()},
          {"interfaces", interfaces},
          {"workers", controller.engine().workers().size()},
          {"services", {{"total", controller.config().services.size()}, {"degraded", degraded}}},
          {"backends", {{"total", tally.backends}, {"usable", tally.usable}, {"down", tally.down}}},
          {"packets", report_packets(controller)}};
}

Json report_which(const Controller& controller, const Service& service, const FlowKey& key) {
  const bool by_hash = is_by_hash(service.algorithm);
  const HashSecret& secret = controller.engine().table().secret();
  const uint64_t hash = lookup_hash(secret, key, service.hash_input, flow_hash(secret, key));
  const uint16_t index = service.lookup->pick(hash);
  Json backend = nullptr;
  Json slot = nullptr;
  if (by_hash && index != MaglevTable::kNone) {
    slot = service.lookup->slot_of(hash) - service.lookup->slots().data();
    backend = controller.engine().table().backends()[service.backend_ids[index]].address.to_string();
  }
  // Of the first interface: those served together are alike.
  Json queue = nullptr;
  if (const auto& rss = controller.engine().interfaces().front().hardware.receive_hashing;
      rss && (rss->functions & kToeplitz) != 0) {
    const RssTuple tuple{key.source, key.destination, key.source_port.host(), key.destination_port.host()};
    if (const auto q = queue_of(tuple, rss->key, rss->indirection)) queue = *q;
  }
  const auto endpoint = [](const IpAddress& a, uint16_t port) {
    return a.is_v4() ? fmt::format("{}:{}", a.to_string(), port)
                     : fmt::format("[{}]:{}", a.to_string(), port);
  };
  return {{"schema", "xebec.which/1"},
          {"service", service.name},
          {"source", endpoint(key.source, key.source_port.host())},
          {"destination", endpoint(key.destination, key.destination_port.host())},
          {"hash", fmt::format("{:016x}", hash)},
          {"slot", slot},
          {"queue", queue},
          {"depends_on",
           by_hash || index == MaglevTable::kNone ? Json(nullptr) : Json(depends_on(service.algorithm))},
          {"backend", backend}};
}

}  // namespace xebec
