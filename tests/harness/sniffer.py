"""Prints where every packet goes that leaves through an interface, one JSON line for each.

Run: `sniffer.py INTERFACE`, in the namespace of the host. An ARP request counts as a packet to the
address that is looked for.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import sys

OUTGOING = 4
EVERY_PROTOCOL = 3


def target(protocol: int, data: bytes) -> str | None:
    """The address that a packet is for."""
    if protocol == 0x0800:
        return str(ipaddress.ip_address(data[30:34]))
    if protocol == 0x86DD:
        return str(ipaddress.ip_address(data[38:54]))
    if protocol == 0x0806:
        return str(ipaddress.ip_address(data[38:42]))
    return None


def main() -> None:
    """Watches for ever."""
    watched = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    watched.bind((sys.argv[1], 0))
    print("watching", flush=True)
    while True:
        data, (_, protocol, kind, *_) = watched.recvfrom(65535)
        if kind == OUTGOING:
            print(json.dumps({"to": target(protocol, data), "protocol": protocol}), flush=True)


if __name__ == "__main__":
    main()
