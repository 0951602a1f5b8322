"""The bare pipe that the pipeline is measured against: the least that any such process would do.

    python -m bench.pipeline_bare PORT CA ENDPOINT      TLS receive, framing, one ZeroMQ frame a socket read
    python -m bench.pipeline_bare PORT CA ENDPOINT --messages   the same, each message made an object with its index
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
SENDING_TIME = b"\x0152="
ONE_MESSAGE = 1500  # bytes; larger frames are those of the flat-out run, whose latency nobody asks for
COUNT = struct.Struct("<q")


class Pipe:
    """Receives, frames, passes on."""

    def __init__(self, reactor: Reactor, endpoint: str, port: int, ca_file: str, messages: bool) -> None:
        self.reactor = reactor
        self.messages = messages
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
        count = sum(1 for _ in framer) if self.messages else framer.skip()
        frame = COUNT.pack(count) + data
        self.socket.send(frame)

    def on_writable(self) -> None: ...

    def on_closed(self, reason: Closed) -> None:
        self.reactor.stop()


def pipe(port: int, ca_file: str, endpoint: str, messages: bool) -> int:
    """Run until the feed closes."""
    reactor = Reactor(SystemClock())
    Pipe(reactor, endpoint, port, ca_file, messages)
    reactor.run()
    return 0


def sink(endpoint: str, messages: int) -> int:
    """Take frames until `messages` are through; prints when that was and the latency from SendingTime."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
    socket.setsockopt(zmq.RCVHWM, HWM)
    socket.connect(endpoint)
    reactor = Reactor(SystemClock())
    latency = LogHistogram(bits=4)
    seen = -1  # the Logon is not counted

    def take(frame: bytes) -> None:
        nonlocal seen
        seen += COUNT.unpack_from(frame)[0]
        sent = frame.rfind(SENDING_TIME)  # for the clock; the pipe itself reads nothing
        if sent >= 0 and len(frame) < ONE_MESSAGE:
            latency.add(time.time_ns() - parse_utc_ns(frame[sent + len(SENDING_TIME) :].split(b"\x01", 1)[0]))
        if seen >= messages:
            reactor.stop()

    reactor.add_zmq(socket, take, "frames")
    reactor.run()
    print(json.dumps({"end_mono_ns": time.monotonic_ns(), "p50_ns": latency.percentile(50)}), flush=True)
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "--sink":
        sys.exit(sink(sys.argv[2], int(sys.argv[3])))
    sys.exit(pipe(int(sys.argv[1]), sys.argv[2], sys.argv[3], "--messages" in sys.argv))
