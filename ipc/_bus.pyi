"""The two paths of the bus that run once a frame: stamping one on its way out, checking one on its way in."""

from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

from base.errors import SchemaError
from ipc._metrics import Histogram
from ipc.journal import Journal
from ipc.sequence import RawFrame

class Outlet:
    """One topic of a publisher. `prefix`: what all its frames begin with, up to the first number's marker."""

    prefix: bytes
    next_seq: int
    idle: bool
    journal: Journal | None
    def __init__(self, prefix: bytes, journal: Journal | None) -> None: ...
    def frame(self, sent_ns: int, n_events: int, packed: Buffer) -> bytes:
        """A whole frame with the topic's next number, which stays the next one."""

class PublisherCore:
    """publish_raw, over a socket's `send` and a clock's `wall_ns`; None is the system's clock, read without a call."""

    outlets: dict[str, Outlet]
    def __init__(self, send: Callable[..., Any], wall_ns: Callable[[], int] | None, flags: int) -> None: ...
    def publish_raw(self, topic: str, n_events: int, packed: Buffer) -> int:
        """Publish `n_events` events that are packed already (MessagePack, one after the other) as one frame.

        Returns the number of the first. StoreError: the journal could not take it and nothing was sent.
        """

class Topic:
    """What a subscriber knows of one topic. `prefix`: what frames of the present epoch begin with."""

    name: str
    key: bytes
    prefix: bytes
    epoch: int
    next_seq: int
    retired: tuple[int, ...]
    heard: bool
    silent: bool
    heard_ns: int
    def __init__(self, name: str, mono_ns: int) -> None: ...

class TrackerCore:
    """take, for a frame that continues its topic; the rest is the subclass's."""

    topics: dict[bytes, Topic]
    frames: int
    events: int
    heartbeats: int
    delay: Histogram | None  # takes the time from an event's publication to its receipt, by the wall clock
    def __init__(self) -> None: ...
    def take(self, data: bytes) -> RawFrame | None:
        """Check one frame. None: nothing to deliver (heartbeat, duplicate, malformed). SchemaError: another schema."""

class SubscriberCore:
    """receive_raw and receive_raws, over a socket's `recv`."""

    _held: SchemaError | None
    def __init__(self, recv: Callable[..., Any], flags: int, tracker: TrackerCore) -> None: ...
    def receive_raw(self) -> RawFrame | None:
        """The next frame that brings something, unparsed: topic, epoch, first_seq, n_events, packed events, gap.

        None when nothing waits. n_events is 0 when there is only a gap to tell. SchemaError for another schema.
        """
    def receive_raws(self, limit: int) -> list[RawFrame]:
        """Up to `limit` such frames at once, without Python between them; [] when nothing waits.

        SchemaError for another schema when it is met first; otherwise the next call raises it.
        """
