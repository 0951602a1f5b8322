"""How a peer's messages differ from the standard's, as data: rules that change single fields on their way out or in.

A rule reads `TYPE[,TYPE] WHAT [when CONDITION ...]`. WHAT is one of

- `TAG=VALUE`: the field has that value, added at the end where there was none; `TAG=@OTHER`: the value of that field
- `-TAG`: the field is left out
- `refuse`: no such message leaves (VenueError)

A CONDITION is `TAG=VALUE`, `TAG` (the field is there) or `-TAG` (it is not). Conditions and @OTHER look at the message
as it was before any rule; all must hold; of several rules that hold for one tag the last counts.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from base.errors import ConfigError, VenueError
from fix.codec import FieldRules, Message, checksum

_SOH = b"\x01"
_HEADER = frozenset({8, 9, 35, 34, 49, 52, 56, 43, 97, 122, 10})
_RULE = re.compile(
    r"(?P<types>\w{1,3}(,\w{1,3})*) (?P<what>refuse|-\d{1,5}|\d{1,5}=\S+)( when (?P<when>\S+( \S+)*))?", re.ASCII
)
_CONDITION = re.compile(r"-?\d{1,5}|\d{1,5}=\S+", re.ASCII)

Field: TypeAlias = tuple[int, bytes]


class _Rule(NamedTuple):
    text: str
    tag: int  # 0: refuse
    value: bytes | None  # None: left out
    copied: int  # the tag whose value counts; 0: `value` does
    when: tuple[tuple[int, bytes | None, bool], ...]  # (tag, value or None for any, whether it is to be there)

    def holds(self, fields: Sequence[Field]) -> bool:
        return all(
            any(t == tag and wanted in (None, v) for t, v in fields) == there for tag, wanted, there in self.when
        )


class WireRules:
    """The rules of one direction, by MsgType. ConfigError naming `path` and the rule that cannot be read."""

    def __init__(self, texts: Iterable[str], path: str, *, may_refuse: bool) -> None:
        self._rules: dict[str, list[_Rule]] = {}
        for text in texts:
            types, rule = _read(text, path, may_refuse)
            for msg_type in types:
                self._rules.setdefault(msg_type, []).append(rule)

    @property
    def types(self) -> frozenset[str]:
        """MsgTypes that any rule is about."""
        return frozenset(self._rules)

    def written(self, msg_type: str, body: bytes) -> bytes:
        """The body as this peer wants it. VenueError where a rule refuses it."""
        rules = self._rules.get(msg_type)
        if rules is None:
            return body
        fields = [_field(text) for text in body.split(_SOH)[:-1]]
        return _joined(_changed(rules, fields, msg_type))

    def read(self, message: Message, field_rules: FieldRules | None = None) -> Message:
        """The message as the standard would have it."""
        rules = self._rules.get(message.msg_type)
        if rules is None:
            return message
        fields = _changed(rules, list(message.fields()), message.msg_type)
        body = _joined([f for f in fields if f[0] not in (8, 9, 10)])
        data = b"8=%b\x019=%d\x01%b" % (message.begin_string, len(body), body)
        return Message.parse(data + b"10=%03d\x01" % checksum(data), field_rules)


def _changed(rules: Sequence[_Rule], fields: list[Field], msg_type: str) -> list[Field]:
    settled: dict[int, bytes | None] = {}
    for rule in rules:
        if not rule.holds(fields):
            continue
        if not rule.tag:
            raise VenueError(f"35={msg_type}: refused by the rule {rule.text!r} of options.writes")
        if not rule.copied:
            settled[rule.tag] = rule.value
        elif any(t == rule.copied for t, _ in fields):
            settled[rule.tag] = next(v for t, v in fields if t == rule.copied)
    if not settled:
        return fields
    had = {t for t, _ in fields}
    changed = [(t, settled.get(t, v)) for t, v in fields] + [(t, v) for t, v in settled.items() if t not in had]
    return [(t, v) for t, v in changed if v is not None]


def _read(text: str, path: str, may_refuse: bool) -> tuple[list[str], _Rule]:
    found = _RULE.fullmatch(text)
    conditions = (found["when"] or "").split() if found else []
    if found is None or not all(_CONDITION.fullmatch(c) for c in conditions):
        raise ConfigError(f"{path}: {text!r} is not 'TYPE TAG=VALUE [when TAG=VALUE ...]' (docs/venues/fix44.md)")
    what = found["what"]
    when = tuple(_condition(c) for c in conditions)
    if what == "refuse":
        if not may_refuse:
            raise ConfigError(f"{path}: {text!r}: what is received cannot be refused")
        return found["types"].split(","), _Rule(text, 0, None, 0, when)
    tag_text, _, value = what.lstrip("-").partition("=")
    tag = int(tag_text)
    copied = value[1:] if value.startswith("@") else "0"
    if tag in _HEADER or not tag or not copied.isdecimal():
        raise ConfigError(f"{path}: {text!r}: {what!r} cannot be changed by a rule")
    return found["types"].split(","), _Rule(
        text, tag, None if what.startswith("-") else value.encode(), int(copied), when
    )


def _condition(text: str) -> tuple[int, bytes | None, bool]:
    tag, equals, value = text.lstrip("-").partition("=")
    return int(tag), value.encode() if equals else None, not text.startswith("-")


def _field(text: bytes) -> Field:
    tag, _, value = text.partition(b"=")
    return int(tag), value


def _joined(fields: Iterable[Field]) -> bytes:
    """Tag 0 stands for a field that could not be read: its value is the whole of it."""
    return b"".join(b"%d=%b\x01" % (tag, value) if tag else value + _SOH for tag, value in fields)
