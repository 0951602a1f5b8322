"""Message store of one FIX session: numbers, outgoing messages, small metadata.

The order of things is the point of it. `sent` comes before the bytes leave, `advance_in` comes after the
application has journalled the message. So a process killed between the two may have a stored message that never
left (the peer asks for it, or it is gap-filled) and may see an inbound message twice (it falls by ExecID), but it
never reuses a number, never forgets a message and never takes one for read that nobody read.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from base.errors import StoreError


class MessageStore(Protocol):
    """What a FIX session needs of its store. One writer; every change is handed to the kernel before it returns."""

    @property
    def next_out(self) -> int:
        """MsgSeqNum (34) that the next new outgoing message must carry."""
        ...

    @property
    def next_in(self) -> int:
        """MsgSeqNum (34) expected next from the peer."""
        ...

    @property
    def created_ns(self) -> int:
        """UTC ns at which the present numbering began: that of the last `reset`, or of the store's birth."""
        ...

    @property
    def epoch(self) -> int:
        """Count of numberings so far, from 1; `reset` adds one. (epoch, MsgSeqNum) is never used twice."""
        ...

    @property
    def full(self) -> bool:
        """True while only the space set aside is left: send no new orders, go on cancelling and receiving."""
        ...

    @property
    def may_be_behind(self) -> bool:
        """True when the numbers may be lower than what the peer saw (the host went down): no orders until `settled`."""
        ...

    @property
    def meta(self) -> Mapping[str, bytes]:
        """Small facts kept with the session, as `set_meta` left them; they survive `reset`."""
        ...

    def sent(self, seq: int, message: bytes) -> None:
        """Store an outgoing message that is about to leave; next_out becomes seq + 1.

        Raises StoreError unless seq == next_out. Resent messages (PossDupFlag) are not stored again.
        """
        ...

    def advance_in(self, seq: int) -> None:
        """Message `seq` is dealt with for good: next_in becomes seq + 1. Raises StoreError unless seq == next_in."""
        ...

    def set_next_in(self, next_in: int) -> None:
        """Move the expected number forward (SequenceReset). Raises StoreError if it would go back."""
        ...

    def set_next_out(self, next_out: int) -> None:
        """Leave out numbers of our own (a venue that dictates them). Raises StoreError if it would go back."""
        ...

    def reset(self, created_ns: int, next_out: int = 1, next_in: int = 1) -> None:
        """Begin a new numbering (ResetSeqNumFlag); messages of the old one are no longer returned by `get`."""
        ...

    def get(self, begin: int, end: int = 0) -> Iterator[tuple[int, bytes]]:
        """Stored messages of the present numbering, begin <= seq <= end, in order; end 0 means up to the last.

        Numbers that were left out, or whose messages retention has dropped, are missing: fill their gap.
        """
        ...

    def set_meta(self, key: str, value: bytes) -> None:
        """Keep a small fact; an empty value removes it."""
        ...

    def settled(self) -> None:
        """The numbers were compared with the peer's and put right."""
        ...

    def prepare(self) -> bool:
        """A bounded bit of work ahead, for quiet moments; False when nothing is left to do."""
        ...

    def sync(self) -> None:
        """Flush to the device now, whatever the policy. Blocks; may be called from a helper thread."""
        ...

    def close(self) -> None:
        """Release the store; using it afterwards raises StoreError."""
        ...


class MemoryStore:
    """A store that forgets when the process ends: for tests, and for sessions that reset at each logon."""

    def __init__(self, created_ns: int, keep: int = 100_000) -> None:
        """Begin at `created_ns` (UTC); the last `keep` messages are kept."""
        self._keep = keep
        self._next_out = 1
        self._next_in = 1
        self._created_ns = created_ns
        self._epoch = 1
        self._messages: dict[int, bytes] = {}
        self._meta: dict[str, bytes] = {}

    @property
    def next_out(self) -> int:
        return self._next_out

    @property
    def next_in(self) -> int:
        return self._next_in

    @property
    def created_ns(self) -> int:
        return self._created_ns

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def full(self) -> bool:
        return False

    @property
    def may_be_behind(self) -> bool:
        return False

    @property
    def meta(self) -> Mapping[str, bytes]:
        return self._meta

    def sent(self, seq: int, message: bytes) -> None:
        if seq != self._next_out:
            raise StoreError(f"outgoing MsgSeqNum {seq}: {self._next_out} is next")
        self._messages[seq] = message
        if len(self._messages) > self._keep:
            del self._messages[next(iter(self._messages))]
        self._next_out = seq + 1

    def advance_in(self, seq: int) -> None:
        if seq != self._next_in:
            raise StoreError(f"incoming MsgSeqNum {seq}: {self._next_in} is expected")
        self._next_in = seq + 1

    def set_next_in(self, next_in: int) -> None:
        if next_in < self._next_in:
            raise StoreError(f"expected MsgSeqNum cannot go back from {self._next_in} to {next_in}")
        self._next_in = next_in

    def set_next_out(self, next_out: int) -> None:
        if next_out < self._next_out:
            raise StoreError(f"outgoing MsgSeqNum cannot go back from {self._next_out} to {next_out}")
        self._next_out = next_out

    def reset(self, created_ns: int, next_out: int = 1, next_in: int = 1) -> None:
        self._messages.clear()
        self._next_out, self._next_in = next_out, next_in
        self._created_ns = created_ns
        self._epoch += 1

    def get(self, begin: int, end: int = 0) -> Iterator[tuple[int, bytes]]:
        last = end or self._next_out - 1
        for seq in range(begin, min(last, self._next_out - 1) + 1):
            message = self._messages.get(seq)
            if message is not None:
                yield seq, message

    def set_meta(self, key: str, value: bytes) -> None:
        if value:
            self._meta[key] = value
        else:
            self._meta.pop(key, None)

    def settled(self) -> None:
        """They are never behind: what was forgotten began anew."""

    def prepare(self) -> bool:
        return False

    def sync(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        self._messages.clear()
