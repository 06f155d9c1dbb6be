#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A DNS server for the lab: UDP on ADDRESS port 53. Each line of stdin is the JSON of its whole zone, "NAME/TYPE" -> list of
[TTL, VALUE] (A, AAAA: address; SRV: [priority, weight, port, target]), or of the word of a failure: "SERVFAIL", "NXDOMAIN",
"SILENCE". Says {"asked": N} for each line it takes: questions so far."""
import asyncio
import ipaddress
import json
import struct
import sys

TYPES = {1: "A", 28: "AAAA", 33: "SRV"}
CODES = {"SERVFAIL": 2, "NXDOMAIN": 3}


def wire_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def data_of(kind, value):
    if kind == "SRV":
        priority, weight, port, target = value
        return struct.pack("!HHH", priority, weight, port) + wire_name(target)
    return ipaddress.ip_address(value).packed


class Server(asyncio.DatagramProtocol):
    def __init__(self):
        self.zone, self.asked = {}, 0

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, client):
        self.asked += 1
        if self.zone == "SILENCE":
            return
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12:at + 5]
        number = struct.unpack("!H", query[at + 1:at + 3])[0]
        kind = TYPES.get(number, "")
        rows = [] if isinstance(self.zone, str) else self.zone.get(f"{'.'.join(labels).lower()}/{kind}", [])
        code = CODES.get(self.zone, 0) if isinstance(self.zone, str) else 0
        answer = query[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(rows), 0, 0) + question
        for ttl, value in rows:
            data = data_of(kind, value)
            answer += b"\xc0\x0c" + struct.pack("!HHIH", number, 1, ttl, len(data)) + data
        self.transport.sendto(answer, client)


async def main(address):
    loop = asyncio.get_running_loop()
    server = Server()
    await loop.create_datagram_endpoint(lambda: server, (address, 53))
    print(json.dumps({"ready": True}), flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        server.zone = json.loads(line)
        print(json.dumps({"asked": server.asked}), flush=True)


asyncio.run(main(sys.argv[1]))
