"""What a client is told of a desk: enough to be one, and neither addresses nor secrets."""

from pathlib import Path

import msgspec
import pytest

from base.config import DeskConfig, load
from base.errors import BusError
from ipc.remote_desk import describe, desk_of
from ipc.remote_keys import Allowed, Role
from ipc.roster import roster

ROOT = Path(__file__).resolve().parents[2]
KEY = Allowed("ann", Role.TRADER, "a" * 40, ("demo",))
CONFIGURATIONS = [
    *(ROOT / "config").glob("*.toml"), *(ROOT / "config" / "examples").glob("*.toml"),
]  # fmt: skip


def told(desk: DeskConfig) -> bytes:
    return msgspec.json.encode(describe(desk, "build", KEY, 8712, 10_000))


@pytest.mark.parametrize("path", sorted(CONFIGURATIONS), ids=lambda p: p.stem)
def test_a_client_knows_the_same_desk(path: Path) -> None:
    here = load(path)
    description, there = desk_of("tcp://host:8711", told(here))
    assert (description.key, description.role, description.strategies) == ("ann", "trader", ("demo",))
    assert there.instruments == here.instruments
    assert there.redundancy == here.redundancy
    assert {n: (s.venue, s.kind, s.level) for n, s in there.config.session.items()} == {
        n: (s.venue, s.kind, s.level) for n, s in here.config.session.items()
    }
    for shard in here.config.book:
        assert there.shard_books(shard) == here.shard_books(shard)
    names = [r.name for r in roster(here) if r.name != "forwarder"]
    assert [r.name for r in roster(there) if r.name != "forwarder"] == names


@pytest.mark.parametrize("path", sorted(CONFIGURATIONS), ids=lambda p: p.stem)
def test_no_address_and_no_way_to_a_secret_is_told(path: Path) -> None:
    here, said = load(path), told(load(path)).decode()
    for session in here.config.session.values():
        for text in (session.address, session.username, session.password, session.passphrase):
            assert not text or text not in said
    for venue in here.config.venue.values():
        if venue.rest is not None:
            for text in (venue.rest.address, *venue.rest.references, *venue.rest.kill_references):
                assert not text or text not in said


def test_a_description_that_cannot_be_understood_is_an_error_that_says_whose() -> None:
    said = told(load(ROOT / "config" / "desk.toml"))
    with pytest.raises(BusError, match=r"tcp://host:1: its description of the desk cannot be read"):
        desk_of("tcp://host:1", said.replace(b'"instruments"', b'"instrumints"'))
    with pytest.raises(BusError, match=r"speaks schema 9, this build schema 1"):
        desk_of("tcp://host:1", said.replace(b'"schema":1', b'"schema":9'))
