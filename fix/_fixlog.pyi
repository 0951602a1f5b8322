"""Lines of the FIX log, from the session's thread to the one that writes them.

`put` copies a message into a buffer, which costs less than a queue of objects, in time and in cache. The other thread
takes the whole buffer at once and makes lines of it without the interpreter's lock.
"""

from collections.abc import Iterable
from typing import final

SECRET_TAGS: tuple[int, ...]

@final
class Masker:
    """Replaces the values of secret tags; data fields (96) are masked by the length that 95 gives."""

    def __init__(self, tags: Iterable[int] = ()) -> None:
        """`tags` beside SECRET_TAGS; ValueError when they are too many."""
    def __call__(self, message: bytes) -> bytes: ...

class LogQueue:
    """Base of FixLog. `put` belongs to one thread, `turn`, `take` and `done` to one other."""

    @property
    def waiting(self) -> int:
        """Bytes of messages that are not done."""
    @property
    def refused(self) -> int:
        """Messages that found the queue full."""
    def _begin(self, masker: Masker, most: int) -> None:
        """Take messages until more than `most` bytes wait."""
    def put(self, wall_ns: int, incoming: bool, message: bytes) -> None:
        """Remember one message; masking, formatting and writing happen elsewhere."""
    def put_run(self, wall_ns: int, incoming: bool, run: bytes) -> None:
        """Remember messages that follow one another, each on its own; they were framed already."""
    def turn(self) -> None:
        """Have what was put until now taken next, once all that was taken before is."""
    def take(self, limit: int) -> tuple[bytes, int, int]:
        """(whole lines, their number, bytes of their messages): `limit` bytes, or one line that is longer."""
    def done(self, size: int) -> None:
        """Messages of so many bytes were written, or given up."""
