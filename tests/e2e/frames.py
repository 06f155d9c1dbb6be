# SPDX-License-Identifier: BSD-2-Clause
"""Single frames in and out of the lab, for Scapy to make and to judge."""
import select
import socket
import struct
import time

from lab import LabError

_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_AUXDATA, _PACKET_OUTGOING = 263, 8, 4
_TP_STATUS_VLAN_VALID, _TP_STATUS_VLAN_TPID_VALID = 0x10, 0x40


def inject(host, *frames):
    """Puts frames (bytes) on the host's eth0 exactly as they are."""
    with host.ns.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
        s.bind(("eth0", 0))
        for frame in frames:
            s.send(frame)


class Sniffer:
    """All frames that arrive at a host's eth0, from the moment it is made. VLAN tags are put back where they were."""

    def __init__(self, host, device="eth0"):
        self.role = host.role
        self.socket = host.ns.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self.socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self.socket.bind((device, _ETH_P_ALL))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def fileno(self):
        return self.socket.fileno()

    def take(self):
        """One frame, or None if it was one that the host itself sent."""
        data, ancillary, _, sender = self.socket.recvmsg(65536, 256)
        if sender[2] == _PACKET_OUTGOING:
            return None
        for _, _, aux in ancillary:
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", aux[:20])
            if status & _TP_STATUS_VLAN_VALID:
                tpid = tpid if status & _TP_STATUS_VLAN_TPID_VALID else 0x8100
                data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
        return data


def first(sniffers, wanted, deadline_s=5.0):
    """(role, frame) of the first frame at any of the sniffers for which wanted(frame) is true."""
    end = time.monotonic() + deadline_s
    while (left := end - time.monotonic()) > 0:
        for sniffer in select.select(sniffers, [], [], left)[0]:
            frame = sniffer.take()
            if frame is not None and wanted(frame):
                return sniffer.role, frame
    raise LabError("the frame did not arrive at any backend")


def find(sniffers, marks):
    """{mark: role} of where frames that contain these byte strings arrive, in whatever order they do."""
    found = {}

    def note(frame):
        seen = [m for m in marks if m in frame and m not in found]
        found.update(dict.fromkeys(seen))
        return bool(seen)

    while len(found) < len(marks):
        before = set(found)
        role, _ = first(sniffers, note)
        found.update((m, role) for m in set(found) - before)
    return found
