// SPDX-License-Identifier: BSD-2-Clause
// Flows: what the workers remember, told in pieces, and forgotten by order.
#include "control/api_routes.h"

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/config_fields.h"
#include "dataplane/clock.h"
#include "dataplane/flow_reader.h"

namespace xebec {
namespace {

// Of one answer: some 200 bytes each.
constexpr uint64_t kMostRows = 10'000;
constexpr uint64_t kRows = 1'000;

// Looked at for one answer: 6 MB of a worker's table, a few milliseconds of the control thread.
constexpr uint32_t kBucketsAtOnce = 1u << 15;

std::string endpoint(const IpAddress& address, Be16 port) {
  return address.is_v4() ? fmt::format("{}:{}", address.to_string(), port.host())
                         : fmt::format("[{}]:{}", address.to_string(), port.host());
}

std::string_view name_of(FlowState state) {
  constexpr std::string_view kNames[kFlowStates] = {"half_open", "established", "closing", "datagram",
                                                    "picked_up"};
  return kNames[static_cast<std::size_t>(state)];
}

/// The query's service=, backend= and src=.
tl::expected<FlowFilter, HttpResponse> filter_of(const Call& call) {
  FlowFilter filter;
  if (const std::string* src = call.asked("src")) {
    filter.source = IpPrefix::parse(*src);
    if (!filter.source)
      return tl::unexpected(failure(400, "usage", fmt::format("src: {} is not an address or prefix", *src)));
    filter.source->network = masked(filter.source->network, filter.source->length);
  }
  const std::string* service = call.asked("service");
  const std::string* backend = call.asked("backend");
  if (service == nullptr && backend == nullptr) return filter;
  if (service != nullptr && call.service(*service) == nullptr) {
    return tl::unexpected(no_service(*service));
  }
  const auto address = backend != nullptr ? IpAddress::parse(*backend) : std::nullopt;
  if (backend != nullptr && !address) return tl::unexpected(not_an_address(*backend));
  filter.backends.emplace();
  for (const auto& [key, status] : call.controller.builder().status()) {
    if (service != nullptr && key.first != *service) continue;
    if (!address || key.second == *address) filter.backends->push_back(status.id);
  }
  if (filter.backends->empty() && address) {
    return tl::unexpected(
        failure(404, "not_found", fmt::format("backend {}: there is none", *backend), "xebec backend list"));
  }
  std::sort(filter.backends->begin(), filter.backends->end());
  return filter;
}

/// How far a list has come: WORKER-BUCKET in the query, the next of it in the answer.
struct Cursor {
  uint64_t worker = 0;
  uint64_t bucket = 0;
};

tl::expected<Cursor, HttpResponse> cursor_of(const Call& call) {
  const std::string* text = call.asked("cursor");
  if (text == nullptr) return Cursor{};
  const std::size_t dash = text->find('-');
  const auto worker = decimal(std::string_view(*text).substr(0, dash));
  const auto bucket =
      dash == std::string::npos ? std::nullopt : decimal(std::string_view(*text).substr(dash + 1));
  if (worker && bucket && *bucket < UINT32_MAX) return Cursor{*worker, *bucket};
  return tl::unexpected(
      failure(400, "usage", fmt::format("cursor: {} is not one of an answer's \"next\"", *text)));
}

/// Calls f(worker, flow) for what matches from the cursor on, one piece. The cursor of the next piece; null at the end.
template <typename F>
Json look(const Call& call, const FlowFilter& filter, Cursor cursor, const F& f) {
  const auto& workers = call.controller.engine().workers();
  if (cursor.worker >= workers.size()) return nullptr;
  const Worker& worker = *workers[cursor.worker];
  const FlowReader reader(worker.state().flows, call.controller.engine().table().secret());
  const auto first = static_cast<uint32_t>(std::min<uint64_t>(cursor.bucket, reader.buckets()));
  const uint32_t next = reader.look(first, kBucketsAtOnce, monotonic_ns(), [&](const FlowSeen& flow) {
    return !filter.matches(flow.key.source, flow.backend_id) || f(worker, flow);
  });
  if (next < reader.buckets()) return fmt::format("{}-{}", cursor.worker, next);
  if (cursor.worker + 1 < workers.size()) return fmt::format("{}-0", cursor.worker + 1);
  return nullptr;
}

Json row_of(const Controller& controller, const Worker& worker, const FlowSeen& flow) {
  const Table& table = controller.engine().table();
  Json service = nullptr, backend = nullptr, nat = nullptr;
  if (flow.backend_id < table.backends().size()) {
    const Backend& b = table.backends()[flow.backend_id];
    if (b.address != IpAddress{} && b.service < table.services().size()) {
      service = table.services()[b.service].name;
      backend = b.address.to_string();
    }
    NatMapping mapping;
    const NatTable& translated = worker.state().nat->of(worker.state().worker);
    const uint64_t hash = flow_hash(table.secret(), flow.key);
    if (is_nat(b.mode) && translated.find_client(flow.key, hash, mapping) != NatTable::kNone)
      nat = endpoint(mapping.reply.destination, mapping.reply.destination_port);
  }
  return {{"source", endpoint(flow.key.source, flow.key.source_port)},
          {"destination", endpoint(flow.key.destination, flow.key.destination_port)},
          {"protocol", protocol_name(flow.key.protocol)},
          {"state", name_of(flow.state)},
          {"idle_seconds", flow.silent_s},
          {"service", service},
          {"backend", backend},
          {"translated_source", nat},
          {"worker", worker.options().id}};
}

HttpResponse list_flows(const Call& call) {
  const auto filter = filter_of(call);
  if (!filter) return filter.error();
  const auto cursor = cursor_of(call);
  if (!cursor) return cursor.error();
  const auto limit = number_in_query(call, "limit", kRows, kMostRows);
  if (!limit) return limit.error();
  if (*limit == 0)
    return failure(400, "usage", "limit: 0 is no number of flows to list", "GET /v1/flows/count counts them");
  Json rows = Json::array();
  const Json next = look(call, *filter, *cursor, [&](const Worker& worker, const FlowSeen& flow) {
    rows.push_back(row_of(call.controller, worker, flow));
    return rows.size() < *limit;
  });
  return answer(200, {{"schema", "xebec.flow-list/1"}, {"flows", rows}, {"next", next}});
}

HttpResponse count_flows(const Call& call) {
  const auto filter = filter_of(call);
  if (!filter) return filter.error();
  const auto cursor = cursor_of(call);
  if (!cursor) return cursor.error();
  uint64_t flows = 0;
  std::array<uint64_t, kFlowStates> states{};
  const Json next = look(call, *filter, *cursor, [&](const Worker&, const FlowSeen& flow) {
    ++flows;
    ++states[static_cast<std::size_t>(flow.state)];
    return true;
  });
  Json by_state = Json::object();
  for (std::size_t i = 0; i < kFlowStates; ++i)
    by_state[std::string(name_of(static_cast<FlowState>(i)))] = states[i];
  return answer(200,
                {{"schema", "xebec.flow-count/1"}, {"flows", flows}, {"states", by_state}, {"next", next}});
}

HttpResponse flush_state(const Call& call, int status) {
  bool done = true;
  uint64_t flows = 0, mappings = 0;
  for (const auto& worker : call.controller.engine().workers()) {
    done = done && worker->flush().done();
    flows += worker->flush().flows();
    mappings += worker->flush().mappings();
  }
  return answer(
      status,
      {{"schema", "xebec.flow-flush/1"}, {"done", done}, {"flows", flows}, {"translations", mappings}});
}

HttpResponse last_flush(const Call& call) {
  return flush_state(call, 200);
}

HttpResponse flush_flows(const Call& call) {
  const auto filter = filter_of(call);
  if (!filter) return filter.error();
  const bool everything = !filter->source && !filter->backends;
  if (everything && !call.flag("all")) {
    return failure(400, "usage", "flush: without a service, backend or source it forgets everything",
                   "all=1 (xebec flow flush --all), if that is meant");
  }
  const auto& workers = call.controller.engine().workers();
  for (const auto& worker : workers) {
    if (!worker->flush().done())
      return failure(409, "conflict", "flush: the last one is not done yet", "try again in a moment");
  }
  for (const auto& worker : workers) worker->flush().order(*filter);
  spdlog::info("audit: flush of flows{} by {}", everything ? ", all of them," : "", call.terms().by);
  return flush_state(call, 202);
}

}  // namespace

std::span<const Route> flow_routes() {
  static constexpr Route kRoutes[] = {
      {"GET", "flows", Access::read, list_flows, "service backend src limit cursor"},
      {"GET", "flows/count", Access::read, count_flows, "service backend src cursor"},
      {"GET", "flows/flush", Access::read, last_flush},
      {"POST", "flows/flush", Access::change, flush_flows, "service backend src all"},
  };
  return kRoutes;
}

}  // namespace xebec
