"""The event bus: a Publisher binds one PUB socket, a Subscriber connects one SUB socket to as many as it likes.

Every topic has contiguous sequence numbers from 1 under the publisher's epoch; heartbeats repeat the next one, so that
a lost last message shows as well. The protocol is docs/bus.md; what a subscriber concludes is ipc/sequence.py.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import zmq

from base.clock import Clock, SystemClock
from base.errors import BusError, SchemaError
from ipc import frames
from ipc._bus import Outlet, PublisherCore, SubscriberCore
from ipc._metrics import Histogram
from ipc.events import AnyEvent
from ipc.journal import Journal
from ipc.sequence import Counters, Delivery, Gap, RawFrame, Tracker

__all__ = ["Counters", "Delivery", "Gap", "Publisher", "RawFrame", "Subscriber", "bind_private"]

HEARTBEAT_NS: Final = 100_000_000
SILENCE_NS: Final = 1_000_000_000
# Frames that may wait for one subscriber before its frames are dropped (which it then sees as a gap): half a second at
# 100,000 a second. Memory is bounded by this number for each subscriber, not for the topic.
SEND_HWM: Final = 50_000
RECEIVE_HWM: Final = 50_000
_SOCKET_PATH_BYTES: Final = 107


def bind_private(socket: zmq.Socket[Any], endpoint: str) -> None:
    """Bind; an ipc:// endpoint must lie in a directory in which nobody but its owner may write, closed to others
    (0700; 0750 where a group may look: a socket's own mode keeps it from connecting). BusError says what is wrong.

    Take the role's lock first: ZeroMQ removes a socket file that is there, even one that a living process listens on.
    """
    if endpoint.startswith("ipc://"):
        path = Path(endpoint.removeprefix("ipc://"))
        if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
            raise BusError(f"{endpoint}: a socket path may have {_SOCKET_PATH_BYTES} bytes; choose a shorter run_dir")
        try:
            mode = path.parent.stat().st_mode
        except OSError as e:
            raise BusError(f"{endpoint}: {path.parent}: {e.strerror}") from None
        if not stat.S_ISDIR(mode) or mode & 0o027:
            raise BusError(
                f"{endpoint}: {path.parent} must be a directory with mode 0700 or 0750, not {stat.S_IMODE(mode):04o}"
            )
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as e:
        raise BusError(f"{endpoint}: cannot bind: {e}") from None


class Publisher(PublisherCore):
    """Publishes events under topics. Never blocks: what a slow subscriber does not take is dropped for it alone."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        clock: Clock,
        *,
        epoch: int = 0,
        send_hwm: int = SEND_HWM,
    ) -> None:
        """Bind `endpoint`. `epoch`: UTC ns of this start; give the journal's next one when topics are journalled."""
        self.endpoint = endpoint
        self.epoch = epoch or clock.wall_ns()
        self._next_heartbeat_ns = 0
        self.socket = context.socket(zmq.PUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDHWM, send_hwm)
        try:
            bind_private(self.socket, endpoint)
        except BusError:
            self.socket.close()
            raise
        self._wall_ns = clock.wall_ns
        wall_ns = None if isinstance(clock, SystemClock) else clock.wall_ns
        # The send below pyzmq's own: what lies between serves socket types that are not ours and takes longer than it.
        send = super(zmq.Socket, self.socket).send
        super().__init__(send, wall_ns, int(zmq.NOBLOCK))

    def declare(self, topic: str, journal: Journal | None = None) -> None:
        """Heartbeats from now on, so that subscribers know the topic before its first event; events go to `journal`
        before they are sent. BusError for a topic that is no topic, or one that was declared before.
        """
        if topic in self.outlets:
            raise BusError(f"topic {topic}: declared or published before")
        self.outlets[topic] = Outlet(frames.prefix(frames.check_topic(topic), self.epoch), journal)
        if journal is not None:
            journal.declare(topic, self.epoch)

    def journal(self, topic: str) -> Journal | None:
        """The journal that a topic was declared with."""
        outlet = self.outlets.get(topic)
        return outlet.journal if outlet else None

    def journalled_topic(self) -> str:
        """The one topic that was declared with a journal; "" with none or several."""
        found = [topic for topic, outlet in self.outlets.items() if outlet.journal is not None]
        return found[0] if len(found) == 1 else ""

    def publish(self, topic: str, *events: AnyEvent) -> int:
        """Publish events as one frame; returns the sequence number of the first. StoreError: journal, nothing sent."""
        if not events:
            raise BusError(f"topic {topic}: publish without events")
        return self.publish_raw(topic, len(events), b"".join(map(frames.encode_event, events)))

    def next_seq(self, topic: str) -> int:
        """The number that the topic's next event will have."""
        outlet = self.outlets.get(topic)
        return outlet.next_seq if outlet else 1

    def heartbeat(self, mono_ns: int) -> int:
        """Send heartbeats that are due; returns the monotonic time at which to call again. Call it from a timer."""
        if mono_ns < self._next_heartbeat_ns:
            return self._next_heartbeat_ns
        self._next_heartbeat_ns = mono_ns + HEARTBEAT_NS
        sent_ns = self._wall_ns()
        for outlet in self.outlets.values():
            if outlet.idle:
                self.socket.send(outlet.frame(sent_ns, 0, b""), zmq.NOBLOCK)
            outlet.idle = True  # a topic in use heartbeats by itself; its last event is repeated at the next turn
        return self._next_heartbeat_ns

    def close(self) -> None:
        """Close the socket; what was not taken yet is dropped."""
        self.socket.close(0)


class Subscriber(SubscriberCore):
    """Receives events of any number of publishers and says what is missing. Non-blocking; poll `socket`."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], *, receive_hwm: int = RECEIVE_HWM, silence_ns: int = SILENCE_NS
    ) -> None:
        self.socket = context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVHWM, receive_hwm)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 10)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        self._recv = self.socket.recv
        self._silence_ns = silence_ns
        self._tracker = Tracker()
        super().__init__(self.socket.recv, int(zmq.NOBLOCK), self._tracker)

    def measure(self, queue: Histogram) -> None:
        """Count in `queue` how long each frame took from its publication to its receipt."""
        self._tracker.delay = queue

    @property
    def counters(self) -> Counters:
        """What was met so far."""
        return self._tracker.counters

    @property
    def last_fault(self) -> str:
        """What was wrong with the last thing that could not be read, and where."""
        return self._tracker.last_fault

    def connect(self, endpoint: str) -> None:
        """Connect to a publisher, which need not be there yet."""
        try:
            self.socket.connect(endpoint)
        except zmq.ZMQError as e:
            raise BusError(f"{endpoint}: cannot connect: {e}") from None

    def subscribe(self, prefix: str, *, exact: bool = False) -> None:
        """Subscribe to topics beginning with `prefix`, or to that one topic alone (BTC-USD, not BTC-USD-PERP)."""
        self.socket.setsockopt(zmq.SUBSCRIBE, prefix.encode() + (b"\0" if exact else b""))

    def unsubscribe(self, prefix: str, *, exact: bool = False) -> None:
        """Take back one `subscribe` with the same arguments."""
        self.socket.setsockopt(zmq.UNSUBSCRIBE, prefix.encode() + (b"\0" if exact else b""))

    def expect(self, topics: Iterable[str], mono_ns: int) -> None:
        """Report these topics silent, too, when nothing at all comes from them."""
        for topic in topics:
            self._tracker.expect(topic, mono_ns)

    def position(self, topic: str) -> tuple[int, int]:
        """(epoch, next sequence number) of a topic; (0, 0) when nothing was heard of it."""
        return self._tracker.position(topic)

    def silent_topics(self) -> list[str]:
        """Topics whose publisher is lost, as of the last `check`."""
        return self._tracker.silent_topics()

    def receive(self, limit: int = 1000) -> list[Delivery]:
        """Events and gaps of up to `limit` waiting frames, in order; [] when nothing waits.

        SchemaError, naming both versions, when a frame of another schema is met; what came before it is returned first.
        """
        self._raise_held()
        out: list[Delivery] = []
        for _ in range(limit):
            try:
                out += self._tracker.deliveries(self._recv(zmq.NOBLOCK))
            except zmq.Again:
                break
            except SchemaError as e:
                if not out:
                    raise
                self._held = e
                break
        return out

    def check(self, mono_ns: int) -> list[Delivery]:
        """Gaps of kind "silent" for publishers lost since the last call. Call it after receiving, each 100 ms or so."""
        return self._tracker.check(mono_ns, self._silence_ns)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close(0)

    def _raise_held(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            raise held
