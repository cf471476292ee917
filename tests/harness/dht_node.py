"""A node of the DHT (BEP 5) that others can start from, written from the specification.

Run: `dht_node.py ADDRESS PORT [OTHER]`. Prints `listening`, then a line `announce ADDRESS:PORT` for
each peer that announces itself, `asked ADDRESS` for each search for peers, and `met ADDRESS` for each
search for nodes. It knows the nodes that asked it, the peers that announced to it, and, if it is
given one, a node at the address `OTHER`.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from typing import Any


def encode(value: Any) -> bytes:
    """Bencode of bytes, numbers, lists and dictionaries."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(encode, value)) + b"e"
    items = sorted(value.items())
    return b"d" + b"".join(encode(key) + encode(item) for key, item in items) + b"e"


def decode(data: bytes, at: int = 0) -> tuple[Any, int]:
    """A value and where it ends."""
    if data[at : at + 1] == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if data[at : at + 1] in (b"l", b"d"):
        items, is_dict, at = [], data[at : at + 1] == b"d", at + 1
        while data[at : at + 1] != b"e":
            item, at = decode(data, at)
            items.append(item)
        pairs = dict(zip(items[::2], items[1::2])) if is_dict else items
        return pairs, at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end], end


def packed(address: tuple[str, int]) -> bytes:
    """Address and port as the DHT writes them."""
    return socket.inet_aton(address[0]) + address[1].to_bytes(2, "big")


class Node:
    """What the node knows, and what it answers."""

    def __init__(self) -> None:
        self.id = os.urandom(20)
        self.secret = os.urandom(8)
        self.nodes: dict[tuple[str, int], bytes] = {}
        self.peers: dict[bytes, set[bytes]] = {}

    def token(self, address: tuple[str, int]) -> bytes:
        """Proves that whoever announces can be reached at its address."""
        return hashlib.sha1(self.secret + address[0].encode()).digest()[:4]

    def answer(self, query: dict[bytes, Any], address: tuple[str, int]) -> dict[bytes, Any] | None:
        """The answer to one query, or None for what deserves none."""
        arguments = query[b"a"]
        # BEP 43: who only reads is no node for others.
        if not query.get(b"ro"):
            self.nodes[address] = arguments[b"id"]
        answer: dict[bytes, Any] = {b"id": self.id}
        known = b"".join(id + packed(at) for at, id in list(self.nodes.items())[:8])
        kind = query[b"q"]
        if kind in (b"find_node", b"get_peers"):
            answer[b"nodes"] = known
        if kind == b"find_node":
            print(f"met {address[0]}", flush=True)
        if kind == b"get_peers":
            print(f"asked {address[0]}", flush=True)
            answer[b"token"] = self.token(address)
            peers = self.peers.get(arguments[b"info_hash"])
            if peers:
                answer[b"values"] = sorted(peers)
        if kind == b"announce_peer":
            if arguments[b"token"] != self.token(address):
                return None
            port = address[1] if arguments.get(b"implied_port") else arguments[b"port"]
            peer = packed((address[0], port))
            self.peers.setdefault(arguments[b"info_hash"], set()).add(peer)
            print(f"announce {address[0]}:{port}", flush=True)
        return answer


def main() -> None:
    """Answers for ever."""
    node = Node()
    for other in sys.argv[3:]:
        node.nodes[other, 6881] = os.urandom(20)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((sys.argv[1], int(sys.argv[2])))
    print("listening", flush=True)
    while True:
        data, address = server.recvfrom(2048)
        query, _ = decode(data)
        if query.get(b"y") != b"q":
            continue
        answer = node.answer(query, address)
        if answer is not None:
            reply = {b"t": query[b"t"], b"y": b"r", b"r": answer, b"ip": packed(address)}
            server.sendto(encode(reply), address)


if __name__ == "__main__":
    main()
