"""examples/plain.py alone: its places in the arrays are the schema's, and it misses no hole."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ipc import frames
from ipc.events import SCHEMA_VERSION, BookSnapshot, OrderState, Position
from ipc.requests import Answer, ReplayChunk

PATH = Path(__file__).resolve().parents[2] / "examples" / "plain.py"


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plain_example", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("constant", "kind"),
    [("ORDER", OrderState), ("SNAP", BookSnapshot), ("ANSWER", Answer), ("CHUNK", ReplayChunk)],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_its_places_are_those_of_the_schema(plain: ModuleType, constant: str, kind: Any) -> None:
    used = {n.removeprefix(f"{constant}_").lower(): v for n, v in vars(plain).items() if n.startswith(f"{constant}_")}
    assert used
    assert used == {name: kind.__struct_fields__.index(name) + 1 for name in used}
    assert plain.SCHEMA == SCHEMA_VERSION


def frame(first: int, count: int, epoch: int = 5) -> bytes:
    events = [Position("s", "v", "a", "BTC-USD", n, 3, 4) for n in range(first, first + count)]
    return frames.frame(frames.prefix(b"t", epoch), first, 1, count, b"".join(map(frames.encode_event, events)))


def test_it_hears_every_event_once_and_tells_every_hole(plain: ModuleType) -> None:
    streams = plain.Streams()

    def take(first: int, count: int, epoch: int = 5) -> tuple[str, list[int]]:
        topic, gap, events = streams.take(frame(first, count, epoch))
        assert topic == "t"
        return gap, [e[5] for e in events]

    assert take(1, 2) == ("", [1, 2])
    assert take(3, 0) == ("", [])  # a heartbeat
    assert take(2, 2) == ("", [3])  # half of it was there
    assert take(6, 1) == ("a hole: 4 to 5 are missing", [6])
    assert take(9, 0) == ("a hole: 7 to 8 are missing", [])  # which a heartbeat shows, too
    assert take(1, 1, epoch=6) == ("the publisher restarted", [1])
    assert take(10, 1) == ("", [])  # of the life before
    assert take(4, 1, epoch=7) == ("the publisher restarted: 1 to 3 are missing", [4])


def test_who_joins_late_is_told(plain: ModuleType) -> None:
    assert plain.Streams().take(frame(8, 1))[1] == "a hole: 1 to 7 are missing"


def test_another_schema_is_refused(plain: ModuleType) -> None:
    data = bytearray(frame(1, 1))
    data[3] = SCHEMA_VERSION + 1
    with pytest.raises(SystemExit, match=f"speaks schema {SCHEMA_VERSION + 1}"):
        plain.Streams().take(bytes(data))


def test_the_schema_page_leads_to_it() -> None:
    assert "examples/plain.py" in (PATH.parents[1] / "docs" / "schema.md").read_text()
