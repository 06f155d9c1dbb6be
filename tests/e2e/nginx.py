# SPDX-License-Identifier: BSD-2-Clause
"""nginx as a backend's server, with the faults that a real one has."""
import os
import signal

import peers
from lab import listens, wait_until

# /alive: 500 or the wrong words while a file of that name is there, a byte a second while `slow` is.
CONFIG = """
daemon off;
user root;
worker_processes 1;
pid {home}/pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  default_type text/plain;
  keepalive_timeout 600;
  keepalive_requests 1000000;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  server {{
    listen 0.0.0.0:{port} backlog=4096;
    listen [::]:{port} ipv6only=on backlog=4096;
    location / {{ return 200 "{role}"; }}
    location = /alive {{
      if (-f {home}/failing) {{ return 500 "no"; }}
      if (-f {home}/mistaken) {{ return 200 "under maintenance"; }}
      if (-f {home}/slow) {{ set $limit_rate 1; }}
      return 200 "alive and well";
    }}
  }}
}}
"""


class Nginx:
    """Master and worker on a backend, at HTTP_PORT of every address; `/` answers the backend's role."""

    def __init__(self, lab, backend):
        self.lab, self.backend = lab, backend
        self.home = lab.path(f"nginx-{backend.role}")
        os.makedirs(self.home, exist_ok=True)
        self._config = os.path.join(self.home, "nginx.conf")
        with open(self._config, "w", encoding="utf-8") as f:
            f.write(CONFIG.format(home=self.home, port=peers.HTTP_PORT, role=backend.role))
        self.start()

    def start(self):
        self.process = peers.Process(self.lab, self.backend.ns, "nginx", "-e", "stderr", "-c", self._config, name="nginx")
        wait_until(lambda: listens(self.process.pid, peers.HTTP_PORT), lambda: f"nginx to listen:\n{self.process.said()}", 20)

    def signal_all(self, number):
        """To master and worker."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
            workers = [int(pid) for pid in f.read().split()]
        for pid in (self.process.pid, *workers):
            os.kill(pid, number)

    def kill(self):
        self.signal_all(signal.SIGKILL)
        self.process.end()

    def set(self, fault, there):
        """failing, mistaken or slow."""
        path = os.path.join(self.home, fault)
        if there:
            with open(path, "w", encoding="ascii"):
                pass
        else:
            os.unlink(path)
