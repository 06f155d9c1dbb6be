# SPDX-License-Identifier: BSD-2-Clause
"""The tool `xebec` against a fake daemon: requests, output in its three forms, errors and exit codes. No root.

Usage: cli_test.py PATH-OF-XEBEC [unittest arguments]
"""
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import unittest

from fake_daemon import FakeDaemon, error_body

XEBEC = ""


def lines(text):
    return textwrap.dedent(text).lstrip("\n")


SERVICE = {"name": "web", "vip": "203.0.113.10", "port": 443, "protocol": "tcp", "mode": "dsr-l2", "algorithm": "wrr",
           "table_size": 65537, "stateless": False, "backends": {"total": 2, "usable": 1}, "digest": "00f1e2d3c4b5a697",
           "packets": 1234567, "bytes": 1300000000, "new_flows": 4711, "flows": 321, "open_flows": 300}
SERVICE6 = {"name": "dns6", "vip": "2001:db8::53", "port": 0, "protocol": "udp", "mode": "ipip", "algorithm": "maglev",
            "table_size": 251,
            "stateless": True, "backends": {"total": 0, "usable": 0}, "digest": "0000000000000000",
            "packets": 0, "bytes": 0, "new_flows": 0, "flows": 0, "open_flows": 0}
BACKENDS = [
    {"service": "web", "address": "10.0.1.11", "weight": 100, "admin": "ready", "mode": "dsr-l2", "usable": True, "why": "",
     "health": {"state": "up", "type": "tcp", "reason": "connected"},
     "share": 1, "next_hop": {"state": "reachable", "mac": "02:00:00:00:01:0b", "interface": "eth0", "gateway": None},
     "packets": 1234567, "bytes": 1300000000, "new_flows": 4711, "flows": 321, "open_flows": 300},
    {"service": "web", "address": "10.0.1.12", "weight": 5, "admin": "ready", "mode": "dsr-l2", "usable": False,
     "why": "its neighbour does not answer", "share": 0.0,
     "health": {"state": "down", "type": "tcp", "reason": "no answer within 1000 ms"},
     "next_hop": {"state": "failed", "mac": "", "interface": "eth0", "gateway": None},
     "packets": 0, "bytes": 0, "new_flows": 0, "flows": 0, "open_flows": 0}]
PACKETS = {"received": 1300000, "received_bytes": 2048, "forwarded": 1234567, "passed": 0, "replied": 3, "dropped": 65430,
           "drops": {"ttl_expired": 30, "no_service": 65400}, "held": 2,
           "icmp_errors": {"too_big": 7, "time_exceeded": 0, "port_unreachable": 2}, "resets": 4, "mss_clamped": 5, "checksums_completed": 12,
           "transmit_errors": 0}
STATUS = {"schema": "xebec.status/1", "version": "0.1.0", "instance": "lb1", "pid": 4242, "uptime_seconds": 273900,
          "generation": 17, "healthy": True, "problems": [], "loop": "io_uring", "interfaces": ["eth0", "eth1"],
          "workers": 4, "services": {"total": 2, "degraded": 1}, "backends": {"total": 2, "usable": 1}, "packets": PACKETS}
WORKER = {"worker": 0, "cpu": None, "ports": ["eth0:0", "eth1:0"], "generation": 17, "asleep": True, "packets": PACKETS,
          "flows": {"used": 12, "capacity": 262144, "inserts": 9, "refused": 0},
          "frames": {"total": 16384, "free": 100, "receive": 1, "transmit": 2, "in_hand": 0, "lost": 0}}
INTERFACE = {"name": "eth0", "ifindex": 2, "driver": "veth", "mac": "02:00:00:00:00:01", "mtu": 1500, "up": True,
             "carrier": False, "xdp": "generic", "attached_again": 2, "native_refusal": "Operation not supported",
             "transmit_why": "configured", "nat_ports": {"summary": "by RSS, but not udp4"},
             "queues": [{"queue": q, "worker": q, "bind": "copy", "transmit": "ring", "poll": "adaptive", "napi_id": 0,
                         "rx_dropped": q, "rx_ring_full": 0, "fill_ring_empty": 0, "tx_invalid": 0,
                         "self_test": ("ok", "failed")[q], "transmit_stalls": 3 * q, "poll_why": "no NAPI id" if q else ""} for q in (0, 1)],
             "shim": {"steered": 123456, "no_socket": 0, "stale": 7, "denied": 3, "passed": 6}}


def change(diff, **more):
    return {"schema": "xebec.change/1", "changed": bool(diff), "generation": 18, "dry_run": False, "diff": diff,
            "warnings": [], **more}


class CliTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.socket = os.path.join(self.dir.name, "x.sock")
        self.daemon = FakeDaemon(self.socket)
        self.addCleanup(self.daemon.close)

    def path(self, name, text=None):
        path = os.path.join(self.dir.name, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return path

    def run_tool(self, *args, env=None, **more):
        return subprocess.run([XEBEC, *args], capture_output=True, text=True, timeout=60, check=False,
                              env={"PATH": os.environ["PATH"], "XEBEC_SOCKET": self.socket, **(env or {})}, **more)

    def expect(self, args, code=0, out="", err=""):
        done = self.run_tool(*args)
        self.assertEqual((done.stdout, done.stderr, done.returncode), (out, err, code))
        return done

    def asked(self):
        """The one request that was made."""
        self.assertEqual(len(self.daemon.requests), 1, self.daemon.requests)
        method, path, body = self.daemon.requests[0]
        return method, path, json.loads(body) if body else None

    # Output

    def test_status_of_a_healthy_daemon_exits_0(self):
        self.daemon.answer("GET", "/v1/status", STATUS)
        self.expect(["status"], 0, lines("""
            healthy  lb1: xebecd 0.1.0, pid 4242, up 3d 4h
            interfaces  eth0,eth1
            workers     4
            services    2, 1 degraded
            backends    2, 1 usable
            generation  17
            event loop  io_uring
            packets     1.30M received (2.00 KiB), 1.23M forwarded, 0 passed, 3 replied, 65430 dropped
            """))

    def test_status_of_a_degraded_daemon_exits_1_in_every_form(self):
        self.daemon.answer("GET", "/v1/status", {**STATUS, "healthy": False, "problems": ["eth1: no carrier", "x\x1b[2Jy"]})
        for form in ("table", "json", "tsv"):
            done = self.run_tool("status", "-o", form)
            self.assertEqual((done.returncode, done.stderr), (1, ""), form)
        text = self.run_tool("status").stdout.splitlines()
        self.assertEqual(text[:3], ["DEGRADED  lb1: xebecd 0.1.0, pid 4242, up 3d 4h", "  - eth1: no carrier",
                                    "  - x\\x1b[2Jy"])

    def test_status_as_tsv_is_one_field_a_line(self):
        self.daemon.answer("GET", "/v1/status", STATUS)
        out = self.run_tool("status", "-o", "tsv").stdout.splitlines()
        self.assertEqual(out[0], "field\tvalue")
        self.assertIn("packets.drops.no_service\t65400", out)
        self.assertIn("healthy\tyes", out)

    def test_lists_are_aligned_and_numbers_stand_right(self):
        self.daemon.answer("GET", "/v1/services", {"schema": "xebec.service-list/1", "services": [SERVICE, SERVICE6]})
        self.expect(["service", "list"], 0, lines("""
            NAME  ADDRESS                 MODE    BACKENDS  PACKETS     BYTES  NEW FLOWS  FLOWS  DIGEST
            web   203.0.113.10:443/tcp    dsr-l2       1/2    1.23M  1.21 GiB       4711    321  00f1e2d3c4b5a697
            dns6  [2001:db8::53]:any/udp  ipip         0/0        0       0 B          0      0  0000000000000000
            """))

    def test_list_show_and_ls_are_one_verb_and_the_default(self):
        self.daemon.answer("GET", "/v1/services", {"schema": "xebec.service-list/1", "services": [SERVICE]})
        self.daemon.answer("GET", "/v1/backends", {"schema": "xebec.backend-list/1", "backends": BACKENDS})
        self.daemon.answer("GET", "/v1/interfaces", {"schema": "xebec.interface-list/1", "interfaces": [INTERFACE]})
        self.daemon.answer("GET", "/v1/workers", {"schema": "xebec.worker-list/1", "workers": [WORKER]})
        for name in ("service", "backend", "interface", "worker"):
            said = [self.run_tool(name, *verb) for verb in ((), ("list",), ("show",), ("ls",))]
            self.assertEqual({(done.stdout, done.stderr, done.returncode) for done in said}, {(said[0].stdout, "", 0)}, name)
            self.assertNotEqual(said[0].stdout, "")

    def test_tsv_has_a_header_and_exact_numbers(self):
        self.daemon.answer("GET", "/v1/services", {"schema": "xebec.service-list/1", "services": [SERVICE, SERVICE6]})
        self.expect(["-o", "tsv", "service", "list"], 0, (
            "name\tvip\tport\tprotocol\tmode\talgorithm\ttable_size\tstateless\tbackends_usable\tbackends_total\tpackets\tbytes\t"
            "new_flows\tflows\topen_flows\tdigest\n"
            "web\t203.0.113.10\t443\ttcp\tdsr-l2\twrr\t65537\tno\t1\t2\t1234567\t1300000000\t4711\t321\t300\t00f1e2d3c4b5a697\n"
            "dns6\t2001:db8::53\tany\tudp\tipip\tmaglev\t251\tyes\t0\t0\t0\t0\t0\t0\t0\t0000000000000000\n"))

    def test_json_is_the_answer_as_it_came(self):
        body = b'{"schema":"xebec.service-list/1",  "services":[], "new":1.50}'
        self.daemon.answer("GET", "/v1/services", body)
        for args in (["-j", "service", "list"], ["service", "list", "-j"], ["service", "-o", "json", "list"],
                     ["service", "list", "--output=json"], ["service", "-j"]):
            self.expect(args, 0, body.decode() + "\n")
        pretty = self.run_tool("service", "list", "-p").stdout
        self.assertEqual(pretty, '{\n  "schema": "xebec.service-list/1",\n  "services": [],\n  "new": 1.5\n}\n')

    def test_one_service_shows_its_backends(self):
        self.daemon.answer("GET", "/v1/services/web", {"schema": "xebec.service/1", "service": SERVICE,
                                                       "backend_list": BACKENDS, "config": {}})
        self.expect(["service", "show", "web"], 0, lines("""
            web  203.0.113.10:443/tcp
              mode          dsr-l2
              algorithm     wrr
              lookup array  65537 slots, digest 00f1e2d3c4b5a697
              stateless     no
              backends      2, 1 usable
              traffic       1.23M packets, 1.21 GiB, 4711 new flows

            ADDRESS    WEIGHT  ADMIN  HEALTH  MODE    USABLE     SHARE  NEXT HOP                PACKETS     BYTES  NEW FLOWS  FLOWS  WHY
            10.0.1.11     100  ready  up      dsr-l2  yes     100.00 %  eth0 02:00:00:00:01:0b    1.23M  1.21 GiB       4711    321  -
            10.0.1.12       5  ready  down    dsr-l2  no        0.00 %  failed                        0       0 B          0      0  """
                                                        "its neighbour does not answer\n"))

    def test_backends_of_one_service(self):
        self.daemon.answer("GET", "/v1/backends?service=web", {"schema": "xebec.backend-list/1", "backends": BACKENDS})
        out = self.run_tool("backend", "list", "web", "-o", "tsv").stdout.splitlines()
        self.assertEqual(len(out), 3)
        row = dict(zip(out[0].split("\t"), out[2].split("\t")))
        self.assertEqual(row["address"], "10.0.1.12")
        self.assertEqual(row["usable"], "no")
        self.assertEqual(row["next_hop_mac"], "")
        self.assertEqual((row["health"], row["health_reason"]), ("down", "no answer within 1000 ms"))
        self.assertEqual(row["why"], "its neighbour does not answer")

    def test_a_backend_that_starts_slowly_shows_the_weight_in_force(self):
        rows = [{**BACKENDS[0], "effective_weight": 37.5}, {**BACKENDS[1], "effective_weight": 0},
                {**BACKENDS[0], "effective_weight": 100}]
        self.daemon.answer("GET", "/v1/backends?service=web", {"schema": "xebec.backend-list/1", "backends": rows})
        out = self.run_tool("backend", "list", "web").stdout.splitlines()
        self.assertEqual([line.split()[2] for line in out[1:]], ["37.5/100", "5", "100"])
        out = [line.split("\t") for line in self.run_tool("backend", "list", "web", "-o", "tsv").stdout.splitlines()]
        self.assertEqual([row[out[0].index("effective_weight")] for row in out[1:]], ["37.5", "0", "100"])

    def test_health_lists_every_check_and_its_last_result(self):
        check = {"service": "web", "address": "10.0.1.11", "state": "up", "type": "http", "target": "10.0.1.11:80",
                 "last": "good", "reason": "status 200", "duration_ms": 1.25, "good_in_a_row": 7, "bad_in_a_row": 0, "rise": 2,
                 "fall": 3, "interval_ms": 2000, "timeout_ms": 1000, "checks": 7, "failures": 0, "not_run": 0,
                 "since_seconds": 14}
        dead = {**check, "address": "10.0.1.12", "target": "10.0.1.12:80", "state": "down", "last": "bad", "checks": 123456,
                "reason": "connection refused", "good_in_a_row": 0, "bad_in_a_row": 9, "failures": 9, "duration_ms": 0.1}
        answer = {"schema": "xebec.health-list/1", "running": 0, "waiting": 0, "checks": [check, dead]}
        self.daemon.answer("GET", "/v1/health", answer)
        self.daemon.answer("GET", "/v1/health?service=web", answer)
        table = lines("""
            SERVICE  ADDRESS    STATE  TYPE  TARGET        LAST  DURATION MS  GOOD IN A ROW  RISE  BAD IN A ROW  FALL  CHECKS  FAILURES  REASON
            web      10.0.1.11  up     http  10.0.1.11:80  good         1.25              7     2             0     3       7         0  status 200
            web      10.0.1.12  down   http  10.0.1.12:80  bad           0.1              0     2             9     3    123k         9  connection refused
            """)
        for args in (["health"], ["health", "list"], ["health", "ls"], ["health", "show", "web"]):
            self.expect(args, 0, table)
        tsv = self.run_tool("health", "list", "-o", "tsv").stdout.splitlines()
        self.assertEqual(dict(zip(tsv[0].split("\t"), tsv[2].split("\t")))["checks"], "123456")

    def test_health_history_of_a_service_and_of_a_backend(self):
        answer = {"schema": "xebec.health-history/1", "transitions": [
            {"time": "2026-01-02T03:04:05.678Z", "service": "web", "address": "10.0.1.12", "from": "up", "to": "down",
             "reason": "connection refused after 3 of 3", "duration_ms": 0.1}]}
        for path in ("/v1/health/history", "/v1/health/history?service=web",
                     "/v1/health/history?service=web&backend=10.0.1.12"):
            self.daemon.answer("GET", path, answer)
        table = lines("""
            TIME                      SERVICE  ADDRESS    FROM  TO    DURATION MS  REASON
            2026-01-02T03:04:05.678Z  web      10.0.1.12  up    down          0.1  connection refused after 3 of 3
            """)
        for args in ([], ["web"], ["web", "10.0.1.12"]):
            self.expect(["health", "history", *args], 0, table)
        self.assertEqual(self.run_tool("health", "history", "web", "10.0.1.12:80").returncode, 2)

    def test_a_single_check_waits_for_its_result_and_tells_it_by_the_exit_code(self):
        begun = {"schema": "xebec.health-check/1", "check": 5, "service": "web", "address": "10.0.1.12", "type": "tcp",
                 "target": "10.0.1.12:80", "done": False, "result": None, "reason": "", "duration_ms": None}
        post, get = "/v1/services/web/backends/10.0.1.12/check", "/v1/health/checks/5"
        self.daemon.answer("POST", post, begun, 202)
        for result, code in (("good", 0), ("bad", 1), ("not_run", 1)):
            self.daemon.answer("GET", get, {**begun, "done": True, "result": result, "reason": "why", "duration_ms": 0.5})
            self.expect(["backend", "check", "web", "10.0.1.12"], code, lines(f"""
                SERVICE  ADDRESS    TYPE  TARGET        {"RESULT":{max(6, len(result))}}  DURATION MS  REASON
                web      10.0.1.12  tcp   10.0.1.12:80  {result:{max(6, len(result))}}          0.5  why
                """))
        self.daemon.answer("GET", get, begun)
        done = self.run_tool("--timeout", "0.2", "backend", "check", "web", "10.0.1.12")
        self.assertEqual((done.returncode, done.stdout), (7, ""))
        self.assertIn("10.0.1.12: has no result yet", done.stderr)

    def test_interfaces_show_their_queues(self):
        self.daemon.answer("GET", "/v1/interfaces", {"schema": "xebec.interface-list/1", "interfaces": [INTERFACE]})
        self.expect(["interface", "list"], 0, lines("""
            NAME  DRIVER  MAC                 MTU  UP   CARRIER  XDP      STEERED  NO SOCKET  STALE  DENIED  PASSED  ATTACHED AGAIN  NOT NATIVE BECAUSE       TRANSMIT BECAUSE  NAT PORTS
            eth0  veth    02:00:00:00:00:01  1500  yes  no       generic     123k          0      7       3       6               2  Operation not supported  configured        by RSS, but not udp4

            INTERFACE  QUEUE  WORKER  BIND  TRANSMIT  POLL      NAPI ID  RX DROPPED  RX RING FULL  FILL RING EMPTY  TX INVALID  SELF TEST  TRANSMIT STALLS  POLL BECAUSE
            eth0           0       0  copy  ring      adaptive        0           0             0                0           0  ok                       0  -
            eth0           1       1  copy  ring      adaptive        0           1             0                0           0  failed                   3  no NAPI id
            """))
        out = self.run_tool("interface", "list", "-o", "tsv").stdout.splitlines()
        self.assertEqual(len(out), 3)
        self.assertEqual(len({line.count("\t") for line in out}), 1)

    def test_workers(self):
        self.daemon.answer("GET", "/v1/workers", {"schema": "xebec.worker-list/1", "workers": [WORKER]})
        out = self.run_tool("worker", "list").stdout.splitlines()
        self.assertEqual(out[1].split(), ["0", "-", "eth0:0,eth1:0", "yes", "1.30M", "1.23M", "65430", "12/262k", "0",
                                          "100", "16384", "0", "17"])

    def test_which_backend_a_flow_gets(self):
        answer = {"schema": "xebec.which/1", "service": "web", "source": "[2001:db8::7]:40000",
                  "destination": "[2001:db8::1]:443", "hash": "0123456789abcdef", "slot": 7, "backend": "2001:db8::11"}
        path = "/v1/services/web/which?src=%5B2001%3Adb8%3A%3A7%5D%3A40000&dport=443"
        self.daemon.answer("GET", path, answer)
        self.expect(["service", "which", "web", "--src", "[2001:db8::7]:40000", "--dport", "443"], 0,
                    "[2001:db8::7]:40000 -> [2001:db8::1]:443 -> 2001:db8::11  (web, slot 7, hash 0123456789abcdef)\n")
        self.daemon.answer("GET", path, {**answer, "backend": None, "slot": None})
        self.assertIn("-> no backend  (web", self.run_tool(
            "service", "which", "web", "--src", "[2001:db8::7]:40000", "--dport", "443").stdout)
        self.daemon.answer("GET", path, {**answer, "backend": None, "slot": None, "depends_on": "flows"})
        self.assertIn("-> depends on flows  (web", self.run_tool(
            "service", "which", "web", "--src", "[2001:db8::7]:40000", "--dport", "443").stdout)

    def test_which_says_what_a_wide_service_leaves_open(self):
        answer = {"schema": "xebec.which/1", "service": "web", "source": "192.0.2.1:9", "destination": "203.0.113.7:8001",
                  "hash": "0123456789abcdef", "slot": 7, "backend": "10.0.1.11"}
        self.daemon.answer("GET", "/v1/services/web/which?src=192.0.2.1%3A9&dport=8001&dst=203.0.113.7&protocol=sctp", answer)
        done = self.run_tool("service", "which", "web", "--src", "192.0.2.1:9", "--dport", "8001", "--dst", "203.0.113.7",
                             "--protocol", "sctp")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_service_endpoints_of_every_form(self):
        for text, wanted in (("203.0.113.0/24:8000-8099/tcp", {"vip": "203.0.113.0/24", "port": "8000-8099", "protocol": "tcp"}),
                             ("[2001:DB8::/32]:any/any", {"vip": "2001:db8::/32", "port": "any", "protocol": "any"}),
                             ("203.0.113.10:443/sctp", {"vip": "203.0.113.10", "port": 443, "protocol": "sctp"})):
            self.daemon.answer("POST", "/v1/services", {"schema": "xebec.change/1", "changed": True, "generation": 2,
                                                        "dry_run": False, "diff": [], "warnings": []}, 201)
            done = self.run_tool("service", "add", "x", text, "allow=10.0.0.0/8,192.0.2.1", "hash=source")
            self.assertEqual(done.returncode, 0, done.stderr)
            body = json.loads(self.daemon.requests[-1][2])
            self.assertEqual(body, {"name": "x", "allow": ["10.0.0.0/8", "192.0.2.1"], "hash": "source", **wanted})
        for text in ("203.0.113.0/33:443/tcp", "203.0.113.0/24:8000-/tcp", "203.0.113.0/:443/tcp"):
            self.assertEqual(self.run_tool("service", "add", "x", text).returncode, 2, text)

    def test_stats(self):
        self.daemon.answer("GET", "/v1/stats", {"schema": "xebec.stats/1", "packets": PACKETS, "services": [SERVICE],
                                                "backends": [{k: b[k] for k in ("service", "address", "packets", "bytes",
                                                                                "new_flows", "flows", "open_flows")} for b in BACKENDS]})
        self.daemon.answer("GET", "/v1/workers", {"schema": "xebec.worker-list/1", "workers": [WORKER]})
        self.daemon.answer("GET", "/v1/backends?service=web", {"schema": "xebec.backend-list/1", "backends": BACKENDS})
        self.expect(["stats"], 0, lines("""
            received             1.30M packets, 2.00 KiB
            forwarded            1.23M
            passed               0
            replied              3
            dropped              65430
            held                 2
            ICMP errors          7 too big, 0 time exceeded, 2 port unreachable
            TCP resets           4
            MSS clamped          5
            checksums completed  12
            transmit errors      0

            REASON       PACKETS  MEANING
            no_service     65400  no service at this address, protocol and port
            ttl_expired       30  TTL or hop limit used up

            NAME  ADDRESS               MODE    BACKENDS  PACKETS     BYTES  NEW FLOWS  FLOWS  DIGEST
            web   203.0.113.10:443/tcp  dsr-l2       1/2    1.23M  1.21 GiB       4711    321  00f1e2d3c4b5a697
            """))
        self.expect(["stats", "--by", "drop-reason", "-o", "tsv"], 0, lines("""
            reason\tpackets\tmeaning
            no_service\t65400\tno service at this address, protocol and port
            ttl_expired\t30\tTTL or hop limit used up
            """))
        by_backend = lines("""
            SERVICE  ADDRESS    PACKETS     BYTES  NEW FLOWS  FLOWS
            web      10.0.1.11    1.23M  1.21 GiB       4711    321
            web      10.0.1.12        0       0 B          0      0
            """)
        self.expect(["stats", "--by", "backend"], 0, by_backend)
        self.expect(["stats", "web"], 0, by_backend)
        self.expect(["stats", "--by", "worker", "-o", "tsv"], 0, (
            "worker\treceived\treceived_bytes\tforwarded\tpassed\treplied\tdropped\theld\tmss_clamped\t"
            "checksums_completed\ttransmit_errors\n"
            "0\t1300000\t2048\t1234567\t0\t3\t65430\t2\t5\t12\t0\n"))
        done = self.run_tool("stats", "web", "--by", "worker")
        self.assertEqual((done.returncode, done.stdout), (2, ""))

    def test_a_field_that_is_missing_shows_as_a_dash(self):
        self.daemon.answer("GET", "/v1/workers", {"schema": "xebec.worker-list/1", "workers": [{"worker": 3}, 7]})
        out = self.run_tool("worker", "list").stdout.splitlines()
        self.assertEqual(out[1].split(), ["3"] + ["-"] * 6 + ["-/-"] + ["-"] * 5)

    def test_colour_only_on_a_terminal(self):
        self.daemon.answer("GET", "/v1/backends", {"schema": "xebec.backend-list/1", "backends": BACKENDS})
        for env, coloured in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            leader, follower = pty.openpty()
            subprocess.run([XEBEC, "backend", "list"], stdout=follower, timeout=60, check=True,
                           env={"XEBEC_SOCKET": self.socket, **env})
            os.close(follower)
            text = b""
            try:
                while chunk := os.read(leader, 65536):
                    text += chunk
            except OSError:  # EIO: all has been read
                pass
            os.close(leader)
            self.assertEqual(b"\x1b[31mno\x1b[0m" in text, coloured, env)
            self.assertEqual(b"\x1b" in text, coloured, env)

    # Changes

    def test_service_add_sends_a_service_object(self):
        self.daemon.answer("POST", "/v1/services", change([{"op": "add", "path": "services/web", "from": None,
                                                            "to": {"vip": "203.0.113.10"}}]), 201)
        self.expect(["service", "add", "web", "203.0.113.10:443/tcp", "mode=ipip", "table_size=4093", "stateless=true",
                     "mss_clamp=1300"], 0,
                    '+ services/web: {"vip":"203.0.113.10"}\n', "1 change made (generation 18)\n")
        self.assertEqual(self.asked(), ("POST", "/v1/services", {
            "name": "web", "vip": "203.0.113.10", "port": 443, "protocol": "tcp", "mode": "ipip", "table_size": 4093,
            "stateless": True, "mss_clamp": 1300}))

    def test_service_add_takes_ipv6_in_brackets_and_any_port(self):
        self.daemon.answer("POST", "/v1/services", change([]), 201)
        self.expect(["service", "add", "dns", "[2001:DB8::53]:any/udp"], 0, "", "nothing to change (generation 18)\n")
        self.assertEqual(self.asked()[2], {"name": "dns", "vip": "2001:db8::53", "port": "any", "protocol": "udp"})

    def test_service_delete_has_three_names_and_escapes_the_service(self):
        self.daemon.answer("DELETE", "/v1/services/a%2F..%3F%C3%A9", change([]))
        for verb in ("delete", "del", "rm"):
            self.assertEqual(self.run_tool("service", verb, "a/..?é").returncode, 0, verb)

    def test_backend_add_set_and_delete(self):
        one = [{"op": "change", "path": "services/web/backends/10.0.1.11/weight", "from": 100, "to": 5}]
        self.daemon.answer("POST", "/v1/services/web/backends", change(one), 201)
        self.daemon.answer("PATCH", "/v1/services/web/backends/2001%3Adb8%3A%3A11", change(one, warnings=["no backend left"]))
        gone = change([{"op": "remove", "path": "services/web/backends/10.0.1.11", "from": {}, "to": None}])
        drains = change([{"op": "change", "path": "services/web/backends/10.0.1.11/admin", "from": "ready", "to": "drain"}])
        self.daemon.answer("DELETE", "/v1/services/web/backends/10.0.1.11", gone)
        self.daemon.answer("DELETE", "/v1/services/web/backends/10.0.1.11?drain=1&deadline_ms=60000", drains)
        self.daemon.answer("DELETE", "/v1/services/web/backends/10.0.1.11?drain=1&deadline_ms=300000", gone)
        said = "~ services/web/backends/10.0.1.11/weight: 100 -> 5\n"
        self.expect(["backend", "add", "web", "10.0.1.11", "weight=5", "mac=02:00:00:00:00:0b", "admin=maint"], 0, said,
                    "1 change made (generation 18)\n")
        self.assertEqual(self.asked()[2], {"address": "10.0.1.11", "weight": 5, "mac": "02:00:00:00:00:0b", "admin": "maint"})
        self.daemon.requests.clear()
        self.expect(["backend", "set", "web", "2001:DB8:0::11", "weight=5"], 0, said,
                    "xebec: warning: no backend left\n1 change made (generation 18)\n")
        self.assertEqual(self.asked()[2], {"weight": 5})
        for more in (["--now"], ["--deadline", "5m"]):
            self.expect(["backend", "rm", "web", "10.0.1.11", *more], 0, "- services/web/backends/10.0.1.11\n",
                        "1 change made (generation 18)\n")
        self.expect(["backend", "delete", "web", "10.0.1.11"], 0, "~ services/web/backends/10.0.1.11/admin: ready -> drain\n",
                    "1 change made (generation 18)\n10.0.1.11 is deleted once it is drained, in 60s at the latest\n")

    def test_backend_drain_waits_for_several_and_tells_how_it_goes(self):
        for last in ("11", "12"):
            self.daemon.answer("POST", f"/v1/services/web/backends/10.0.1.{last}/drain?deadline_ms=90000", change([]))
        drained = {"phase": "drained", "flows": 0, "remaining_ms": None}
        rows = [{**BACKENDS[0], "admin": "drain", "drain": drained}, {**BACKENDS[1], "drain": {**drained, "flows": 3}}]
        self.daemon.answer("GET", "/v1/backends?service=web", {"schema": "xebec.backend-list/1", "backends": rows})
        self.expect(["backend", "drain", "web", "10.0.1.11", "10.0.1.12", "--deadline", "90s", "--wait"], 0, "",
                    "nothing to change (generation 18)\n" * 2 + "10.0.1.11: drained; 10.0.1.12: drained, 3 flows were let go\n")
        self.assertIn("  drained  ", self.run_tool("backend", "list", "web").stdout)
        rows[0]["drain"] = {"phase": "draining", "flows": 12, "remaining_ms": 33500}
        self.daemon.answer("GET", "/v1/backends?service=web", {"schema": "xebec.backend-list/1", "backends": rows})
        self.assertIn("  drain: 12 left, 34 s  ", self.run_tool("backend", "list", "web").stdout)
        rows[0]["drain"] = None
        self.daemon.answer("GET", "/v1/backends?service=web", {"schema": "xebec.backend-list/1", "backends": rows})
        done = self.run_tool("backend", "drain", "web", "10.0.1.11", "--deadline", "90s", "--wait")
        self.assertEqual((done.returncode, "is not in drain any more" in done.stderr), (6, True), done.stderr)

    def test_backend_ready_and_maint_are_words_for_admin(self):
        self.daemon.answer("PATCH", "/v1/services/web/backends/10.0.1.11", change([]))
        for verb in ("ready", "maint"):
            self.daemon.requests.clear()
            self.assertEqual(self.run_tool("backend", verb, "web", "10.0.1.11").returncode, 0)
            self.assertEqual(self.asked()[2], {"admin": verb})

    def test_times_have_units(self):
        for text in ("0s", "5 m", "abc", "-1s", "1w", ""):
            done = self.run_tool("backend", "drain", "web", "10.0.1.11", f"--deadline={text}")
            self.assertEqual(done.returncode, 2, f"{text}: {done.stderr}")
        for text, ms in (("500ms", 500), ("60", 60_000), ("5m", 300_000), ("1h", 3_600_000), ("1d", 86_400_000)):
            self.daemon.answer("POST", f"/v1/services/web/backends/10.0.1.11/drain?deadline_ms={ms}", change([]))
            self.assertEqual(self.run_tool("backend", "drain", "web", "10.0.1.11", "--deadline", text).returncode, 0, text)

    def test_flows_are_gathered_piece_by_piece(self):
        flow = {"source": "198.51.100.7:4000", "destination": "203.0.113.10:443", "protocol": "tcp", "state": "established",
                "idle_seconds": 3, "service": "web", "backend": "10.0.1.11", "translated_source": None, "worker": 0}
        path = "/v1/flows?service=web&src=198.51.100.0%2F24&limit="
        self.daemon.answer("GET", path + "3&cursor=0-0", {"schema": "xebec.flow-list/1", "flows": [flow], "next": "0-99"})
        self.daemon.answer("GET", path + "2&cursor=0-99", {"schema": "xebec.flow-list/1", "flows": [], "next": "1-0"})
        self.daemon.answer("GET", path + "2&cursor=1-0",
                           {"schema": "xebec.flow-list/1", "flows": [{**flow, "worker": 1}], "next": None})
        self.expect(["flow", "list", "--service", "web", "--src", "198.51.100.0/24", "--limit", "3"], 0, lines("""
            SOURCE             DESTINATION       PROTOCOL  STATE        IDLE SECONDS  SERVICE  BACKEND    TRANSLATED SOURCE  WORKER
            198.51.100.7:4000  203.0.113.10:443  tcp       established             3  web      10.0.1.11  -                  0
            198.51.100.7:4000  203.0.113.10:443  tcp       established             3  web      10.0.1.11  -                  1
            """))
        for cursor, flows, after in (("0-0", 5, "1-0"), ("1-0", 7, None)):
            self.daemon.answer("GET", f"/v1/flows/count?cursor={cursor}",
                               {"schema": "xebec.flow-count/1", "flows": flows, "states": {"closing": 1}, "next": after})
        self.expect(["flow", "count"], 0, "12\n")
        self.assertEqual(json.loads(self.run_tool("flow", "count", "-j").stdout)["states"], {"closing": 2})

    def test_flow_flush_waits_until_it_is_done(self):
        flush = {"schema": "xebec.flow-flush/1", "done": False, "flows": 0, "translations": 0}
        self.daemon.answer("POST", "/v1/flows/flush?backend=10.0.1.11", flush, 202)
        self.daemon.answer("GET", "/v1/flows/flush", {**flush, "done": True, "flows": 12, "translations": 3})
        self.expect(["flow", "flush", "--backend", "10.0.1.11"], 0, "", "12 flows and 3 translations forgotten\n")

    def test_backend_add_takes_a_port(self):
        self.daemon.answer("POST", "/v1/services/web/backends", change([]), 201)
        self.run_tool("backend", "add", "web", "[2001:db8::11]:443")
        self.assertEqual(self.asked()[2], {"address": "2001:db8::11", "port": 443})

    def test_a_change_as_json_says_nothing_on_stderr(self):
        body = change([{"op": "add", "path": "services/web", "from": None, "to": 1}], warnings=["w"])
        self.daemon.answer("POST", "/v1/reload", body)
        done = self.expect(["reload", "-j"], 0, json.dumps(body) + "\n")
        self.assertEqual(json.loads(done.stdout), body)

    # Configuration

    GOOD = '{"version": 1, // comment\n "services": [{"name": "web", "vip": "192.0.2.1", "port": 80, "protocol": "tcp",\n' \
           '  "backends": [{"address": "10.0.0.1"}]}]}\n'
    BAD = '{"version": 2,\n "services": [{"name": "web", "vip": "192.0.2.1", "port": 70000, "protocl": "tcp"}]}\n'

    def test_config_check_needs_no_daemon(self):
        file = self.path("good.json", self.GOOD)
        nowhere = ["--socket", self.path("absent.sock")]
        self.expect(["config", "check", file, *nowhere], 0, "", f"{file}: good: 0 interfaces, 1 service, 1 backend\n")
        self.expect(["config", "check", file, "-j", *nowhere], 0, '{"schema":"xebec.check/1","ok":true}\n')
        done = self.run_tool("config", "check", "-", *nowhere, input=self.GOOD)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_config_check_prints_every_error_with_its_place(self):
        file = self.path("bad.json", self.BAD)
        self.expect(["config", "check", file], 3, "", (
            f"{file}:1:13: error: /version: 2 is not supported; must be 1\n"
            f"{file}:2:15: error: /services/0/protocol: missing; every service needs it\n"
            f"{file}:2:59: error: /services/0/port: 70000 is out of range 1..65535\n"
            f'{file}:2:66: error: /services/0/protocl: unknown key "protocl"; did you mean "protocol"?\n'
            f"xebec: error: {file}: 4 errors\n"))
        done = self.run_tool("config", "check", file, "-j")
        error = json.loads(done.stderr)["error"]
        self.assertEqual((done.returncode, done.stdout, error["code"], len(error["diagnostics"])),
                         (3, "", "invalid_config", 4))
        self.assertEqual(error["diagnostics"][2], {"file": file, "line": 2, "column": 59, "pointer": "/services/0/port",
                                                   "message": "70000 is out of range 1..65535"})
        self.assertEqual(self.daemon.requests, [])

    def test_config_check_of_what_is_no_file(self):
        for file, why in ((self.path("absent"), "No such file or directory"), (self.dir.name, "Is a directory"),
                          ("/dev/zero", "larger than 64 MiB; is this a configuration?")):
            self.expect(["config", "check", file], 3, "", f"xebec: error: {file}: {why}\n")

    def test_config_show_prints_a_document_that_can_be_applied(self):
        config = {"version": 1, "services": []}
        self.daemon.answer("GET", "/v1/config", {"schema": "xebec.config/1", "config": config, "generation": 3})
        done = self.expect(["config", "show"], 0, json.dumps(config, indent=2) + "\n")
        file = self.path("shown.json", done.stdout)
        self.assertEqual(self.run_tool("config", "check", file).returncode, 0)

    def test_config_show_tells_the_tag_where_it_is_in_no_ones_way(self):
        self.daemon.answer("GET", "/v1/config", {"schema": "xebec.config/1", "config": {}, "generation": 3, "tag": "4-0a"})
        self.expect(["config", "show"], 0, "{}\n", "tag 4-0a\n")

    def test_config_apply_may_have_to_be_confirmed(self):
        file = self.path("good.json", self.GOOD)
        self.daemon.answer("PUT", "/v1/config?confirm_within_ms=90000",
                           change([{"op": "add", "path": "services/web", "from": None, "to": None}], confirm_within_ms=90000))
        self.expect(["config", "apply", file, "--confirm-within", "90s", "--if-match", "4-0a"], 0, "+ services/web\n",
                    "1 change made (generation 18)\nundone by itself in 90 s, unless you say: xebec config confirm\n")
        self.assertEqual(self.daemon.if_match, ['"4-0a"'])

    def test_a_dry_run_tells_what_would_move(self):
        file = self.path("good.json", self.GOOD)
        impact = [{"service": "web", "array_moved": 0.2505, "live_flows": 123456, "flows_moved": 30000, "flows_draining": 400}]
        self.daemon.answer("PUT", "/v1/config?dry_run=1", change(
            [{"op": "remove", "path": "services/web/backends/10.0.1.11", "from": {}, "to": None}], dry_run=True, impact=impact))
        self.expect(["config", "diff", file], 0, lines("""
            - services/web/backends/10.0.1.11

            SERVICE  ARRAY MOVED  LIVE FLOWS  FLOWS MOVED  FLOWS DRAINING
            web          25.05 %        123k        30000             400
            """), "1 change would be made; nothing was changed (generation 18)\n")

    def test_config_rollback_asks_for_what_it_has_seen(self):
        row = {"config_generation": 3, "time": "2026-01-02T03:04:05.678Z", "by": "API of uid 0 pid 7 (xebec)", "changes": 2,
               "diff": [{"op": "change", "path": "services/web/fail", "from": "drop", "to": "open"}], "kept": True}
        self.daemon.answer("GET", "/v1/config/history",
                           {"schema": "xebec.config-history/1", "history": [row], "tag": "3-0a", "unconfirmed": None})
        self.daemon.answer("POST", "/v1/config/rollback?config_generation=2", change([]))
        self.expect(["config", "history"], 0, lines("""
            GENERATION  TIME                      BY                          CHANGES  WHAT
                     3  2026-01-02T03:04:05.678Z  API of uid 0 pid 7 (xebec)        2  services/web/fail drop -> open (and 1 more)
            """))
        self.assertEqual(self.run_tool("config", "rollback", "2").returncode, 0)
        self.assertEqual(self.daemon.if_match, ['"3-0a"'])
        self.daemon.answer("POST", "/v1/config/rollback?config_generation=2", error_body("conflict", "w: W"), 412)
        self.assertEqual(self.run_tool("config", "rollback", "2").returncode, 6)

    def test_config_confirm_and_save(self):
        self.daemon.answer("POST", "/v1/config/confirm", change([]))
        self.daemon.answer("POST", "/v1/config/save", {"schema": "xebec.save/1", "file": "/etc/x", "config_generation": 3})
        self.daemon.answer("POST", "/v1/config/save?force=1", {"schema": "xebec.save/1", "file": "/etc/y", "config_generation": 3})
        self.expect(["config", "confirm"], 0, "", "confirmed\n")
        self.expect(["config", "save"], 0, "", "saved to /etc/x\n")
        self.expect(["config", "save", "--force"], 0, "", "saved to /etc/y\n")

    def test_config_schema_is_the_one_that_is_shipped(self):
        shipped = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "xebec.schema.json")
        with open(shipped, encoding="utf-8") as file:
            self.assertEqual(self.run_tool("config", "schema").stdout, file.read())

    def test_service_set_sends_what_changes(self):
        self.daemon.answer("PATCH", "/v1/services/web", change([]))
        self.assertEqual(self.run_tool("service", "set", "web", "table_size=251", "backend=10.0.1.11,[2001:db8::1]:80").returncode, 0)
        self.assertEqual(self.asked()[2], {"table_size": 251, "backends": [{"address": "10.0.1.11"},
                                                                         {"address": "2001:db8::1", "port": 80}]})

    def test_config_apply_sends_the_text_and_shows_what_changed(self):
        file = self.path("good.json", self.GOOD)
        diff = [{"op": "add", "path": "services/web", "from": None, "to": None},
                {"op": "change", "path": "instance", "from": "a", "to": "b\nc"}]
        self.daemon.answer("PUT", "/v1/config", change(diff))
        self.daemon.answer("PUT", "/v1/config?dry_run=1", change(diff, dry_run=True))
        said = "+ services/web\n~ instance: a -> b\\x0ac\n"
        self.expect(["config", "apply", file], 0, said, "2 changes made (generation 18)\n")
        self.assertEqual(self.daemon.requests, [("PUT", "/v1/config", self.GOOD)])
        would = "2 changes would be made; nothing was changed (generation 18)\n"
        self.expect(["config", "apply", file, "--dry-run"], 0, said, would)
        self.expect(["config", "diff", file], 0, said, would)
        self.expect(["config", "diff", file, "-o", "tsv"], 0,
                    "op\tpath\tfrom\tto\nadd\tservices/web\t\t\nchange\tinstance\ta\tb\\x0ac\n", would)

    def test_config_apply_names_the_file_in_the_daemons_errors(self):
        file = self.path("bad.json", self.BAD)
        self.daemon.answer("PUT", "/v1/config", error_body("invalid_config", "configuration rejected", "", [
            {"file": "(request)", "line": 2, "column": 59, "pointer": "/services/0/port", "message": "out of range"}]), 422)
        self.expect(["config", "apply", file], 3, "", f"{file}:2:59: error: /services/0/port: out of range\n"
                                                      "xebec: error: configuration rejected\n")

    # Errors

    def test_every_error_code_has_its_exit_code(self):
        for code, status, exit_code in (("usage", 400, 2), ("invalid_config", 422, 3), ("permission", 403, 5),
                                        ("not_found", 404, 6), ("conflict", 409, 6), ("timeout", 504, 7), ("failed", 500, 1),
                                        ("of_a_newer_daemon", 500, 1)):
            body = error_body(code, "service web: WHY", "do this")
            self.daemon.answer("GET", "/v1/services/web", body, status)
            self.expect(["service", "show", "web"], exit_code, "", "xebec: error: service web: WHY\nhint: do this\n")
            done = self.expect(["service", "show", "web", "-j"], exit_code, "", json.dumps(
                json.loads(body), separators=(",", ":")) + "\n")
            self.assertEqual(json.loads(done.stderr)["error"]["code"], code)

    def test_a_daemon_that_is_not_there_exits_4(self):
        nobody = self.path("absent.sock")
        hint = "hint: is xebecd running? Another socket: --socket PATH or the environment's XEBEC_SOCKET\n"
        self.expect(["status", "--socket", nobody], 4, "",
                    f"xebec: error: connect to {nobody}: No such file or directory\n" + hint)
        dead = self.path("dead.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(dead)
        self.expect(["--socket", dead, "status"], 4, "", f"xebec: error: connect to {dead}: Connection refused\n" + hint)
        done = self.run_tool("status", "-j", "--socket", nobody)
        self.assertEqual((done.returncode, json.loads(done.stderr)["error"]["code"]), (4, "unreachable"))

    def test_a_socket_we_may_not_open_exits_5(self):
        # Root may open everything: become nobody, with a copy of the tool that nobody can reach.
        tool = shutil.copy(XEBEC, self.path("xebec"))
        os.chmod(self.dir.name, 0o711)
        os.chmod(self.socket, 0)
        done = subprocess.run([tool, "status", "--socket", self.socket], capture_output=True, text=True, timeout=60,
                              check=False, **({"user": "nobody"} if os.geteuid() == 0 else {}))
        self.assertEqual((done.returncode, done.stderr.splitlines()[0]),
                         (5, f"xebec: error: connect to {self.socket}: Permission denied"))

    def test_a_silent_daemon_exits_7(self):
        self.daemon.hanging.add(("GET", "/v1/status"))
        self.expect(["status", "--timeout", "0.2"], 7, "",
                    f"xebec: error: {self.socket}: no answer within 0.2 s\n"
                    "hint: the daemon may be busy or stopped; a longer wait: --timeout SECONDS\n")

    def test_what_is_no_daemon_is_told_so(self):
        for body in (b"<html>", b"[]", b"", b"\xff\xfe", b"{" * 10000):
            self.daemon.answer("GET", "/v1/services", body)
            done = self.run_tool("service", "list")
            self.assertEqual((done.returncode, done.stdout, done.stderr.splitlines()[1]),
                             (1, "", "hint: is this the socket of xebecd?"), body[:9])

    def test_answers_of_another_version_are_refused_unless_json(self):
        self.daemon.answer("GET", "/v1/services", {"schema": "xebec.service-list/2", "services": {}})
        done = self.run_tool("service", "list")
        self.assertEqual(done.returncode, 1)
        self.assertIn('is "xebec.service-list/2", not xebec.service-list/1', done.stderr)
        self.assertEqual(self.run_tool("service", "list", "-j").returncode, 0)

    def test_a_full_disk_is_an_error(self):
        self.daemon.answer("GET", "/v1/status", STATUS)
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([XEBEC, "status"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
                                  env={"XEBEC_SOCKET": self.socket})
        self.assertEqual((done.returncode, done.stderr),
                         (1, "xebec: error: write to standard output: No space left on device\n"))

    def test_usage_errors_exit_2_and_say_what_was_meant(self):
        for args, message, hint in (
                ([], "command line: needs one of: status, interface, worker, stats, reload, service, backend, health, flow, config, "
                     "explain, start, stop, restart, debug, completion, capture, monitor, top, doctor",
                 "xebec --help"),
                (["config"], "config: needs one of: check, show, diff, apply, confirm, rollback, history, save, schema", "xebec config --help"),
                (["servce"], 'command line: "servce" is not expected here', 'did you mean "service"?'),
                (["service", "lst"], 'service: "lst" is not expected here', 'did you mean "list"?'),
                (["--blue", "status"], 'status: "--blue" is not expected here', "xebec status --help"),
                (["-o", "xml", "status"], "status: --output: xml not in {table,json,tsv}", "xebec status --help"),
                (["-j", "-o", "tsv", "status"], "-o tsv: contradicts -j or -p", "leave one of them out"),
                (["backend", "add", "web"], "backend add: ADDR is required", "xebec backend add --help"),
                (["backend", "add", "web", "10.0.0.256"], "10.0.0.256: not an IP address",
                 "such as 10.0.1.11, 2001:db8::11 or, with a port, [2001:db8::11]:80"),
                (["backend", "add", "web", "10.0.0.1", "wieght=3"], 'wieght=3: unknown key "wieght"', 'did you mean "weight"?'),
                (["backend", "set", "web", "10.0.0.1", "weight"], "weight: not of the form KEY=VALUE",
                 "keys: weight, admin, mode, mac, vlan, server_id"),
                (["backend", "set", "web", "10.0.0.1", "weight=1", "weight=2"], 'weight=2: "weight" is given twice', None),
                (["service", "add", "x", "2001:db8::1:443/tcp"], "2001:db8::1:443/tcp: not of the form VIP:PORT/PROTO",
                 'such as 203.0.113.10:443/tcp, [2001:db8::/32]:8000-8099/udp or 203.0.113.0/24:any/any'),
                (["service", "add", "x", "192.0.2.1:70000/tcp"],
                 '192.0.2.1:70000/tcp: 70000 is not a port from 1 to 65535, nor "any"',
                 'such as 203.0.113.10:443/tcp, [2001:db8::/32]:8000-8099/udp or 203.0.113.0/24:any/any'),
                (["service", "which", "x", "--src", "192.0.2.1"], "--src 192.0.2.1: not of the form ADDR:PORT",
                 "such as 198.51.100.7:40000 or [2001:db8::7]:40000")):
            done = self.run_tool(*args)
            expected = [f"xebec: error: {message}"] + ([f"hint: {hint}"] if hint else [])
            self.assertEqual((done.returncode, done.stdout), (2, ""), args)
            if "-j" not in args:
                self.assertEqual(done.stderr.splitlines(), expected, args)
            else:
                self.assertEqual(json.loads(done.stderr)["error"]["message"], message)
        self.assertEqual(self.daemon.requests, [])

    def test_help_and_version_go_to_stdout(self):
        for args in (["--help"], ["service", "--help"], ["backend", "add", "--help"]):
            done = self.run_tool(*args)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("Usage: xebec", done.stdout)
        for args in (["--version"], ["status", "--version"]):
            done = self.run_tool(*args)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, r"^xebec \d+\.\d+\.\d+\n$")


if __name__ == "__main__":
    XEBEC = os.path.abspath(sys.argv.pop(1))
    unittest.main()
