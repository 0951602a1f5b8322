"""One subscription to one instrument: which MDReqID counts, whether its snapshot came, when to try again."""

from array import array
from collections.abc import Sequence

from fix.codec import key64

SECOND_NS = 1_000_000_000
SNAPSHOT_NS = 15 * SECOND_NS
RETRY_MAX_NS = 60 * SECOND_NS
_HEADER, _CHANGE, _TRADE = 12, 5, 2


def signed_key(req_id: str) -> int:
    """The key of an MDReqID as a signed word, as records have it."""
    key = key64(req_id.encode())
    return key - (1 << 64) if key >= 1 << 63 else key


def sifted(words: memoryview, keys: Sequence[int]) -> "array[int]":
    """Records (base/md_record.h) without trades that are no news: those that come with a snapshot, which are past, and
    those of subscriptions that go on though nobody wants them; `keys`: of the live ones, by instrument.
    """
    out: array[int] = array("q")
    at, end = 0, len(words)
    while at < end:
        n_changes, instrument, kind, key = words[at], words[at + 1], words[at + 2], words[at + 10]
        record = array("q", words[at : at + _HEADER + _CHANGE * n_changes])
        if kind == 1 or (instrument >= 0 and key not in (0, keys[instrument])):
            at_change = range(_HEADER, len(record), _CHANGE)
            kept = [record[c : c + _CHANGE] for c in at_change if record[c] & 255 != _TRADE]
            del record[_HEADER:]
            record[0] = len(kept)
            for change in kept:
                record += change
        out += record
        at += _HEADER + _CHANGE * n_changes
    return out


class Subscription:
    """Not wanted, wanted (queued), waiting for its snapshot, or live; `due_ns` is when something must happen."""

    def __init__(self, index: int, epoch: int) -> None:
        self.index = index
        self.req_id = ""
        self.due_ns = 0
        self.waiting = False
        self.halted = False
        self._stem = f"{epoch // SECOND_NS:x}-{index}"
        self._count = 0
        self._key = 0
        self.queued = False
        self._tries = 0
        self._companions = False

    @property
    def idle(self) -> bool:
        """Neither subscribed to nor queued nor put off."""
        return not (self.req_id or self.queued or self.due_ns)

    @property
    def key(self) -> int:
        """Key of the latest MDReqID, a signed word."""
        return self._key

    @property
    def live(self) -> bool:
        """Subscribed, and its snapshot came."""
        return bool(self.req_id) and not self.waiting and not self.queued

    def want(self) -> bool:
        """Ask for a place in the queue; False when it has one."""
        self.waiting, self.due_ns = False, 0
        queued, self.queued = self.queued, True
        return not queued

    def begin(self, mono_ns: int) -> int:
        """The request leaves now, under a new MDReqID; the key of that id."""
        self._count += 1
        self.req_id = self._name()
        self._key = signed_key(self.req_id)
        self.queued, self.waiting = False, True
        self.due_ns = mono_ns + SNAPSHOT_NS
        return key64(self.req_id.encode())

    def _name(self) -> str:
        """The MDReqID of the request that leaves now: one of its own each time."""
        return f"{self._stem}-{self._count}"

    def first_time(self) -> bool:
        """Whether this is asked for the first time on this connection."""
        before, self._companions = self._companions, True
        return not before

    def snapshot(self, key: int) -> bool:
        """A snapshot with this key (a signed word) came; whether it is the one awaited."""
        if not self.waiting or key != self._key:
            return False
        self.waiting, self.due_ns, self._tries = False, 0, 0
        return True

    def refused(self, mono_ns: int) -> int:
        """The venue said no; the delay in ns after which to try again."""
        self._tries += 1
        delay_ns = min(SECOND_NS << min(self._tries - 1, 6), RETRY_MAX_NS)
        self.req_id, self.waiting = "", False
        self.due_ns = mono_ns + delay_ns
        return delay_ns

    def halt(self) -> None:
        """Never again, until the venue says otherwise."""
        self.reset()
        self.halted = True

    def reset(self) -> None:
        """The connection is gone, and with it the subscription."""
        self.req_id, self.due_ns = "", 0
        self.waiting = self.queued = self.halted = self._companions = False
        self._tries = 0
