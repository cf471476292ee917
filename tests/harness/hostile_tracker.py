"""A tracker that is of no use, in a way that the path of its URL chooses.

Run: `hostile_tracker.py ADDRESS PORT`. `/hang/announce` never answers, `/html/announce` answers a
page, `/redirect/announce` redirects for ever, `/lie/announce` names peers that are cut off, and
`/dead/announce` names 10,000 addresses where nobody is. `/late/ADDRESS/PORT/announce` is of use: it
names that one peer, but only when the dead have been named.
"""

from __future__ import annotations

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DEAD_PEERS = 10_000

# How long after the dead the late one is named: until a fetcher dials as many as it dares.
LATE_SECONDS = 0.2


def dead() -> bytes:
    """An answer with peers that do not exist, all of them on the network of the tests."""
    numbers = range(DEAD_PEERS)
    peers = b"".join(bytes([10, 77, 1 + n // 250, 1 + n % 250, 0x1A, 0xE1]) for n in numbers)
    return b"d8:intervali1800e5:peers%d:%se" % (len(peers), peers)


def late(address: str, port: str) -> bytes:
    """An answer with one peer."""
    peer = bytes(map(int, address.split("."))) + int(port).to_bytes(2, "big")
    return b"d8:intervali1800e5:peers6:" + peer + b"e"


class Hostile(BaseHTTPRequestHandler):
    """Answers by the first part of the path."""

    protocol_version = "HTTP/1.1"
    dead_are_named = threading.Event()

    def do_GET(self) -> None:
        """Every request."""
        mode, *rest = self.path.split("/")[1:]
        if mode == "hang":
            threading.Event().wait()
        if mode == "redirect":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if mode == "late":
            self.dead_are_named.wait()
            time.sleep(LATE_SECONDS)
        answers = {
            "html": b"<html><body>It works!</body></html>",
            "lie": b"d8:intervali1800e5:peers5:aaaaae",
            "dead": dead(),
        }
        body = late(rest[0], rest[1]) if mode == "late" else answers[mode]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if mode == "dead":
            self.dead_are_named.set()

    def log_message(self, *_: object) -> None:
        """Says nothing of single requests."""


def main() -> None:
    """Answers for ever."""
    server = ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Hostile)
    server.daemon_threads = True
    print("listening", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
