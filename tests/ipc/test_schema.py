"""The published schema: the page is what the structs say, and JSON Schema holds for what really travels."""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipc import frames
from ipc.events import BookDelta, Envelope, Event, Position
from ipc.requests import Answer, ReplayChunk
from ipc.schema import COMMANDS, EVENTS, TAKEN_BY, TOPICS, fields_of, json_schema, page
from quarterdeck.cli import main
from tests.ipc.json_schema import faults
from tests.ipc.test_events import fields

PAGE = Path(__file__).parents[2] / "docs" / "schema.md"
SCHEMA = json_schema()


def on_the_wire(message: object) -> Any:
    """What a reader without our structs decodes; MessagePack's bytes as JSON's base64."""
    return plain(msgspec.msgpack.decode(msgspec.msgpack.encode(message)))


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [plain(v) for v in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value


class Nameless(Event, tag="nameless", frozen=True):
    """Of a field that nobody explained."""

    nowhere_else: int


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "write it anew: qd schema --markdown > docs/schema.md"


def test_every_event_and_command_says_where_it_goes() -> None:
    assert set(TOPICS) == {kind.__name__ for kind in EVENTS}
    assert set(TAKEN_BY) == {kind.__name__ for kind in COMMANDS}


@pytest.mark.parametrize("kind", [*EVENTS, *COMMANDS], ids=lambda k: k.__name__)
def test_every_field_has_a_place_a_type_and_a_meaning(kind: Any) -> None:
    described = SCHEMA["$defs"][kind.__name__]["prefixItems"]
    assert [item["title"] for item in described[1:]] == list(kind.__struct_fields__)
    assert described[0] == {"enum": [kind.__struct_config__.tag]}
    assert all(field.meaning and field.type and "|" not in field.meaning for field in fields_of(kind))


def test_a_field_without_a_meaning_is_an_error_that_names_it() -> None:
    with pytest.raises(KeyError, match=r"Nameless\.nowhere_else"):
        fields_of(Nameless)


@settings(max_examples=150, deadline=None)
@given(st.one_of([fields(kind) for kind in (*EVENTS, *COMMANDS)]))
def test_what_travels_is_what_the_schema_says(message: Any) -> None:
    name = type(message).__name__
    assert faults(SCHEMA, {"$ref": f"#/$defs/{name}"}, on_the_wire(message)) == []
    assert faults(SCHEMA, {"$ref": "#/$defs/Event"}, on_the_wire(message)) == [] or name in TAKEN_BY


def test_frames_answers_and_replays_are_described_too() -> None:
    events = (Position("s", "v", "a", "BTC-USD", -1, 3, 4), BookDelta(2, b"\0" * 24, 1, 2, 3))
    data = frames.frame(frames.prefix(b"t", 5), 1, 2, 2, b"".join(map(frames.encode_event, events)))
    envelope = plain(msgspec.msgpack.decode(data.partition(b"\0")[2]))
    chunk = ReplayChunk((data,), epoch=5)
    for message in (
        envelope,
        on_the_wire(Envelope(1, 2, 1, 4, events)),
        on_the_wire(Answer("1", True)),
        on_the_wire(chunk),
    ):
        assert faults(SCHEMA, SCHEMA, message) == []


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (["position", "s", "v", "a", "BTC-USD", "1", 3, 4], "[5]: '1' is no integer"),
        (["position", "s", "v", "a", "BTC-USD", 1, 3], "7 items, at least 8"),
        (["positron", "s", "v", "a", "BTC-USD", 1, 3, 4], "[0]: 'positron' is none of"),
        ({"tag": "position"}, "is no array"),
        (["position", "s", "v", "a", "BTC-USD", True, 3, 4], "[5]: True is no integer"),
    ],
    ids=["type", "short", "tag", "object", "bool"],
)  # fmt: skip
def test_the_check_would_see_what_is_wrong(message: Any, says: str) -> None:
    found = faults(SCHEMA, {"$ref": "#/$defs/Position"}, message)
    assert any(says in fault for fault in found), found


def test_old_and_new_readers_agree() -> None:
    shorter = ["position", "s", "v", "a", "BTC-USD", 1, 3, 4]
    longer = [*on_the_wire(Position("s", "v", "a", "BTC-USD", 1, 3, 4)), "of a newer sender"]
    for message in (shorter, longer):
        assert faults(SCHEMA, {"$ref": "#/$defs/Position"}, message) == []
        assert msgspec.convert(message, Position).position == 1


def test_the_command_prints_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA
    assert main(["schema", "--markdown"]) == 0
    assert capsys.readouterr().out == page()
