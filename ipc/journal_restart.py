"""What a restart reads of a journal: not all of it, and never less than what counts.

A process that carries things over writes all that must outlive older files again, now and then (venues/carry_over.py),
and a record WRITTEN behind it that names the file in which that writing began. The newest one is looked for from the
end backwards. From one file before that writing on, the journal tells all: what was open when it began, what happened
since, and, in the file before, what a venue may still repeat or add to. What it may repeat of older files a writing has
by name (told.py).
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from base.errors import CorruptError, SchemaError
from base.segments import Record, SegmentReader
from ipc import frames
from ipc.events import AnyEvent
from ipc.journal_index import FRAME, ORDER_ID, TOLD, WRITTEN, OrderId, read_order_id
from ipc.sequence import Gap, decode
from ipc.told import Name

_NEEDED_FILES: Final = 2  # read at every start, whether anything was written again or not

log = logging.getLogger("journal")

_decode_began: Final = msgspec.msgpack.Decoder(tuple[int]).decode
_decode_names: Final = msgspec.msgpack.Decoder(tuple[Name, ...]).decode


class Past(NamedTuple):
    """What the journal's end tells: cl_ord_ids by (client_id, command_id), oldest first; the file in which the newest
    complete writing began, 0: there is none."""

    ids: dict[tuple[str, str], str]
    written: int


class Names(NamedTuple):
    """The names of the latest reports told, oldest first, when a writing was made."""

    names: tuple[Name, ...]


def read_names(record: Record) -> Names:
    """The record's content; SchemaError naming it."""
    try:
        return Names(_decode_names(record.payload))
    except frames.UNREADABLE as e:
        raise SchemaError(f"journal record {record.index}: not names of reports: {e}") from None


def read_written(record: Record) -> int:
    """Number of the file in which the writing began that ends here. SchemaError names the record."""
    try:
        return _decode_began(record.payload)[0]
    except frames.UNREADABLE as e:
        raise SchemaError(f"journal record {record.index}: not the end of a writing: {e}") from None


def look_back(reader: SegmentReader, remember: int) -> Past:
    """Read the journal from its end backwards, for the last `remember` order ids and the newest complete writing.

    CorruptError when what a restart needs is damaged; damage further back ends the reading and is logged.
    """
    known: list[OrderId] = []
    written, newest, oldest = 0, reader.last_number(), reader.first_number()
    try:
        for _, found in reader.latest((ORDER_ID, WRITTEN)):
            if found.record.type == ORDER_ID:
                known.append(read_order_id(found.record))
            elif not written and (began := read_written(found.record)) >= oldest:
                written = began
            if len(known) >= remember and written:
                break
    except CorruptError as error:
        needed = written - 1 if written else newest - _NEEDED_FILES + 1
        if error.segment >= needed:
            raise
        log.warning("commands from before this file are not known any more: %s", error)
    del known[remember:]
    ids = {(o.client_id, o.command_id): o.cl_ord_id for o in reversed(known)}
    return Past(ids, written)


def newest_writing(folder: str | Path, name: str) -> int:
    """The file in which the newest complete writing began; 0: there is none. CorruptError: damage behind it."""
    with closing(SegmentReader(folder, name)) as reader:
        oldest = reader.first_number()
        for _, found in reader.latest((WRITTEN,)):
            if (began := read_written(found.record)) >= oldest:
                return began
    return 0


def read_restart(folder: str | Path, name: str, *, whole: bool = False) -> Iterator[AnyEvent | OrderId | Names]:
    """What a restart needs to know, in order; `whole`: all that is kept. What cannot be read of a frame is left out.

    CorruptError and SchemaError name file and offset, or record.
    """
    began = 0 if whole else newest_writing(folder, name)
    with closing(SegmentReader(folder, name)) as reader:
        reader.seek(0)
        if began:
            reader.seek_segment(max(began - 1, reader.first_number()))
        yield from read_on(reader)


def read_on(reader: SegmentReader) -> Iterator[AnyEvent | OrderId | Names]:
    """What a restart would need to know of what comes next in a journal, up to its end."""
    while record := reader.next():
        if record.type == FRAME:
            yield from _events(record.payload)
        elif record.type == ORDER_ID:
            yield read_order_id(record)
        elif record.type == TOLD:
            yield read_names(record)


def _events(data: bytes) -> Iterable[AnyEvent]:
    head = frames.read_header(data)
    packed = data[head.offset :]
    try:
        return frames.decode_events(frames.events_array(head.n_events, packed))
    except frames.UNREADABLE:  # of a later schema, or broken: what is beside it still counts
        found, _ = decode(head.topic, head.epoch, head.first_seq, head.n_events, packed)
        return [delivery.event for delivery in found if not isinstance(delivery.event, Gap)]
