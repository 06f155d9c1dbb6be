# SPDX-License-Identifier: BSD-2-Clause
"""An operator's changes that take their time: drains, and configurations that are tried, undone and saved."""
import json
import signal

import peers
from cases import case, expect, expect_equal, expect_served
from daemon import config
from lab import VIP, wait_until


def row_of(daemon, service, address):
    return next((b for b in daemon.ask("backend", "list", service)["backends"] if b["address"] == address), None)


@case()
def drains_under_load_to_zero_without_a_reset(env):
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            load = peers.http_load(lab, 4, concurrency=4)
            kept = peers.keep(lab, VIP[4], connections=40, interval_ms=20, rounds=60)
            one, two = (b.address[4] for b in lab.backends[:2])
            done = daemon.cli("backend", "drain", "web4", one, two, "--wait", "--deadline", "40s")
            expect(any("flows left" in line for line in done.stderr.splitlines()), f"no progress was told: {done.stderr}")
            after = kept.report()
            broken = [c for c in after if c["error"] or c["moved"]]
            expect_equal(broken, [], "connections that did not end where they began")
            expect(sum(c["backend"] in ("b1", "b2") for c in after) >= 5, "the drained backends had too few to tell")
            report = load.stop()
            expect_equal((report["failed"], report["errors"]), (0, {}), "requests that failed beside it")
            drain = row_of(daemon, "web4", one)["drain"]
            expect_equal((drain["phase"], drain["flows"]), ("drained", 0), "the drain at its end")
            daemon.signal(signal.SIGHUP)  # the file says nothing of it, before as after
            expect_served(peers.http(lab, 4, 100), lab.backends[2:], "without b1 and b2", slack=0.25)
            daemon.ask("backend", "ready", "web4", one)
            daemon.ask("backend", "ready", "web4", two)
            daemon.wait_published()
            expect_served(peers.http(lab, 4, 300), lab.backends, "with all", slack=0.15)
            daemon.expect_no_drops()


@case()
def drain_lets_go_at_its_deadline_and_delete_drains_first(env):
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            kept = peers.keep(lab, VIP[4], connections=40)
            before = kept.report()
            first, second, third = (b.address[4] for b in lab.backends[:3])
            daemon.cli("backend", "drain", "web4", first, "--wait", "--deadline", "700ms")
            row = row_of(daemon, "web4", first)
            expect(row["drain"]["flows"] > 0 and not row["usable"] and row["why"] == "drained", f"after the deadline: {row}")
            after = kept.report()
            for old, new in zip(before, after):
                expect((new["error"] is not None) == (old["backend"] == "b1"), lambda o=old, n=new: f"was {o}, is {n}")
            daemon.ask("backend", "delete", "web4", second, "--deadline", "700ms")
            expect_equal(row_of(daemon, "web4", second)["drain"]["then_delete"], True, "a deleted backend with connections drains")
            expect_equal(daemon.ask("backend", "drain", "web4", second, "--deadline", "900ms")["changed"], True, "another deadline")
            expect_equal(row_of(daemon, "web4", second)["drain"]["then_delete"], True, "it is to be deleted all the same")
            wait_until(lambda: row_of(daemon, "web4", second) is None, "the drained backend to be deleted")
            daemon.ask("backend", "delete", "web4", third, "--now")
            expect_equal(row_of(daemon, "web4", third), None, "the backend deleted at once")
            by = [entry["by"] for entry in daemon.ask("config", "history")["history"]]
            expect("at the end of the drain by API of uid 0" in by[-2] and "(xebec)" in by[-1], f"who did it: {by}")


@case()
def backends_that_a_reload_leaves_out_keep_their_connections(env):
    """For drain_ms, with no request failed; back in the file they have never been away; a service that is gone ends its own."""
    with env.lab(queues=2) as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            def write(backends, drain_ms=60000, families=(4, 6)):
                settings = config(lab, backends=backends, families=families)
                settings["defaults"] = {"drain_ms": drain_ms}
                daemon.write(settings)

            first, second = lab.backends[:2]
            load = peers.http_load(lab, 4, concurrency=4)
            kept = peers.keep(lab, VIP[4], connections=40, interval_ms=20)
            before = kept.report()
            held = sum(c["backend"] == first.role for c in before)
            expect(held >= 3, f"the backend to leave holds {held} connections, too few to tell")
            write(lab.backends[1:])
            tried = {i["service"]: i for i in daemon.ask("config", "diff", daemon.file)["impact"]}["web4"]
            expect(tried["flows_moved"] == 0 and tried["flows_draining"] >= held, f"what it would do: {tried}")
            daemon.reload()
            row = row_of(daemon, "web4", first.address[4])
            expect(row["removed"] and row["drain"]["flows"] >= held and row["drain"]["remaining_ms"] > 50000 and row["share"] == 0,
                   f"what is told of it: {row}")
            others = peers.http(lab, 4, 150)
            expect_served(others, lab.backends[1:], "new connections", slack=0.2)
            expect_equal([c for c in kept.report() if c["error"] or c["moved"]], [], "connections broken by the reload")

            write(lab.backends)
            daemon.reload()
            row = row_of(daemon, "web4", first.address[4])
            expect(not row["removed"] and row["drain"] is None and row["share"] > 0.2, f"it is back: {row}")
            expect_equal([c for c in kept.report() if c["error"] or c["moved"]], [], "connections broken by the way back")
            report = load.stop()
            expect_equal((report["failed"], report["errors"]), (0, {}), "requests that failed beside it")

            write(lab.backends[1:])
            daemon.reload()
            daemon.cli("backend", "drain", "web4", first.address[4], "--deadline", "90s")
            expect("audit: drain of backend " + first.address[4] in daemon.said(), "who gave the one that leaves another deadline")
            expect(row_of(daemon, "web4", first.address[4])["drain"]["remaining_ms"] > 80000, "the longer deadline")
            write(lab.backends[1:], drain_ms=600)  # for those, too, that have been removed before
            daemon.reload()
            wait_until(lambda: row_of(daemon, "web4", first.address[4]) is None, "it to have left at its deadline")
            for old, new in zip(before, kept.report()):
                expect((new["error"] is not None) == (old["backend"] == first.role), lambda o=old, n=new: f"was {o}, is {n}")
            # Drained before it was left out, it has nothing to wait for.
            third = lab.backends[2].address[4]
            daemon.cli("backend", "drain", "web4", third, "--wait", "--deadline", "300ms")
            write([second])
            daemon.reload()
            wait_until(lambda: row_of(daemon, "web4", third) is None, "the drained one to have left")
            write(lab.backends[1:])
            daemon.reload()

            write(lab.backends[2:])
            daemon.reload()
            expect(row_of(daemon, "web4", second.address[4])["removed"], "the second leaves")
            daemon.ask("backend", "delete", "web4", second.address[4], "--now")
            expect_equal(row_of(daemon, "web4", second.address[4]), None, "one that leaves, let go at once")

            write(lab.backends[2:], families=(6,))
            told = daemon.ask("config", "apply", daemon.file)["warnings"]
            expect(any("web4: the service is removed" in w and "end with it" in w for w in told), f"nothing is said of the connections: {told}")


@case()
def flows_are_listed_counted_and_flushed(env):
    with env.lab(queues=2) as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            kept = peers.keep(lab, VIP[4], connections=60)
            held = {c["backend"]: 0 for c in kept.report()}
            for c in kept.report():
                held[c["backend"]] += 1
            rows = daemon.ask("flow", "list", "--service", "web4", "--limit", "1000")["flows"]
            expect_equal(len(rows), 60, "flows listed")
            expect_equal({(r["state"], r["destination"], r["service"]) for r in rows},
                         {("established", f"{VIP[4]}:{peers.HTTP_PORT}", "web4")}, "what all of them have in common")
            expect(all(r["source"].startswith(lab.client.address[4] + ":") for r in rows), f"their source: {rows[0]}")
            for backend in lab.backends:
                mine = daemon.ask("flow", "count", "--backend", backend.address[4])["flows"]
                expect_equal(mine, held.get(backend.role, 0), f"flows of {backend.role}")
            expect_equal(daemon.ask("flow", "count", "--src", "192.0.2.0/24")["flows"], 0, "flows of nobody")
            first = lab.backends[0].address[4]
            flushed = daemon.ask("flow", "flush", "--backend", first)
            expect_equal(flushed["flows"], held["b1"], "flows forgotten")
            # The array has not changed: they are placed where they were.
            after = kept.report()
            expect_equal([c for c in after if c["error"] or c["moved"]], [], "connections that the flush broke")
            expect_equal(daemon.ask("flow", "count", "--backend", first)["flows"], held["b1"], "flows remembered anew")
            expect_equal(daemon.cli("flow", "flush", check=False).returncode, 2, "exit code of a flush of everything")
            daemon.expect_no_drops()


@case()
def configuration_is_undone_unless_confirmed(env):
    with env.lab() as lab:
        with env.daemon(lab) as daemon:
            started = daemon.ask("config", "show")["config"]
            changed = config(lab, backends=lab.backends[:3])
            path = lab.path("changed.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump(changed, f)

            tried = daemon.ask("config", "apply", path, "--dry-run")
            impact = {i["service"]: i for i in tried["impact"]}
            expect(0.25 <= impact["web4"]["array_moved"] < 0.35, f"share of the array that a removed backend of four moves: {impact}")
            expect_equal(daemon.ask("config", "show")["config"], started, "configuration after a dry run")

            # Undone by itself, and neither a reload nor another client's change comes between.
            daemon.ask("config", "apply", path, "--confirm-within", "1500ms")
            wait_until(lambda: len(daemon.ask("service", "show", "web4")["backend_list"]) == 3, "the one left out to be gone")
            daemon.signal(signal.SIGHUP)
            done = daemon.cli("backend", "set", "web4", lab.backends[0].address[4], "weight=7", check=False)
            expect_equal(done.returncode, 6, f"exit code of a change beside it ({done.stderr})")
            expect_equal(daemon.cli("config", "save", check=False).returncode, 6, "exit code of saving what is not confirmed")
            wait_until(lambda: daemon.ask("config", "show")["config"] == started, "the change to be undone")
            expect("waits to be confirmed" in daemon.said(), "the refused reload is not in the log")
            last = daemon.ask("config", "history")["history"][-1]
            expect("for want of a confirmation by API of uid 0" in last["by"], f"who undid it: {last['by']}")

            daemon.ask("config", "apply", path, "--confirm-within", "1h")
            daemon.ask("config", "confirm")
            expect_equal(daemon.ask("config", "show")["unconfirmed"], None, "what waits after confirming")
            expect_equal(daemon.cli("config", "confirm", check=False).returncode, 6, "exit code of confirming nothing")

            # Who comes second is told.
            tag = daemon.ask("config", "show")["tag"]
            daemon.ask("service", "set", "web4", "table_size=251")
            done = daemon.cli("config", "apply", path, "--if-match", tag, check=False)
            expect_equal((done.returncode, json.loads(done.stderr)["error"]["code"]), (6, "conflict"), "a change made from an old state")
            status, _ = daemon.http("GET", "/v1/config")
            expect_equal(status, 200, "a GET")
            daemon.ask("config", "rollback")
            expect_equal(daemon.ask("service", "show", "web4")["service"]["table_size"], 65537, "table size after a rollback")
            daemon.ask("config", "rollback", "1")
            expect_equal(daemon.ask("config", "show")["config"], started, "configuration 1 again")

            # Into the file, unless somebody else wrote it.
            daemon.ask("config", "apply", path)
            daemon.write("// by hand\n" + json.dumps(config(lab)))
            expect_equal(daemon.cli("config", "save", check=False).returncode, 6, "exit code of saving over another's file")
            daemon.ask("config", "save", "--force")
            with open(daemon.file, encoding="utf-8") as f:
                saved = json.load(f)
            expect_equal(saved["hash_seed"], changed["hash_seed"], "the seed in the saved file")
            with open(daemon.file + ".old", encoding="utf-8") as f:
                expect(f.read().startswith("// by hand"), "the file before is not kept")
            expect_equal(daemon.ask("reload")["changed"], False, "whether the saved file says anything new")
            expect("audit: configuration" in daemon.said(), "no audit in the log")
