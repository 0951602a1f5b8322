"""Names for what the native codec reports: defects of fields, reasons for skipped bytes, reasons to stop a batch."""

from enum import IntEnum
from typing import NamedTuple


class DefectKind(IntEnum):
    """What is wrong with one field of a message that could be framed."""

    NO_EQUALS = 1
    BAD_TAG = 2
    EMPTY_VALUE = 3
    REPEATED_TAG = 4
    DATA_LENGTH = 5
    GROUP_COUNT = 6


class Defect(NamedTuple):
    """One malformed field: its tag (0 when unreadable) and the offset of its first byte in `Message.raw`."""

    kind: DefectKind
    tag: int
    offset: int


class GarbleReason(IntEnum):
    """Why bytes of the stream were skipped."""

    NO_BEGIN = 0
    BEGIN_STRING = 1
    BODY_LENGTH = 2
    TOO_LONG = 3
    MSG_TYPE = 4
    TRAILER = 5
    CHECKSUM = 6
    TRUNCATED = 7


class Garble(NamedTuple):
    """One skipped piece of the stream: why, and where it began (bytes since the framer was made or reset)."""

    reason: GarbleReason
    offset: int


class StopReason(IntEnum):
    """Why a batch of market data ended; every reason but INCOMPLETE and LIMIT needs the session state machine."""

    INCOMPLETE = 0
    OTHER_TYPE = 1
    SEQ_NUM = 2
    POSS_DUP = 3
    COMP_ID = 4
    GARBLED = 5
    HEADER = 6
    LIMIT = 7
