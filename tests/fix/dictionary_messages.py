"""Messages that a dictionary allows, made at random, and ways to spoil them."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeAlias

from fix.dictionary import Dictionary
from fix.dictionary_model import GroupDef, Member

Pair: TypeAlias = tuple[str, str]
Pairs: TypeAlias = list[Pair]

SAMPLES = {
    "INT": "7", "LENGTH": "3", "SEQNUM": "12", "NUMINGROUP": "0", "DAYOFMONTH": "17", "FLOAT": "0.25", "QTY": "1.50",
    "PRICE": "84000.5", "PRICEOFFSET": "-0.5", "AMT": "12", "PERCENTAGE": "0.01", "CHAR": "x", "BOOLEAN": "Y",
    "STRING": "text", "MULTIPLEVALUESTRING": "A B", "MULTIPLESTRINGVALUE": "AA BB", "MULTIPLECHARVALUE": "a b",
    "CURRENCY": "USD", "COUNTRY": "DE", "EXCHANGE": "XNAS", "LANGUAGE": "en", "UTCTIMESTAMP": "20260105-09:30:00.123",
    "UTCTIMEONLY": "09:30:00", "UTCDATE": "20260105", "UTCDATEONLY": "20260105", "LOCALMKTDATE": "20260105",
    "MONTHYEAR": "202601", "TZTIMEONLY": "09:30Z", "TZTIMESTAMP": "20260105-09:30Z", "DATA": "raw", "XMLDATA": "<a/>",
    "LOCALMKTTIME": "09:30:00",
}  # fmt: skip
HEADER = {"49": "DESK", "56": "VENUE", "34": "7", "52": "20260105-09:30:00.123"}
BAD = ("", "?", "x1", "-1", "1.5.2", "1e5", "20269999", "Y N", "~ ~", "00", "+1")


class Maker:
    """Makes messages of one dictionary."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.dictionary = dictionary
        model = dictionary._model  # definitions, to make messages from
        self.fields = model.fields
        self.header = {str(member.tag) for member in model.header}
        self.trailer = {str(member.tag) for member in model.trailer}
        self.types = sorted(dictionary.messages)

    def make(self, msg_type: str, random: Random) -> Pairs:
        """35 and on, header first, without 8, 9 and 10."""
        members = self.dictionary.messages[msg_type].members
        share = random.choice((0.0, 0.05, 0.3))
        return [("35", msg_type), *HEADER.items(), *self._members(members, random, share, 0)]

    def _members(self, members: Sequence[Member], random: Random, share: float, depth: int) -> Pairs:
        pairs: Pairs = []
        for at, member in enumerate(members):
            always = member.required or (depth > 0 and at == 0)
            if not always and random.random() >= share:
                continue
            if member.group is not None:
                pairs += self._group(member.group, random, share, depth)
            else:
                pairs.append((str(member.tag), self.value(member.tag, random)))
        return self._whole_data(pairs)

    def _group(self, group: GroupDef, random: Random, share: float, depth: int) -> Pairs:
        values = self.fields[group.count_tag].values or (("0", "1", "2") if depth < 2 else ("0",))
        entries = int(random.choice(sorted(values)))
        pairs = [(str(group.count_tag), str(entries))]
        for _ in range(entries):
            pairs += self._members(group.members, random, share * 0.5, depth + 1)
        return pairs

    def _whole_data(self, pairs: Pairs) -> Pairs:
        """Length fields only with their data, and data only behind its length."""
        lengths = {each.name: str(each.number) for each in self.fields.values() if each.type == "LENGTH"}
        data = [t for t, _ in pairs if self.fields[int(t)].type in ("DATA", "XMLDATA")]
        dropped = {*data, *lengths.values()}
        return [pair for pair in pairs if pair[0] not in dropped]

    def value(self, tag: int, random: Random) -> str:
        """A value that the field may have."""
        field = self.fields[tag]
        if field.values:
            return random.choice(sorted(field.values))
        return SAMPLES[field.type]


def spoil(pairs: Pairs, maker: Maker, random: Random) -> tuple[str, Pairs]:
    """One thing changed: what was done, and the message after it."""
    name = random.choice(sorted(SPOILERS))
    return name, SPOILERS[name](list(pairs), maker, random)


def _drop(pairs: Pairs, maker: Maker, random: Random) -> Pairs:
    del pairs[random.randrange(1, len(pairs))]
    return pairs


def _repeat(pairs: Pairs, maker: Maker, random: Random) -> Pairs:
    at = random.randrange(1, len(pairs))
    pairs.insert(at, pairs[at])
    return pairs


def _move(pairs: Pairs, maker: Maker, random: Random) -> Pairs:
    pair = pairs.pop(random.randrange(1, len(pairs)))
    pairs.insert(random.randrange(1, len(pairs) + 1), pair)
    return pairs


def _swap(pairs: Pairs, maker: Maker, random: Random) -> Pairs:
    at = random.randrange(1, max(len(pairs) - 1, 2))
    pairs[at : at + 2] = reversed(pairs[at : at + 2])
    return pairs


def _bad_value(pairs: Pairs, maker: Maker, random: Random) -> Pairs:
    at = random.randrange(1, len(pairs))
    pairs[at] = (pairs[at][0], random.choice(BAD))
    return pairs


def _add(tags: Callable[[Maker], Sequence[str]]) -> Callable[[Pairs, Maker, Random], Pairs]:
    def add(pairs: Pairs, maker: Maker, random: Random) -> Pairs:
        tag = random.choice(tags(maker))
        value = maker.value(int(tag), random) if tag.isdigit() and int(tag) in maker.fields else "1"
        pairs.insert(random.randrange(1, len(pairs) + 1), (tag, value))
        return pairs

    return add


def _count(pairs: Pairs, maker: Maker, random: Random) -> Pairs:
    counts = [i for i, (tag, _) in enumerate(pairs) if maker.fields[int(tag)].type == "NUMINGROUP"]
    if counts:
        at = random.choice(counts)
        pairs[at] = (pairs[at][0], str(int(pairs[at][1]) + random.choice((-1, 1, 5))))
    return pairs


def _type(pairs: Pairs, maker: Maker, random: Random) -> Pairs:
    return [("35", random.choice(("U7", "ZZ", "AT", "k", "?", *maker.types))), *pairs[1:]]


SPOILERS: dict[str, Callable[[Pairs, Maker, Random], Pairs]] = {
    "nothing": lambda pairs, maker, random: pairs,
    "drop": _drop,
    "repeat": _repeat,
    "move": _move,
    "swap": _swap,
    "bad value": _bad_value,
    "count": _count,
    "type": _type,
    "add known": _add(lambda maker: sorted(str(tag) for tag in maker.fields if tag not in (8, 9, 35, 10))),
    "add header": _add(lambda maker: sorted(maker.header - {"8", "9", "35"})),
    "add trailer": _add(lambda maker: sorted(maker.trailer - {"10"})),
    "add unknown": _add(lambda maker: ("4999", "6001", "99999", "0", "-1", "x", "")),
}


def text_of(pairs: Pairs) -> str:
    """`tag=value|`..., the form that dictionary_kit.frame takes."""
    return "".join(f"{tag}={value}|" for tag, value in pairs)
