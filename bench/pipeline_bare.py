"""The bare pipe that the pipeline is measured against: the least that any such process would do.

    python -m bench.pipeline_bare PORT CA ENDPOINT      TLS receive, framing, one ZeroMQ frame a socket read
    python -m bench.pipeline_bare --sink ENDPOINT N     takes the frames until N messages are through

Nothing is decoded, no session is kept, no book exists; transport, poll loop and framer are those of the product.
"""

import json
import struct
import sys
import time

import zmq

from base.clock import SystemClock
from base.histogram import LogHistogram
from base.reactor import Reactor
from base.tls import TlsClient
from base.transport import Closed, TcpTransport
from bench.pipeline_feed import whole
from fix.codec import Framer, parse_utc_ns

HWM = 50_000
COUNT = struct.Struct("<qq")


class Pipe:
    """Receives, frames, passes on."""

    def __init__(self, reactor: Reactor, endpoint: str, port: int, ca_file: str) -> None:
        self.reactor = reactor
        self.framer = Framer()
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
        self.socket.setsockopt(zmq.SNDHWM, HWM)
        self.socket.bind(endpoint)
        self.transport = TcpTransport(reactor, self, "bare", TlsClient("localhost", ca_file))
        self.transport.connect("127.0.0.1", port)

    def on_connected(self) -> None:
        body = b"98=0\x01108=30\x01141=Y\x0158=bare\x01"
        self.transport.write(whole(1, b"A", body, b"20260101-00:00:00.000"))

    def on_data(self, data: memoryview) -> None:
        framer = self.framer
        framer.feed(data)
        count, last = 0, None
        while (message := framer.next()) is not None:
            count += 1
            last = message
        sent_ns = parse_utc_ns(last.raw[last.raw.find(b"\x0152=") + 4 :].split(b"\x01", 1)[0]) if last else 0
        self.socket.send(COUNT.pack(count, sent_ns) + data)

    def on_writable(self) -> None: ...

    def on_closed(self, reason: Closed) -> None:
        self.reactor.stop()


def pipe(port: int, ca_file: str, endpoint: str) -> int:
    """Run until the feed closes."""
    reactor = Reactor(SystemClock())
    Pipe(reactor, endpoint, port, ca_file)
    reactor.run()
    return 0


def sink(endpoint: str, messages: int) -> int:
    """Take frames until `messages` are through; prints when that was and the latency from SendingTime."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
    socket.setsockopt(zmq.RCVHWM, HWM)
    socket.connect(endpoint)
    reactor = Reactor(SystemClock())
    latency = LogHistogram()
    seen = -1  # the Logon is not counted

    def take(frame: bytes) -> None:
        nonlocal seen
        count, sent_ns = COUNT.unpack_from(frame)
        seen += count
        if count and sent_ns:
            latency.add(time.time_ns() - sent_ns)
        if seen >= messages:
            reactor.stop()

    reactor.add_zmq(socket, take, "frames")
    reactor.run()
    print(json.dumps({"end_mono_ns": time.monotonic_ns(), "p50_ns": latency.percentile(50)}), flush=True)
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "--sink":
        sys.exit(sink(sys.argv[2], int(sys.argv[3])))
    sys.exit(pipe(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
