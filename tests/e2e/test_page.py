# SPDX-License-Identifier: BSD-2-Clause
"""The status page in a real browser: alive, readable, and made of text only."""
import importlib.util
import json
import os
import shutil
import signal
import subprocess

import peers
from cases import Skipped, case, expect, expect_equal
from daemon import config
from lab import HERE, wait_until

PORT = 9190
MARKUP = "<img src=x onerror=\"document.title='owned'\">"


class Browser(peers.Process):
    """browser.py in the balancer's namespace."""

    def __init__(self, lab):
        if not shutil.which("chromedriver") or not importlib.util.find_spec("selenium"):
            raise Skipped("no Chromium with its driver and python3-selenium: scripts/setup --browser")
        super().__init__(lab, lab.lb.ns, "/usr/bin/python3", "-B", os.path.join(HERE, "browser.py"), lab.path("browser"),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, name="browser")
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        expect(line, lambda: f"the browser ended: {self.said()}")
        return json.loads(line)

    def do(self, **order):
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def js(self, expression):
        return self.do(js=f"return {expression}")

    def wait(self, expression, what):
        return wait_until(lambda: self.js(expression),
                          lambda: f"{what}; the page: {self.js('document.body.innerText')}\n{self.do(log=1)}", 20, every_s=0.2)

    def screenshot(self, name):
        """Kept if somebody wants to look: XEBEC_E2E_SHOTS=DIRECTORY."""
        if directory := os.environ.get("XEBEC_E2E_SHOTS"):
            for width, dark in ((1400, False), (1000, True), (420, False)):
                self.do(shot=os.path.join(directory, f"{name}-{width}.png"), width=width, height=1000, dark=dark)


@case(timeout_s=120, browser=True)
def status_page_is_alive_in_a_browser_and_takes_no_markup(env):
    with env.lab() as lab:
        servers = peers.serve(lab)
        settings = config(lab, families=(4,))
        settings["control"] = {"http": f"127.0.0.1:{PORT}"}
        settings["services"][0]["health"] = {"type": "http", "path": "/alive", "interval_ms": 200, "timeout_ms": 200}
        with env.daemon(lab, settings) as daemon:
            browser = Browser(lab)
            browser.do(open=f"http://127.0.0.1:{PORT}/")
            rows = "[...document.querySelectorAll('#list tbody tr')]"

            def row(backend):
                return f"{rows}.find(r => r.cells[0].textContent === '{backend.address[4]}')"

            first, second = lab.backends[:2]
            browser.wait("document.querySelectorAll('#list details').length === 4", "four services")
            browser.wait("document.getElementById('state').textContent === 'healthy'", "healthy")
            browser.wait(f"{row(first)}.cells[2].textContent === 'up' && {row(first)}.className === 'r-good'", "a backend that is up")
            shown = "show_notes($('problems'), [arguments[0]]), $('problems').textContent"
            expect_equal(browser.do(js=f"return {shown}", argument=MARKUP), MARKUP, "a problem that would be markup")
            expect_equal(browser.js("[document.images.length, document.scripts.length, document.title === 'owned']"), [0, 1, False],
                         "images, scripts, and what markup would have done")

            load = peers.http_load(lab, 4)
            browser.wait("parseFloat(document.querySelector('#tile-received .value').textContent) > 0", "packets to be seen")
            browser.wait(f"{row(first)}.querySelector('polyline').getAttribute('points').split(' ').length >= 3", "a sparkline")
            browser.screenshot("live")
            load.stop()

            daemon.ask("backend", "set", "web4", first.address[4], "admin=maint")
            browser.wait(f"{row(first)}.cells[1].textContent === 'maint' && {row(first)}.className === 'r-off'",
                         "the backend in maintenance")
            servers[second.role].end(signal.SIGKILL)
            browser.wait(f"{row(second)}.cells[2].textContent === 'down' && {row(second)}.className === 'r-bad'",
                         "the backend that died")
            browser.wait("document.getElementById('state').textContent === 'degraded'", "degraded")
            browser.js("document.getElementById('unwell').click()")
            expect_equal(browser.js(f"{rows}.filter(r => r.offsetParent).length"), 2, "rows of what takes no packets")
            browser.screenshot("unwell")
            browser.js("document.querySelector('#list summary').focus()")
            browser.do(keys=" ")
            expect_equal(browser.js("document.querySelector('#list details').open"), False, "a service folded by the keyboard")
            expect_equal(browser.do(log=1), [], "the browser's complaints")
            daemon.stop()
            browser.wait("document.getElementById('live').className === 'lost'", "the page to tell that nobody answers")
            daemon.start()
            browser.wait("document.getElementById('live').className === ''", "the page to go on")
            browser.process.stdin.close()
            browser.process.wait(20)
