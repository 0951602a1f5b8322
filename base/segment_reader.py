"""Reading a segment log, also while another process writes it."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

from base.errors import CorruptError, StoreError
from base.segment_file import COMMITTED_WORD, HEADER_SIZE, Found, Record, Segment, segment_numbers, segment_path

OPEN_TRIES = 5
NOT_BEGUN = 1 << 63


class SegmentReader:
    """Follows a log record by record. Opens nothing for writing and never holds the writer up."""

    def __init__(self, folder: str | Path, prefix: str) -> None:
        self.folder = Path(folder)
        self.prefix = prefix
        self.next_index = 1  # of the record that comes next
        self._segment: Segment | None = None
        self._offset = 0
        self._index = 0  # of the record at _offset

    def read_from(self, index: int) -> Iterator[Record]:
        """Records from `index` on, up to what is committed now; 0 means from the oldest kept.

        Raises StoreError when `index` is no longer kept, CorruptError (file and offset) for a damaged record.
        """
        self.seek(index)
        while record := self.next():
            yield record

    def seek(self, index: int) -> None:
        """Make `index` the next record; it may not exist yet. 0 means the oldest kept."""
        self._leave()
        self.next_index = index

    def seek_tail(self, segments: int) -> int:
        """Make the first record of the latest `segments` files the next one; number of the first of them, 0: no log."""
        self.seek(0)
        for number in self._begun()[-segments:]:
            segment = self._open(number)
            if segment is not None:  # else it was dropped meanwhile
                self._enter(segment)
                return number
        return 0

    def seek_segment(self, number: int) -> None:
        """Make the first record of segment `number` the next one. StoreError when it is not kept."""
        segment = self._open(number)
        if segment is None:
            raise StoreError(f"{segment_path(self.folder, self.prefix, number)}: no longer kept")
        self.next_index = 0
        self._enter(segment)

    def first_number(self) -> int:
        """Number of the oldest segment that is kept; 0: there is none."""
        return min(segment_numbers(self.folder, self.prefix), default=0)

    def last_number(self) -> int:
        """Number of the segment that is written to; 0: there is none."""
        return max(self._begun(), default=0)

    def _begun(self) -> list[int]:
        numbers = segment_numbers(self.folder, self.prefix)
        return numbers[:-1] if numbers and self._first_index(numbers[-1]) == NOT_BEGUN else numbers

    def latest(self, kinds: Iterable[int]) -> Iterator[tuple[int, Found]]:
        """Records of these types (below 64), the latest first, each with its segment's number.

        CorruptError when a segment on the way back is not as it was written; it is met before any of its records.
        """
        later: Segment | None = None
        try:
            for number in reversed(self._begun()):
                segment = self._open(number)
                if segment is None:
                    if wrong := self._not_begun(number):
                        raise wrong
                    return  # dropped meanwhile, as all that is older
                earlier, later = later, segment
                try:
                    yield from self._backwards(segment, earlier, kinds)
                finally:
                    if earlier is not None:
                        earlier.close()
        finally:
            if later is not None:
                later.close()

    @staticmethod
    def _backwards(segment: Segment, later: Segment | None, kinds: Iterable[int]) -> Iterator[tuple[int, Found]]:
        committed = segment.committed
        scanned = segment.scan(kinds, committed)
        if scanned.end < committed:
            raise segment.corrupt_at(scanned.end, scanned.next_index)
        if later is not None:
            later.require_after(segment, scanned.next_index)
        for place in reversed(scanned.places):
            found = segment.record_at(place, None)
            if found is None:
                return  # recycled under our eyes: what is older is gone as well
            yield segment.number, found

    def next(self) -> Record | None:
        """The next record, or None when nothing more is committed now."""
        found = self.next_found()
        return found.record if found else None

    def next_found(self) -> Found | None:
        """As `next`, with the place: segment `number` and offset."""
        while self._segment is not None or self._find():
            found = self._step()
            if found is None:
                if not self._advance():
                    return None
            elif found.record.index >= self.next_index:
                self.next_index = found.record.index + 1
                return found
        return None

    @property
    def number(self) -> int:
        """Number of the segment of the last record."""
        return self._segment.number if self._segment else 0

    def read_at(self, number: int, offset: int) -> Record:
        """The record at a place that a writer or `next_found` told."""
        segment = self._segment
        if segment is None or segment.number != number:
            self._leave()
            segment = self._segment = self._open(number)
        if segment is None:
            raise StoreError(f"{segment_path(self.folder, self.prefix, number)}: no longer kept")
        found = segment.record_at(offset, None)
        if found is None:
            raise CorruptError(f"{segment.path}: offset {offset}: no valid record")
        self._offset, self._index = found.end, found.record.index + 1
        return found.record

    def close(self) -> None:
        """Unmap."""
        self._leave()

    def _step(self) -> Found | None:
        segment = self._segment
        assert segment is not None
        committed = segment.committed
        if self._offset >= committed and segment.begun:
            return None
        found = segment.record_at(self._offset, self._index)
        if found is None or not segment.still(segment.number):
            raise self._unreadable(segment)
        self._offset, self._index = found.end, self._index + 1
        return found

    def _unreadable(self, segment: Segment) -> StoreError:
        if not segment.still(segment.number):
            self._leave()
            return StoreError(f"{segment.path}: record {self._index} was dropped before it was read")
        return segment.corrupt_at(self._offset, self._index)

    def _advance(self) -> bool:
        """Go to the next segment; False when this is the last one and read to its end."""
        segment = self._segment
        assert segment is not None
        # The seal is looked at before the end of the records is: nothing is appended after a seal.
        if not segment.sealed or self._offset < segment.committed:
            if not segment.sealed and segment_path(self.folder, self.prefix, segment.number + 2).exists():
                self._require_sealed(segment)
            return segment.sealed
        following = self._open(segment.number + 1)
        if following is None:
            raise self._not_begun(segment.number + 1) or StoreError(
                f"{segment.path}: what follows was dropped before it was read"
            )
        try:
            following.require_after(segment, self._index)
        except CorruptError:
            following.close()
            raise
        self._enter(following)
        return True

    def _require_sealed(self, segment: Segment) -> None:
        """The second file after this one is made once the first is begun, and this one sealed with that."""
        if not segment.sealed and segment.still(segment.number):
            text = f"{segment.path}: offset {COMMITTED_WORD * 8}: not sealed, but others follow"
            raise CorruptError(text, segment.number)

    def _find(self) -> bool:
        """Enter the segment that holds, or will hold, `next_index`; False when there is no log yet."""
        number = 0
        for _ in range(OPEN_TRIES):
            chosen = self._choose(self._begun())
            if chosen is None:
                return False
            number = chosen
            segment = self._open(number)
            if segment is not None:
                self._enter(segment)
                return True
        raise self._not_begun(number) or StoreError(
            f"{self.folder / self.prefix}: segments are dropped faster than they can be opened"
        )

    def _not_begun(self, number: int) -> CorruptError | None:
        """The error for a file that is there, but says of itself that it was not begun, though others follow."""
        path = segment_path(self.folder, self.prefix, number)
        if not path.exists():
            return None
        return CorruptError(f"{path}: offset {COMMITTED_WORD * 8}: not begun, but another follows it", number)

    def _choose(self, begun: list[int]) -> int | None:
        """The segment to enter; None when none was begun yet."""
        if not begun:
            return None
        if not self.next_index:
            return begun[0]
        at = bisect_right(begun, self.next_index, key=self._first_index)
        if at == 0:
            raise StoreError(
                f"{self.folder / self.prefix}: record {self.next_index} is no longer kept,"
                f" the oldest is {self._first_index(begun[0])}"
            )
        return begun[at - 1]

    def _first_index(self, number: int) -> int:
        try:
            segment = Segment.open(segment_path(self.folder, self.prefix, number), writable=False)
        except FileNotFoundError:
            return 0  # dropped meanwhile: older than anything that is asked for
        first = segment.first_index if segment.begun else NOT_BEGUN
        segment.close()
        return first

    def _open(self, number: int) -> Segment | None:
        path = segment_path(self.folder, self.prefix, number)
        try:
            segment = Segment.open(path, writable=False)
        except FileNotFoundError:
            return None
        except CorruptError as error:
            error.segment = number
            raise
        if not segment.begun:
            segment.close()
            return None
        if segment.number != number:
            segment.close()
            raise CorruptError(f"{path}: offset 16: says that it is segment {segment.number}", number)
        return segment

    def _enter(self, segment: Segment) -> None:
        self._leave()
        self._segment = segment
        self._offset, self._index = HEADER_SIZE, segment.first_index

    def _leave(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None
