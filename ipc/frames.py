"""One frame of the bus: `topic NUL payload`, the payload being a MessagePack `Envelope` with integers of fixed width.

The fixed widths put every number at a fixed distance from the NUL (docs/bus.md), so that hot paths need no
MessagePack to check a sequence, and any MessagePack reader still reads the whole.
"""

import struct
from typing import Final, get_args

import msgspec

from base.errors import BusError, SchemaError
from ipc.events import SCHEMA_VERSION, AnyEvent

HEADER_BYTES: Final = 34  # from the byte after the NUL to the first event
MAX_TOPIC_BYTES: Final = 255

_HEADER: Final = struct.Struct(">BBBQBQBQBI")
_NUMBERS: Final = struct.Struct(">BQBQBI")  # 0xcf first_seq 0xcf sent_ns 0xdd n_events
_ARRAY5: Final = 0x95
_UINT64: Final = 0xCF
_ARRAY32: Final = 0xDD

# What decoders here raise for bytes that are no message: msgspec lets the last two through as they are.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

encode_event = msgspec.msgpack.Encoder().encode
decode_events: Final = msgspec.msgpack.Decoder(list[AnyEvent]).decode
decode_event: Final = msgspec.msgpack.Decoder(AnyEvent).decode
_decode_any: Final = msgspec.msgpack.Decoder().decode
_KNOWN_TAGS: Final = frozenset(t.__struct_config__.tag for t in get_args(AnyEvent))
split_events: Final = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class Header(msgspec.Struct, frozen=True):
    """What stands before the events of a frame; `offset` is where the first event begins."""

    topic: str
    epoch: int
    first_seq: int
    sent_ns: int
    n_events: int
    offset: int


def check_topic(topic: str) -> bytes:
    """The topic as bytes; BusError unless it is 1 to 255 bytes of printable ASCII without spaces."""
    if not topic or len(topic) > MAX_TOPIC_BYTES or not topic.isascii() or not topic.isprintable() or " " in topic:
        raise BusError(f"topic {topic!r}: expected 1 to {MAX_TOPIC_BYTES} printable ASCII characters without spaces")
    return topic.encode()


def prefix(topic: bytes, epoch: int) -> bytes:
    """The bytes that every frame of this topic and epoch begins with, up to the first sequence number's marker."""
    return topic + b"\0" + bytes((_ARRAY5, SCHEMA_VERSION, _UINT64)) + epoch.to_bytes(8, "big")


def frame(head: bytes, first_seq: int, sent_ns: int, n_events: int, packed: bytes) -> bytes:
    """A whole frame from a `prefix`, its numbers and the concatenated events."""
    return head + _NUMBERS.pack(_UINT64, first_seq, _UINT64, sent_ns, _ARRAY32, n_events) + packed


def numbers(data: bytes, head: bytes) -> tuple[int, int] | None:
    """(first_seq, n_events) of a frame that begins with this `prefix`; None: `read_header` has to look at it."""
    if not data.startswith(head) or len(data) < len(head) + _NUMBERS.size:
        return None
    m1, first_seq, m2, _, m3, n_events = _NUMBERS.unpack_from(data, len(head))
    sound = (m1, m2, m3) == (_UINT64, _UINT64, _ARRAY32) and first_seq > 0 and n_events <= len(data)
    return (first_seq, n_events) if sound else None


def read_header(data: bytes) -> Header:
    """Take a frame's header apart. BusError names what is malformed and where, SchemaError both schema versions."""
    nul = data.find(b"\0", 0, MAX_TOPIC_BYTES + 1)
    if nul < 1:
        raise BusError(f"frame of {len(data)} bytes: no topic ended by NUL in its first {MAX_TOPIC_BYTES + 1} bytes")
    try:
        topic = data[:nul].decode("ascii")
    except UnicodeDecodeError as e:
        raise BusError(f"frame of {len(data)} bytes: topic is not ASCII at byte {e.start}") from None
    at = nul + 1
    if len(data) > at + 1 and data[at] == _ARRAY5 and data[at + 1] != SCHEMA_VERSION:
        raise SchemaError(f"topic {topic}: frame has schema {data[at + 1]}, this build reads schema {SCHEMA_VERSION}")
    if len(data) < at + HEADER_BYTES:
        raise BusError(f"topic {topic}: header ends at byte {len(data)}, expected {HEADER_BYTES} bytes from {at}")
    array, _, m1, epoch, m2, first_seq, m3, sent_ns, m4, n_events = _HEADER.unpack_from(data, at)
    if (array, m1, m2, m3, m4) != (_ARRAY5, _UINT64, _UINT64, _UINT64, _ARRAY32):
        raise BusError(f"topic {topic}: no envelope of fixed widths at byte {at}")
    if epoch == 0 or first_seq == 0:
        raise BusError(f"topic {topic}: epoch {epoch} and sequence number {first_seq} must both be at least 1")
    if n_events > len(data):  # an event takes a byte at least
        raise BusError(f"topic {topic}: {n_events} events announced in a frame of {len(data)} bytes")
    return Header(topic, epoch, first_seq, sent_ns, n_events, at + HEADER_BYTES)


def events_array(n_events: int, packed: bytes | memoryview) -> bytes:
    """The events as one MessagePack array, which the decoders here take."""
    return b"\xdd" + n_events.to_bytes(4, "big") + packed


def has_known_tag(event: bytes | msgspec.Raw) -> bool:
    """Whether a packed event calls itself one of this schema, or is broken; False for what may be newer."""
    try:
        parts = _decode_any(event)
    except UNREADABLE:
        return True  # not a newer event but a broken one
    return isinstance(parts, list) and bool(parts) and parts[0] in _KNOWN_TAGS
