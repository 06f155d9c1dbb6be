# SPDX-License-Identifier: BSD-2-Clause
"""What the tool shows as it goes on: rates, captures. Against a fake daemon, no root.

Usage: cli_watch_test.py PATH-OF-XEBEC [unittest arguments]
"""
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from fake_daemon import FakeDaemon

XEBEC = ""


def packets(received, **drops):
    return {"received": received, "received_bytes": received * 100, "forwarded": received, "passed": 0, "replied": 0,
            "dropped": sum(drops.values()), "drops": drops, "held": 3, "icmp_errors": {"too_big": 0, "time_exceeded": 0},
            "mss_clamped": 0, "checksums_completed": 0, "transmit_errors": 0}


def stats(received, *backends, **drops):
    return {"schema": "xebec.stats/1", "packets": packets(received, **drops), "services": [],
            "backends": [{"service": "web", "address": a, "packets": n, "bytes": 10 * n, "new_flows": 0,
                          "flows": 12, "open_flows": 3} for a, n in backends]}


def block(kind, body):
    length = 12 + len(body)
    return struct.pack("=II", kind, length) + body + struct.pack("=I", length)


HEADER = block(0x0a0d0d0a, struct.pack("=IHHq", 0x1a2b3c4d, 1, 0, -1)) + block(1, struct.pack("=HHI", 1, 0, 1500))
PACKET = block(6, struct.pack("=IIIII", 0, 0, 0, 4, 4) + b"abcd")
END = block(5, struct.pack("=III", 0, 0, 0) + struct.pack("=HHQ", 5, 8, 7) + bytes(4))


class WatchTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.socket = os.path.join(self.dir.name, "x.sock")
        self.file = os.path.join(self.dir.name, "x.pcapng")
        self.daemon = FakeDaemon(self.socket)
        self.addCleanup(self.daemon.close)

    def command(self, *args):
        return {"args": [XEBEC, *args], "env": {"PATH": os.environ["PATH"], "XEBEC_SOCKET": self.socket}}

    def run_tool(self, *args):
        return subprocess.run(**self.command(*args), capture_output=True, timeout=60, check=False)

    def text_of(self, *args):
        done = self.run_tool(*args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    # Rates

    def test_rates_are_increases_by_the_time_that_passed_and_states_stay(self):
        self.daemon.answer_in_turn("GET", "/v1/stats", stats(1000, ("10.0.0.1", 500), no_service=5),
                                   stats(1_001_000, ("10.0.0.2", 40), ("10.0.0.1", 2_000_500), no_service=5, martian=9))
        answer = json.loads(self.text_of("stats", "--rate", "-j"))
        seconds = answer["interval_seconds"]
        self.assertEqual(answer["schema"], "xebec.stats-rates/1")
        self.assertGreater(seconds, 0.9)
        self.assertAlmostEqual(answer["packets"]["received"], 1_000_000 / seconds, delta=1)
        self.assertAlmostEqual(answer["backends"][1]["packets"], 2_000_000 / seconds, delta=1)  # found by its address
        self.assertAlmostEqual(answer["backends"][0]["packets"], 40 / seconds, delta=1)  # it is new: from zero
        self.assertEqual(answer["packets"]["drops"]["no_service"], 0)
        self.assertAlmostEqual(answer["packets"]["drops"]["martian"], 9 / seconds, delta=1)
        self.assertEqual(answer["packets"]["held"], 3)

    def test_a_counter_that_fell_counts_from_zero(self):
        self.daemon.answer_in_turn("GET", "/v1/stats", stats(5_000_000), stats(300))
        answer = json.loads(self.text_of("stats", "--rate", "-j"))
        self.assertAlmostEqual(answer["packets"]["received"], 300 / answer["interval_seconds"], delta=1)

    def test_watching_prints_again_and_again_until_the_count(self):
        self.daemon.answer_in_turn("GET", "/v1/stats", *(stats(n, ("10.0.0.1", n)) for n in (1, 2, 3)))
        out = self.text_of("stats", "--by", "backend", "-w", "0.1", "--count", "3", "-o", "tsv").splitlines()
        self.assertEqual([line.split("\t")[2] for line in out], ["packets", "1", "packets", "2", "packets", "3"])

    def test_watching_ends_well_at_a_signal(self):
        self.daemon.answer("GET", "/v1/stats", stats(1, ("10.0.0.1", 1)))
        for sig in (signal.SIGINT, signal.SIGTERM):
            tool = subprocess.Popen(**self.command("stats", "--by", "backend", "-w", "60"), stdout=subprocess.PIPE)
            tool.stdout.readline()
            tool.send_signal(sig)
            self.assertEqual(tool.wait(30), 0)
            tool.stdout.close()

    def test_statistics_shows_all_counters_exactly(self):
        self.daemon.answer("GET", "/v1/stats", stats(1, ("10.0.0.1", 1_234_567)))
        self.assertEqual(self.text_of("stats", "--by", "backend", "-s"),
                         "SERVICE  ADDRESS   PACKETS     BYTES  NEW FLOWS  FLOWS  OPEN FLOWS\n"
                         "web      10.0.0.1  1234567  12345670          0     12  3\n")

    # Captures

    def capture(self, *reads, number=7):
        self.daemon.answer("POST", "/v1/captures", {"schema": "xebec.capture/1", "capture": number}, 201)
        self.daemon.answer_in_turn("POST", f"/v1/captures/{number}/read", *reads)
        self.daemon.answer("DELETE", f"/v1/captures/{number}", END)

    def bytes_written(self):
        with open(self.file, "rb") as file:
            return file.read()

    def test_a_capture_is_what_the_daemon_says_until_its_end(self):
        self.capture(HEADER + PACKET, b"", PACKET + PACKET + END)
        done = self.run_tool("capture", "-w", self.file, "--drop", "no_backend,martian", "--service", "web", "--backend", "10.0.0.1",
                             "--sample", "1/10", "--snaplen", "96", "--count", "3", "--sent")
        self.assertEqual((done.returncode, done.stdout, done.stderr.decode()),
                         (0, b"", f"3 packets captured, 7 lost, to {self.file}\n"))
        self.assertEqual(self.bytes_written(), HEADER + 3 * PACKET + END)
        self.assertEqual(json.loads(self.daemon.requests[0][2]), {
            "reasons": ["no_backend", "martian"], "service": "web", "backend": "10.0.0.1", "sample": 10, "snaplen": 96,
            "count": 3, "sent": True})
        self.assertEqual([r[0] for r in self.daemon.requests], ["POST"] * 4)

    def test_a_capture_may_go_to_standard_output_and_its_result_be_json(self):
        self.capture(HEADER + PACKET + END)
        done = self.run_tool("capture", "-w", "-")
        self.assertEqual((done.returncode, done.stdout), (0, HEADER + PACKET + END))
        self.capture(HEADER + PACKET + END, number=8)
        answer = json.loads(self.text_of("capture", "-w", self.file, "-j"))
        self.assertEqual(answer, {"schema": "xebec.capture-result/1", "file": self.file, "packets": 1, "lost": 7})

    def test_time_and_signals_end_a_capture_and_its_end_is_in_the_file(self):
        self.capture(HEADER, PACKET, b"")
        self.assertEqual(self.run_tool("capture", "-w", self.file, "--seconds", "0.3").returncode, 0)
        self.assertEqual(self.bytes_written(), HEADER + PACKET + END)
        for number, sig in enumerate((signal.SIGINT, signal.SIGTERM), 10):
            self.capture(HEADER, PACKET, b"", number=number)
            tool = subprocess.Popen(**self.command("capture", "-w", self.file), stderr=subprocess.DEVNULL)
            end = time.monotonic() + 30
            while len(self.daemon.turns[("POST", f"/v1/captures/{number}/read")]) > 1 and time.monotonic() < end:
                time.sleep(0.01)
            tool.send_signal(sig)
            self.assertEqual(tool.wait(30), 0)
            self.assertEqual(self.bytes_written(), HEADER + PACKET + END)

    def test_what_is_no_pcapng_is_an_error_and_the_capture_is_ended(self):
        self.capture(b"<html>12")
        done = self.run_tool("capture", "-w", self.file)
        self.assertEqual((done.returncode, done.stderr.decode().splitlines()[0]),
                         (1, "xebec: error: the daemon's answer: is no pcapng"))
        self.assertEqual(self.daemon.requests[-1][:2], ("DELETE", "/v1/captures/7"))

    def test_a_capture_that_the_daemon_has_ended_says_so(self):
        self.daemon.answer("POST", "/v1/captures", {"schema": "xebec.capture/1", "capture": 9}, 201)
        self.assertEqual(self.run_tool("capture", "-w", self.file).returncode, 6)

    def test_what_cannot_be_meant_is_refused_before_the_daemon_is_asked(self):
        for args in ([], ["-w", self.file, "--sample", "1/0"], ["-w", self.file, "--sample", "x"], ["-w", self.file, "--count", "0"],
                     ["-w", self.file, "--snaplen", "9000"]):
            self.assertEqual(self.run_tool("capture", *args).returncode, 2, args)
        self.assertEqual(self.run_tool("capture", "-w", "/nowhere/x.pcapng").returncode, 1)
        self.assertEqual(self.daemon.requests, [])


if __name__ == "__main__":
    XEBEC = os.path.abspath(sys.argv.pop(1))
    unittest.main()
