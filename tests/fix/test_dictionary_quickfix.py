"""Our check beside QuickFIX's own DataDictionary, with the same file: the same verdict but for a few stated rules."""

from collections.abc import Iterable
from random import Random
from typing import NamedTuple

import pytest
import quickfix
from hypothesis import given, settings
from hypothesis import strategies as st

from fix.dictionary import Dictionary
from fix.dictionary_model import GroupDef, Member
from tests.fix.dictionary_kit import frame
from tests.fix.dictionary_messages import Maker, spoil, text_of

REASON = {
    quickfix.InvalidTagNumber: 0,
    quickfix.RequiredTagMissing: 1,
    quickfix.TagNotDefinedForMessage: 2,
    quickfix.NoTagValue: 4,
    quickfix.IncorrectTagValue: 5,
    quickfix.IncorrectDataFormat: 6,
    quickfix.InvalidMessageType: 11,
    quickfix.RepeatedTag: 13,
    quickfix.TagOutOfOrder: 14,
    quickfix.RepeatingGroupCountMismatch: 16,
}
MANY = 64
GARBLED = (quickfix.InvalidMessage, quickfix.FieldNotFound)

# What QuickFIX does not look into: its verdict on these types is "any text", "any digits", or the digits' places only.
LOOSER = {
    "LOCALMKTDATE", "MONTHYEAR", "DAYOFMONTH", "UTCDATE", "UTCDATEONLY", "UTCTIMESTAMP", "CURRENCY", "COUNTRY",
    "LANGUAGE", "TZTIMEONLY", "TZTIMESTAMP", "LOCALMKTTIME", "LENGTH", "SEQNUM", "NUMINGROUP", "MULTIPLECHARVALUE",
    "MULTIPLEVALUESTRING", "MULTIPLESTRINGVALUE", "UTCTIMEONLY",
}  # fmt: skip


class Said(NamedTuple):
    reason: int
    tag: int


class Pair:
    """One dictionary, read by both."""

    def __init__(self, version: str) -> None:
        self.ours = Dictionary.standard(version)
        self.maker = Maker(self.ours)
        self.begin = self.ours.begin_string
        theirs = [quickfix.DataDictionary(path) for path in self.ours.paths]
        self.session, self.application = theirs[0], theirs[-1]
        self.transported = {int(tag) for tag in self.maker.header | self.maker.trailer if len(theirs) > 1}
        model = self.ours._model
        self.xml_lengths = {length for data, length in model.data_lengths().items() if self.type_of(data) == "XMLDATA"}
        self.groups = {m: frozenset(_in_groups(d.members)) for m, d in self.ours.messages.items()}

    def quickfix_says(self, raw: bytes) -> Said | str | None:
        text = raw.decode("latin-1")
        admin = self.ours.messages.get(text.split("\x01", 3)[2][3:])
        application = self.session if admin is not None and admin.admin else self.application
        try:
            if self.session is self.application:
                message = quickfix.Message(text, self.session, True)
                self.session.validate(message)
            else:
                message = quickfix.Message(text, self.session, application, True)
                quickfix.DataDictionary.validate(message, self.session, application)
        except GARBLED as e:
            return type(e).__name__
        except tuple(REASON) as e:
            return Said(
                REASON[type(e)], getattr(e, "field", 0) if not isinstance(e, quickfix.InvalidMessageType) else 0
            )
        return None

    def we_say(self, raw: bytes) -> list[Said]:
        return [Said(11 if f.business else f.reason, f.tag) for f in self.ours.faults(raw, limit=MANY)]

    def is_open(self, tag: int) -> bool:
        return tag in self.ours._model.fields and self.ours._model.fields[tag].open_values

    def type_of(self, tag: int) -> str:
        return self.ours._model.fields[tag].type if tag in self.ours._model.fields else ""


def _in_groups(members: Iterable[Member]) -> Iterable[int]:
    for member in members:
        if member.group is not None:
            yield from _entry(member.group)


def _entry(group: GroupDef) -> Iterable[int]:
    for member in group.members:
        yield member.tag
        if member.group is not None:
            yield from _entry(member.group)


PAIRS = {version: Pair(version) for version in ("4.2", "4.4", "5.0sp2")}


def unexplained(pair: Pair, msg_type: str, ours: list[Said], theirs: Said | str | None) -> str:
    """Why the two verdicts do not go together; "" when they do. The rules are those of docs/fix-dictionary.md."""
    grouped = pair.groups.get(msg_type, frozenset())
    inside = any(each.tag in grouped for each in ours)
    if isinstance(theirs, str):  # it drops as garbled what it cannot take apart
        return "" if ours else "garbled there, clean here"
    if theirs is None:
        rest = [each for each in ours if not _overlooked(pair, each, grouped, inside)]
        return f"clean there, here {rest}" if rest else ""
    if theirs in ours or len(ours) == MANY:
        return ""
    stray = any(each.reason in (0, 2, 4, 13, 14) for each in ours)
    explained = (
        # To it every tag without a place is body, so that the header fields behind it are late.
        (theirs.reason == 14 and any(each.reason in (0, 2) for each in ours))
        # It begins an entry at any tag seen before, and ends one at any tag without a place there.
        or ((theirs.reason == 16 or theirs.tag in grouped) and (inside or stray))
        or (theirs.reason in (5, 16) and Said(6, theirs.tag) in ours and pair.type_of(theirs.tag) in LOOSER)  # -1, say
        or (theirs.reason == 5 and pair.is_open(theirs.tag))  # it does not know allowOtherValues
        or (theirs.reason == 0 and pair.transported and Said(2, theirs.tag) in ours)  # defined in the other file
    )
    return "" if explained else f"there {theirs}, here {ours}"


def _overlooked(pair: Pair, each: Said, grouped: frozenset[int], inside: bool) -> bool:
    """What QuickFIX does not look at."""
    return (
        each.tag in grouped  # of a group only the count
        or (each.reason == 16 and inside)  # and it counts differently once order is lost
        or (each.reason == 6 and pair.type_of(each.tag) in LOOSER)
        or (each.reason == 1 and each.tag in pair.xml_lengths)  # XMLDATA is text to it
        or (each.reason == 1 and each.tag in pair.transported)  # FIXT: it asks the application's file alone
    )


@pytest.mark.parametrize("version", PAIRS)
def test_our_dictionaries_load_in_quickfix_with_the_same_names(version: str) -> None:
    pair = PAIRS[version]
    for tag, field in pair.ours._model.fields.items():
        theirs = pair.application if pair.application.isField(tag) else pair.session
        assert theirs.getFieldName(tag, "")[0] == field.name
        assert theirs.isMultipleValueField(tag) == field.type.startswith("MULTIPLE")
        for value, name in field.values.items() if tag != 35 else ():  # it puts the messages' names there
            assert theirs.isFieldValue(tag, value)
            assert theirs.getValueName(tag, value, "")[0] == name
    for msg_type, message in pair.ours.messages.items():
        theirs = pair.session if message.admin else pair.application
        assert theirs.isMsgType(msg_type)
        for member in message.members:
            assert theirs.isMsgField(msg_type, member.tag)
            assert theirs.isGroup(msg_type, member.tag) == (member.group is not None)
            assert theirs.isRequiredField(msg_type, member.tag) == member.required


@pytest.mark.parametrize("version", PAIRS)
def test_every_message_that_the_dictionary_allows_passes_both(version: str) -> None:
    pair, random = PAIRS[version], Random(version)
    for msg_type in pair.maker.types:
        for _ in range(20):
            raw = frame(text_of(pair.maker.make(msg_type, random)), pair.begin)
            assert (pair.quickfix_says(raw), pair.we_say(raw)) == (None, []), raw


@settings(max_examples=1500, deadline=None)
@given(version=st.sampled_from(sorted(PAIRS)), seed=st.integers(0, 2**32))
def test_a_spoilt_message_is_judged_alike(version: str, seed: int) -> None:
    pair, random = PAIRS[version], Random(seed)
    msg_type = random.choice(pair.maker.types)
    done, pairs = spoil(pair.maker.make(msg_type, random), pair.maker, random)
    raw = frame(text_of(pairs), pair.begin)
    why = unexplained(pair, pairs[0][1], pair.we_say(raw), pair.quickfix_says(raw))
    assert not why, (done, why, raw.replace(b"\x01", b"|"))
