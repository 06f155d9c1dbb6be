// SPDX-License-Identifier: BSD-2-Clause
// The metrics: one list, of which the text of /metrics, docs/metrics.md and the tests of dashboard and alert rules are made.
#pragma once

#include <array>

#include "control/config_keys.h"
#include "control/metric_rule.h"
#include "dataplane/drop_reason.h"
#include "dataplane/reply_queues.h"

namespace xebec {

template <std::size_t Count>
constexpr std::array<std::string_view, Count> texts_of(const Word (&words)[Count]) {
  std::array<std::string_view, Count> texts{};
  for (std::size_t i = 0; i < Count; ++i) texts[i] = words[i].text;
  return texts;
}

inline constexpr auto kMetricDropReasons = [] {
  std::array<std::string_view, kDropReasonCount> names{};
  for (std::size_t i = 0; i < kDropReasonCount; ++i) names[i] = kDropReasons[i].name;
  return names;
}();
inline constexpr auto kMetricAdminWords = texts_of(kAdminWordList);
inline constexpr auto kMetricHealthWords = texts_of(kHealthWordList);
inline constexpr std::string_view kMetricIcmpKinds[] = {"too_big", "time_exceeded", "port_unreachable"};
inline constexpr std::string_view kMetricQuicOutcomes[] = {"routed", "unrouted"};
inline constexpr std::string_view kMetricFramePlaces[] = {"free", "receive", "transmit", "in_hand"};
inline constexpr std::string_view kMetricShimOutcomes[] = {"steered", "no_socket", "stale", "denied",
                                                           "passed"};
inline constexpr auto& kMetricHashClasses = kHashClassNames;
inline constexpr std::string_view kMetricBuildLabels[] = {"version"};
inline constexpr std::string_view kMetricDaemonLabels[] = {"instance", "loop"};
inline constexpr std::string_view kMetricWorkerLabels[] = {"cpu"};
inline constexpr std::string_view kMetricInterfaceLabels[] = {"driver", "xdp"};
inline constexpr std::string_view kMetricQueueLabels[] = {"worker", "bind", "transmit", "poll"};
inline constexpr std::string_view kMetricServiceLabels[] = {"vip", "port", "protocol", "mode", "algorithm"};
inline constexpr std::string_view kMetricTableLabels[] = {"digest"};

// clang-format off
inline constexpr MetricRule kMetricRules[] = {
    // The daemon: GET /v1/status
    {"xebec_build_info", MetricType::gauge, MetricScope::daemon, MetricReading::info, "", "The version that runs; always 1.", {}, kMetricBuildLabels},
    {"xebec_daemon_info", MetricType::gauge, MetricScope::daemon, MetricReading::info, "", "The daemon's name, and what its control loop is made of; always 1.", {}, kMetricDaemonLabels},
    {"xebec_uptime_seconds", MetricType::gauge, MetricScope::daemon, MetricReading::number, "/uptime_seconds", "Time since the start."},
    {"xebec_healthy", MetricType::gauge, MetricScope::daemon, MetricReading::flag, "/healthy", "1 if the status has no problem."},
    {"xebec_problems", MetricType::gauge, MetricScope::daemon, MetricReading::size, "/problems", "Problems that the status lists."},
    {"xebec_warnings", MetricType::gauge, MetricScope::daemon, MetricReading::size, "/warnings", "Warnings that the status lists: worth a look, no fault."},
    {"xebec_table_generation", MetricType::gauge, MetricScope::daemon, MetricReading::number, "/generation", "Number of the table in force; every change makes a new one."},
    {"xebec_services", MetricType::gauge, MetricScope::daemon, MetricReading::number, "/services/total", "Configured services."},
    {"xebec_services_degraded", MetricType::gauge, MetricScope::daemon, MetricReading::number, "/services/degraded", "Services with a backend that takes no packets and should."},
    {"xebec_backends", MetricType::gauge, MetricScope::daemon, MetricReading::number, "/backends/total", "Configured backends, counted once for each service."},
    {"xebec_backends_usable", MetricType::gauge, MetricScope::daemon, MetricReading::number, "/backends/usable", "Backends that take packets."},

    // Workers: GET /v1/workers. Fates before what they are fates of.
    {"xebec_worker_dropped_packets_total", MetricType::counter, MetricScope::worker, MetricReading::members, "/packets/drops", "Packets dropped, by reason (docs/drops.md).", "reason", kMetricDropReasons},
    {"xebec_worker_forwarded_packets_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/packets/forwarded", "Packets handed to the kernel to send to a backend, or back to a client."},
    {"xebec_worker_replied_packets_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/packets/replied", "Packets answered: echo replies, ICMP errors and TCP resets."},
    {"xebec_worker_passed_packets_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/packets/passed", "Packets that a worker gave to the host's own stack: none. The shim passes them before, see xebec_shim_packets_total."},
    {"xebec_worker_held_packets", MetricType::gauge, MetricScope::worker, MetricReading::number, "/packets/held", "Fragments that wait for their first, now."},
    {"xebec_worker_received_packets_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/packets/received", "Packets received; each has one fate: forwarded, replied, passed, held or dropped."},
    {"xebec_worker_received_bytes_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/packets/received_bytes", "Bytes received, as frames without FCS."},
    {"xebec_worker_icmp_errors_total", MetricType::counter, MetricScope::worker, MetricReading::members, "/packets/icmp_errors", "Packets turned into an ICMP error; those sent are among the replied.", "kind", kMetricIcmpKinds},
    {"xebec_worker_resets_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/packets/resets", "Segments turned into a TCP reset; those sent are among the replied."},
    {"xebec_worker_mss_clamped_packets_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/packets/mss_clamped", "SYNs whose MSS was lowered."},
    {"xebec_worker_cut_packets_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/packets/cut", "Packets sent in pieces because they were too big."},
    {"xebec_worker_quic_packets_total", MetricType::counter, MetricScope::worker, MetricReading::members, "/quic", "Packets of QUIC whose connection id named their backend, or did not.", "outcome", kMetricQuicOutcomes},
    {"xebec_worker_checksums_completed_packets_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/packets/checksums_completed", "Packets whose partial checksum was made whole."},
    {"xebec_worker_transmit_errors_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/packets/transmit_errors", "Frames that the kernel took and lost, and calls it refused."},
    {"xebec_worker_latency_seconds", MetricType::histogram, MetricScope::worker, MetricReading::histogram, "/latency", "Time from taking a packet out of the rx ring until the kernel has it to send; of one packet in 64 batches."},
    {"xebec_worker_rounds_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/loop/rounds", "Rounds of the worker's loop."},
    {"xebec_worker_empty_rounds_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/loop/empty_rounds", "Rounds that found no packet."},
    {"xebec_worker_sleeps_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/loop/sleeps", "How often the worker slept until a packet came."},
    {"xebec_worker_asleep", MetricType::gauge, MetricScope::worker, MetricReading::flag, "/asleep", "1 while the worker sleeps until a packet comes."},
    {"xebec_worker_table_generation", MetricType::gauge, MetricScope::worker, MetricReading::number, "/generation", "Number of the table that the worker last used; a sleeping one takes the current one when it wakes."},
    {"xebec_worker_info", MetricType::gauge, MetricScope::worker, MetricReading::info, "", "The CPU that the worker is pinned to; always 1.", {}, kMetricWorkerLabels},
    {"xebec_worker_umem_frames", MetricType::gauge, MetricScope::worker, MetricReading::members, "/frames", "Frames of packet memory, by place.", "place", kMetricFramePlaces},
    {"xebec_worker_umem_lost_frames", MetricType::gauge, MetricScope::worker, MetricReading::number, "/frames/lost", "Frames in no place; not 0 for longer than a moment is a bug."},

    // Each worker's flow table and translations
    {"xebec_flow_table_flows", MetricType::gauge, MetricScope::worker, MetricReading::number, "/flows/used", "Flows remembered."},
    {"xebec_flow_table_capacity", MetricType::gauge, MetricScope::worker, MetricReading::number, "/flows/capacity", "Flows that can be remembered."},
    {"xebec_flow_table_hits_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/flows/hits", "Packets of a remembered flow."},
    {"xebec_flow_table_misses_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/flows/misses", "Packets of a flow that was not remembered."},
    {"xebec_flow_table_inserts_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/flows/inserts", "Flows newly remembered."},
    {"xebec_flow_table_refused_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/flows/refused", "Flows that found no place, or too many came at once; forwarded all the same."},
    {"xebec_flow_table_second_chances_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/flows/second_chances", "Unknown connections that went where they would have before the last change."},
    {"xebec_nat_connections", MetricType::gauge, MetricScope::worker, MetricReading::number, "/nat/used", "Translated connections."},
    {"xebec_nat_created_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/nat/created", "Translations made."},
    {"xebec_nat_expired_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/nat/expired", "Translations forgotten because nothing came for too long."},
    {"xebec_nat_reused_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/nat/reused", "Translations that had to make room for a new one."},
    {"xebec_nat_refused_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/nat/refused", "Connections that got no translation: no port or no room."},
    {"xebec_nat_reply_packets_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/nat/replies", "Packets translated back to clients."},
    {"xebec_nat_home_reply_packets_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/nat/replies_home", "Of the packets translated back those that came to the worker whose connection it is."},
    {"xebec_nat_client_told_packets_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/nat/client_told", "Packets that tell the backend the client's address."},
    {"xebec_nat_client_untold_packets_total", MetricType::counter, MetricScope::worker, MetricReading::number, "/nat/client_untold", "Packets that should have told it, and had no room."},

    // Interfaces and queues: GET /v1/interfaces
    {"xebec_interface_info", MetricType::gauge, MetricScope::interface, MetricReading::info, "", "The interface's driver and how the shim is attached; always 1.", {}, kMetricInterfaceLabels},
    {"xebec_interface_up", MetricType::gauge, MetricScope::interface, MetricReading::flag, "/up", "1 if the interface is up."},
    {"xebec_interface_carrier", MetricType::gauge, MetricScope::interface, MetricReading::flag, "/carrier", "1 if the interface has a carrier."},
    {"xebec_interface_mtu_bytes", MetricType::gauge, MetricScope::interface, MetricReading::number, "/mtu", "MTU of the interface."},
    {"xebec_interface_attached_again_total", MetricType::counter, MetricScope::interface, MetricReading::number, "/attached_again", "How often the interface was made anew under its name and attached to again."},
    {"xebec_shim_packets_total", MetricType::counter, MetricScope::interface, MetricReading::members, "/shim", "Packets to a VIP as the shim saw them: steered to a worker, or given the fallback verdict (no_socket, stale), or denied, or passed to the host because the service has no backend and says so.", "outcome", kMetricShimOutcomes},
    {"xebec_nat_foretold_home_replies_total", MetricType::counter, MetricScope::interface, MetricReading::members, "/nat_ports/home", "First replies of connections whose port was chosen by RSS that came to the queue foretold.", "class", kMetricHashClasses},
    {"xebec_nat_foretold_away_replies_total", MetricType::counter, MetricScope::interface, MetricReading::members, "/nat_ports/away", "First replies of connections whose port was chosen by RSS that came to another queue all the same.", "class", kMetricHashClasses},
    {"xebec_queue_info", MetricType::gauge, MetricScope::queue, MetricReading::info, "", "How the queue receives and sends, and for which worker; always 1.", {}, kMetricQueueLabels},
    {"xebec_queue_transmitted_frames_total", MetricType::counter, MetricScope::queue, MetricReading::number, "/transmitted", "Frames accepted for sending, the self-test's among them; a packet of MTU 9000 is three."},
    {"xebec_queue_injected_frames_total", MetricType::counter, MetricScope::queue, MetricReading::number, "/injected", "Of the transmitted frames those sent by the injector."},
    {"xebec_queue_transmit_calls_total", MetricType::counter, MetricScope::queue, MetricReading::number, "/transmit_calls", "System calls made to have frames sent."},
    {"xebec_queue_transmit_stuck", MetricType::gauge, MetricScope::queue, MetricReading::flag, "/transmit_stuck", "1 while the transmit ring stands still with frames in it."},
    {"xebec_queue_transmit_stalls_total", MetricType::counter, MetricScope::queue, MetricReading::number, "/transmit_stalls", "How often the transmit ring stood still."},
    {"xebec_xsk_rx_dropped_total", MetricType::counter, MetricScope::queue, MetricReading::number, "/rx_dropped", "XDP_STATISTICS: packets that the socket dropped for other reasons than a full ring."},
    {"xebec_xsk_rx_ring_full_total", MetricType::counter, MetricScope::queue, MetricReading::number, "/rx_ring_full", "XDP_STATISTICS: packets lost because the rx ring was full: the worker is too slow."},
    {"xebec_xsk_fill_ring_empty_total", MetricType::counter, MetricScope::queue, MetricReading::number, "/fill_ring_empty", "XDP_STATISTICS: how often the kernel found no frame to receive into."},
    {"xebec_xsk_tx_invalid_total", MetricType::counter, MetricScope::queue, MetricReading::number, "/tx_invalid", "XDP_STATISTICS: descriptors that the kernel refused to send."},

    // Services and backends: GET /v1/services, /v1/backends
    {"xebec_service_info", MetricType::gauge, MetricScope::service, MetricReading::info, "", "What the service listens on, and how it forwards; always 1.", {}, kMetricServiceLabels},
    {"xebec_service_table_info", MetricType::gauge, MetricScope::service, MetricReading::info, "", "Digest of the lookup array: equal on nodes that place flows alike; always 1.", {}, kMetricTableLabels},
    {"xebec_service_backends", MetricType::gauge, MetricScope::service, MetricReading::number, "/backends/total", "Backends of the service, without its fallback."},
    {"xebec_service_backends_usable", MetricType::gauge, MetricScope::service, MetricReading::number, "/backends/usable", "Backends of the service that take packets."},
    {"xebec_service_backends_down", MetricType::gauge, MetricScope::service, MetricReading::number, "/backends/down", "Backends of the service that their health check says are down."},
    {"xebec_backend_packets_total", MetricType::counter, MetricScope::backend, MetricReading::number, "/packets", "Packets for the backend."},
    {"xebec_backend_bytes_total", MetricType::counter, MetricScope::backend, MetricReading::number, "/bytes", "Bytes for the backend, of the frames as received."},
    {"xebec_backend_new_flows_total", MetricType::counter, MetricScope::backend, MetricReading::number, "/new_flows", "Flows first sent to the backend."},
    {"xebec_backend_usable", MetricType::gauge, MetricScope::backend, MetricReading::flag, "/usable", "1 if the backend takes packets."},
    {"xebec_backend_fallback", MetricType::gauge, MetricScope::backend, MetricReading::flag, "/fallback", "1 if it is the service's fallback."},
    {"xebec_backend_weight", MetricType::gauge, MetricScope::backend, MetricReading::number, "/weight", "Configured weight."},
    {"xebec_backend_effective_weight", MetricType::gauge, MetricScope::backend, MetricReading::number, "/effective_weight", "Weight in force: less than configured while the backend starts slowly or answers more slowly than others, 0 while it gets no new flows."},
    {"xebec_backend_response_seconds", MetricType::gauge, MetricScope::backend, MetricReading::milliseconds, "/response_ms", "Average time of the backend's good health checks, where weights go by it."},
    {"xebec_backend_share_ratio", MetricType::gauge, MetricScope::backend, MetricReading::number, "/share", "Share of the lookup array, 0 to 1."},
    {"xebec_backend_admin", MetricType::gauge, MetricScope::backend, MetricReading::state, "/admin", "1 for the admin state that the backend is in.", "state", kMetricAdminWords},
    {"xebec_backend_health", MetricType::gauge, MetricScope::backend, MetricReading::state, "/health/state", "1 for what the health check says; unknown where there is none.", "state", kMetricHealthWords},

    // Health checks: GET /v1/health
    {"xebec_health_check_duration_seconds", MetricType::gauge, MetricScope::check, MetricReading::milliseconds, "/duration_ms", "How long the last check took."},
    {"xebec_health_checks_total", MetricType::counter, MetricScope::check, MetricReading::number, "/checks", "Checks done."},
    {"xebec_health_check_failures_total", MetricType::counter, MetricScope::check, MetricReading::number, "/failures", "Checks with a bad result."},
    {"xebec_health_checks_not_run_total", MetricType::counter, MetricScope::check, MetricReading::number, "/not_run", "Checks that could not be run for a reason of ours, which say nothing of the backend."},
};
// clang-format on

}  // namespace xebec
