"""A market-data feed that never ends and costs next to nothing: bodies rendered once, framed anew each time.

    python -m bench.kill_flood PORT_FILE

Plain TCP. A client that logs on and subscribes as to a Kraken-like feed gets one book for ever, as fast as it reads.
The bodies are those of a second pass over the same changes: each pass then leaves the book as it found it, and the
checksums in them stay right for all that follow.
"""

import socket
import sys
from pathlib import Path
from typing import Final

from bench.pipeline_feed import FIRST_SEQ, Market, Peer, log_on, now_text, whole

CHANGES: Final = 4_000
BATCH: Final = 64


def bodies(market: Market, md_req_id: bytes) -> tuple[list[bytes], list[bytes]]:
    """(the first pass, every pass after it)."""
    state = market.random.getstate()
    passes = []
    for _ in range(2):
        market.random.setstate(state)
        passes.append([market.change(md_req_id) for _ in range(CHANGES)])
    return passes[0], passes[1]


def serve(connection: socket.socket) -> None:
    """One client, until it leaves."""
    peer, market = Peer(connection), Market(7)
    first, again = bodies(market, log_on(peer, market))
    seq, turn = FIRST_SEQ, first
    while True:
        for at in range(0, CHANGES, BATCH):
            sending = now_text()
            batch = turn[at : at + BATCH]
            connection.sendall(b"".join(whole(seq + n, b"X", body, sending) for n, body in enumerate(batch)))
            seq += len(batch)
        turn = again


def main(port_file: str) -> int:
    """Serve one client after the other, until it is ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        Path(port_file).write_text(str(server.getsockname()[1]))
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                try:
                    serve(connection)
                except (OSError, SystemExit):
                    continue  # it left: the next one


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
