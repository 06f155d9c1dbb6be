# SPDX-License-Identifier: BSD-2-Clause
"""The list of end-to-end cases, and what a case is given."""
import os

import daemon
import lab
from lab import LabError

CASES = {}

# What the sanitizers see, too: every path of packets and of changes once. The others repeat these with another mode, family, number
# of queues or way of polling, and twice the time they take would make a run of scripts/test longer than 25 minutes. They are
# there under every preset: scripts/test --all.
SANITIZED = {
    "removal_moves_only_what_it_must_ipv4", "reload_under_load_fails_nothing_on_2_queues", "rejected_reload_changes_nothing",
    "services_come_and_go_by_the_tool", "reload_that_replaces_every_backend_drops_nothing",
    "bodies_too_deep_or_with_a_key_twice_are_refused", "drains_under_load_to_zero_without_a_reset", "backends_that_a_reload_leaves_out_keep_their_connections", "configuration_is_undone_unless_confirmed", "flows_are_listed_counted_and_flushed", "explains_where_flows_really_go",
    "balances_dsr_l2_on_1_queues_by_generic_xdp", "balances_dsr_l2_on_2_queues_adaptive", "balances_ipip_ipv4_in_ipv6",
    "balances_ipip_ipv6_in_ipv4", "balances_gre_over_ipv4", "balances_gue_over_ipv6", "balances_vxlan_over_ipv6",
    "works_behind_a_router_with_gro_ipip", "fragments_meet_over_two_queues_dsr_l2", "datagrams_too_big_for_the_tunnel_arrive_in_pieces",
    "held_fragments_are_bounded_and_given_up",
    "every_queue_passes_its_self_test", "queue_that_nobody_serves_is_an_alarm_until_it_is_gone", "backend_that_dies_is_taken_out",
    "all_down_drops_fails_open_or_goes_to_the_fallback", "udp_leaves_a_dead_backend_and_maintenance_stops_its_check",
    "host_traffic_is_never_touched", "second_daemon_is_refused_and_the_first_unharmed", "missing_capability_is_named",
    "stops_cleanly_under_load", "goes_into_the_background_and_still_finds_its_files", "path_mtu_discovery_shrinks_tcp_ipv6_in_ipv4",
    "too_big_is_answered_with_what_the_rfcs_say", "traceroute_ends_at_the_vip", "injects_dsr_l2_on_2_queues",
    "injects_ipip_ipv4_in_ipv6", "forwards_packets_of_mtu_9000_ipip_on_2_queues", "translates_dnat_on_2_queues",
    "translates_nat_on_2_queues", "translates_dnat_between_two_interfaces", "ipip_adds_exactly_an_outer_header_ipv4_in_ipv4", "vlan_tags_are_kept",
    "malformed_packets_are_dropped_each_with_one_reason", "echo_to_a_vip_is_answered_with_a_right_checksum",
    "captured_drops_have_the_reason_that_explain_tells", "doctor_names_what_is_wrong_with_backends_and_host",
    "prefixes_ranges_and_protocols_have_their_own_backends", "quic_connections_keep_their_backend_whatever_their_address",
    "denied_sources_are_dropped_from_the_moment_of_the_change",
    "metrics_count_the_packets_really_sent", "least_connections_fill_up_a_backend_that_joins_on_2_queues",
    "turns_are_exact_and_follow_the_weights",
    "threads_keep_no_right_that_they_do_not_need", "tells_systemd_how_it_is_and_lives_only_while_every_worker_moves",
}


def labels(case):
    """Of the CTest test: `again` is what a preset with sanitizers leaves out unless asked."""
    return ",".join(["e2e"] + ["slow"] * case.slow + ["browser"] * case.browser + ["again"] * (case.name not in SANITIZED))


class Skipped(Exception):
    """What a case needs is not on this machine; says what, and how to get it."""


class Case:
    def __init__(self, name, function, timeout_s, slow, browser):
        self.name, self.function, self.timeout_s, self.slow, self.browser = name, function, timeout_s, slow, browser


def add(name, function, timeout_s=60, slow=False, browser=False):
    """slow: left out by `scripts/test --quick`. browser: needs one, and only `scripts/test --all` has it."""
    if name in CASES:
        raise ValueError(f"two cases named {name}")
    CASES[name] = Case(name, function, timeout_s, slow, browser)


def case(timeout_s=60, slow=False, browser=False):
    def register(function):
        add(function.__name__, function, timeout_s, slow, browser)
        return function
    return register


class Env:
    """Where the programs under test are."""

    def __init__(self, programs):
        self.programs = programs
        self.decap_object = os.path.join(programs, "tests", "e2e", "decap.bpf.o")

    def lab(self, tunnel=False, **options):
        """tunnel: the fabric is wide enough for an outer header and the backends take it off."""
        if tunnel:
            options = {"mtu": 1600, "decap": self.decap_object, **options}
        return lab.Lab(**options)

    def daemon(self, the_lab, settings=None, **options):
        return daemon.Daemon(the_lab, self.programs, settings or daemon.config(the_lab, **options))

    def seconds(self, default):
        """How long a throughput case runs: XEBEC_E2E_SECONDS, or its default."""
        return int(os.environ.get("XEBEC_E2E_SECONDS", default))

    def count(self, default):
        """How often a case of repetitions repeats: XEBEC_E2E_COUNT, or its default."""
        return int(os.environ.get("XEBEC_E2E_COUNT", default))


def expect(condition, what):
    if not condition:
        raise LabError(what() if callable(what) else str(what))


def expect_equal(is_, should, what):
    expect(is_ == should, lambda: f"{what}: is {is_!r}, should be {should!r}")


def expect_served(report, backends, what, slack=0.12):
    """No request failed, and each backend answered its equal share of them, plus or minus `slack` of the whole."""
    expect_equal(report["failed"], 0, f"{what}: failed requests ({report['errors']})")
    expect_equal(sorted(report["share"]), sorted(b.role for b in backends), f"{what}: backends that answered")
    for name, count in report["share"].items():
        share = count / report["requests"]
        expect(abs(share - 1 / len(backends)) <= slack, f"{what}: {name} has {share:.1%} of {report['requests']}")
