"""What one version leaves to the next: each row of docs/upgrades.md names a test that there is; those without a better
place are here.
"""

import hashlib
import re
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from base.errors import SchemaError
from base.segments import SegmentWriter
from ipc import frames
from ipc.alarm_files import SCHEMA as ALARMS
from ipc.alarm_files import Stored, decode_stored, encode_stored
from ipc.events import SCHEMA_VERSION, Alert
from ipc.journal import FRAME, NAME, Journal, read_events
from ipc.requests import AnyCommand, CancelOrder
from risk.kill_latch import SCHEMA as LATCH
from risk.kill_latch import Latch, LatchedScope, decode, encode

ROOT = Path(__file__).resolve().parents[2]


def test_each_row_of_the_page_names_a_test_that_there_is() -> None:
    page = (ROOT / "docs" / "upgrades.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and "`tests/" in line]
    assert len(rows) >= 14
    for row in rows:
        for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row):
            assert re.search(rf"(?m)^def {name}\(", (ROOT / path).read_text()), row
        assert re.search(r"`tests/[\w/]+\.py::\w+`", row), row


def test_a_command_that_says_more_than_its_reader_knows_is_refused() -> None:
    """A newer client's new word may be a condition: an order without it is not what was asked for."""
    whole = msgspec.msgpack.decode(msgspec.msgpack.encode(CancelOrder("c", "1", 0, "A")))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(whole[:5]), type=AnyCommand) == CancelOrder("c", "1", 0, "A")
    with pytest.raises(msgspec.ValidationError, match=r"at most length \d, got \d"):
        msgspec.msgpack.decode(msgspec.msgpack.encode([*whole, "new"]), type=AnyCommand)


def test_a_latch_of_another_schema_is_not_believed() -> None:
    scopes = {"desk": LatchedScope("ARMED", 3, "", "", 0, "")}
    latch = Latch(LATCH, "boot", 7, 0, scopes, {})
    assert decode(encode(latch), "boot").latch == latch
    newer = decode(encode(msgspec.structs.replace(latch, schema=LATCH + 1)), "boot")
    assert newer.latch is None
    assert newer.generation == 7
    assert f"a latch of schema {LATCH + 1}" in newer.fault
    body = encode(latch).partition(b"\n")[0].replace(b"{", b'{"more":1,', 1)  # a field that this build does not know
    signed = body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n"
    assert "cannot be read" in decode(signed, "boot").fault


def test_standing_alarms_of_another_schema_are_said_to_be_unknown() -> None:
    stored = Stored(ALARMS, 5, [], {})
    assert decode_stored(encode_stored(stored)) == stored
    newer = decode_stored(encode_stored(Stored(ALARMS + 1, 5, [], {})))
    assert isinstance(newer, str)
    assert f"schema {ALARMS + 1}" in newer


def test_a_journal_with_events_of_another_schema_is_refused(tmp_path: Path) -> None:
    packed = msgspec.msgpack.encode(Alert("a", "info", "x", "text", 1))
    head = frames.prefix(b"exec.a", 10)
    at = len(b"exec.a") + 2
    assert head[at] == SCHEMA_VERSION
    newer = head[:at] + bytes([SCHEMA_VERSION + 1]) + head[at + 1 :]
    for prefix, fails in ((head, False), (newer, True)):
        folder = tmp_path / str(fails)
        with closing(SegmentWriter(folder, NAME, 1)) as writer:
            writer.append(FRAME, frames.frame(prefix, 1, 1, 1, packed))
        if fails:
            with pytest.raises(SchemaError, match=f"schema {SCHEMA_VERSION + 1}, this build reads schema"):
                list(read_events(folder))
            with pytest.raises(SchemaError, match=f"schema {SCHEMA_VERSION + 1}, this build reads schema"):
                Journal(folder, 1)
        else:
            assert [type(d.event) for d in read_events(folder)] == [Alert]
