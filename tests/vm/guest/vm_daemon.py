# SPDX-License-Identifier: BSD-2-Clause
"""xebecd in the guest, asked by its socket and not by the tool: starting a program takes an emulated CPU 100 ms."""
import http.client
import json

from daemon import Daemon
from netns import LabError

PATHS = {("status",): "/v1/status", ("stats",): "/v1/stats", ("worker", "list"): "/v1/workers",
         ("interface", "list"): "/v1/interfaces"}


class VmDaemon(Daemon):
    def __exit__(self, failed, *rest):
        if failed is not None:
            self._tell_counters()
        super().__exit__(failed, *rest)

    def _tell_counters(self):
        """Where packets went, or did not: once the machine is gone nobody can ask."""
        try:
            for interface in self.ask("interface", "list")["interfaces"]:
                print(interface["name"], interface["shim"])
                for queue in interface["queues"]:
                    print({key: value for key, value in queue.items() if value not in (0, "", False)})
            for worker in self.ask("worker", "list")["workers"]:
                print({key: worker[key] for key in ("worker", "asleep", "loop", "frames", "packets")})
        except (OSError, LabError, KeyError, http.client.HTTPException, json.JSONDecodeError) as error:
            print(f"no counters: {error}")

    def ask(self, *args):
        if args not in PATHS:
            return super().ask(*args)
        status, answer = self.http("GET", PATHS[args])
        if status != 200:
            raise LabError(f"{' '.join(args)}: HTTP {status}: {answer}")
        return answer

    def ready(self):
        if self.process.process.poll() is not None:
            raise LabError(f"xebecd ended with {self.process.process.returncode}:\n{self.said()}")
        return self.problems() == []

    def problems(self):
        try:
            return self.ask("status")["problems"]
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            return f"no answer: {error}"
