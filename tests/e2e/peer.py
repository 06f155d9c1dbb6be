# SPDX-License-Identifier: BSD-2-Clause
"""The far ends of the lab: a backend's server and the clients' load. Runs as a program inside a namespace.

peer.py serve NAME [--tcp PORT] [--udp ADDR:PORT]...     answers every request with NAME
peer.py http  ADDR PORT  --requests N | --until-told     one connection per request
peer.py udp   ADDR PORT  --requests N                    one socket per datagram
peer.py keep  ADDR PORT  --connections K [--rounds N]    K connections, a request on each all the time, or N times

A line on stdin is a command (`report`, `stop`; to a server `dead` and `alive`); what stdout says is one JSON value a line.
"""
import argparse
import asyncio
import collections
import hashlib
import json
import socket
import sys
import time

ANSWER_S = 10.0  # a request without an answer for so long has failed; TCP retransmits after 0.2, 0.6, 1.4, 3, 6.2 s


def say(value):
    print(json.dumps(value), flush=True)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


async def commands():
    """Lines of stdin; the end of stdin is `stop`, so that no peer outlives who started it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()
    yield "stop"


# -- server -----------------------------------------------------------------------------------------------------------

class HttpServer(asyncio.Protocol):
    """GET / -> NAME; POST /sum -> SHA-256 of the body; GET /stream/N -> N lines of NAME, one every 20 ms;
    GET /alive -> 200, or 500 while `dead`; after a while if told `slow SECONDS`. Keep-alive."""

    dead, alive_after_s = False, 0.0  # of all connections of this process

    def __init__(self, name):
        self.name, self.buffer, self.streaming = name, b"", None

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, _):
        if self.streaming:
            self.streaming.cancel()

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1").split("\r\n")
            length = next((int(h.split(":")[1]) for h in head if h.lower().startswith("content-length:")), 0)
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4:end + 4 + length], self.buffer[end + 4 + length:]
            self.answer(head[0].split(" ")[1], body)

    def answer(self, path, body):
        if path.startswith("/stream/"):
            self.streaming = asyncio.ensure_future(self.stream(int(path.rpartition("/")[2])))
            return
        text = hashlib.sha256(body).hexdigest() if path == "/sum" else self.name
        status = "500 Dead" if path == "/alive" and HttpServer.dead else "200 OK"
        message = f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nX-Backend: {self.name}\r\n\r\n{text}".encode()
        if path == "/alive" and HttpServer.alive_after_s:
            asyncio.get_running_loop().call_later(HttpServer.alive_after_s, self.transport.write, message)
        else:
            self.transport.write(message)

    async def stream(self, lines):
        line = self.name.encode() + b"\n"
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (lines * len(line)))
        for _ in range(lines):
            self.transport.write(line)
            await asyncio.sleep(0.02)


class UdpServer(asyncio.DatagramProtocol):
    """Answers `NAME LENGTH SHA256` of each datagram."""

    def __init__(self, name):
        self.name = name

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(f"{self.name} {len(data)} {hashlib.sha256(data).hexdigest()}".encode(), addr)


async def serve(args):
    loop = asyncio.get_running_loop()
    for port in args.tcp:
        await loop.create_server(lambda: HttpServer(args.name), None, port, backlog=4096)
    for address, _, port in (u.rpartition(":") for u in args.udp):
        # Bound to the VIP itself: a wildcard socket would answer from the backend's own address.
        await loop.create_datagram_endpoint(lambda: UdpServer(args.name), (address, int(port)))
    say({"ready": args.name})
    if args.forever:
        await asyncio.Event().wait()
    async for command in commands():
        if command == "stop":
            return
        HttpServer.dead = command == "dead"
        HttpServer.alive_after_s = float(command.split()[1]) if command.startswith("slow") else 0.0


# -- clients ----------------------------------------------------------------------------------------------------------

class Connection:
    """One HTTP connection."""

    def __init__(self, address, port):
        self.target = (address, port)
        self.socket = socket.socket(family_of(address), socket.SOCK_STREAM)
        self.socket.setblocking(False)

    async def connect(self):
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(self.socket, self.target), ANSWER_S)

    async def ask(self, path="/", body=b""):
        """The body of the answer."""
        return await asyncio.wait_for(self._ask(path, body), ANSWER_S)

    async def _ask(self, path, body):
        loop = asyncio.get_running_loop()
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: vip\r\nContent-Length: {len(body)}\r\n\r\n"
        await loop.sock_sendall(self.socket, head.encode() + body)
        answer = b""
        while True:
            data = await loop.sock_recv(self.socket, 65536)
            if not data:
                raise ConnectionError("closed before the answer was complete")
            answer += data
            head, found, rest = answer.partition(b"\r\n\r\n")
            if found:
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                if len(rest) >= length:
                    return rest[:length].decode()

    def close(self):
        self.socket.close()


def named(error):
    return type(error).__name__ + (f": {error}" if str(error) else "")


class Load:
    """What a load has seen."""

    def __init__(self, wanted):
        self.wanted, self.started, self.failed = wanted, 0, 0
        self.share, self.errors = collections.Counter(), collections.Counter()
        self.stopping, self.began = False, time.monotonic()

    def next(self):
        if self.stopping or (self.wanted and self.started >= self.wanted):
            return False
        self.started += 1
        return True

    def fail(self, error):
        self.failed += 1
        self.errors[named(error)] += 1

    def report(self):
        return {"requests": self.started, "failed": self.failed, "share": dict(sorted(self.share.items())),
                "errors": dict(self.errors), "seconds": round(time.monotonic() - self.began, 3)}


async def ask_once(load, args):
    connection = Connection(args.address, args.port)
    try:
        await connection.connect()
        if args.upload:
            body = bytes(i * 31 % 251 for i in range(args.upload))
            if await connection.ask("/sum", body) != hashlib.sha256(body).hexdigest():
                raise ValueError("the body arrived altered")
        load.share[await connection.ask()] += 1
    except (OSError, ValueError, asyncio.TimeoutError) as error:
        load.fail(error)
    finally:
        connection.close()


class UdpAsk(asyncio.DatagramProtocol):
    def __init__(self, answer):
        self.answer = answer

    def datagram_received(self, data, addr):
        if not self.answer.done():
            self.answer.set_result(data.decode())

    def error_received(self, exc):
        if not self.answer.done():
            self.answer.set_exception(exc)


async def udp_once(load, args):
    loop = asyncio.get_running_loop()
    answer = loop.create_future()
    body = bytes(i * 7 % 256 for i in range(args.size))
    transport, _ = await loop.create_datagram_endpoint(lambda: UdpAsk(answer), remote_addr=(args.address, args.port))
    try:
        transport.sendto(body)
        name, length, digest = (await asyncio.wait_for(answer, ANSWER_S)).split()
        if int(length) != len(body) or digest != hashlib.sha256(body).hexdigest():
            raise ValueError("the datagram arrived altered")
        load.share[name] += 1
    except (OSError, ValueError, asyncio.TimeoutError) as error:
        load.fail(error)
    finally:
        transport.close()


async def offer(args, once):
    """Runs `once` over and over on a few coroutines, until enough or told to stop; then reports."""
    load = Load(0 if args.until_told else args.requests)

    async def repeat():
        while load.next():
            await once(load, args)

    workers = [asyncio.ensure_future(repeat()) for _ in range(args.concurrency)]
    say({"ready": True})
    if args.until_told:
        async for command in commands():
            if command == "report":
                say(load.report())
            else:
                load.stopping = True
                break
    await asyncio.gather(*workers)
    say(load.report())


class Kept:
    """One connection that is kept, and what it has seen."""

    def __init__(self, args):
        self.connection = Connection(args.address, args.port)
        self.backend, self.answers, self.moved, self.error = None, 0, 0, None
        self.rounds, self.ended = args.rounds, False

    async def live(self, interval_s):
        try:
            await self.connection.connect()
            while not self.rounds or self.answers < self.rounds:
                name = await self.connection.ask()
                self.answers += 1
                self.moved += self.backend not in (None, name)
                self.backend = self.backend or name
                await asyncio.sleep(interval_s)
            self.ended = True
            self.connection.close()
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            self.error = named(error)

    def report(self):
        return {"backend": self.backend, "answers": self.answers, "moved": self.moved, "error": self.error,
                "ended": self.ended}


async def answered(kept, times):
    """Returns when each connection has been answered so many times more, or is broken."""
    goal = {k: k.answers + times for k in kept}
    while any(k.error is None and not k.ended and k.answers < goal[k] for k in kept):
        await asyncio.sleep(0.005)


async def keep(args):
    kept = [Kept(args) for _ in range(args.connections)]
    lives = [asyncio.ensure_future(k.live(args.interval_ms / 1000)) for k in kept]
    await answered(kept, 1)
    say({"ready": True})
    async for command in commands():
        if command == "report":
            await answered(kept, 2)
            say([k.report() for k in kept])
        else:
            break
    for life in lives:
        life.cancel()


def main():
    parser = argparse.ArgumentParser()
    sub = parser.add_subparsers(dest="what", required=True)
    p = sub.add_parser("serve")
    p.add_argument("name")
    p.add_argument("--tcp", type=int, action="append", default=[])
    p.add_argument("--udp", action="append", default=[])
    p.add_argument("--forever", action="store_true", help="until killed, whatever becomes of stdin")
    for what in ("http", "udp", "keep"):
        p = sub.add_parser(what)
        p.add_argument("address")
        p.add_argument("port", type=int)
        p.add_argument("--requests", type=int, default=1000)
        p.add_argument("--until-told", action="store_true")
        p.add_argument("--concurrency", type=int, default=32)
        p.add_argument("--upload", type=int, default=0)
        p.add_argument("--size", type=int, default=64)
        p.add_argument("--connections", type=int, default=100)
        p.add_argument("--interval-ms", type=float, default=20)
        p.add_argument("--rounds", type=int, default=0, help="requests before a kept connection is closed; 0: for ever")
    args = parser.parse_args()
    run = {"serve": serve, "http": lambda a: offer(a, ask_once), "udp": lambda a: offer(a, udp_once), "keep": keep}
    asyncio.run(run[args.what](args))


if __name__ == "__main__":
    main()
