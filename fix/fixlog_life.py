"""One order's life in the logs: every message about it, over replacements, sessions and drop copy."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fix.fixlog_reader import Filter, Line
from fix.fixlog_view import Fields, Namer, fields_of, printable, shown_of, value_of

_LINKING = frozenset({"D", "G", "F", "H", "8", "9"})
"""Messages about one order: their ids belong together. A list (E) or a mass cancel (q, r) speaks of many."""
_MANY = frozenset({"q", "E"})
_NO_ID = frozenset({"", "0", "NONE", "N/A", "UNKNOWN", "none", "unknown"})
_ID_TAGS = (11, 41, 37)
_ROUNDS = 100

Read = Callable[[Filter], Iterator[Line]]


@dataclass
class Life:
    """The messages by time, with their fields, and the ids that the order had."""

    lines: list[tuple[Line, Fields]] = field(default_factory=list)
    cl_ord_ids: list[str] = field(default_factory=list)
    order_ids: list[str] = field(default_factory=list)


def life_of(read: Read, order: str) -> Life:
    """The life of an order by any of its ids. `read` gives the lines of one venue's logs, by time."""
    ids, many = {order}, set[str]()
    found: list[tuple[Line, Fields]] = []
    for _ in range(_ROUNDS):
        found = [(line, fields_of(line.raw)) for line in read(Filter(ids=frozenset(ids)))]
        many |= {value for _, fields in found if value_of(fields, 35) in _MANY for t, value in fields if t == 11}
        many.discard(order)
        found = [
            (line, fields) for line, fields in found if _ids(fields) & (ids - many) or value_of(fields, 35) in _MANY
        ]
        more = ids.union(*(_ids(fields) for _, fields in found if _links(fields)))
        if more == ids:
            break
        ids = more
    found += _rejects(read, found)
    found.sort(key=lambda entry: entry[0].stamp)
    life = Life(found)
    for _, fields in found:
        if _links(fields):
            _note(life.cl_ord_ids, value_of(fields, 41))
            _note(life.cl_ord_ids, value_of(fields, 11))
            _note(life.order_ids, value_of(fields, 37))
    return life


def _note(known: list[str], value: str) -> None:
    if value not in _NO_ID and value not in known:
        known.append(value)


def _ids(fields: Fields) -> set[str]:
    return {value for tag, value in fields if tag in (*_ID_TAGS, 379, 198) and value not in _NO_ID}


def _links(fields: Fields) -> bool:
    return value_of(fields, 35) in _LINKING and sum(tag == 11 for tag, _ in fields) <= 1


def _rejects(read: Read, found: list[tuple[Line, Fields]]) -> list[tuple[Line, Fields]]:
    """35=3 and 35=j that mean one of these messages by its number, which may have been used before and after."""
    ours = {(line.log, line.stamp, int(number)) for line, fields in found
            if not line.incoming and (number := value_of(fields, 34)).isdigit()}  # fmt: skip
    known = {line.where for line, _ in found}
    if not ours:
        return []
    rejects, last = [], dict[tuple[str, int], bytes]()
    for line in read(Filter(numbers=frozenset(number for _, _, number in ours))):
        fields = fields_of(line.raw)
        if not line.incoming:
            number = value_of(fields, 34)
            last[line.log, int(number) if number.isdigit() else 0] = line.stamp
        elif value_of(fields, 35) in ("3", "j") and (number := value_of(fields, 45)).isdigit():
            sent = last.get((line.log, int(number)), b"")
            if (line.log, sent, int(number)) in ours and line.where not in known:
                rejects.append((line, fields))
    return rejects


def in_words(fields: Fields, namer: Namer, only_id: str = "") -> str:
    """What a message says about its order, short; a ClOrdID that is `only_id` need not be said again."""
    match value_of(fields, 35):
        case "D" | "G":
            return _joined(namer, fields, (54, 38, 55, 40, 44, 99, 59), _replaces(fields, only_id))
        case "F" | "H":
            return _joined(namer, fields, (54, 38, 55), _replaces(fields, only_id))
        case "8":
            return _report(fields, namer, only_id)
    tags = (41, 11, 37, 434, 102, 530, 531, 45, 371, 372, 373, 380, 58)
    return "  ".join(_said(namer, fields, tag) for tag in tags if value_of(fields, tag))


def _report(fields: Fields, namer: Namer, only_id: str) -> str:
    exec_type, status = (namer.shown(tag, value_of(fields, tag)) for tag in (150, 39))
    said = [exec_type if exec_type == status else f"{exec_type}/{status}"]
    if value_of(fields, 32).strip("0."):
        said.append(f"{_number(value_of(fields, 32))} @ {_number(value_of(fields, 31)) or '?'}")
    said += [
        f"{name} {_number(value)}" for name, tag in (("cum", 14), ("leaves", 151)) if (value := value_of(fields, tag))
    ]
    said += [_said(namer, fields, tag) for tag in (103, 102, 378) if value_of(fields, tag)]
    said += [_said(namer, fields, tag) for tag in (97, 43) if value_of(fields, tag) == "Y"]
    said += [_said(namer, fields, tag) for tag in (17, 58) if value_of(fields, tag)]
    return "  ".join([*said, *_replaces(fields, only_id)])


def _number(text: str) -> str:
    """Without the zeros that say nothing."""
    text = printable(text)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _replaces(fields: Fields, only_id: str) -> list[str]:
    own, original = shown_of(fields, 11), shown_of(fields, 41)
    if original in _NO_ID or original == own:
        return [own] if own not in ("", only_id) else []
    return [f"{own} for {original}"]


def _joined(namer: Namer, fields: Fields, tags: tuple[int, ...], after: list[str]) -> str:
    said = [_number(namer.shown(tag, value)) for tag in tags if (value := value_of(fields, tag))]
    return "  ".join([" ".join(said), *after])


def _said(namer: Namer, fields: Fields, tag: int) -> str:
    return f"{namer.field(tag) or tag}={namer.shown(tag, value_of(fields, tag))}"
