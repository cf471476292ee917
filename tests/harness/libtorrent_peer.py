"""A peer made of libtorrent, as a program of its own.

Run: `libtorrent_peer.py seed|fetch|share MANIFEST DIR [--listen ADDRESS:PORT] [--peer HOST:PORT]
[--no-utp] [--lsd] [--upload-limit BYTES] [--gate FILE]`. MANIFEST may be a magnet link.
`fetch` ends when everything is there and verified; `seed` and `share` print `ready PORT` then and
serve until they are ended. With `--gate` it says `at the gate` and starts when FILE is unlocked.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
import time

import libtorrent


def main() -> None:
    """Adds one torrent and waits for what was asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["seed", "fetch", "share"])
    parser.add_argument("manifest")
    parser.add_argument("dir")
    parser.add_argument("--listen", default="0.0.0.0:6881")
    parser.add_argument("--peer")
    parser.add_argument("--no-utp", action="store_true")
    parser.add_argument("--lsd", action="store_true")
    parser.add_argument("--upload-limit", type=int, default=-1)
    parser.add_argument("--gate")
    args = parser.parse_args()
    if args.gate:
        with open(args.gate, "rb") as gate:
            print("at the gate", flush=True)
            fcntl.flock(gate, fcntl.LOCK_SH)

    settings = {
        "listen_interfaces": args.listen,
        "enable_dht": False,
        "enable_lsd": args.lsd,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_utp": not args.no_utp,
        "enable_outgoing_utp": not args.no_utp,
        # Test hosts are on one subnet, and all but one are new to the tracker.
        "allow_multiple_connections_per_ip": True,
        "alert_mask": libtorrent.alert.category_t.error_notification,
    }
    session = libtorrent.session(settings)
    if args.manifest.startswith("magnet:"):
        params = libtorrent.parse_magnet_uri(args.manifest)
    else:
        params = libtorrent.add_torrent_params()
        params.ti = libtorrent.torrent_info(args.manifest)
    params.save_path = args.dir
    torrent = session.add_torrent(params)
    torrent.set_upload_limit(args.upload_limit)
    if args.peer:
        host, port = args.peer.rsplit(":", 1)
        torrent.connect_peer((host, int(port)))

    ready = False
    while not ready:
        status = torrent.status()
        if status.errc.value():
            sys.exit(f"error: {status.errc.message()}")
        ready = status.is_seeding
        time.sleep(0.02)
    print("ready", session.listen_port(), flush=True)
    while args.role != "fetch":
        time.sleep(60)


if __name__ == "__main__":
    main()
