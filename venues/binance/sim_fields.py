"""What the simulated Binance takes in each message, and how it words refusals (venues/binance.md 4.1, 4.8, 5, 9.3)."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from base.errors import VenueError
from sim.wire import Field, Message

HEADER = frozenset({8, 9, 35, 34, 49, 56, 52, 25000, 10})
IDENTIFIER = re.compile(r"^[a-zA-Z0-9-_]{1,36}$")
COMP_ID = re.compile(r"^[a-zA-Z0-9-_]{1,8}$")
ID_TAGS = frozenset({11, 41, 262, 25014, 25015, 25034})

_ORDER = frozenset({11, 38, 40, 18, 44, 1100, 1101, 1102, 1107, 1109, 25009, 211, 1094, 835, 836, 54, 55, 59, 111})
_ORDER |= {152, 847, 7940, 25001}

FIELDS: Mapping[str, frozenset[int]] = MappingProxyType(
    {
        "A": frozenset({98, 108, 95, 96, 141, 553, 25035, 25036, 9406}),
        "0": frozenset({112}),
        "1": frozenset({112}),
        "3": frozenset({45, 371, 372, 373, 25016, 58}),
        "5": frozenset({58}),
        "D": _ORDER | {25032},
        "F": frozenset({11, 41, 37, 25015, 66, 55, 25002}),
        "XCN": _ORDER | {25033, 25038, 37, 25034, 41, 25002},
        "XAK": frozenset({11, 41, 37, 55, 38}),
        "q": frozenset({11, 55, 530}),
        "XLQ": frozenset({6136}),
        "V": frozenset({262, 263, 264, 266, 146, 55, 267, 269}),
        "x": frozenset({320, 559, 55}),
    }
)
MD_LOGON = FIELDS["A"] - {25036, 9406}
GROUPED = frozenset({"V"})
REQUIRED: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "A": (98, 108, 95, 96, 141, 553, 25035),
        "1": (112,),
        "D": (11, 40, 54, 55),
        "F": (11, 55),
        "XCN": (25033, 11, 40, 54, 55),
        "XAK": (11, 55, 38),
        "q": (11, 55, 530),
        "XLQ": (6136,),
        "V": (262, 263),
        "x": (320, 559),
    }
)


class RefusedError(VenueError):
    """A message is refused by 35=3: ErrorCode(25016), SessionRejectReason(373), offending tag."""

    def __init__(self, code: int, text: str, reason: int = 99, tag: int = 0) -> None:
        super().__init__(text)
        self.code, self.reason, self.tag = code, reason, tag


class EngineError(VenueError):
    """A request reached the engine or a filter and was refused there: 35=8 150=8, 35=9, 35=XAR or 35=r."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def check(message: Message, *, market_data: bool = False) -> None:
    """Tags known, not repeated, not empty, ids well formed, required ones there. RefusedError otherwise."""
    kind = message.msg_type
    allowed = MD_LOGON if market_data and kind == "A" else FIELDS.get(kind)
    if allowed is None:
        raise RefusedError(-1020, f"Message type '{kind}' is not supported.", 99)
    seen: set[int] = set()
    for tag, value in message.fields:
        if not value:
            raise RefusedError(-1102, f"Tag {tag} has no value.", 1, tag)
        if tag not in allowed and tag not in HEADER:
            raise RefusedError(-1170, f"Tag {tag} is not defined for message type '{kind}'.", 2, tag)
        if tag in seen and kind not in GROUPED:
            raise RefusedError(-1171, f"Tag {tag} appears more than once.", 13, tag)
        seen.add(tag)
        if tag in ID_TAGS and not IDENTIFIER.match(value):
            raise RefusedError(-1100, f"Illegal characters found in tag {tag}.", 6, tag)
    for tag in REQUIRED.get(kind, ()):
        if tag not in seen:
            raise RefusedError(-1102, f"Mandatory tag {tag} was not sent or malformed.", 1, tag)


def one_of(message: Message, tag: int, allowed: str, code: int = -1130) -> str:
    """The value of `tag`, one letter out of `allowed`, or RefusedError."""
    value = message.get(tag)
    if len(value) != 1 or value not in allowed:
        raise RefusedError(code, f"Value '{value}' of tag {tag} is incorrect.", 5, tag)
    return value


def reject_fields(message: Message, problem: RefusedError) -> list[Field]:
    """Body of 35=3."""
    fields: list[Field] = [(45, str(max(message.seq, 0)))]
    if problem.tag:
        fields.append((371, str(problem.tag)))
    return [
        *fields,
        (372, message.msg_type),
        (373, str(problem.reason)),
        (25016, str(problem.code)),
        (58, str(problem)),
    ]
