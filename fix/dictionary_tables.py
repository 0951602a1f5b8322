"""A Model as tables for the native check."""

from fix._dictionary import Tables
from fix.dictionary_model import FieldDef, GroupDef, Member, Model
from fix.dictionary_types import TYPES, standard_types

_MSG_TYPE = 35
_HEADER_LIMIT = _GROUP_LIMIT = 1024
_BODY_LIMIT = 4096

_Members = list[tuple[int, bool, int]]


def compile_tables(model: Model, application: str) -> Tables:
    """Tables of a model with header and trailer; `application` is the version whose MsgTypes are standard."""
    blocks = _Blocks()
    header = blocks.add(0, model.header, _HEADER_LIMIT)
    trailer = blocks.add(0, model.trailer, _HEADER_LIMIT)
    messages = {
        msg_type.encode(): blocks.add(0, message.members, _BODY_LIMIT) for msg_type, message in model.messages.items()
    }
    known = {*standard_types(application), *_values(model, _MSG_TYPE)}
    lengths = model.data_lengths()
    # Older dictionaries call counts and lengths plain INT: what they are follows from their place.
    places = {
        **dict.fromkeys(model.count_tags(), TYPES["NUMINGROUP"]),
        **dict.fromkeys(lengths.values(), TYPES["LENGTH"]),
    }
    fields = [_field(each, lengths.get(each.number, 0), places) for each in model.fields.values()]
    return Tables(fields, blocks.rows, header, trailer, messages, [each.encode() for each in sorted(known)])


def _field(each: FieldDef, length_tag: int, places: dict[int, int]) -> tuple[int, int, list[bytes], bool, int]:
    # What MsgType may be is what messages there are, not what its field lists.
    values = [] if each.number == _MSG_TYPE else [value.encode() for value in each.values]
    return each.number, places.get(each.number, TYPES[each.type]), values, each.open_values, length_tag


def _values(model: Model, tag: int) -> list[str]:
    return list(model.fields[tag].values) if tag in model.fields else []


class _Blocks:
    """Members of messages and groups; a group that components share is kept once."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, _Members, int]] = []
        self._known: dict[int, int] = {}

    def add(self, count_tag: int, members: tuple[Member, ...], limit: int) -> int:
        rows = [(m.tag, m.required, -1 if m.group is None else self._group(m.group)) for m in members]
        self.rows.append((count_tag, rows, limit))
        return len(self.rows) - 1

    def _group(self, group: GroupDef) -> int:
        at = self._known.get(id(group))
        if at is None:
            at = self._known[id(group)] = self.add(group.count_tag, group.members, _GROUP_LIMIT)
        return at
