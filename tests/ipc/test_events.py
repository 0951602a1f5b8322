"""The schema: every event survives the wire, and docs/events.md names it."""

from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ipc import frames
from ipc.events import ORDER_STATES, SCHEMA_VERSION, AnyEvent
from ipc.requests import AnyCommand, NewOrder
from ipc.sequence import decode

EVENTS: tuple[Any, ...] = get_args(AnyEvent)
COMMANDS: tuple[Any, ...] = get_args(AnyCommand)
PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
INT64 = st.integers(-(2**63), 2**63 - 1)


def fields(kind: Any) -> st.SearchStrategy[Any]:
    made = {name: values(hint) for name, hint in get_type_hints(kind).items() if name in kind.__struct_fields__}
    return st.builds(kind, **made)


def values(hint: Any) -> st.SearchStrategy[Any]:
    if hint is int:
        return INT64
    if hint == int | None:
        return st.none() | INT64
    if hint == tuple[NewOrder, ...]:
        return st.lists(fields(NewOrder), max_size=3).map(tuple)
    if hint == dict[str, int]:
        return st.dictionaries(st.text(), INT64, max_size=3)
    return st.from_type(hint)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of([fields(kind) for kind in EVENTS]), min_size=1, max_size=4))
def test_every_event_survives_the_wire(events: list[Any]) -> None:
    packed = b"".join(map(frames.encode_event, events))
    found, unknown = decode("t", 1, 1, len(events), packed)
    assert ([d.event for d in found], unknown) == (events, 0)


@settings(max_examples=200, deadline=None)
@given(st.one_of([fields(kind) for kind in COMMANDS]))
def test_every_command_survives_the_wire(command: Any) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(command), type=AnyCommand) == command


def test_tags_are_distinct() -> None:
    tags = [kind.__struct_config__.tag for kind in (*EVENTS, *COMMANDS)]
    assert len(set(tags[: len(EVENTS)])) == len(EVENTS)
    assert len(set(tags[len(EVENTS) :])) == len(COMMANDS)


def test_the_page_names_the_version_and_the_states() -> None:
    assert f"Schema version: {SCHEMA_VERSION}." in PAGE
    assert ", ".join(ORDER_STATES) in PAGE


def test_the_page_names_every_event() -> None:
    table = PAGE.split("| topic |")[1].split("\n\n")[0]
    assert [kind.__name__ for kind in EVENTS if kind.__name__ not in table] == []
