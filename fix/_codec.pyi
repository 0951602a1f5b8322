"""The native FIX codec: framing, field access, market-data records, encoding. No I/O, no session state.

Tags are ints, values bytes. Times are UTC nanoseconds. Prices and sizes are int64 at a decimal scale (0 to 18).
Getters answer None when the tag is absent, and raise NumberError (CodecError for times, booleans and chars) when
the value cannot be read. `need*` raise CodecError instead of answering None.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, final

from typing_extensions import Buffer

from fix.codec_types import Defect, Garble, GarbleReason, StopReason

_Text: TypeAlias = bytes | str

@final
class FieldRules:
    """Tags the codec must know: length->data pairs and NumInGroup tags, beside the standard's own.

    Values that may hold SOH need their pair here; a repeated tag behind a NumInGroup tag is no defect.
    """

    def __init__(self, data_tags: Mapping[int, int] = ..., count_tags: Iterable[int] = ...) -> None: ...

@final
class GroupSpec:
    """Which tags belong to the entries of the repeating group counted by `count_tag`.

    The first tag after the count field is the delimiter whatever it is; the others come in any order. A nested
    group's tags (and its count tag) belong to the entry they stand in. An entry ends at a tag of neither.
    """

    def __init__(self, count_tag: int, members: Iterable[int], nested: Iterable[GroupSpec] = ...) -> None: ...
    @property
    def count_tag(self) -> int: ...

class _Fields:
    def get(self, tag: int) -> bytes | None:
        """Value of the first field with this tag."""
    def pick(self, tags: tuple[int, ...]) -> tuple[bytes | None, ...]:
        """What get() answers for each tag, in one call."""
    def get_str(self, tag: int) -> str | None:
        """Value as text: UTF-8, bytes that are not UTF-8 shown as \\xNN."""
    def get_int(self, tag: int) -> int | None: ...
    def get_scaled(self, tag: int, scale: int) -> int | None:
        """Decimal as an integer at `scale`, exact; NumberError on overflow or too many decimals."""
    def get_utc_ns(self, tag: int) -> int | None:
        """UTCTimestamp with 0 to 9 decimals, or ISO 8601 with Z."""
    def get_bool(self, tag: int) -> bool | None: ...
    def get_char(self, tag: int) -> str | None: ...
    def need(self, tag: int) -> bytes: ...
    def need_str(self, tag: int) -> str: ...
    def need_int(self, tag: int) -> int: ...
    def need_scaled(self, tag: int, scale: int) -> int: ...
    def need_utc_ns(self, tag: int) -> int: ...
    def has(self, tag: int) -> bool: ...
    def fields(self) -> list[tuple[int, bytes]]:
        """All pairs in order; tag 0 stands for an unreadable one, its value being the whole field."""
    def group(self, spec: GroupSpec) -> list[GroupEntry]:
        """Entries of the group, [] when its count tag is absent; a wrong count is added to `Message.defects`."""

@final
class GroupEntry(_Fields):
    """One entry of a repeating group: a view on its message."""

    @property
    def message(self) -> Message: ...

@final
class Message(_Fields):
    """One framed message. Immutable apart from `defects`, to which `group` may add."""

    @staticmethod
    def parse(raw: Buffer, rules: FieldRules | None = ...) -> Message:
        """One whole message; CodecError naming the reason when framing, BodyLength or CheckSum is wrong."""
    @property
    def raw(self) -> bytes: ...
    @property
    def begin_string(self) -> bytes: ...
    @property
    def msg_type(self) -> str:
        """MsgType(35)."""
    @property
    def seq_num(self) -> int:
        """MsgSeqNum(34); 0 when absent or not a positive number."""
    @property
    def poss_dup(self) -> bool:
        """PossDupFlag(43) is Y."""
    def plain(self, begin: bytes, sender: bytes, target: bytes, seq: int, wall_ns: int, latency_ns: int) -> bool:
        """True for an application message with these 8, 49, 56 and 34, and nothing that would need a second look:

        defects, 43=Y, 97=Y, or SendingTime(52) unreadable or more than `latency_ns` (0: any) off `wall_ns`.
        """
    @property
    def defects(self) -> tuple[Defect, ...]:
        """Malformed fields, at most 16 of them; the message stays readable."""
    def __len__(self) -> int:
        """Number of fields."""

@final
class Framer:
    """Cuts a stream of bytes into messages. Garbled bytes are skipped to the next message and counted.

    Feed (or fill), then take messages until None; `MdDecoder.decode` takes from the same buffer.
    """

    def __init__(self, max_body_length: int = ..., rules: FieldRules | None = ...) -> None: ...
    def feed(self, data: Buffer) -> None:
        """Append received bytes. CodecError when more than a whole message is left untaken."""
    def fill(self, recv_into: Callable[[memoryview], int], size: int = ...) -> int:
        """Let `recv_into` (a socket's) write straight into the buffer; answers what it returned."""
    def next(self) -> Message | None:
        """The next message, or None when more bytes are needed."""
    def skip(self) -> int:
        """Frame all whole messages that are there and pass over them; how many."""
    def __iter__(self) -> Iterator[Message]: ...
    def give_up(self) -> bool:
        """Nothing has come for long: pass over a message that is not whole for a whole one that lies inside it.

        That one must follow a complete CheckSum field. True when there was one.
        """
    def end(self) -> None:
        """No more bytes will come: a message still incomplete is garbled, and what follows inside it is searched."""
    def reset(self) -> None:
        """Forget buffered bytes (a new connection); the counters stay."""
    @property
    def pending(self) -> int:
        """Bytes buffered and not yet taken."""
    @property
    def consumed(self) -> int:
        """Bytes taken or skipped since the framer was made."""
    def since(self, consumed: int) -> bytes:
        """What was taken or skipped since `consumed` was so; before the next feed or fill only. CodecError."""
    @property
    def messages(self) -> int:
        """Messages taken, those of batches included."""
    @property
    def garbled_bytes(self) -> int: ...
    @property
    def garbled_messages(self) -> int: ...
    @property
    def garbled(self) -> dict[GarbleReason, int]:
        """Garbled messages by reason."""
    @property
    def last_garble(self) -> Garble | None: ...

@final
class MdRecords:
    """Growable buffer of int64 words in the layout of base/md_record.h; `memoryview(records)` has format 'q'.

    While a view is held, decoding that would have to grow the buffer, and clear(), raise BufferError.
    """

    def __init__(self, capacity_words: int = ...) -> None: ...
    def __len__(self) -> int:
        """Words written."""
    def clear(self) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class MdDecoder:
    """Market data 35=X and 35=W into MdRecords. Tag 0 means the venue has no such field.

    With order keys: `skip_unkeyed` passes over bids and offers that carry none, `trade_reduces` adds to each trade what
    it takes away from the order that its entry names (QD_MD_REDUCE).
    """

    def __init__(
        self,
        *,
        order_key_tag: int = 0,
        queue_time_tag: int = 0,
        checksum_tag: int = 0,
        first_id_tag: int = 0,
        last_id_tag: int = 0,
        trade_id_tag: int = 1003,
        trade_time_tag: int = 60,
        aggressor_tag: int = 2446,
        last_fragment_tag: int = 0,
        skip_unkeyed: bool = False,
        trade_reduces: bool = False,
        rules: FieldRules | None = None,
    ) -> None: ...
    @property
    def records(self) -> MdRecords: ...
    def add_symbol(self, symbol: _Text, instrument: int, px_scale: int, qty_scale: int) -> None:
        """Register Symbol(55), or change what it stands for."""
    def expect(self, begin_string: _Text, sender: _Text, target: _Text) -> None:
        """What 8, 49 and 56 of received messages must be; to be called before decode()."""
    def decode(
        self, framer: Framer, expected_seq: int, recv_ns: int, max_messages: int = ...
    ) -> tuple[int, int, StopReason]:
        """Append records of all consecutive 35=X and 35=W in sequence: (messages, next_seq, why it ended).

        Stops before the first message that needs the session; that one is still to be had from `framer.next()`.
        """
    def decode_message(self, message: Message, recv_ns: int) -> int:
        """Append the records of one 35=X or 35=W that came through the session; answers how many."""

@final
class BodyWriter:
    """Writes body fields strictly: a bad tag, an empty value or SOH in a value is a CodecError naming the tag."""

    def __init__(self) -> None: ...
    def text(self, tag: int, value: _Text) -> None: ...
    def integer(self, tag: int, value: int) -> None: ...
    def scaled(self, tag: int, value: int, scale: int) -> None:
        """Decimal text without exponent or superfluous zeros."""
    def utc(self, tag: int, ns: int, digits: int = 3) -> None:
        """UTCTimestamp with 0, 3, 6 or 9 decimals, cut off, not rounded."""
    def boolean(self, tag: int, value: bool) -> None: ...
    def data(self, length_tag: int, data_tag: int, value: bytes) -> None:
        """A length and data pair; the value may hold SOH."""
    def raw(self, fields: bytes) -> None:
        """Fields already written elsewhere, taken as they are after a strict check."""
    def clear(self) -> None: ...
    def take(self) -> bytes:
        """What was written; the writer is empty afterwards."""
    def __len__(self) -> int: ...

@final
class Template:
    """Renders one message type of one session, with fresh 9, 34, 52 and 10.

    `fields` are tuples in wire order, one positional value of render() each unless said otherwise:
    (tag, "text") bytes or str | (tag, "int") | (tag, "bool") | (tag, "scaled", scale) int |
    (tag, "scaled") two values: int, its scale | (tag, "utc", digits) ns | (tag, "const", b"...") no value |
    (length_tag, "data", data_tag) bytes. A value of None leaves its field out (for "scaled" both values count).
    """

    def __init__(
        self,
        begin_string: _Text,
        msg_type: _Text,
        sender: _Text,
        target: _Text,
        fields: Sequence[tuple[int, str] | tuple[int, str, int] | tuple[int, str, bytes]],
        *,
        extra_header: bytes = b"",
        time_digits: int = 3,
        rules: FieldRules | None = None,
    ) -> None: ...
    def render(self, seq_num: int, sending_ns: int, *values: bytes | str | int | bool | None) -> bytes: ...

def encode(
    begin_string: _Text,
    msg_type: _Text,
    sender: _Text,
    target: _Text,
    seq_num: int,
    sending_ns: int,
    body: bytes = b"",
    *,
    extra_header: bytes = b"",
    time_digits: int = 3,
    rules: FieldRules | None = None,
) -> bytes:
    """A whole message: 8 9 35 49 56 34 52, extra_header, body, 10. Both byte strings are checked strictly."""

def parse_int(text: bytes) -> int: ...
def parse_scaled(text: bytes, scale: int) -> int: ...
def format_scaled(value: int, scale: int) -> bytes: ...
def parse_utc_ns(text: bytes) -> int: ...
def format_utc(ns: int, digits: int = 3) -> bytes: ...
def checksum(data: Buffer) -> int:
    """Sum of all bytes modulo 256."""

def key64(text: bytes) -> int:
    """qd_key64 of base/md_record.h."""
