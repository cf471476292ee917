"""Prints from where to where every packet goes that leaves through an interface, one JSON line for each.

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


# Where a protocol has the addresses of its sender and its target, and how long they are.
ADDRESSES = {0x0800: (26, 30, 4), 0x86DD: (22, 38, 16), 0x0806: (28, 38, 4)}


def addresses(protocol: int, data: bytes) -> tuple[str | None, str | None]:
    """From which address a packet is, and for which."""
    if protocol not in ADDRESSES:
        return None, None
    sender, target, size = ADDRESSES[protocol]
    at = (data[sender : sender + size], data[target : target + size])
    return str(ipaddress.ip_address(at[0])), str(ipaddress.ip_address(at[1]))


def main() -> None:
    """Watches for ever."""
    watched = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    watched.bind((sys.argv[1], 0))
    print("watching", flush=True)
    while True:
        data, (_, protocol, kind, *_) = watched.recvfrom(65535)
        if kind == OUTGOING:
            sender, target = addresses(protocol, data)
            packet = {"from": sender, "to": target, "protocol": protocol}
            print(json.dumps(packet), flush=True)


if __name__ == "__main__":
    main()
