# SPDX-License-Identifier: BSD-2-Clause
"""Changes while traffic runs: nothing breaks but what a removed backend takes with it."""
import collections
import functools
import json
import os
import signal
import time

import peers
from cases import add, case, expect, expect_equal, expect_served
from daemon import config
from lab import VIP, wait_until


def expect_untouched(before, after, gone, what):
    """Connections of backends other than `gone` live on, where they were. Returns how many there are."""
    survivors = 0
    for old, new in zip(before, after):
        if old["backend"] == gone or old["error"]:
            continue
        survivors += 1
        expect(new["error"] is None and new["moved"] == 0 and new["backend"] == old["backend"]
               and new["answers"] > old["answers"], lambda o=old, n=new: f"{what}: was {o}, is {n}")
    return survivors


def removal_moves_only_what_it_must(env, family, mode="dsr-l2", queues=1):
    with env.lab(tunnel=mode == "ipip", queues=queues) as lab:
        peers.serve(lab)
        with env.daemon(lab, mode=mode) as daemon:
            service, gone = f"web{family}", lab.backends[1]
            kept = peers.keep(lab, VIP[family], connections=100)
            load = peers.http_load(lab, family)
            before = kept.report()
            expect_equal(len({c["backend"] for c in before}), 4, "backends that hold connections")

            daemon.ask("backend", "delete", service, gone.address[family], "--now")
            daemon.wait_published()
            after = kept.report()
            survivors = expect_untouched(before, after, gone.role, "removal")
            expect(survivors >= 50, f"{survivors} survivors are too few to tell")
            others = [b for b in lab.backends if b is not gone]
            expect_served(peers.http(lab, family, 300), others, "after the removal", slack=0.15)

            daemon.ask("backend", "add", service, gone.address[family])
            daemon.wait_published()
            expect_untouched(after, kept.report(), gone.role, "adding back")
            expect_served(peers.http(lab, family, 400), lab.backends, "after adding back")

            report = load.stop()
            # A load's connection that the removed backend held at that moment cannot live on; there are 16 at most.
            expect(report["failed"] <= 16 and all(e.startswith("ConnectionResetError: [Errno 104]") for e in report["errors"]),
                   f"load beside it: {report}")


for _family in (4, 6):
    add(f"removal_moves_only_what_it_must_ipv{_family}",
        functools.partial(removal_moves_only_what_it_must, family=_family, queues=_family // 2 - 1))
add("removal_moves_only_what_it_must_ipip", functools.partial(removal_moves_only_what_it_must, family=4, mode="ipip"))


def reload_under_load_fails_nothing(env, queues):
    with env.lab(queues=queues) as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            kept = peers.keep(lab, VIP[6], connections=50)
            loads = [peers.http_load(lab, f, concurrency=8) for f in (4, 6)]
            before = kept.report()
            for turn in range(10):
                weights = [100 + 50 * ((turn + i) % 4) for i in range(4)]
                settings = config(lab, backends=list(zip(lab.backends, weights)))
                if turn % 2:
                    extra = dict(settings["services"][0], name="extra", port=8080)
                    settings["services"].append(extra)
                daemon.write(settings)
                daemon.reload()
            expect_untouched(before, kept.report(), None, "ten reloads")
            for load in loads:
                report = load.stop()
                expect_equal((report["failed"], report["errors"]), (0, {}), "requests failed during ten reloads")
                expect(report["requests"] > 100, f"a load of {report['requests']} requests tells nothing")
            daemon.expect_no_drops()


for _queues in (1, 2):
    add(f"reload_under_load_fails_nothing_on_{_queues}_queues",
        functools.partial(reload_under_load_fails_nothing, queues=_queues))


@case(timeout_s=120, slow=True)
def hundred_reloads_at_20_a_second_fail_nothing(env):
    with env.lab(queues=2) as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            kept = peers.keep(lab, VIP[4], connections=50)
            load = peers.http_load(lab, 4, concurrency=8)
            before, generation = kept.report(), daemon.ask("config", "show")["config_generation"]
            reloads = env.count(100)
            began = time.monotonic()
            for turn in range(reloads):
                daemon.write(config(lab, backends=[(b, 100 + 50 * ((turn + i) % 4)) for i, b in enumerate(lab.backends)]))
                # By the API: signals that come while one is being handled are one (signal(7)).
                status, answer = daemon.http("POST", "/v1/reload")
                expect_equal((status, answer["changed"]), (200, True), f"reload {turn}")
                time.sleep(max(0.0, began + (turn + 1) * 0.05 - time.monotonic()))
            expect_equal(daemon.ask("config", "show")["config_generation"], generation + reloads, "configurations since")
            daemon.wait_published()
            expect_untouched(before, kept.report(), None, f"{reloads} reloads")
            report = load.stop()
            expect_equal((report["failed"], report["errors"]), (0, {}), f"requests failed during {reloads} reloads")
            expect(report["requests"] > 100, f"a load of {report['requests']} requests tells nothing")
            daemon.expect_no_drops()


@case()
def rejected_reload_changes_nothing(env):
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            good = daemon.ask("config", "show")
            digests = [s["digest"] for s in daemon.ask("service", "list")["services"]]
            kept = peers.keep(lab, VIP[4], connections=20)
            before = kept.report()
            broken = config(lab)
            broken["services"][0]["port"] = 70000
            daemon.write(broken)
            done = daemon.cli("config", "apply", daemon.file, check=False)
            expect_equal(done.returncode, 3, f"exit code of `config apply` ({done.stdout}{done.stderr})")
            expect("70000" in done.stdout + done.stderr, f"the error does not name the value: {done.stdout}{done.stderr}")
            expect_equal(daemon.ask("config", "show"), good, "configuration after the refusal")
            expect_equal([s["digest"] for s in daemon.ask("service", "list")["services"]], digests, "digests")
            expect_untouched(before, kept.report(), None, "rejected change")


@case()
def services_come_and_go_by_the_tool(env):
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab, config(lab, families=(6,))) as daemon:
            daemon.ask("service", "add", "new", f"{VIP[4]}:{peers.HTTP_PORT}/tcp", "mode=dsr-l2")
            for backend in lab.backends:
                daemon.ask("backend", "add", "new", backend.address[4])
            daemon.wait_published()
            expect_served(peers.http(lab, 4, 400), lab.backends, "the new service")
            daemon.ask("service", "delete", "new")
            expect_equal([s["name"] for s in daemon.ask("service", "list")["services"] if s["name"] == "new"], [], "new")
            daemon.wait_published()
            expect_served(peers.http(lab, 6, 400), lab.backends, "the service beside it")
            done = daemon.cli("service", "show", "new", check=False)
            expect_equal(done.returncode, 6, "exit code for a service that is not there")
            expect_equal(json.loads(done.stdout or done.stderr)["error"]["code"], "not_found", "its code")


@case()
def backend_in_maintenance_gets_no_new_connections(env):
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            daemon.ask("backend", "set", "web4", lab.backends[0].address[4], "admin=maint")
            daemon.wait_published()
            expect_served(peers.http(lab, 4, 300), lab.backends[1:], "without b1", slack=0.15)
            usable = collections.Counter(b["usable"] for b in daemon.ask("backend", "list", "web4")["backends"])
            expect_equal(usable, {True: 3, False: 1}, "usable backends")
            daemon.ask("backend", "set", "web4", lab.backends[0].address[4], "admin=ready")
            daemon.wait_published()
            expect_served(peers.http(lab, 4, 400), lab.backends, "with b1")


@case()
def the_configuration_shown_applies_unchanged(env):
    with env.lab() as lab:
        with env.daemon(lab) as daemon:
            shown = daemon.ask("config", "show")["config"]
            path = lab.path("shown.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump(shown, f)
            change = daemon.ask("config", "apply", path)
            expect_equal((change["changed"], change["diff"]), (False, []), "what applying it changes")
            del shown["services"][0]
            with open(path, "w", encoding="utf-8") as f:
                json.dump(shown, f)
            expect_equal(daemon.ask("config", "apply", path, "--dry-run")["dry_run"], True, "a dry run")
            expect_equal(len(daemon.ask("service", "list")["services"]), len(shown["services"]) + 1, "services after it")
            daemon.ask("config", "apply", path)
            expect_equal(len(daemon.ask("service", "list")["services"]), len(shown["services"]), "services without one")


@case()
def reload_that_replaces_every_backend_drops_nothing(env):
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab, config(lab, backends=lab.backends[:2])) as daemon:
            load = peers.http_load(lab, 4, concurrency=4)
            wait_until(lambda: daemon.packets()["forwarded"] > 100, "traffic to flow")
            # The balancer has never spoken to these: their link-layer addresses have to be asked for.
            daemon.write(config(lab, backends=lab.backends[2:]))
            os.kill(daemon.pid, signal.SIGHUP)
            daemon.wait_published()
            wait_until(lambda: [b["usable"] for b in daemon.ask("backend", "list", "web4")["backends"]] == [True, True],
                       "the new backends to be usable")
            load.stop()
            expect_served(peers.http(lab, 4, 200), lab.backends[2:], "the new backends", slack=0.15)
            daemon.expect_no_drops()


@case()
def bodies_too_deep_or_with_a_key_twice_are_refused(env):
    with env.lab() as lab:
        with env.daemon(lab) as daemon:
            path = f"/v1/services/web4/backends/{lab.backends[0].address[4]}"
            deep = '{"weight":' + "[" * 80_000 + "]" * 80_000 + "}"
            for method, where, body in (("PATCH", path, deep), ("PATCH", path, '{"weight":5,"weight":7}'),
                                        ("POST", "/v1/services", deep), ("PATCH", path, '{"weight":5'),
                                        ("POST", "/v1/services/web4/backends", '{"address":"10.77.0.99","address":"10.77.0.98"}')):
                status, answer = daemon.http(method, where, body)
                expect_equal((status, answer["error"]["code"]), (422, "invalid_config"), f"{method} {where} {body[:40]}")
            expect_equal(daemon.ask("backend", "list", "web4")["backends"][0]["weight"], 100, "the weight afterwards")
            for method, where, body, wanted, part in (
                    ("POST", "/v1/captures", None, 400, "is empty"), ("PATCH", path, "", 400, "is empty"),
                    ("DELETE", path + "?dry_run=1", None, 400, '"dry_run"'), ("GET", "/v1/backends?services=web4", None, 400, '"services"'),
                    ("DELETE", path + "?deadline_ms=5000", None, 400, "without drain=1"),
                    ("PUT", "/v1/config?dry-run=1", "{}", 400, '"dry-run"'), ("PUT", "/v1/config", None, 400, "is empty"),
                    ("POST", "/v1/config/check", " ", 400, "is empty"),
                    ("GET", "/v1/services/web4/which?src=10.0.0.1:9&protocol=udp", None, 400, "takes tcp, not udp"), ("GET", "/v1/flows?limit=0", None, 400, "limit"),
                    ("DELETE", "/v1/backends", None, 405, "GET, HEAD"), ("PUT", path, "{}", 405, "PATCH, DELETE"),
                    ("GET", "/v1/nothing", None, 404, "no such resource"),
                    ("PATCH", "/v1/services/web4", '{"slow_start_ms":-1}', 422, "slow_start_ms: -1 is out of range 0..3600000")):
                status, answer = daemon.http(method, where, body)
                expect(status == wanted and part in answer["error"]["message"], f"{method} {where}: {status} {answer}")
            done = daemon.cli("service", "set", "web4", "slow_start_ms=-1", check=False)
            expect("slow_start_ms: -1 is out of range 0..3600000" in done.stderr, f"what the tool says: {done.stderr}")
            expect_equal(len(daemon.ask("backend", "list", "web4")["backends"]), 4, "backends afterwards")


@case()
def replacing_a_port_by_any_port_lets_nothing_past(env):
    """What is to the service before and after never reaches the balancer's own stack, which would answer a SYN with a reset."""
    with env.lab() as lab:
        peers.serve(lab)
        settings = config(lab, families=(4,))
        with env.daemon(lab, settings) as daemon:
            load = peers.http_load(lab, 4)
            before = lab.lb.ns.snmp()
            web = next(s for s in settings["services"] if s["port"] == peers.HTTP_PORT)
            settings["services"] = [web]
            for port in ("any", peers.HTTP_PORT) * 15:
                web["port"] = port
                daemon.write(settings)
                daemon.cli("config", "apply", daemon.file)
            report = load.stop()
            after = lab.lb.ns.snmp()
            expect_equal(report["failed"], 0, f"requests that failed ({report['errors']})")
            expect_equal(after["Ip.InAddrErrors"] - before["Ip.InAddrErrors"], 0, "packets for the VIP that reached the host")
