# SPDX-License-Identifier: BSD-2-Clause
"""xebecd in the guest, asked by its socket and not by the tool: starting a program takes an emulated CPU 100 ms."""
import http.client
import json

from daemon import Daemon
from netns import LabError

PATHS = {("status",): "/v1/status", ("stats",): "/v1/stats", ("worker", "list"): "/v1/workers",
         ("interface", "list"): "/v1/interfaces"}


class VmDaemon(Daemon):
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
