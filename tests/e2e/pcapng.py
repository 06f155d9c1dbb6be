# SPDX-License-Identifier: BSD-2-Clause
"""Packets and comments of a pcapng file. Scapy 2.5 reads the packets, but of comments only what ends in a line feed."""
import struct


def blocks(data):
    """(type, body) of each block; a file that is not whole blocks is an error."""
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("=II", data, at)
        assert length >= 12 and struct.unpack_from("=I", data, at + length - 4) == (length,), f"block at {at}"
        yield kind, data[at + 8:at + length - 4]
        at += length


def options(body):
    """{code: value}"""
    found, at = {}, 0
    while at + 4 <= len(body):
        code, length = struct.unpack_from("=HH", body, at)
        if code == 0:
            break
        found[code] = body[at + 4:at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    return found


def packets(path):
    """[(bytes, comment)], as they stand in the file."""
    found = []
    with open(path, "rb") as file:
        for kind, body in blocks(file.read()):
            if kind == 6:  # an enhanced packet block
                captured = struct.unpack_from("=I", body, 12)[0]
                rest = options(body[20 + (captured + 3) // 4 * 4:])
                found.append((body[20:20 + captured], rest.get(1, b"").decode()))
    return found
