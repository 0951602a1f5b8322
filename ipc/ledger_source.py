"""One session's journal as the ledger reads it: from a stored place on, its owner alive or dead, each hole named.

Every event that a session publishes is in its journal first. So the journal is followed, and what arrives on the bus
only says that there is more: no hole can open between what was read from disk and what comes live.
"""

import struct
from pathlib import Path
from typing import Final, NamedTuple

from base.errors import CorruptError, StoreError
from base.segments import SegmentReader
from ipc import frames
from ipc.events import AnyEvent
from ipc.journal import FRAME, NAME
from ipc.ledger_records import SourceRecord
from ipc.sequence import Gap, decode

_NUMBERS: Final = struct.Struct(">xQ10xI")  # first sequence number, number of events (docs/bus.md)
AGAIN: Final = 8  # journals that drop files faster than they are read


class Batch(NamedTuple):
    """What one call read; `more`: it stopped at its limit."""

    events: list[AnyEvent]
    gaps: list[str]
    more: bool


class JournalSource:
    """Follows the journal of one session. `place` is where it stands: store it with what was read."""

    def __init__(self, folder: str | Path, topic: str, place: SourceRecord) -> None:
        """Begin at `place`; a journal that is not there yet is waited for."""
        self.place = place
        self._topic = topic
        self._head = topic.encode() + b"\0"
        self._prefix = frames.prefix(topic.encode(), place.epoch)
        self._rest_unknown = False  # whether something came after the last event of its epoch
        self._reader = SegmentReader(folder, NAME)
        self._seek()

    def read(self, limit: int) -> Batch:
        """At least `limit` events, if there are so many. CorruptError for a damaged journal; the place stays before it.

        Gaps say, for people, which events cannot be read any more: dropped with age, or unreadable.
        """
        events: list[AnyEvent] = []
        gaps: list[str] = []
        reader, place = self._reader, self.place
        for _ in range(AGAIN):
            try:
                while record := reader.next():
                    place.record = reader.next_index
                    if record.type == FRAME and record.payload.startswith(self._head):
                        self._frame(record.payload, events, gaps)
                        if len(events) >= limit:
                            place.events += len(events)
                            return Batch(events, gaps, True)
            except CorruptError:
                if events or gaps:
                    break  # these first; the next call meets it again
                raise
            except StoreError:  # files were dropped before they were read: what comes next shows how much is missing
                reader.seek(0)
                self._rest_unknown = True
                continue
            break
        place.events += len(events)
        return Batch(events, gaps, False)

    def close(self) -> None:
        """Unmap."""
        self._reader.close()

    # -- inside ------------------------------------------------------------------------------------------------

    def _seek(self) -> None:
        """Before the place, if the journal is still the one it was taken in; else at its oldest record."""
        place, reader = self.place, self._reader
        reader.seek(0)
        if place.record <= 1 or not place.epoch:
            return
        try:
            reader.seek(place.record - 1)
            before = reader.next()
        except StoreError:
            before = None
        if before is None or (before.type == FRAME and self._is_later(before.payload)):
            reader.seek(0)
            self._rest_unknown = True

    def _is_later(self, payload: bytes) -> bool:
        """Whether a frame that should have been read is not among what was: the log is another one."""
        if not payload.startswith(self._head):
            return False
        head = frames.read_header(payload)
        return (head.epoch, head.first_seq + head.n_events) > (self.place.epoch, self.place.next_seq)

    def _frame(self, payload: bytes, events: list[AnyEvent], gaps: list[str]) -> None:
        place = self.place
        if payload.startswith(self._prefix):  # of the epoch that is being read: no need to take all of it apart
            first, n = _NUMBERS.unpack_from(payload, len(self._prefix))
            if first == place.next_seq:
                self._take(payload, first, n, 0, events, gaps)
                return
        head = frames.read_header(payload)
        after = head.first_seq + head.n_events
        if head.epoch == place.epoch and head.first_seq == place.next_seq:
            skip = 0
        elif head.epoch < place.epoch or (head.epoch == place.epoch and after <= place.next_seq):
            return  # taken before
        else:
            skip = self._jump(head, gaps)
        place.epoch, self._prefix = head.epoch, frames.prefix(self._head[:-1], head.epoch)
        self._take(payload, head.first_seq, head.n_events, skip, events, gaps)

    def _take(self, payload: bytes, first: int, n: int, skip: int, events: list[AnyEvent], gaps: list[str]) -> None:
        self.place.next_seq = first + n
        packed = payload[len(self._head) + frames.HEADER_BYTES :]
        try:
            found = frames.decode_events(frames.events_array(n, packed))
            events += found[skip:] if skip else found
        except frames.UNREADABLE:
            self._each(packed, first, n, skip, events, gaps)

    def _jump(self, head: frames.Header, gaps: list[str]) -> int:
        """Events to skip in a frame that does not begin where the place is; names what is missing before it."""
        place = self.place
        if head.epoch == place.epoch and head.first_seq < place.next_seq:
            return place.next_seq - head.first_seq
        if head.epoch == place.epoch:
            lost = head.first_seq - place.next_seq
            gaps.append(f"{lost} events of epoch {head.epoch} from {place.next_seq} on are no longer in the journal")
        elif head.first_seq > 1:
            before = f", and what followed {place.next_seq - 1} of epoch {place.epoch}" if place.epoch else ""
            gaps.append(f"events 1 to {head.first_seq - 1} of epoch {head.epoch}{before} are no longer in the journal")
        elif self._rest_unknown and place.epoch:
            gaps.append(f"what followed {place.next_seq - 1} of epoch {place.epoch}, if anything, is no longer there")
        self._rest_unknown = False
        return 0

    def _each(self, packed: bytes, first: int, n: int, skip: int, events: list[AnyEvent], gaps: list[str]) -> None:
        """One by one: events of a newer build are skipped, broken ones named."""
        found, _ = decode(self._topic, self.place.epoch, first, n, packed)
        for delivery in found:
            if isinstance(delivery.event, Gap):
                gap = delivery.event
                if gap.first >= first + skip:
                    gaps.append(f"event {gap.first} of epoch {self.place.epoch} cannot be read: {gap.text}")
            elif delivery.seq >= first + skip:
                events.append(delivery.event)
