"""Our FIX 4.2 beside the FIX 4.2 dictionary that a venue publishes: the same facts but for that venue's own edits."""

import os
from pathlib import Path

import pytest

from fix.dictionary import Dictionary
from fix.dictionary_model import Member

DATA = Path(os.environ.get("QUARTERDECK_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
PUBLISHED = DATA / "dictionaries" / "coinbase" / "FIX42.xml"
ALIKE = ({"INT", "NUMINGROUP"}, {"INT", "LENGTH"})  # FIX 4.2 itself has no types of their own for counts and lengths
# The venue's edits (its README lists them), and a field that engines name otherwise.
VENUE_FIELDS = {150: {"I"}}
OTHER_NAME = {327: "HaltReasonChar"}
VENUE_MEMBERS = {"8": {78}, "S": {1}}


def shape(members: tuple[Member, ...]) -> dict[int, tuple[bool, tuple[int, ...]]]:
    return {m.tag: (m.required, () if m.group is None else tuple(g.tag for g in m.group.members)) for m in members}


@pytest.fixture(scope="module")
def published() -> Dictionary:
    if not PUBLISHED.exists():
        pytest.skip(f"no published dictionary at {PUBLISHED}")
    return Dictionary.load(PUBLISHED)


def test_fields_have_the_published_names_types_and_values(published: Dictionary) -> None:
    theirs = published._model.fields
    for tag, ours in Dictionary.standard("4.2")._model.fields.items():
        other = theirs[tag]
        assert other.name == OTHER_NAME.get(tag, ours.name)
        assert ours.type == other.type or {ours.type, other.type} in ALIKE, (tag, ours.type, other.type)
        assert set(ours.values) == set(other.values) - VENUE_FIELDS.get(tag, set()), tag


def test_messages_have_the_published_fields_groups_and_requirements(published: Dictionary) -> None:
    for msg_type, ours in Dictionary.standard("4.2").messages.items():
        theirs = shape(published.messages[msg_type].members)
        for tag in VENUE_MEMBERS.get(msg_type, ()):
            del theirs[tag]
        assert shape(ours.members) == theirs, msg_type
        assert ours.admin == published.messages[msg_type].admin
