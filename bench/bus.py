"""The bus beside bare pyzmq: the same bytes, one process to another, over ipc with finite high-water marks.

A round sends fewer frames than the high-water mark, so nothing is dropped, and lasts from the first send to the last
receipt. Rounds of the lanes compared take turns. Where a subscriber is stuck it was stuck before: its queue is full.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import zmq

from base.clock import SystemClock
from base.errors import BusError
from bench.report import Row, print_rows
from ipc import frames
from ipc.bus import RECEIVE_HWM, SEND_HWM, Publisher, Subscriber
from ipc.events import BookDelta

TOPIC: Final = "md.kraken.BTC-USD"
FRAMES: Final = 20_000  # a round. Half of a high-water mark may be taken up by receipts not yet told to the sender
ROUNDS: Final = 60
BATCH: Final = 100  # frames taken at once
GIVE_UP_MS: Final = 10_000
ENTRIES: Final = 5  # level changes an event

Send = Callable[[int], None]


def delta() -> bytes:
    """One packed event: a five-entry change of a book."""
    return frames.encode_event(BookDelta(2, bytes(24 * ENTRIES), 123_456_789, 1_750_000_000_000_000_000, 1))


def _loop(take: Callable[[int], int], socket: zmq.Socket[bytes], order: Connection) -> None:
    """Receive as many frames as ordered, say when the last was there; begin anew."""
    order.send(0)
    while (left := order.recv()) > 0:
        while left:
            left -= take(left)
            if left and not socket.poll(GIVE_UP_MS):
                raise BusError(f"{left} of {FRAMES} frames did not come")
        order.send(time.monotonic_ns())


def _bare(endpoint: str, order: Connection, parts: int) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.RCVHWM, RECEIVE_HWM)
        socket.setsockopt(zmq.SUBSCRIBE, TOPIC.encode())
        socket.connect(endpoint)
        socket.poll()  # the first frame only tells that the subscription stands
        socket.recv_multipart()
        recv: Callable[[int], object] = socket.recv if parts == 1 else socket.recv_multipart

        def take(limit: int) -> int:
            for count in range(limit):
                try:
                    recv(zmq.NOBLOCK)
                except zmq.Again:
                    return count
            return limit

        _loop(take, socket, order)


def _ours(endpoint: str, order: Connection) -> None:
    with zmq.Context() as context:
        subscriber = Subscriber(context)
        subscriber.subscribe(TOPIC, exact=True)
        subscriber.connect(endpoint)
        subscriber.socket.poll()
        subscriber.receive_raw()
        receive = subscriber.receive_raws

        def take(limit: int) -> int:
            count = 0
            while count < limit and (found := receive(min(BATCH, limit - count))):
                for _topic, _epoch, _first, n_events, _packed, _gap in found:
                    count += n_events
            return count

        _loop(take, subscriber.socket, order)
        counters = subscriber.counters
        subscriber.close()
        if counters.missed > 1_000 or counters.malformed:  # what was published before it subscribed is no loss
            raise BusError(f"the bus lost frames in a benchmark: {counters}")


def _stuck(endpoint: str, order: Connection) -> None:
    """Subscribes and never reads."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.RCVHWM, 1_000)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(endpoint)
        socket.poll()
        order.send(0)
        order.recv()


class Lane:
    """A publisher here and its subscribers in processes of their own."""

    def __init__(self, endpoint: str, send: Send, *readers: Callable[..., None], parts: int = 0) -> None:
        """The first of `readers` is the one that is timed."""
        self._send = send
        self._orders: list[Connection] = []
        self._processes = []
        spawn = get_context("spawn")
        for reader in readers:
            here, there = spawn.Pipe()
            arguments = (endpoint, there, parts) if parts else (endpoint, there)
            process = spawn.Process(target=reader, args=arguments, daemon=True)
            process.start()
            self._orders.append(here)
            self._processes.append(process)
        for order in self._orders:
            while not order.poll(0.01):
                send(1)
            order.recv()

    def round(self) -> float:
        """Frames a second of one round."""
        self._orders[0].send(FRAMES)
        begin_ns = time.monotonic_ns()
        self._send(FRAMES)
        end_ns: int = self._orders[0].recv()
        return FRAMES / (end_ns - begin_ns) * 1e9

    def close(self) -> None:
        """Have the readers end."""
        for order in self._orders:
            order.send(0)
        for process in self._processes:
            process.join(10)


def bare_lane(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, parts: int) -> Lane:
    """pyzmq alone, frames made beforehand, of one part or of two."""
    socket = context.socket(zmq.PUB)
    socket.setsockopt(zmq.SNDHWM, SEND_HWM)
    socket.setsockopt(zmq.LINGER, 0)
    socket.bind(endpoint)
    data = frames.frame(frames.prefix(TOPIC.encode(), 1), 1, 1, 1, delta())
    nul = data.index(b"\0") + 1
    pair = [data[:nul], data[nul:]]

    def send_one(count: int) -> None:
        send = socket.send
        for _ in range(count):
            send(data, zmq.NOBLOCK)

    def send_two(count: int) -> None:
        send = socket.send_multipart
        for _ in range(count):
            send(pair, zmq.NOBLOCK)

    return Lane(endpoint, send_one if parts == 1 else send_two, _bare, parts=parts)


def our_lane(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, *others: Callable[..., None]) -> Lane:
    """Publisher and Subscriber, each frame stamped, numbered and checked."""
    publisher = Publisher(context, endpoint, SystemClock())
    packed = delta()

    def send(count: int) -> None:
        publish = publisher.publish_raw
        for _ in range(count):
            publish(TOPIC, 1, packed)

    return Lane(endpoint, send, _ours, *others)


def compare(lanes: list[Lane]) -> list[list[float]]:
    """Rates of every lane, round by round, after two rounds to warm up (which also fill what is stuck)."""
    for lane in lanes:
        for _ in range(2 * SEND_HWM // FRAMES + 1):
            lane.round()
    rates: list[list[float]] = [[] for _ in lanes]
    order = list(zip(lanes, rates, strict=True))
    for _ in range(ROUNDS):
        for lane, seen in order:
            seen.append(lane.round())
        order.reverse()  # neither lane always follows the other
    return rates


def undisturbed(rates: list[float]) -> float:
    """The upper decile: what else a machine does only ever slows a round down."""
    return statistics.quantiles(rates, n=10)[-1]


def _row(name: str, ours: list[float], peer: str, theirs: list[float], reach: float | None) -> Row:
    value, peer_value = undisturbed(ours), undisturbed(theirs)
    ratio = value / peer_value
    return Row(name, value, "frames/s", peer, peer_value, ratio, reach, reach is None or ratio >= reach)


def measure() -> list[Row]:
    """All rows."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with tempfile.TemporaryDirectory() as folder:
        at = f"ipc://{Path(folder)}/"
        lanes = [bare_lane(context, f"{at}bare", 1), our_lane(context, f"{at}ours")]
        bare, ours = compare(lanes)
        lanes.append(our_lane(context, f"{at}slow", _stuck))
        free, slow = compare(lanes[1:])
        lanes.append(bare_lane(context, f"{at}two", 2))
        one, two = compare([lanes[0], lanes[3]])
        for lane in lanes:
            lane.close()
        context.destroy(linger=0)
    return [
        _row("bus", ours, "bare pyzmq, same frames", bare, 0.9),
        _row("bus with a stuck subscriber", slow, "bus without one", free, 0.95),
        _row("bare pyzmq, two parts", two, "bare pyzmq, one part", one, None),
    ]


def run(json: bool) -> int:
    """Print the rows; 0 when every figure was reached, else 4."""
    rows = measure()
    print_rows(rows, json)
    return 0 if all(row.ok for row in rows) else 4
