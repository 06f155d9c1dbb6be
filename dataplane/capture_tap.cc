// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/capture_tap.h"

#include <algorithm>
#include <cstring>

namespace xebec {
namespace {

// Dropped by the worker after they were rewritten: what they were like has to be copied before.
constexpr uint64_t kRewrittenFirst =
    bit_of(DropReason::tx_full) | bit_of(DropReason::no_egress_port) | bit_of(DropReason::no_free_frame);

static_assert(kBatchSize == 64, "a batch's packets are the bits of a word");

constexpr uint64_t bit(std::size_t index) {
  return uint64_t{1} << index;
}

bool leaves(const Decision& decision) {
  return decision.verdict == Verdict::forward || decision.verdict == Verdict::reply;
}

/// Without its packet's times and lengths.
CaptureRecord describe(const Table& table, const Decision& decision) {
  CaptureRecord record;
  record.egress = decision.interface;
  record.verdict = decision.verdict;
  record.reason = decision.reason;
  record.origin = decision.origin;
  record.to_client = decision.to_client;
  if (decision.service < table.services().size()) {
    const std::string& name = table.services()[decision.service].name;
    record.service_length = static_cast<uint8_t>(std::min(name.size(), record.service.size()));
    std::memcpy(record.service.data(), name.data(), record.service_length);
  }
  if (decision.backend < table.backends().size()) {
    record.has_backend = true;
    record.backend = table.backends()[decision.backend].address;
  }
  return record;
}

}  // namespace

CaptureTap::CaptureTap(CaptureFilter filter, std::size_t ring_bytes)
    : filter_(std::move(filter)),
      late_(filter_.reasons != 0 && (filter_.reasons & kRewrittenFirst) == 0),
      ring_(ring_bytes) {
  filter_.snaplen = std::min(filter_.snaplen, kMaxCapturedBytes);
  filter_.sample = std::max(filter_.sample, 1u);
  received_.memory = std::make_unique<uint8_t[]>(kBatchSize * filter_.snaplen);
  if (filter_.sent) sent_.memory = std::make_unique<uint8_t[]>(kBatchSize * filter_.snaplen);
}

bool CaptureTap::wants(const Table& table, const Decision& decision) const {
  if (decision.verdict == Verdict::hold) return false;  // it is offered again
  if (filter_.reasons != 0 &&
      (decision.verdict != Verdict::drop || (filter_.reasons & bit_of(decision.reason)) == 0))
    return false;
  if (!filter_.service.empty() && (decision.service >= table.services().size() ||
                                   table.services()[decision.service].name != filter_.service))
    return false;
  return !filter_.backend || (decision.backend < table.backends().size() &&
                              table.backends()[decision.backend].address == *filter_.backend);
}

void CaptureTap::copy(Copies& copies, std::size_t index, const Packet& packet) const {
  uint8_t* const to = copies.memory.get() + index * filter_.snaplen;
  uint32_t captured = std::min(packet.length, filter_.snaplen);
  std::memcpy(to, packet.data, captured);
  for (const auto piece : packet.rest) {
    const uint32_t more = std::min(static_cast<uint32_t>(piece.size()), filter_.snaplen - captured);
    if (more != 0) std::memcpy(to + captured, piece.data(), more);
    captured += more;
  }
  copies.length[index] = packet.length + packet.rest_length;
  copies.captured[index] = captured;
}

void CaptureTap::before(std::span<const Packet> packets) {
  sampled_ = 0;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if (!sampled()) continue;
    sampled_ |= bit(i);
    if (!late_) copy(received_, i, packets[i]);
  }
}

void CaptureTap::decided(std::span<const Packet> packets, std::span<const Decision> decisions) {
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if ((sampled_ & bit(i)) == 0) continue;
    if (late_ && decisions[i].verdict == Verdict::drop) copy(received_, i, packets[i]);
    if (filter_.sent && leaves(decisions[i])) copy(sent_, i, packets[i]);
  }
}

void CaptureTap::push(const Copies& copies, std::size_t index, CaptureRecord record) {
  record.length = copies.length[index];
  record.captured = copies.captured[index];
  ring_.push(record, copies.memory.get() + index * filter_.snaplen);
}

void CaptureTap::done(const Table& table, std::span<const Packet> packets,
                      std::span<const Decision> decisions, uint64_t time_ns) {
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if ((sampled_ & bit(i)) == 0 || !wants(table, decisions[i])) continue;
    CaptureRecord record = describe(table, decisions[i]);
    record.time_ns = time_ns;
    record.interface = packets[i].interface;
    push(received_, i, record);
    if (!filter_.sent || !leaves(decisions[i])) continue;
    record.sent = true;
    if (decisions[i].verdict == Verdict::forward) record.interface = decisions[i].interface;
    push(sent_, i, record);
  }
}

void CaptureTap::gave_up(std::span<const uint8_t> first, uint32_t length, uint16_t interface,
                         uint64_t time_ns) {
  if (!filter_.service.empty() || filter_.backend || !sampled()) return;
  if (filter_.reasons != 0 && (filter_.reasons & bit_of(DropReason::fragment_unknown)) == 0) return;
  CaptureRecord record;
  record.time_ns = time_ns;
  record.interface = interface;
  record.length = length;
  record.captured = std::min(static_cast<uint32_t>(first.size()), filter_.snaplen);
  record.reason = DropReason::fragment_unknown;
  ring_.push(record, first.data());
}

}  // namespace xebec
