# SPDX-License-Identifier: BSD-2-Clause
"""A real terminal, by tmux: keys in, what stands on the screen out."""
import os
import shlex

from lab import LabError, run, wait_until


class Terminal:
    """A shell in a terminal of its own. Its tmux server and everything in it end with the block."""

    def __init__(self, lab, columns=100, rows=30, term="screen-256color", **environment):
        self.server = ["tmux", "-S", lab.path("tmux"), "-f", "/dev/null"]
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PS1": "ready> ", **environment}
        shell = shlex.join(["env", "-i", *(f"{k}={v}" for k, v in env.items()), f"TERM={term}", "sh"])
        run(*self.server, "new-session", "-d", "-x", str(columns), "-y", str(rows), shell)
        self.wait_for("ready>")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run(*self.server, "kill-server", check=False)

    def keys(self, *keys):
        run(*self.server, "send-keys", *keys)

    def type(self, command):
        self.keys("-l", command)
        self.keys("Enter")

    def screen(self, colours=False):
        done = run(*self.server, "capture-pane", "-p", *(["-e"] if colours else []), check=False)
        if done.returncode != 0:
            raise LabError(f"the terminal is gone: {done.stderr}")
        return done.stdout

    def wait_for(self, *texts, absent=()):
        """The screen, once it has all of `texts` and none of `absent`."""
        def there():
            screen = self.screen()
            return screen if all(t in screen for t in texts) and not any(t in screen for t in absent) else None
        return wait_until(there, lambda: f"{texts} without {absent} on the screen:\n{self.screen()}")

    def pid_of(self, name):
        """The process of that name that runs in it."""
        def below(pid):
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                for child in map(int, file.read().split()):
                    yield child
                    yield from below(child)

        def found():
            shell = int(run(*self.server, "list-panes", "-F", "#{pane_pid}").stdout)
            for pid in below(shell):
                with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                    if file.read().strip() == name:
                        return pid
            return None
        return wait_until(found, f"{name} to run")

    def resize(self, columns, rows):
        run(*self.server, "resize-window", "-x", str(columns), "-y", str(rows))
