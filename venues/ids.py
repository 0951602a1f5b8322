"""ClOrdIDs (11): unique over restarts and steps of the clock.

Each id is made of a number that follows the clock and always rises. A watermark ahead of every number given out is
kept in the session's store, one write for a second's worth of ids; a new process begins above it.
"""

import hashlib
import secrets
from base64 import b32encode
from collections.abc import Callable
from typing import Protocol

from fix.store import MessageStore
from venues.interface import SessionContext

_KEY = "venue.clordid"


class RisingNumber:
    """Numbers that follow the clock in units of `unit_ns` and always rise, restarts and clock steps included."""

    def __init__(self, store: MessageStore, unit_ns: int, key: str = _KEY) -> None:
        """`key`: where the store keeps the watermark; another unit needs another one."""
        self._store = store
        self._unit_ns = unit_ns
        self._key = key
        self._ahead = 1_000_000_000 // unit_ns
        self._watermark = int(store.meta.get(key, b"0"))
        self._last = self._watermark

    def next(self, wall_ns: int) -> int:
        """The next number; the watermark is stored before a number above it is given out."""
        number = max(wall_ns // self._unit_ns, self._last + 1)
        if number >= self._watermark:
            self._watermark = number + self._ahead
            self._store.set_meta(self._key, b"%d" % self._watermark)
        self._last = number
        return number


class IdSource(Protocol):
    """Makes the ClOrdIDs of one session."""

    def next(self, wall_ns: int) -> str:
        """A fresh ClOrdID."""
        ...

    def owns(self, cl_ord_id: str) -> bool:
        """Whether this source may have made that id."""
        ...


class NumberIds:
    """Rising whole numbers of 18 digits: 14 of time in units of 100 us (until the year 2286), 2 of lane, 2 of check.

    The check digits follow from session name, time and lane. Microseconds, the venues' own example, have 16 digits; of
    other numbers of 18 one in ten thousand passes for ours. Two sessions in different lanes never make the same.
    """

    LANES = 100

    def __init__(self, store: MessageStore, session: str, lane: int) -> None:
        self._session = session
        self._lane = f"{lane:02d}"
        self._number = RisingNumber(store, 100_000, "venue.clordid.18")

    def next(self, wall_ns: int) -> str:
        """A fresh ClOrdID."""
        head = f"{self._number.next(wall_ns):014d}{self._lane}"
        return head + self._check(head)

    def owns(self, cl_ord_id: str) -> bool:
        """Whether lane and check digits are this session's."""
        if len(cl_ord_id) != 18 or not (cl_ord_id.isascii() and cl_ord_id.isdecimal()):
            return False
        return cl_ord_id[14:16] == self._lane and cl_ord_id[16:] == self._check(cl_ord_id[:16])

    def _check(self, head: str) -> str:
        digest = hashlib.sha256(f"{self._session}/{head}".encode()).digest()
        return f"{int.from_bytes(digest[:8]) % 100:02d}"


class CombIds:
    """Version 4 UUIDs whose first 48 bits are the time since the epoch in units of 10 us.

    The last 32 bits are the session's mark, so that its own orders are told from everybody else's on the account.
    """

    def __init__(self, store: MessageStore, session: str, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self._number = RisingNumber(store, 10_000)
        self._random_bits = random_bits
        self._mark = int.from_bytes(hashlib.sha256(session.encode()).digest()[:4])

    def next(self, wall_ns: int) -> str:
        """A fresh ClOrdID."""
        value = self._number.next(wall_ns) << 80
        value |= 4 << 76 | self._random_bits(12) << 64
        value |= 2 << 62 | self._random_bits(30) << 32 | self._mark
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def owns(self, cl_ord_id: str) -> bool:
        """Whether it is a version 4 UUID with the session's mark."""
        return len(cl_ord_id) == 36 and cl_ord_id[14] == "4" and cl_ord_id.endswith(f"{self._mark:08x}")


class PrefixedIds:
    """`<prefix><lane><number>`: the prefix tells a session's own orders from everybody else's on the account.

    The lane is a letter for each of the session's connections that may live at the same time.
    """

    def __init__(self, store: MessageStore, prefix: str, lane: str) -> None:
        self._number = RisingNumber(store, 1_000)
        self._lane = lane
        self.prefix = prefix

    def next(self, wall_ns: int) -> str:
        """A fresh ClOrdID."""
        return f"{self.prefix}{self._lane}{self._number.next(wall_ns)}"

    def owns(self, cl_ord_id: str) -> bool:
        """Whether it begins with this session's prefix."""
        return cl_ord_id.startswith(self.prefix)


def default_lane(session: str) -> int:
    """A lane that follows from the session's name; two names can share one, so it can be configured."""
    return int.from_bytes(hashlib.sha256(session.encode()).digest()[:8]) % NumberIds.LANES


def default_prefix(session: str) -> str:
    """A prefix that follows from the session's name: `q`, seven letters and digits, `-`."""
    return f"q{b32encode(hashlib.sha256(session.encode()).digest())[:7].decode().lower()}-"


def lane_of(context: SessionContext) -> str:
    """A letter for the connection: the configured SenderCompID's or the alternate's, which may live side by side."""
    return "a" if context.sender_comp_id in ("", context.config.sender_comp_id) else "b"
