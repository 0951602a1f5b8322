"""Snapshots that come in pieces, put together: one record out of all its pieces, then the increments that came between.

From the subscription on everything of its instrument is held back until the last piece is there. The words are those of
base/md_record.h.
"""

from array import array

MOST_WORDS = 8 << 20
"""More than that held back for one instrument is given up; the subscription is then made anew when it is overdue."""
_HEADER, _CHANGE = 12, 5
_N_CHANGES, _INSTRUMENT, _KIND, _FLAGS, _LAST_ID, _KEY, _DEFECT_TAG = 0, 1, 2, 3, 6, 10, 11
_MORE, _DEFECT = 8, 256
_RPT_SEQ = 83


class _Waiting:
    """What is held back of one instrument."""

    def __init__(self, key: int) -> None:
        self.key = key
        self.head: list[int] = []  # of the latest piece
        self.pieces: array[int] = array("q")  # changes of all of them
        self.held: array[int] = array("q")  # increments
        self.spoilt = False  # too much of it: a last piece alone must not pass for the whole


class Fragments:
    """Pieces of one session's snapshots."""

    def __init__(self, most_words: int = MOST_WORDS) -> None:
        self._most = most_words
        self._waiting: dict[int, _Waiting] = {}

    @property
    def waits(self) -> bool:
        """Whether a snapshot is awaited: only then `take` has anything to do."""
        return bool(self._waiting)

    def expect(self, instrument: int, key: int) -> None:
        """A subscription leaves under the MDReqID with this key (a signed word)."""
        self._waiting[instrument] = _Waiting(key)

    def forget(self, instrument: int | None = None) -> None:
        """Nothing is awaited any more, of one instrument or of all."""
        if instrument is None:
            self._waiting.clear()
        else:
            self._waiting.pop(instrument, None)

    def take(self, words: memoryview) -> "array[int]":
        """Records in; those that may be passed on out, in order."""
        out: array[int] = array("q")
        at, end = 0, len(words)
        while at < end:
            size = _HEADER + _CHANGE * words[at + _N_CHANGES]
            record = words[at : at + size]
            waiting = self._waiting.get(words[at + _INSTRUMENT])
            if waiting is None:
                out.frombytes(record.cast("B"))
            elif record[_KIND] == 0:
                self._hold(waiting, record)
            elif record[_KEY] == waiting.key:
                self._piece(waiting, record, out)
            else:  # of an earlier subscription: its key says so
                out.frombytes(record.cast("B"))
            at += size
        return out

    def _hold(self, waiting: _Waiting, record: memoryview) -> None:
        waiting.held.frombytes(record.cast("B"))
        self._bound(waiting)

    def _bound(self, waiting: _Waiting) -> None:
        if len(waiting.held) + len(waiting.pieces) > self._most:
            waiting.spoilt = True
            waiting.held, waiting.pieces = array("q"), array("q")

    def _piece(self, waiting: _Waiting, record: memoryview, out: "array[int]") -> None:
        head = list(record[:_HEADER])
        if waiting.head:
            head[_FLAGS] |= waiting.head[_FLAGS] & _DEFECT
            head[_DEFECT_TAG] = head[_DEFECT_TAG] or waiting.head[_DEFECT_TAG]
            if head[_LAST_ID] != waiting.head[_LAST_ID]:  # of one book there is one state
                head[_FLAGS], head[_DEFECT_TAG] = head[_FLAGS] | _DEFECT, head[_DEFECT_TAG] or _RPT_SEQ
        waiting.head = head
        waiting.pieces.frombytes(record[_HEADER:].cast("B"))
        self._bound(waiting)
        if head[_FLAGS] & _MORE or waiting.spoilt:
            return
        head[_N_CHANGES] = len(waiting.pieces) // _CHANGE
        out.extend(head)
        out.extend(waiting.pieces)
        out.extend(waiting.held)
        del self._waiting[head[_INSTRUMENT]]
