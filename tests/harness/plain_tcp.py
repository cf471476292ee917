"""One plain TCP transfer, to learn how much payload a shaped link carries.

Run: `plain_tcp.py receive ADDRESS PORT` on one host, `plain_tcp.py send ADDRESS PORT SECONDS` on
another. The receiver prints `listening`, and at the end `rate BYTES_PER_SECOND`; it leaves out the
first second, in which the connection grows and the link's saved-up burst goes out.
"""

from __future__ import annotations

import socket
import sys
import time

WARM_UP = 1.0


def receive(address: str, port: int) -> None:
    """Accepts one connection and measures it."""
    with socket.create_server((address, port)) as server:
        print("listening", flush=True)
        connection, _ = server.accept()
    with connection:
        began = first = last = None
        received = 0
        while part := connection.recv(1 << 16):
            last = time.monotonic()
            began = began or last
            if first is not None:
                received += len(part)
            elif last - began >= WARM_UP:
                first = last
        if first is None or last is None or last <= first:
            sys.exit("the transfer was too short to measure")
        print("rate", received / (last - first), flush=True)


def send(address: str, port: int, seconds: float) -> None:
    """Sends zeros for a while."""
    with socket.create_connection((address, port)) as connection:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            connection.sendall(bytes(1 << 16))


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(sys.argv[2], int(sys.argv[3]))
    else:
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
