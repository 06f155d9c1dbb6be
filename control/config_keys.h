// SPDX-License-Identifier: BSD-2-Clause
// The keys of a configuration, and the words and ranges their values may have: the one list that the reader,
// the writer and the test of docs/xebec.schema.json share.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "bpf/abi.h"
#include "control/config.h"
#include "dataplane/limits.h"

namespace xebec {

struct Word {
  std::string_view text;
  uint8_t value = 0;  ///< of the enum the words stand for
};

/// The words a key may have.
struct Words {
  std::string_view noun;
  std::span<const Word> available;
};

/// Inclusive.
struct Range {
  uint64_t low = 0;
  uint64_t high = 0;
};

enum class KeyUse : uint8_t {
  optional,
  required,
};

struct KeyRule {
  std::string_view name;
  KeyUse use = KeyUse::optional;
  const Words* words = nullptr;  ///< of a key that takes a word
  Range range{};                 ///< of a key that takes a number
};

/// The keys one kind of object may have. `name` is its name in the schema's $defs, too.
struct ObjectRule {
  std::string_view name;
  std::span<const KeyRule> keys;
};

// ---- Words ----
template <typename Enum>
constexpr Word word(std::string_view text, Enum value) {
  return {text, static_cast<uint8_t>(value)};
}

inline constexpr Word kModeWordList[] = {
    word("dsr-l2", Mode::dsr_l2), word("ipip", Mode::ipip), word("gue", Mode::gue), word("gre", Mode::gre),
    word("vxlan", Mode::vxlan),   word("dnat", Mode::dnat), word("nat", Mode::nat)};
inline constexpr Words kModeWords{"mode", kModeWordList};

inline constexpr Word kClientNoteWordList[] = {word("none", ClientNote::none), word("toa", ClientNote::toa),
                                               word("proxy-v2", ClientNote::proxy)};
inline constexpr Words kClientNoteWords{"value of client_address", kClientNoteWordList};

inline constexpr Word kXdpModeWordList[] = {word("auto", XdpMode::automatic), word("native", XdpMode::native),
                                            word("generic", XdpMode::generic)};
inline constexpr Words kXdpModeWords{"mode", kXdpModeWordList};

inline constexpr Word kBindModeWordList[] = {
    word("auto", BindMode::automatic), word("zerocopy", BindMode::zerocopy), word("copy", BindMode::copy)};
inline constexpr Words kBindModeWords{"bind", kBindModeWordList};

inline constexpr Word kPollModeWordList[] = {word("adaptive", PollMode::adaptive),
                                             word("busy", PollMode::busy),
                                             word("interrupt", PollMode::interrupt)};
inline constexpr Words kPollModeWords{"poll", kPollModeWordList};

inline constexpr Word kTransmitWordList[] = {word("auto", TransmitMode::automatic),
                                             word("ring", TransmitMode::ring),
                                             word("inject", TransmitMode::inject)};
inline constexpr Words kTransmitWords{"transmit", kTransmitWordList};

inline constexpr Word kIrqWordList[] = {word("leave", IrqMode::leave), word("set", IrqMode::set)};
inline constexpr Words kIrqWords{"value of irq_affinity", kIrqWordList};

inline constexpr Word kHugepageWordList[] = {word("auto", HugepageMode::automatic),
                                             word("off", HugepageMode::off)};
inline constexpr Words kHugepageWords{"value of hugepages", kHugepageWordList};

inline constexpr Word kAdminWordList[] = {word("ready", Admin::ready), word("maint", Admin::maint),
                                          word("drain", Admin::drain)};
inline constexpr Words kAdminWords{"admin", kAdminWordList};

inline constexpr Word kFallbackWordList[] = {word("drop", FallbackVerdict::drop),
                                             word("pass", FallbackVerdict::pass)};
inline constexpr Words kFallbackWords{"fallback_verdict", kFallbackWordList};

inline constexpr Word kFailWordList[] = {word("drop", FailPolicy::drop), word("reset", FailPolicy::reset),
                                         word("pass", FailPolicy::pass), word("open", FailPolicy::open)};
inline constexpr Words kFailWords{"fail", kFailWordList};

inline constexpr Word kOnDownWordList[] = {word("rehash", OnDown::rehash), word("keep", OnDown::keep),
                                           word("reset", OnDown::reset)};
inline constexpr Words kOnDownWords{"on_down", kOnDownWordList};

inline constexpr Word kHealthTypeWordList[] = {
    word("none", HealthType::none),   word("tcp", HealthType::tcp), word("http", HealthType::http),
    word("https", HealthType::https), word("udp", HealthType::udp), word("icmp", HealthType::icmp),
    word("dns", HealthType::dns)};
inline constexpr Words kHealthTypeWords{"type", kHealthTypeWordList};

inline constexpr Word kHealthWordList[] = {word("unknown", Health::unknown), word("up", Health::up),
                                           word("down", Health::down)};
inline constexpr Words kHealthWords{"initial", kHealthWordList};

inline constexpr Word kHealthToWordList[] = {word("backend", HealthTo::backend), word("vip", HealthTo::vip)};
inline constexpr Words kHealthToWords{"to", kHealthToWordList};

inline constexpr Word kHttpMethodWordList[] = {word("GET", HttpMethod::get), word("HEAD", HttpMethod::head),
                                               word("OPTIONS", HttpMethod::options)};
inline constexpr Words kHttpMethodWords{"method", kHttpMethodWordList};

/// The types of RFC 1035, 3596 and 2782 that a server is likely to be asked for.
inline constexpr Word kDnsTypeWordList[] = {{"A", 1},   {"NS", 2},   {"CNAME", 5}, {"SOA", 6}, {"PTR", 12},
                                            {"MX", 15}, {"TXT", 16}, {"AAAA", 28}, {"SRV", 33}};
inline constexpr Words kDnsTypeWords{"dns_type", kDnsTypeWordList};

inline constexpr Word kDnsRecordsWordList[] = {word("A", DnsRecords::a), word("AAAA", DnsRecords::aaaa),
                                               word("SRV", DnsRecords::srv)};
inline constexpr Words kDnsRecordsWords{"type", kDnsRecordsWordList};

inline constexpr Word kProtocolWordList[] = {
    {"tcp", kProtoTcp}, {"udp", kProtoUdp}, {"sctp", kProtoSctp}, {"any", kProtoAny}};
inline constexpr Words kProtocolWords{"protocol", kProtocolWordList};

inline constexpr Word kAlgorithmWordList[] = {word("maglev", Algorithm::maglev),
                                              word("source-hash", Algorithm::source_hash),
                                              word("maglev-bounded", Algorithm::maglev_bounded),
                                              word("rr", Algorithm::rr),
                                              word("wrr", Algorithm::wrr),
                                              word("random", Algorithm::random),
                                              word("lc", Algorithm::lc),
                                              word("wlc", Algorithm::wlc),
                                              word("p2c", Algorithm::p2c)};
inline constexpr Words kAlgorithmWords{"algorithm", kAlgorithmWordList};

inline constexpr Word kWeightSourceWordList[] = {word("fixed", WeightSource::fixed),
                                                 word("response-time", WeightSource::response_time)};
inline constexpr Words kWeightSourceWords{"value of weights", kWeightSourceWordList};

inline constexpr Word kHashWordList[] = {
    word("5-tuple", HashInput::five_tuple), word("source", HashInput::source),
    word("source-destination", HashInput::source_destination), word("quic", HashInput::quic)};
inline constexpr Words kHashWords{"hash", kHashWordList};

inline constexpr Word kQuicFormatWordList[] = {word("quic-lb", QuicFormat::quic_lb),
                                               word("katran", QuicFormat::katran)};
inline constexpr Words kQuicFormatWords{"format", kQuicFormatWordList};

inline constexpr Word kPerWordList[] = {word("service", NewFlowLimit::Per::service),
                                        word("source", NewFlowLimit::Per::source)};
inline constexpr Words kPerWords{"per", kPerWordList};

// ---- Ranges ----
inline constexpr Range kVersionRange{1, 1};
inline constexpr Range kPortRange{1, 65535};
inline constexpr Range kVlanRange{1, 4094};
inline constexpr Range kGueVariantRange{0, 1};
inline constexpr Range kVniRange{0, (1u << 24) - 1};
inline constexpr Range kRotationRange{0, kQuicRotations - 1};
inline constexpr Range kServerIdRange{kMinServerIdLength, kMaxServerIdLength};
inline constexpr Range kNonceRange{kMinNonceLength, kMaxQuicBlock - kMinServerIdLength};
inline constexpr Range kWeightRange{0, kMaxWeight};
/// Below the mean nobody could take the last flow; ten times the mean is no bound any more.
inline constexpr Range kLoadFactorRange{101, 1000};
/// Up to an hour.
inline constexpr Range kSlowStartRange{0, 3'600'000};
/// Up to a day, as every deadline of a drain.
inline constexpr Range kDrainRange{0, 86'400'000};
inline constexpr Range kPercentRange{1, 100};
/// The upper end is the largest prime below 2^24: an array of 32 MiB, beyond which no balance is gained.
inline constexpr Range kTableSizeRange{2, 16'777'213};
inline constexpr Range kQueueRange{1, XEBEC_MAX_QUEUES};
/// A week. A flow silent for longer is gone in every firewall on its way.
inline constexpr Range kTimeoutRange{1, 604'800};
/// From one page of buckets to 64 Mi flows a worker, some 4 GiB.
inline constexpr Range kFlowCapacityRange{1024, 67'108'864};
inline constexpr Range kNatCapacityRange{1024, kMaxNatCapacity};
inline constexpr Range kInsertRateRange{1, 1'000'000'000};
/// From Linux's smallest (TCP_MIN_SND_MSS, include/net/tcp.h) to what an IP packet carries behind its headers.
inline constexpr Range kMssRange{48, 65'495};
/// Beyond the upper end it is no limit any more.
inline constexpr Range kIcmpRateRange{0, 1'000'000};
/// CPUs are numbered below CONFIG_NR_CPUS, at most 8192 on x86.
inline constexpr Range kCpuRange{0, 8191};

/// 20 a second is as fast as the table is worth changing (health_monitor.h); an hour is no check any more.
inline constexpr Range kHealthIntervalRange{50, 3'600'000};
inline constexpr Range kHealthTimeoutRange{1, 60'000};
inline constexpr Range kHealthCountRange{1, 100};
inline constexpr Range kHealthJitterRange{0, 50};
inline constexpr Range kPassiveFallRange{1, 1000};
/// Shorter, and clients would meet a dead backend more often than its checks would.
inline constexpr Range kPassiveRetryRange{500, 3'600'000};

/// A name that is asked for more often costs its server more than it tells us; a day old, an answer is history.
inline constexpr Range kDnsTtlRange{1, 86'400};

// ---- Objects ----
inline constexpr KeyRule kTopKeys[] = {
    {.name = "version", .range = kVersionRange},
    {.name = "instance"},
    {.name = "hash_seed"},
    {.name = "fallback_verdict", .words = &kFallbackWords},
    {.name = "hugepages", .words = &kHugepageWords},
    {.name = "interfaces"},
    {.name = "defaults"},
    {.name = "flow_table"},
    {.name = "tunnel"},
    {.name = "nat"},
    {.name = "icmp"},
    {.name = "services"},
    {.name = "control"},
    {.name = "vips"},
};
inline constexpr ObjectRule kTopRule{"configuration", kTopKeys};

inline constexpr KeyRule kInterfaceKeys[] = {
    {.name = "name", .use = KeyUse::required},
    {.name = "queues", .range = kQueueRange},
    {.name = "cpus", .range = kCpuRange},
    {.name = "mode", .words = &kXdpModeWords},
    {.name = "bind", .words = &kBindModeWords},
    {.name = "transmit", .words = &kTransmitWords},
    {.name = "poll", .words = &kPollModeWords},
    {.name = "irq_affinity", .words = &kIrqWords},
    {.name = "local_mac"},
};
inline constexpr ObjectRule kInterfaceRule{"interface", kInterfaceKeys};

inline constexpr KeyRule kDefaultsKeys[] = {
    {.name = "algorithm", .words = &kAlgorithmWords},
    {.name = "table_size", .range = kTableSizeRange},
    {.name = "mode", .words = &kModeWords},
    {.name = "timeouts"},
    {.name = "health"},
    {.name = "fail", .words = &kFailWords},
    {.name = "on_down", .words = &kOnDownWords},
    {.name = "drain_ms", .range = kDrainRange},
};
inline constexpr ObjectRule kDefaultsRule{"defaults", kDefaultsKeys};

inline constexpr KeyRule kTimeoutKeys[] = {
    {.name = "tcp_established_s", .range = kTimeoutRange},
    {.name = "tcp_syn_s", .range = kTimeoutRange},
    {.name = "tcp_fin_s", .range = kTimeoutRange},
    {.name = "udp_s", .range = kTimeoutRange},
};
inline constexpr ObjectRule kTimeoutRule{"timeouts", kTimeoutKeys};

inline constexpr KeyRule kFlowTableKeys[] = {
    {.name = "capacity", .range = kFlowCapacityRange},
    {.name = "max_inserts_per_s", .range = kInsertRateRange},
};
inline constexpr ObjectRule kFlowTableRule{"flow_table", kFlowTableKeys};

inline constexpr KeyRule kTunnelKeys[] = {
    {.name = "source_ipv4"},
    {.name = "source_ipv6"},
    {.name = "port", .range = kPortRange},
    {.name = "gue_variant", .range = kGueVariantRange},
    {.name = "vni", .range = kVniRange},
    {.name = "inner_mac"},
    {.name = "udp6_checksum"},
};
inline constexpr ObjectRule kTunnelRule{"tunnel", kTunnelKeys};

inline constexpr KeyRule kNatKeys[] = {{.name = "addresses"},
                                       {.name = "ports"},
                                       {.name = "capacity", .range = kNatCapacityRange},
                                       {.name = "timeouts"}};
inline constexpr ObjectRule kNatRule{"nat", kNatKeys};

inline constexpr KeyRule kNatTimeoutKeys[] = {
    {.name = "tcp_established_s", .range = kTimeoutRange},
    {.name = "tcp_transitory_s", .range = kTimeoutRange},
    {.name = "udp_s", .range = kTimeoutRange},
};
inline constexpr ObjectRule kNatTimeoutRule{"nat_timeouts", kNatTimeoutKeys};
inline constexpr KeyRule kIcmpKeys[] = {
    {.name = "errors_per_s", .range = kIcmpRateRange},
    {.name = "echo_replies_per_s", .range = kIcmpRateRange},
    {.name = "resets_per_s", .range = kIcmpRateRange},
};
inline constexpr ObjectRule kIcmpRule{"icmp", kIcmpKeys};

inline constexpr KeyRule kServiceKeys[] = {
    {.name = "name", .use = KeyUse::required},
    {.name = "vip", .use = KeyUse::required},
    {.name = "port", .use = KeyUse::required, .range = kPortRange},
    {.name = "protocol", .use = KeyUse::required, .words = &kProtocolWords},
    {.name = "mode", .words = &kModeWords},
    {.name = "algorithm", .words = &kAlgorithmWords},
    {.name = "load_factor_percent", .range = kLoadFactorRange},
    {.name = "slow_start_ms", .range = kSlowStartRange},
    {.name = "drain_ms", .range = kDrainRange},
    {.name = "weights", .words = &kWeightSourceWords},
    {.name = "weights_floor_percent", .range = kPercentRange},
    {.name = "weights_move_percent", .range = kPercentRange},
    {.name = "hash", .words = &kHashWords},
    {.name = "table_size", .range = kTableSizeRange},
    {.name = "stateless"},
    {.name = "tunnel"},
    {.name = "mss_clamp", .range = kMssRange},
    {.name = "fragment"},
    {.name = "client_address", .words = &kClientNoteWords},
    {.name = "allow"},
    {.name = "deny"},
    {.name = "rate_limit"},
    {.name = "backends"},
    {.name = "backends_from"},
    {.name = "health"},
    {.name = "fail", .words = &kFailWords},
    {.name = "on_down", .words = &kOnDownWords},
    {.name = "fallback"},
    {.name = "quic"},
    {.name = "timeouts"},
};
inline constexpr ObjectRule kServiceRule{"service", kServiceKeys};

inline constexpr KeyRule kQuicKeys[] = {
    {.name = "format", .words = &kQuicFormatWords},
    {.name = "configs"},
};
inline constexpr ObjectRule kQuicRule{"quic", kQuicKeys};

inline constexpr KeyRule kQuicLbKeys[] = {
    {.name = "rotation", .use = KeyUse::required, .range = kRotationRange},
    {.name = "server_id_length", .use = KeyUse::required, .range = kServerIdRange},
    {.name = "nonce_length", .use = KeyUse::required, .range = kNonceRange},
    {.name = "key"},
};
inline constexpr ObjectRule kQuicLbRule{"quic_lb", kQuicLbKeys};

inline constexpr KeyRule kRateLimitKeys[] = {
    {.name = "new_flows_per_s", .use = KeyUse::required, .range = kInsertRateRange},
    {.name = "per", .words = &kPerWords},
};
inline constexpr ObjectRule kRateLimitRule{"rate_limit", kRateLimitKeys};

inline constexpr KeyRule kBackendKeys[] = {
    {.name = "address", .use = KeyUse::required},
    {.name = "port", .range = kPortRange},
    {.name = "weight", .range = kWeightRange},
    {.name = "admin", .words = &kAdminWords},
    {.name = "mode", .words = &kModeWords},
    {.name = "mac"},
    {.name = "vlan", .range = kVlanRange},
    {.name = "tunnel"},
    {.name = "health"},
    {.name = "server_id"},
    {.name = "discovered"},
};
inline constexpr ObjectRule kBackendRule{"backend", kBackendKeys};

inline constexpr KeyRule kBackendsFromKeys[] = {
    {.name = "dns", .use = KeyUse::required},
    {.name = "type", .words = &kDnsRecordsWords},
    {.name = "port", .range = kPortRange},
    {.name = "weight", .range = kWeightRange},
    {.name = "min_ttl_s", .range = kDnsTtlRange},
    {.name = "max_ttl_s", .range = kDnsTtlRange},
    {.name = "servers"},
};
inline constexpr ObjectRule kBackendsFromRule{"backends_from", kBackendsFromKeys};

inline constexpr KeyRule kHealthKeys[] = {
    {.name = "type", .words = &kHealthTypeWords},
    {.name = "interval_ms", .range = kHealthIntervalRange},
    {.name = "timeout_ms", .range = kHealthTimeoutRange},
    {.name = "rise", .range = kHealthCountRange},
    {.name = "fall", .range = kHealthCountRange},
    {.name = "jitter_percent", .range = kHealthJitterRange},
    {.name = "initial", .words = &kHealthWords},
    {.name = "to", .words = &kHealthToWords},
    {.name = "port", .range = kPortRange},
    {.name = "path"},
    {.name = "host"},
    {.name = "method", .words = &kHttpMethodWords},
    {.name = "expect_status"},
    {.name = "expect_body"},
    {.name = "tls_verify"},
    {.name = "payload"},
    {.name = "payload_hex"},
    {.name = "expect"},
    {.name = "expect_hex"},
    {.name = "dns_name"},
    {.name = "dns_type", .words = &kDnsTypeWords},
    {.name = "passive"},
};
inline constexpr ObjectRule kHealthRule{"health", kHealthKeys};

inline constexpr KeyRule kPassiveKeys[] = {
    {.name = "fall", .range = kPassiveFallRange},
    {.name = "retry_after_ms", .range = kPassiveRetryRange},
};
inline constexpr ObjectRule kPassiveRule{"passive", kPassiveKeys};

inline constexpr KeyRule kControlKeys[] = {{.name = "socket"}, {.name = "http"}};
inline constexpr ObjectRule kControlRule{"control", kControlKeys};

// The seeds' form: a list of VIPs with their real servers.
inline constexpr KeyRule kVipKeys[] = {
    {.name = "vip", .use = KeyUse::required},
    {.name = "port", .use = KeyUse::required, .range = kPortRange},
    {.name = "protocol", .use = KeyUse::required, .words = &kProtocolWords},
    {.name = "reals", .use = KeyUse::required},
};
inline constexpr ObjectRule kVipRule{"vip", kVipKeys};

inline constexpr KeyRule kRealKeys[] = {{.name = "ip", .use = KeyUse::required}, {.name = "mac"}};
inline constexpr ObjectRule kRealRule{"real", kRealKeys};

/// Every object there is.
inline constexpr const ObjectRule* kObjectRules[] = {
    &kTopRule,     &kInterfaceRule, &kDefaultsRule, &kTimeoutRule,    &kFlowTableRule,
    &kTunnelRule,  &kNatRule,       &kIcmpRule,     &kNatTimeoutRule, &kServiceRule,
    &kBackendRule, &kControlRule,   &kVipRule,      &kRealRule,       &kRateLimitRule,
    &kHealthRule,  &kQuicRule,      &kQuicLbRule,   &kPassiveRule,    &kBackendsFromRule};

}  // namespace xebec
