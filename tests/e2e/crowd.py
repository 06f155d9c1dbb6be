# SPDX-License-Identifier: BSD-2-Clause
"""Very many TCP connections, and both ends' word on whether each was itself. Runs as a program inside a namespace.

crowd.py serve ADDR PORT                          answers every number of eight bytes with itself
crowd.py call ADDR PORT --from ADDR... --held H   opens H connections and asks on each

A line on stdin is a command, what stdout says is one JSON value a line. Server: `report`. Caller: `short N C` opens N connections,
C at a time, asks once on each and closes it (every third by a reset); `ask` asks on every connection that is held, `close` closes
those. Each connection has a number that no other has: an answer with another one means that two connections were mixed up.
"""
import argparse
import collections
import itertools
import json
import resource
import select
import socket
import struct
import sys

NUMBER = struct.Struct("!Q")
WAIT_S = 15.0  # for an answer: TCP sends a SYN again after 1, 3, 7 s


def say(value):
    print(json.dumps(value), flush=True)


class Server:
    """Live connections by who the other end seems to be: (address, port) may be there once at a time."""

    def __init__(self, address, port):
        self.listener = socket.create_server((address, port), backlog=4096)
        self.listener.setblocking(False)
        self.live, self.names = {}, set()
        self.accepted = self.peak = self.twice = 0
        self.ports = set()

    def accept(self, poll):
        while True:
            try:
                connection, name = self.listener.accept()
            except BlockingIOError:
                return
            connection.setblocking(False)
            self.accepted += 1
            self.twice += name in self.names
            self.names.add(name)
            self.ports.add(name)
            self.live[connection.fileno()] = (connection, name)
            self.peak = max(self.peak, len(self.live))
            poll.register(connection, select.EPOLLIN)

    def answer(self, poll, fd):
        connection, name = self.live[fd]
        try:
            data = connection.recv(4096)
        except OSError:
            data = b""
        if data:
            connection.send(data)
            return
        poll.unregister(fd)
        connection.close()
        del self.live[fd]
        self.names.discard(name)

    def run(self):
        poll = select.epoll()
        poll.register(self.listener, select.EPOLLIN)
        poll.register(sys.stdin, select.EPOLLIN)
        say({"ready": True})
        while True:
            for fd, _ in poll.poll():
                if fd == self.listener.fileno():
                    self.accept(poll)
                elif fd == sys.stdin.fileno():
                    if not sys.stdin.readline():
                        return
                    say({"live": len(self.live), "accepted": self.accepted, "peak": self.peak, "twice": self.twice,
                         "ports": len(self.ports)})
                elif fd in self.live:
                    self.answer(poll, fd)


class Caller:
    """Connections under way: what was sent on each, and what has come of it."""

    def __init__(self, target, sources):
        self.target, self.sources = target, itertools.cycle(sources)
        self.poll, self.numbers = select.epoll(), itertools.count(1)
        self.under_way, self.held, self.errors = {}, [], collections.Counter()

    def open(self):
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        # The port is chosen for the destination, when that is known: else there are 64 k for all together.
        connection.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        connection.bind((next(self.sources), 0))
        connection.connect_ex(self.target)
        self.ask(connection)

    def ask(self, connection):
        self.under_way[connection.fileno()] = (connection, next(self.numbers))
        self.poll.register(connection, select.EPOLLOUT)

    def step(self, done):
        """Waits for something to happen; done(connection, answered) for each that has got its answer or an error."""
        events = self.poll.poll(WAIT_S)
        if not events:
            self.errors["no answer"] += len(self.under_way)
            for connection, _ in self.under_way.values():
                connection.close()
            self.under_way.clear()
        for fd, event in events:
            connection, number = self.under_way[fd]
            try:
                if event & select.EPOLLOUT and not event & (select.EPOLLERR | select.EPOLLHUP):
                    connection.send(NUMBER.pack(number))
                    self.poll.modify(fd, select.EPOLLIN)
                    continue
                answer = connection.recv(64)
                if answer != NUMBER.pack(number):
                    raise ConnectionError("another connection's answer" if answer else "closed")
            except OSError as error:
                self.errors[f"{type(error).__name__}: {error}"] += 1
                self.finish(fd)
                connection.close()
                continue
            self.finish(fd)
            done(connection)

    def finish(self, fd):
        self.poll.unregister(fd)
        del self.under_way[fd]

    def all_of(self, start, many, at_once, done):
        """start() so often, and so many under way at most; returns how many were answered."""
        answered = 0

        def count(connection):
            nonlocal answered
            answered += 1
            done(connection)
        for left in range(many, 0, -1):
            start()
            while len(self.under_way) >= at_once:
                self.step(count)
        while self.under_way:
            self.step(count)
        say({"answered": answered, "errors": dict(self.errors)})

    def short(self, many, at_once):
        turn = itertools.cycle((False, False, True))

        def close(connection):
            if next(turn):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        self.all_of(self.open, many, at_once, close)

    def ask_held(self):
        waiting, self.held = self.held, []
        self.all_of(lambda: self.ask(waiting.pop()), len(waiting), 256, self.held.append)

    def run(self, held):
        self.all_of(self.open, held, 256, self.held.append)
        for line in sys.stdin:
            command, *numbers = line.split()
            if command == "short":
                self.short(*map(int, numbers))
            elif command == "ask":
                self.ask_held()
            elif command == "close":
                for connection in self.held:
                    connection.close()
                say({"closed": len(self.held)})
                self.held.clear()


def main():
    parser = argparse.ArgumentParser()
    sub = parser.add_subparsers(dest="what", required=True)
    for what in ("serve", "call"):
        p = sub.add_parser(what)
        p.add_argument("address")
        p.add_argument("port", type=int)
        p.add_argument("--from", dest="sources", action="append")
        p.add_argument("--held", type=int, default=0)
    args = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if args.what == "serve":
        Server(args.address, args.port).run()
    else:
        Caller((args.address, args.port), args.sources).run(args.held)


if __name__ == "__main__":
    main()
