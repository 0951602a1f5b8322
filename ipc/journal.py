"""A process's journal: its published execution events and its commands' order ids, on disk before they are told.

A record is one kind byte, then for FRAME the bus frame as it goes out, for ORDER_ID a MessagePack array
[client_id, command_id, cl_ord_id, wall_ns]. Other processes may read a journal while its owner writes it.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

from base.errors import SchemaError
from ipc import frames

FRAME: Final = b"F"
ORDER_ID: Final = b"O"
CHUNK_BYTES: Final = 48 * 1024  # of a replay's answer; one frame always fits
_MARK_EVERY: Final = 64  # frames of a topic between two entries of the index


class OrderId(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Which order a command became."""

    client_id: str
    command_id: str
    cl_ord_id: str
    wall_ns: int


_decode_order_id: Final = msgspec.msgpack.Decoder(OrderId).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class RecordLog(Protocol):
    """What a journal needs of the files below it. Positions rise; records come back whole or not at all."""

    @property
    def first_position(self) -> int:
        """Position of the oldest record kept."""
        ...

    def append(self, record: bytes) -> int:
        """Hand a record to the kernel; returns its position. StoreError when it cannot be written."""
        ...

    def records(self, position: int = 0) -> Iterator[tuple[int, bytes]]:
        """(position, record) from `position` (0 = the oldest) to the last whole one."""
        ...

    def close(self) -> None: ...


class Chunk(msgspec.Struct, frozen=True):
    """A bounded stretch of one topic's frames. `truncated`: what was asked for is no longer kept."""

    frames: tuple[bytes, ...]
    truncated: bool
    more: bool


class _Run:
    """What the journal holds of one topic in one epoch: numbers `first` up to and without `next_seq`."""

    __slots__ = ("count", "epoch", "first", "next_seq", "positions", "seqs")

    def __init__(self, epoch: int, first: int) -> None:
        self.epoch = epoch
        self.first = first
        self.next_seq = first
        self.count = 0
        self.seqs: list[int] = []
        self.positions: list[int] = []

    def add(self, first_seq: int, n: int, position: int) -> None:
        if self.count % _MARK_EVERY == 0:
            self.seqs.append(first_seq)
            self.positions.append(position)
        self.count += 1
        self.next_seq = first_seq + n

    def position(self, seq: int) -> int:
        """Where to begin to read for `seq`."""
        return self.positions[max(0, bisect_right(self.seqs, seq) - 1)]

    def forget_before(self, position: int) -> None:
        """Records before `position` are gone."""
        gone = bisect_right(self.positions, position - 1)
        if gone:
            del self.seqs[:gone], self.positions[:gone]
            self.first = self.seqs[0] if self.seqs else self.next_seq


class Journal:
    """The writer's side, over an open record log. One per process; the role's lock must be held."""

    def __init__(self, log: RecordLog, *, remember: int = 20_000) -> None:
        """Index what is there; the last `remember` order ids can be looked up. CorruptError names file and offset."""
        self._log = log
        self._remember = remember
        self._ids: dict[tuple[str, str], str] = {}
        self._topics: dict[str, list[_Run]] = {}
        for position, record in log.records():
            self._index(position, record)

    def next_epoch(self, wall_ns: int) -> int:
        """An epoch above every one journalled: `wall_ns`, unless the clock stepped back since."""
        last = max((run.epoch for runs in self._topics.values() for run in runs), default=0)
        return max(wall_ns, last + 1)

    def declare(self, topic: str, epoch: int) -> None:
        """A topic whose frames will come under `epoch`."""
        self._topics.setdefault(topic, []).append(_Run(epoch, 1))

    def frame(self, data: bytes) -> None:
        """Hand a frame to the kernel, before it is published. StoreError when it cannot be written."""
        self._note(self._log.append(FRAME + data), data)

    def order_id(self, client_id: str, command_id: str, cl_ord_id: str, wall_ns: int) -> None:
        """Store which order a command becomes, BEFORE it is sent. StoreError: do not send."""
        self._log.append(ORDER_ID + _encode(OrderId(client_id, command_id, cl_ord_id, wall_ns)))
        self._know(client_id, command_id, cl_ord_id)

    def lookup(self, client_id: str, command_id: str) -> str | None:
        """The cl_ord_id that this command became, also in an earlier life of the process; None when not known."""
        return self._ids.get((client_id, command_id))

    def chunk(self, topic: str, epoch: int, from_seq: int) -> Chunk:
        """Frames of `topic` from that place on (epoch 0: oldest kept), over all later epochs, at most CHUNK_BYTES."""
        position, truncated = self._place(topic, epoch, from_seq)
        if position is None:
            return Chunk((), truncated, more=False)
        out: list[bytes] = []
        size, head, begun = 0, FRAME + topic.encode() + b"\0", False
        for _, record in self._log.records(position):
            if not record.startswith(head):
                continue
            if not begun:
                found = frames.read_header(record[1:])
                begun = found.epoch != epoch or truncated or found.first_seq + found.n_events > from_seq
            if begun:
                if out and size + len(record) > CHUNK_BYTES:
                    return Chunk(tuple(out), truncated, more=True)
                out.append(record[1:])
                size += len(record)
        return Chunk(tuple(out), truncated, more=False)

    def close(self) -> None:
        """Close the files."""
        self._log.close()

    def _place(self, topic: str, epoch: int, from_seq: int) -> tuple[int | None, bool]:
        """Position to read from (None: nothing kept from there on), and whether something before it is gone."""
        runs = self._topics.get(topic, [])
        for run in runs:
            run.forget_before(self._log.first_position)
        at = next((i for i, run in enumerate(runs) if run.epoch == epoch), None)
        if at is None:
            rest, truncated = runs, epoch != 0
        elif from_seq < runs[at].first:
            rest, truncated = runs[at:], True
        elif from_seq < runs[at].next_seq:
            return runs[at].position(from_seq), False
        else:
            rest, truncated = runs[at + 1 :], False
        return next((run.positions[0] for run in rest if run.positions), None), truncated

    def _index(self, position: int, record: bytes) -> None:
        kind, body = record[:1], record[1:]
        if kind == FRAME:
            self._note(position, body)
        elif kind == ORDER_ID:
            known = order_id_of(body, position)
            self._know(known.client_id, known.command_id, known.cl_ord_id)

    def _note(self, position: int, data: bytes) -> None:
        head = frames.read_header(data)
        runs = self._topics.setdefault(head.topic, [])
        if not runs or runs[-1].epoch != head.epoch:
            runs.append(_Run(head.epoch, head.first_seq))
        runs[-1].add(head.first_seq, head.n_events, position)

    def _know(self, client_id: str, command_id: str, cl_ord_id: str) -> None:
        self._ids[client_id, command_id] = cl_ord_id
        if len(self._ids) > self._remember:
            del self._ids[next(iter(self._ids))]


def order_id_of(body: bytes, position: int) -> OrderId:
    """The order id of a record's body; SchemaError naming the position when it is none."""
    try:
        return _decode_order_id(body)
    except msgspec.DecodeError as e:
        raise SchemaError(f"journal record at {position}: not an order id: {e}") from None


def read_events(log: RecordLog) -> Iterator[bytes]:
    """Every frame in the order of the journal, its owner alive or dead: for the kill switch and for tools."""
    for _, record in log.records():
        if record[:1] == FRAME:
            yield record[1:]
