"""What a file store does once a message: numbers checked, a record appended, its place remembered."""

from typing import final

from base._segments import Appender

SENT: int
NEXT_IN: int
NEXT_OUT: int
"""Record types; payload: a number (uint64), and behind SENT's the message."""

@final
class Places:
    """Where the messages lie: runs of consecutive numbers, eight bytes each."""

    def add(self, seq: int, number: int, offset: int) -> int:
        """Message `seq` lies in segment `number` at `offset`; `seq` rises from call to call."""
    def following(self, seq: int) -> tuple[int, int, int] | None:
        """(seq, segment number, offset) of the first message numbered `seq` or later."""
    def forget(self, number: int) -> None:
        """Forget what lies in segments before `number`."""
    def clear(self) -> None:
        """Forget all."""

class Numbers:
    """Base of FileStore: what fix.store.MessageStore says of these. `_log` must be set before the first change."""

    _places: Places
    _log: Appender
    _sync_every: bool
    """Have each change on disk before it counts."""

    @property
    def next_out(self) -> int: ...
    @property
    def next_in(self) -> int: ...
    def sent(self, seq: int, message: bytes) -> None: ...
    def advance_in(self, seq: int) -> None: ...
    def set_next_in(self, next_in: int) -> None: ...
    def set_next_out(self, next_out: int) -> None: ...
    def _set_numbers(self, next_out: int, next_in: int) -> None:
        """Take the numbers of another state, without a record."""
