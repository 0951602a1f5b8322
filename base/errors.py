"""The one tree of errors.

QuarterdeckError
├── ConfigError          a configuration file or value, with its path
├── SecretError          a secret that is missing or readable by others
├── LockHeldError        another process holds the role's lock
├── CodecError           bytes or fields that cannot be encoded or decoded
│   └── NumberError      a number that is malformed or does not fit its scale
├── TransportError       a connection that is not there, or cannot be asked for
├── SessionError         a venue session was asked for something its state forbids
├── StoreError           a store or journal: unreadable, corrupt, full
│   └── CorruptError     a segment whose content contradicts its checksum, with file and offset
├── BusError             event bus: endpoints, frames, schema
│   ├── SchemaError      an event, frame or record of another version or shape
│   └── UnansweredError  a command was handed over and not answered: its fate is unknown
│       └── OrderUncertain   ... of a new order; carries the order, which is followed on
├── RegionError          a shared-memory file of another layout, size or generation
├── BookError            a book was asked for something it cannot hold
│   ├── StaleBookError   a reader asked for a book that is not LIVE; carries state, reason, since_ns
│   └── BookBusyError    the writer changed the area during each of a bounded number of tries
├── CommandError         a command that was refused, with the reason
│   └── OrderRejected    an order that the desk or the venue refused; carries code, reason and order
├── OrderTimeout         an order did not come where it was waited for in time
├── CallbackError        a strategy's callback raised; carries the delivery
├── VenueError           what a venue said cannot be used, or a venue cannot do what is asked
├── NotifyError          a notifier did not deliver, and why
└── RecordingError       a recording that cannot be replayed, with file and line
"""

from typing import Any


class QuarterdeckError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(QuarterdeckError):
    """A configuration file or value is wrong; the text carries file and path of the key."""


class SecretError(QuarterdeckError):
    """A secret is missing, or its file can be read by others; never carries the secret."""


class LockHeldError(QuarterdeckError):
    """Another process holds the lock; the text names the holder where it is known."""


class CodecError(QuarterdeckError):
    """Bytes or fields that cannot be encoded or decoded; names tag and offset."""


class NumberError(CodecError):
    """A number is malformed or does not fit its scale."""


class TransportError(QuarterdeckError):
    """A connection was used before it stood or after it ended, or cannot listen."""


class SessionError(QuarterdeckError):
    """A venue session was asked for something that its state forbids."""


class StoreError(QuarterdeckError):
    """A store or journal cannot be read or written."""


class CorruptError(StoreError):
    """A segment contradicts its checksum; names file and offset, and carries the segment's number (0: not told)."""

    def __init__(self, text: str, segment: int = 0) -> None:
        super().__init__(text)
        self.segment = segment


class BusError(QuarterdeckError):
    """An endpoint, frame or schema of the event bus is wrong."""


class SchemaError(BusError):
    """An event, frame or record has another version or shape than this build reads."""


class UnansweredError(BusError):
    """No answer to a command: nobody knows whether it was acted on. Repeating it with the same command id is safe."""

    def __init__(self, text: str, command_id: str = "") -> None:
        super().__init__(text)
        self.command_id = command_id


class OrderUncertain(UnansweredError):  # noqa: N818 - what a strategy author calls it
    """No answer to a new order. `order` stays UNCERTAIN until the process's journal tells what became of it."""

    def __init__(self, text: str, command_id: str, order: Any) -> None:
        super().__init__(text, command_id)
        self.order = order


class RegionError(QuarterdeckError):
    """A shared-memory file has another layout, size or generation than expected."""


class BookError(QuarterdeckError):
    """A book was asked for something that it cannot hold."""


class StaleBookError(BookError):
    """A book that is not LIVE was read: its state and reason (words of ipc/book.h) and since when (UTC ns)."""

    def __init__(self, text: str, state: str = "STALE", reason: str = "", since_ns: int = 0) -> None:
        super().__init__(text)
        self.state = state
        self.reason = reason
        self.since_ns = since_ns


class BookBusyError(BookError):
    """The writer changed the area during each of a bounded number of tries; try again later."""


class CommandError(QuarterdeckError):
    """A command was refused; the text is the reason."""


class OrderRejected(CommandError):  # noqa: N818 - the word that FIX has for it
    """An order was refused. `reason` in words, `code` as the venue gave it ("" when the desk itself refused), and the
    order where one is followed.
    """

    def __init__(self, text: str, reason: str = "", code: str = "", order: Any = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.code = code
        self.order = order


class OrderTimeout(QuarterdeckError, TimeoutError):  # noqa: N818 - a TimeoutError, too
    """An order is not where it was waited for; the text says where it is, and why."""


class CallbackError(QuarterdeckError):
    """A strategy's callback raised, which is the cause. `delivery`: what it was called for."""

    def __init__(self, text: str, delivery: Any) -> None:
        super().__init__(text)
        self.delivery = delivery


class VenueError(QuarterdeckError):
    """What a venue said cannot be used, or the venue cannot do what is asked."""


class NotifyError(QuarterdeckError):
    """A notifier did not deliver; the text says why and carries no secret."""


class RecordingError(QuarterdeckError):
    """A recording cannot be replayed; names file and line."""
