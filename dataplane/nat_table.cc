// SPDX-License-Identifier: BSD-2-Clause
// Making, ageing and forgetting translated connections.
#include "dataplane/nat_table.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "dataplane/wire.h"

namespace xebec {
namespace {

// Ports asked for one connection, over all sources, before it is refused: so many are searched to their end. At 30 ns each,
// 60 us.
constexpr uint32_t kPortTries = 2048;

// Of a connection whose replies can be foretold: ports looked at for one whose replies come home, some 10 ns each, and of those
// that are, how many are asked for. Of 64 queues' ports 16 are among them.
constexpr uint32_t kHomeLooks = 1024;
constexpr uint32_t kHomeTries = 32;

// How long no new connection to a backend is tried after one for which no port was found: else a flood of them would cost kPortTries each.
constexpr uint64_t kExhaustedNs = 1'000'000;

// A closed connection that was silent for so many ticks (2 to 3 s) may be forgotten early if its port or its place is needed:
// both ends have had time to send their last segments again.
constexpr uint32_t kClosedTicks = 3;

constexpr uint32_t kSeenBits = 8;  // of Slot::seen; the rest is the generation
constexpr uint32_t kGenerations = 1u << (32 - kSeenBits);

// A mapping is written in some 20 ns; who was stopped amid it is not waited for.
constexpr uint32_t kReadTries = 64;

// Slots looked at for one that gives way, when all are taken.
constexpr uint32_t kPlaceTries = 64;

// Before it is refused: what is made meanwhile is not made of a size that no machine has.
uint32_t possible(uint32_t capacity) {
  return std::clamp(capacity, 1u, NatTable::kMaxCapacity);
}

}  // namespace

NatTable::NatTable(const NatTableConfig& config, uint32_t worker, uint32_t workers)
    : config_(config),
      worker_(worker),
      first_port_(0),
      ports_(0),
      pages_(std::size_t{possible(config.capacity)} * sizeof(Slot)),
      slots_(static_cast<Slot*>(pages_.start())),
      opening_pages_(kMaxBackends * sizeof(NatOpenings)),
      openings_(static_cast<NatOpenings*>(opening_pages_.start())),
      forwards_(possible(config.capacity)),
      replies_(possible(config.capacity)),
      free_(new uint32_t[possible(config.capacity)]) {
  if (config.capacity == 0 || config.capacity > kMaxCapacity)
    throw std::invalid_argument("NAT table: capacity out of range");
  const uint32_t all = config.last_port < config.first_port ? 0 : config.last_port - config.first_port + 1u;
  if (workers == 0 || worker >= workers || all < workers)
    throw std::invalid_argument("NAT table: fewer ports than workers");
  ports_ = all / workers;
  first_port_ = static_cast<uint16_t>(config.first_port + worker * ports_);
}

// The writing half of the sequence lock. Each word is released, so that the odd version is there before it, and acquired by
// read(), so that the version is looked at again after it: on x86 all plain moves. (Fences would do, but ThreadSanitizer does
// not know them.)
void NatTable::write(Slot& slot, const NatMapping& mapping) {
  const auto* from = reinterpret_cast<const Word*>(&mapping);
  auto* to = reinterpret_cast<Word*>(&slot.mapping);
  const uint32_t version = slot.version.load(std::memory_order_relaxed);
  slot.version.store(version + 1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < kWords; ++i) __atomic_store_n(to + i, from[i], __ATOMIC_RELEASE);
  slot.version.store(version + 2, std::memory_order_release);
}

bool NatTable::read(uint32_t index, NatMapping& out) const {
  if (index >= config_.capacity) return false;
  const Slot& slot = slots_[index];
  const auto* from = reinterpret_cast<const Word*>(&slot.mapping);
  auto* to = reinterpret_cast<Word*>(&out);
  for (uint32_t tries = 0; tries < kReadTries; ++tries) {
    const uint32_t before = slot.version.load(std::memory_order_acquire);
    if (before % 2 != 0) continue;
    if (slot.live.load(std::memory_order_acquire) == 0) return false;
    for (std::size_t i = 0; i < kWords; ++i) to[i] = __atomic_load_n(from + i, __ATOMIC_ACQUIRE);
    if (slot.version.load(std::memory_order_relaxed) == before) return true;
  }
  return false;
}

// In place: the copy that read() makes, and comparing what has just been written word by word, were a third of what a packet
// of a known connection cost.
bool NatTable::is_forward(uint32_t index, const FlowKey& key, uint32_t backend, uint64_t now_ns) const {
  const Slot& slot = slots_[index];
  return slot.live.load(std::memory_order_relaxed) != 0 && slot.mapping.backend == backend &&
         slot.mapping.forward == key && !has_expired(slot, now_ns);
}

bool NatTable::is_reply(uint32_t index, const FlowKey& key) const {
  const Slot& slot = slots_[index];
  return slot.live.load(std::memory_order_relaxed) != 0 && slot.mapping.reply == key;
}

uint32_t NatTable::find_forward(const FlowKey& key, uint64_t hash, uint32_t backend, uint64_t now_ns,
                                uint32_t guess) const {
  if (guess < config_.capacity && is_forward(guess, key, backend, now_ns)) [[likely]]
    return guess;
  return forwards_.find(hash, [&](uint32_t index) { return is_forward(index, key, backend, now_ns); });
}

uint32_t NatTable::find_own_reply(const FlowKey& key, uint64_t hash, uint32_t guess) const {
  if (guess < config_.capacity && is_reply(guess, key)) [[likely]]
    return guess;
  return replies_.find(hash, [&](uint32_t index) { return is_reply(index, key); });
}

uint32_t NatTable::find_reply(const FlowKey& key, uint64_t hash, NatMapping& out) const {
  return replies_.find(hash, [&](uint32_t slot) { return read(slot, out) && out.reply == key; });
}

uint32_t NatTable::find_client(const FlowKey& key, uint64_t hash, NatMapping& out) const {
  return forwards_.find(hash, [&](uint32_t slot) { return read(slot, out) && out.forward == key; });
}

uint8_t NatTable::protocol_of(const Slot& slot) const {
  return __atomic_load_n(&slot.mapping.forward.protocol, __ATOMIC_RELAXED);
}

uint32_t NatTable::silent_ticks(const Slot& slot, uint64_t now_ns) const {
  const uint32_t now = tick_of(now_ns);
  // As signed differences: right across the wrap, and a clock that another worker read a little later expires nothing.
  const auto client = static_cast<int32_t>(now - slot.client_tick.load(std::memory_order_relaxed));
  const auto reply = static_cast<int32_t>(now - slot.reply_tick.load(std::memory_order_relaxed));
  return static_cast<uint32_t>(std::max(std::min(client, reply), 0));
}

bool NatTable::is_closed(const Slot& slot) const {
  const uint32_t seen = slot.seen.load(std::memory_order_relaxed);
  return (seen & (kClientRst | kReplyRst)) != 0 || ((seen & kClientFin) != 0 && (seen & kReplyFin) != 0);
}

bool NatTable::has_expired(const Slot& slot, uint64_t now_ns) const {
  uint32_t seconds = config_.timeouts.udp_s;
  if (protocol_of(slot) == kProtoTcp) {
    const bool opening = (slot.seen.load(std::memory_order_relaxed) & kReply) == 0;
    seconds =
        opening || is_closed(slot) ? config_.timeouts.tcp_transitory_s : config_.timeouts.tcp_established_s;
  }
  return silent_ticks(slot, now_ns) >= timeout_ticks(seconds);
}

// Its place or port may be taken.
bool NatTable::gives_way(uint32_t index, uint64_t now_ns) const {
  const Slot& slot = slots_[index];
  if (has_expired(slot, now_ns)) return true;
  return protocol_of(slot) == kProtoTcp && is_closed(slot) && silent_ticks(slot, now_ns) >= kClosedTicks;
}

bool NatTable::reply_is_free(const FlowKey& reply, uint64_t hash, uint64_t now_ns) {
  const uint32_t taken = find_own_reply(reply, hash);
  if (taken == kNone) return true;
  if (!gives_way(taken, now_ns)) return false;
  ++stats_.reused;
  forget(taken);
  return true;
}

// One whose replies come to this worker's queue, if there is one soon; else the mapping is as it was.
uint8_t NatTable::choose_home_port(const NatRequest& request, const HashSecret& secret, uint64_t now_ns,
                                   NatMapping& mapping) {
  const auto first = static_cast<std::size_t>(request.forward_hash >> 32);
  NatMapping with_port = mapping;
  FlowKey& reply = with_port.reply;
  reply.destination = request.sources[first % request.sources.size()];
  const auto search = request.reply_queues->search(reply);
  if (!search) return 0;
  const auto begin = static_cast<uint32_t>(request.forward_hash);
  const uint32_t looks = std::min(kHomeLooks, ports_);
  uint32_t tries = kHomeTries;
  for (uint32_t i = 0; i < looks && tries != 0; ++i) {
    const auto port = static_cast<uint16_t>(first_port_ + (uint64_t{begin} + i) % ports_);
    if (search->queue(port) != worker_) continue;
    --tries;
    reply.destination_port = Be16::from_host(port);
    with_port.reply_hash = flow_hash(secret, reply);
    if (!reply_is_free(reply, with_port.reply_hash, now_ns)) continue;
    mapping = with_port;
    return static_cast<uint8_t>(1 + place_of(request.interface, search->hash_class()));
  }
  return 0;
}

// From a place of the connection's own, so that ports cannot be foretold (RFC 6056) and a block fills evenly.
std::optional<uint8_t> NatTable::choose_source(const NatRequest& request, const HashSecret& secret,
                                               uint64_t now_ns, NatMapping& mapping) {
  Exhausted& exhausted = exhausted_[request.backend % exhausted_.size()];
  if (exhausted.backend == request.backend && now_ns < exhausted.until_ns) return std::nullopt;
  if (request.reply_queues != nullptr) {
    if (const uint8_t foretold = choose_home_port(request, secret, now_ns, mapping); foretold != 0)
      return foretold;
  }
  const auto count = static_cast<uint32_t>(request.sources.size());
  uint32_t left = kPortTries;
  const auto first = static_cast<uint32_t>(request.forward_hash >> 32);
  const auto begin = static_cast<uint32_t>(request.forward_hash);
  for (uint32_t s = 0; s < count; ++s) {
    mapping.reply.destination = request.sources[(first + s) % count];
    const uint32_t tries = std::min(left, ports_);
    left -= tries;
    for (uint32_t i = 0; i < tries; ++i) {
      mapping.reply.destination_port =
          Be16::from_host(static_cast<uint16_t>(first_port_ + (uint64_t{begin} + i) % ports_));
      mapping.reply_hash = flow_hash(secret, mapping.reply);
      if (reply_is_free(mapping.reply, mapping.reply_hash, now_ns)) return 0;
    }
  }
  exhausted = {now_ns + kExhaustedNs, request.backend};
  return std::nullopt;
}

uint32_t NatTable::take_slot(uint64_t now_ns) {
  if (free_count_ > 0) return free_[--free_count_];
  if (fresh_ < config_.capacity) return fresh_++;
  for (uint32_t i = 0; i < kPlaceTries; ++i) {
    cursor_ = (cursor_ + 1) % config_.capacity;
    if (!gives_way(cursor_, now_ns)) continue;
    ++stats_.reused;
    forget(cursor_);
    return free_[--free_count_];
  }
  return kNone;
}

uint32_t NatTable::create(const NatRequest& request, const HashSecret& secret, uint64_t now_ns,
                          NatMapping& out) {
  out = NatMapping{.forward = request.forward,
                   .reply = request.reply,
                   .forward_hash = request.forward_hash,
                   .reply_hash = 0,
                   .client = request.client,
                   .backend = request.backend,
                   .change = {},
                   .shift = {},
                   .generation = 0,
                   .zero = 0};
  std::optional<uint8_t> foretold;
  if (request.sources.empty()) {
    out.reply_hash = flow_hash(secret, out.reply);
    if (reply_is_free(out.reply, out.reply_hash, now_ns)) foretold = 0;
  } else {
    foretold = choose_source(request, secret, now_ns, out);
  }
  const uint32_t index = foretold ? take_slot(now_ns) : kNone;
  if (index == kNone) {
    ++stats_.refused;
    return kNone;
  }
  out.change = checksum_change(out.forward, out.reply);
  Slot& slot = slots_[index];
  out.generation = ((slot.seen.load(std::memory_order_relaxed) >> kSeenBits) + 1) % kGenerations;
  write(slot, out);
  slot.client_tick.store(tick_of(now_ns), std::memory_order_relaxed);
  slot.reply_tick.store(tick_of(now_ns), std::memory_order_relaxed);
  slot.seen.store(out.generation << kSeenBits, std::memory_order_relaxed);
  slot.foretold.store(*foretold, std::memory_order_relaxed);
  slot.live.store(1, std::memory_order_release);
  if (!forwards_.insert(out.forward_hash, index) || !replies_.insert(out.reply_hash, index)) {
    ++stats_.refused;
    stats_.used = used_.load(std::memory_order_relaxed) + 1;  // forget() takes it off again
    used_.store(stats_.used, std::memory_order_relaxed);
    forget(index);
    return kNone;
  }
  ++stats_.created;
  used_.store(++stats_.used, std::memory_order_relaxed);
  return index;
}

// Out of the indices first: who finds it no more cannot copy what comes next.
void NatTable::forget(uint32_t index) {
  Slot& slot = slots_[index];
  NatMapping mapping;
  if (!read(index, mapping)) return;
  forwards_.erase(mapping.forward_hash, index);
  replies_.erase(mapping.reply_hash, index);
  const uint32_t version = slot.version.load(std::memory_order_relaxed);
  slot.version.store(version + 1, std::memory_order_relaxed);
  slot.live.store(0, std::memory_order_release);
  slot.version.store(version + 2, std::memory_order_release);
  free_[free_count_++] = index;
  used_.store(--stats_.used, std::memory_order_relaxed);
}

void NatTable::client_passed(uint32_t index, uint8_t tcp_flags, uint64_t now_ns) {
  Slot& slot = slots_[index];
  uint32_t seen = slot.seen.load(std::memory_order_relaxed);
  if ((tcp_flags & kTcpSyn) != 0 && (tcp_flags & kTcpAck) == 0) {
    // Closed: the client opens a new connection from the same port. Else he tries to, or sends his SYN again.
    const uint32_t kept = is_closed(slot) ? ~uint32_t{UINT8_MAX} : ~uint32_t{kReplyOpen};
    seen = slot.seen.fetch_and(kept, std::memory_order_relaxed) & kept;
  }
  const auto now_seen = static_cast<uint32_t>(((tcp_flags & kTcpFin) != 0 ? kClientFin : 0) |
                                              ((tcp_flags & kTcpRst) != 0 ? kClientRst : 0));
  if ((seen | now_seen) != seen) slot.seen.fetch_or(now_seen, std::memory_order_relaxed);
  const uint32_t tick = tick_of(now_ns);
  if (slot.client_tick.load(std::memory_order_relaxed) != tick)
    slot.client_tick.store(tick, std::memory_order_relaxed);
}

void NatTable::forwarded(uint32_t index, NatMapping& mapping, uint8_t tcp_flags, const ReturnPath& client,
                         uint64_t now_ns) {
  client_passed(index, tcp_flags, now_ns);
  if (mapping.client == client) return;
  mapping.client = client;
  write(slots_[index], mapping);
}

void NatTable::opens(uint32_t index, NatMapping& mapping, uint32_t first, uint32_t length) {
  Slot& slot = slots_[index];
  StreamShift shift = mapping.shift;
  shift.latest_first = first;
  if ((slot.seen.load(std::memory_order_relaxed) & kShiftSent) == 0) {
    shift.first = first;
    shift.length = length;
  }
  if (shift == mapping.shift) return;
  mapping.shift = shift;
  write(slot, mapping);
}

void NatTable::replace_connection(uint32_t index, NatMapping& mapping, uint32_t length) {
  Slot& slot = slots_[index];
  slot.seen.store(mapping.generation << kSeenBits | kReply, std::memory_order_relaxed);
  mapping.shift.first = mapping.shift.latest_first;
  mapping.shift.length = length;
  write(slot, mapping);
}

void NatTable::see(uint32_t index, uint8_t what) {
  Slot& slot = slots_[index];
  if ((slot.seen.load(std::memory_order_relaxed) | what) != slot.seen.load(std::memory_order_relaxed))
    slot.seen.fetch_or(what, std::memory_order_relaxed);
}

// By comparing and swapping: between finding a mapping of another worker's and marking it, its slot may have been given away.
uint8_t NatTable::replied(uint32_t index, const NatMapping& mapping, uint8_t tcp_flags, uint64_t now_ns,
                          uint8_t also) {
  Slot& slot = slots_[index];
  const auto now_seen = static_cast<uint32_t>(kReply | also | ((tcp_flags & kTcpFin) != 0 ? kReplyFin : 0) |
                                              ((tcp_flags & kTcpSyn) != 0 ? 0 : kReplyOpen) |
                                              ((tcp_flags & kTcpRst) != 0 ? kReplyRst : 0));
  uint32_t seen = slot.seen.load(std::memory_order_relaxed);
  do {
    if (seen >> kSeenBits != mapping.generation) [[unlikely]]
      return UINT8_MAX;  // nothing of it is the first of its kind
  } while ((seen | now_seen) != seen &&
           !slot.seen.compare_exchange_weak(seen, seen | now_seen, std::memory_order_relaxed));
  const uint32_t tick = tick_of(now_ns);
  if (slot.reply_tick.load(std::memory_order_relaxed) != tick)
    slot.reply_tick.store(tick, std::memory_order_relaxed);
  return static_cast<uint8_t>(seen);
}

void NatTable::expire(uint64_t now_ns, uint32_t slots) {
  const uint32_t end = std::min(slots, fresh_);
  for (uint32_t i = 0; i < end; ++i) {
    cursor_ = cursor_ + 1 < fresh_ ? cursor_ + 1 : 0;
    const Slot& slot = slots_[cursor_];
    if (slot.live.load(std::memory_order_relaxed) == 0 || !has_expired(slot, now_ns)) continue;
    ++stats_.expired;
    forget(cursor_);
  }
}

uint32_t NatTable::forget_matching(const FlowFilter& filter, uint32_t first, uint32_t slots) {
  uint32_t forgotten = 0;
  for (uint32_t i = first; i < fresh_ && i - first < slots; ++i) {
    NatMapping mapping;
    if (!read(i, mapping) || !filter.matches(mapping.forward.source, mapping.backend)) continue;
    forget(i);
    ++forgotten;
  }
  return forgotten;
}

NatTables::NatTables(const NatTableConfig& config, uint32_t workers) {
  for (uint32_t w = 0; w < workers; ++w) tables_.push_back(std::make_unique<NatTable>(config, w, workers));
}

NatTables::Arrivals NatTables::arrivals(std::size_t interface, HashClass hash_class) const {
  Arrivals sum;
  for (const auto& table : tables_) {
    const ReplyArrivals& arrivals = table->arrivals(interface, hash_class);
    sum.home += arrivals.home.read();
    sum.away += arrivals.away.read();
  }
  return sum;
}

}  // namespace xebec
