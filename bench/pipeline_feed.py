"""The venue's end of the pipeline benchmark: logs a Kraken-like feed on over TLS, then sends bytes rendered beforehand.

    python -m bench.pipeline_feed CERT KEY MESSAGES RATE       (RATE 0: as fast as the socket takes them)

Prints its port, then, once a session has subscribed, the monotonic time at which it begins. Any client that logs on
gets the stream: the shipped processes, which subscribe, and the bare pipe, which only logs on.
"""

import json
import random
import socket
import ssl
import sys
import time
from typing import Any

import simplefix

from ipc._book import Book

PX_SCALE, QTY_SCALE = 1, 8
LEVELS = 200
ENTRIES = 5
CHUNK = 64 * 1024
FIRST_SEQ = 4  # after Logon, instrument list and snapshot
SOH = b"\x01"


def whole(seq: int, msg_type: bytes, body: bytes, sending: bytes) -> bytes:
    """One message with its length and checksum."""
    head = b"35=%b\x0149=KRAKEN-MD\x0156=BENCH\x0134=%d\x0152=%b\x01" % (msg_type, seq, sending)
    text = b"8=FIX.4.4\x019=%d\x01%b%b" % (len(head) + len(body), head, body)
    return text + b"10=%03d\x01" % (sum(text) & 255)


def now_text() -> bytes:
    ns = time.time_ns()
    seconds, rest = divmod(ns, 1_000_000_000)
    return (time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1000:06d}").encode()


class Market:
    """A book that moves, and the messages that tell of it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.book = Book(levels=1000)
        self.mid = 600_000
        for i in range(LEVELS):
            self.book.apply(0, self.mid - 1 - i, 100_000 + i)
            self.book.apply(1, self.mid + 1 + i, 100_000 + i)

    def snapshot(self, md_req_id: bytes) -> bytes:
        """Body of the 35=W."""
        parts = []
        for side, letter in ((1, b"O"), (0, b"B")):
            for px, qty, _ in self.book.side(side):
                parts.append(self._entry(b"", side, letter, px, qty))
        return b"55=BTC/USD\x01262=%b\x01268=%d\x01" % (md_req_id, len(parts)) + b"".join(parts)

    def change(self, md_req_id: bytes) -> bytes:
        """Body of a 35=X with five entries and the checksum of the book after them."""
        parts = []
        for _ in range(ENTRIES):
            side = self.random.getrandbits(1)
            offset = min(int(self.random.expovariate(0.08)), LEVELS - 1)
            px = self.mid - 1 - offset if side == 0 else self.mid + 1 + offset
            qty = self.random.randint(1_000, 900_000_000)
            self.book.apply(1 << 8 | side, px, qty)
            parts.append(self._entry(b"279=1\x01", side, b"BO"[side : side + 1], px, qty))
        head = b"55=BTC/USD\x01262=%b\x01268=%d\x01" % (md_req_id, len(parts))
        return head + b"".join(parts) + b"5041=%d\x01" % self.book.crc32_top(10)

    @staticmethod
    def _entry(action: bytes, side: int, letter: bytes, px: int, qty: int) -> bytes:
        price = b"%d.%d" % divmod(px, 10)
        return b"%b269=%d\x01278=%b%b\x01270=%b\x01271=%d.%08d\x01273=12:00:00.000\x01" % (
            action, side, letter, price, price, *divmod(qty, 10**QTY_SCALE),
        )  # fmt: skip


class Peer:
    """One connection, read with simplefix."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.parser = simplefix.FixParser()

    def message(self) -> Any:
        """The next message; None at the end."""
        while True:
            found = self.parser.get_message()
            if found is not None:
                return found
            data = self.connection.recv(65536)
            if not data:
                return None
            self.parser.append_buffer(data)


def log_on(peer: Peer, market: Market) -> bytes:
    """Answer until the stream may begin; the MDReqID to stream under."""
    md_req_id = b"1"
    while True:
        message = peer.message()
        if message is None:
            raise SystemExit("the client left before it subscribed")
        kind = message.get(35)
        if kind == b"A":
            peer.connection.sendall(whole(1, b"A", b"98=0\x01108=30\x01141=Y\x01", now_text()))
            if message.get(58) == b"bare":
                return md_req_id
        elif kind == b"x":
            row = b"55=BTC/USD\x01562=0.00000001\x015010=8\x015011=0.0001\x012349=1\x015022=0.1\x015032=1\x01"
            body = b"320=%b\x01322=1\x01560=0\x01146=1\x01%b" % (message.get(320), row)
            peer.connection.sendall(whole(2, b"y", body, now_text()))
        elif kind == b"V":
            md_req_id = bytes(message.get(262))
            peer.connection.sendall(whole(3, b"W", market.snapshot(md_req_id), now_text()))
            return md_req_id


def stream(peer: Peer, market: Market, messages: int, rate: int, md_req_id: bytes) -> None:
    """Send the changes: all rendered beforehand, or one at a time at a pace with a fresh SendingTime."""
    if not rate:
        sending = now_text()
        rendered = [whole(FIRST_SEQ + i, b"X", market.change(md_req_id), sending) for i in range(messages)]
        data = memoryview(b"".join(rendered))
        print(json.dumps({"begin_mono_ns": time.monotonic_ns()}), flush=True)
        for at in range(0, len(data), CHUNK):
            peer.connection.sendall(data[at : at + CHUNK])
        return
    bodies = [market.change(md_req_id) for _ in range(messages)]
    print(json.dumps({"begin_mono_ns": time.monotonic_ns()}), flush=True)
    due = time.monotonic()
    for i, body in enumerate(bodies):
        due += 1 / rate
        delay = due - time.monotonic()
        if delay > 0:
            time.sleep(delay)
        peer.connection.sendall(whole(FIRST_SEQ + i, b"X", body, now_text()))


def main() -> int:
    """Serve one client."""
    cert, key, messages, rate = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(json.dumps({"port": server.getsockname()[1]}), flush=True)
        raw, _ = server.accept()
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(raw, server_side=True) as connection:
            peer, market = Peer(connection), Market(7)
            stream(peer, market, messages, rate, log_on(peer, market))
            while peer.message() is not None:  # heartbeats, until the client leaves
                pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
