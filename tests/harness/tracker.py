"""An HTTP tracker in a few lines (BEP 3, 23), for a network of test hosts.

Run: `tracker.py ADDRESS PORT`; port 0 takes a free one. Prints `listening PORT`, then one line per
announce: `IP PORT LEFT EVENT`.
"""

from __future__ import annotations

import socket
import struct
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Lock
from urllib.parse import unquote_to_bytes, urlsplit

Swarm = dict[tuple[str, int], int]


class Announce(BaseHTTPRequestHandler):
    """Answers `/announce`; every peer of an info-hash learns of all others."""

    protocol_version = "HTTP/1.0"
    swarms: dict[bytes, Swarm] = {}
    lines = Lock()

    def do_GET(self) -> None:
        """One announce; nothing else is answered, scrapes neither."""
        if not self.path.startswith("/announce?"):
            self.send_error(404)
            return
        query = {}
        for part in urlsplit(self.path).query.split("&"):
            key, _, value = part.partition("=")
            query[key] = unquote_to_bytes(value)
        peer = (self.client_address[0], int(query["port"]))
        left, event = int(query["left"]), query.get("event", b"").decode()
        swarm = self.swarms.setdefault(query["info_hash"], {})
        if event == "stopped":
            swarm.pop(peer, None)
        else:
            swarm[peer] = left
        # Several requests are answered at the same time; their lines must not mix.
        with self.lines:
            print(*peer, left, event or "-", flush=True)
        self.answer(swarm, peer)

    def answer(self, swarm: Swarm, asking: tuple[str, int]) -> None:
        """Sends the other peers in compact form."""
        others = [peer for peer in swarm if peer != asking]
        compact = b"".join(socket.inet_aton(ip) + struct.pack(">H", port) for ip, port in others)
        complete = sum(left == 0 for left in swarm.values())
        body = b"d8:completei%de10:incompletei%de8:intervali5e12:min intervali2e5:peers%d:%se" % (
            complete,
            len(swarm) - complete,
            len(compact),
            compact,
        )
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing; the announce lines say it all."""


class Tracker(ThreadingHTTPServer):
    """A server that does not ask the DNS for its own name, which nobody here could answer."""

    def server_bind(self) -> None:
        """Binds, and no more."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]


if __name__ == "__main__":
    tracker = Tracker((sys.argv[1], int(sys.argv[2])), Announce)
    print("listening", tracker.server_port, flush=True)
    tracker.serve_forever()
