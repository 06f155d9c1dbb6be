// SPDX-License-Identifier: BSD-2-Clause
// The packets of a capture through the core.
#include "control/explain_capture.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "dataplane/decision_name.h"
#include "dataplane/limits.h"
#include "dataplane/pieces.h"

namespace xebec {
namespace {

constexpr std::string_view kPass = "pass";

// Packets that wait for a first fragment, as a worker holds them.
constexpr uint32_t kHeldAtOnce = kHeldFrames;

// And so many packets wait behind one at most: times that stand still, or one in the future, end no wait.
constexpr std::size_t kWaitingAtMost = 16'384;

// Ages of mappings are counted in seconds, about.
constexpr uint64_t kForgetEveryNs = 1'000'000'000;

// Longer than any timeout can be. Ages of flows are compared in ticks that turn round after 9 years
// (FlowTable::tick_of): what a broken time makes of a gap must stay below half of that.
constexpr int64_t kLongestGapSeconds = 366 * 86'400;
// Three hundred years: where a file's times add up to more, the clock stands still.
constexpr uint64_t kLastNs = uint64_t{1} << 63;

nlohmann::ordered_json or_null(std::string_view text) {
  return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
}

}  // namespace

nlohmann::ordered_json PacketExplanation::json() const {
  nlohmann::ordered_json json{
      {"packet", packet},
      {"verdict", verdict},
      {"reason", or_null(reason)},
      {"service", or_null(service)},
      {"backend", or_null(backend)},
      {"mode", or_null(mode)},
      {"flow", or_null(flow)},
      {"out_length", out.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(out.size())},
      {"worker", 0}};
  if (!more_out.empty()) json["pieces"] = 1 + more_out.size();
  return json;
}

std::string CaptureTotals::summary() const {
  std::vector<std::string> parts, drops;
  for (const auto& [reason, count] : reasons) drops.push_back(fmt::format("{} {}", reason, count));
  // In this order whatever happened; behind them what else a version of the core may say.
  std::vector<std::string_view> order = {name_of(Verdict::forward), kPass, name_of(Verdict::reply),
                                         name_of(Verdict::drop)};
  for (const auto& [verdict, count] : verdicts) {
    if (std::find(order.begin(), order.end(), verdict) == order.end()) order.push_back(verdict);
  }
  for (const std::string_view verdict : order) {
    const auto found = verdicts.find(verdict);
    const uint64_t count = found == verdicts.end() ? 0 : found->second;
    const bool explained = verdict == name_of(Verdict::drop) && !drops.empty();
    parts.push_back(fmt::format("{} {}{}", count, verdict,
                                explained ? fmt::format(" ({})", fmt::join(drops, ", ")) : ""));
  }
  std::string out = fmt::format("{} packet{}: {}", packets, packets == 1 ? "" : "s", fmt::join(parts, ", "));
  if (cut_short != 0)
    out += fmt::format("; {} cut short by the capture, and judged by what is left of them", cut_short);
  return out;
}

CaptureExplainer::CaptureExplainer(const Table& table, const FlowTableConfig& flows,
                                   const NatTableConfig& nat, ShimView shim, uint64_t start_ns)
    : table_(table),
      shim_(std::move(shim)),
      nat_(nat, 1),
      state_(std::make_unique<ForwardState>(flows, &nat_)),
      now_ns_(start_ns) {}

/// By what the capture's time has gone on since the latest one seen; a step back is none.
void CaptureExplainer::advance_clock(const CapturedPacket& packet) {
  const std::pair<int64_t, uint32_t> time(packet.seconds, packet.nanoseconds);
  if (!latest_) latest_ = time;
  if (time <= *latest_) return;
  int64_t seconds = 0;
  if (__builtin_sub_overflow(time.first, latest_->first, &seconds)) seconds = kLongestGapSeconds;
  seconds = std::min(seconds, kLongestGapSeconds);
  // At least 0: the later time is the larger pair.
  const int64_t gap_ns = seconds * 1'000'000'000 + int64_t{time.second} - int64_t{latest_->second};
  now_ns_ = std::min(now_ns_ + static_cast<uint64_t>(gap_ns), kLastNs);
  latest_ = time;
  // A worker forgets while it waits: what has expired is gone when the packet comes, to the second.
  if (!table_.translates() || now_ns_ - forgot_at_ns_ < kForgetEveryNs) return;
  forgot_at_ns_ = now_ns_;
  nat_.of(0).expire(now_ns_, nat_.of(0).capacity());
}

PacketExplanation CaptureExplainer::begin(const CapturedPacket& packet) {
  ++totals_.packets;
  if (packet.length > packet.bytes.size()) ++totals_.cut_short;
  PacketExplanation result;
  if (shim_.steers(packet.bytes)) {
    result = forward(packet.bytes, false);
  } else {
    result.verdict = kPass;
  }
  result.packet = totals_.packets;
  result.seconds = packet.seconds;
  result.nanoseconds = packet.nanoseconds;
  return result;
}

void CaptureExplainer::count(const PacketExplanation& explanation) {
  ++totals_.verdicts[explanation.verdict];
  if (!explanation.reason.empty()) ++totals_.reasons[explanation.reason];
}

PacketExplanation CaptureExplainer::explain(const CapturedPacket& packet) {
  advance_clock(packet);
  state_->hold_places = 0;
  PacketExplanation result = begin(packet);
  count(result);
  return result;
}

std::vector<PacketExplanation> CaptureExplainer::take(const CapturedPacket& packet) {
  advance_clock(packet);
  give_up_expired();
  state_->hold_places = kHeldAtOnce - static_cast<uint32_t>(held_.size());
  waiting_.push_back({begin(packet), {}, 0});
  if (Waiting& now = waiting_.back(); now.explanation.verdict == name_of(Verdict::hold)) {
    now.bytes.assign(packet.bytes.begin(), packet.bytes.end());
    now.until_ns = now_ns_ + kHeldNs;
    held_.push_back(&now);
  }
  offer_held();
  if (waiting_.size() > kWaitingAtMost && !held_.empty()) {
    give_up(*held_.front(), state_->counters);
    held_.erase(held_.begin());
  }
  return settled();
}

std::vector<PacketExplanation> CaptureExplainer::finish() {
  for (Waiting* waiting : held_) give_up(*waiting, state_->counters);
  held_.clear();
  return settled();
}

void CaptureExplainer::give_up_expired() {
  std::erase_if(held_, [this](Waiting* waiting) {
    if (now_ns_ < waiting->until_ns) return false;
    give_up(*waiting, state_->counters);
    return true;
  });
}

/// Once a first fragment has come. A worker offers the held ones first and gives up then, but it looks every millisecond; a
/// capture's clock jumps.
void CaptureExplainer::offer_held() {
  const uint64_t seen = first_fragments_seen(*state_);
  if (seen == first_fragments_) return;
  first_fragments_ = seen;
  std::erase_if(held_, [this](Waiting* waiting) {
    state_->hold_places = kHeldAtOnce;
    PacketExplanation result = forward(waiting->bytes, true);
    if (result.verdict == name_of(Verdict::hold)) return false;
    result.packet = waiting->explanation.packet;
    result.seconds = waiting->explanation.seconds;
    result.nanoseconds = waiting->explanation.nanoseconds;
    *waiting = {std::move(result), {}, 0};
    return true;
  });
}

void CaptureExplainer::give_up(Waiting& waiting, WorkerCounters& counters) {
  drop_held(counters, 1);
  waiting.explanation.verdict = name_of(Verdict::drop);
  waiting.explanation.reason = name_of(DropReason::fragment_unknown);
  waiting.bytes.clear();
}

std::vector<PacketExplanation> CaptureExplainer::settled() {
  std::vector<PacketExplanation> out;
  while (!waiting_.empty() && waiting_.front().bytes.empty()) {
    count(waiting_.front().explanation);
    out.push_back(std::move(waiting_.front().explanation));
    waiting_.pop_front();
  }
  return out;
}

/// As the worker does it.
void CaptureExplainer::cut(const Packet& packet, const Decision& decision, PacketExplanation& result) const {
  const Pieces pieces(packet, state_->in_hand[0].parsed, table_.backends()[decision.backend]);
  std::vector<uint8_t> memory(kFrameSize);
  for (uint32_t i = 0; i < pieces.count(); ++i) {
    Packet piece{.data = memory.data() + kFrameHeadroom,
                 .headroom = kFrameHeadroom,
                 .room = kFrameSize - kFrameHeadroom};
    pieces.write(i, piece);
    std::vector<uint8_t> bytes(piece.data, piece.data + piece.length);
    if (i == 0) {
      result.out = std::move(bytes);
    } else {
      result.more_out.push_back(std::move(bytes));
    }
  }
}

/// In one buffer, however long: a 64 KiB aggregate is one packet to the core, as it is in several frames.
PacketExplanation CaptureExplainer::forward(std::span<const uint8_t> bytes, bool offered) {
  const auto length = static_cast<uint32_t>(bytes.size());
  const uint32_t room = std::max(length, kMaxFrameLength);
  if (frame_.size() < kFrameHeadroom + room) frame_.resize(kFrameHeadroom + room);
  Packet in_hand{
      .data = frame_.data() + kFrameHeadroom, .length = length, .headroom = kFrameHeadroom, .room = room};
  std::copy(bytes.begin(), bytes.end(), in_hand.data);
  Decision decision;
  const auto run = offered ? forward_held : forward_batch;
  run(table_, *state_, {&in_hand, 1}, {&decision, 1}, now_ns_);
  count_sent(state_->counters, {&decision, 1});

  PacketExplanation result;
  result.verdict = name_of(decision.verdict);
  if (decision.verdict == Verdict::drop) result.reason = name_of(decision.reason);
  if (decision.service != Table::kNone) result.service = table_.services()[decision.service].name;
  if (decision.backend < table_.backends().size()) {
    const Backend& backend = table_.backends()[decision.backend];
    result.backend = backend.address.to_string();
    result.mode = to_string(backend.mode);
    result.flow = name_of(decision.origin);
  }
  if (decision.verdict == Verdict::forward || decision.verdict == Verdict::reply)
    result.out.assign(in_hand.data, in_hand.data + in_hand.length);
  if (decision.verdict == Verdict::cut) cut(in_hand, decision, result);
  return result;
}

}  // namespace xebec
