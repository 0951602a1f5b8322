"""The kill switch's eyes on the books: state and prices, whatever becomes of the writer."""

from decimal import Decimal
from pathlib import Path

import pytest

from base.config import DeskConfig, load
from ipc.book_eyes import OPEN_AGAIN_NS, BookEyes
from ipc.books import BookReason, BookSpec, BookState, RegionOwner, create_region

SESSION = """
[session.{name}]
venue = "x"
kind = "marketdata"
address = "127.0.0.1:1"
sender_comp_id = "{name}"
target_comp_id = "X"
level = {level}
"""
DESK = """
[desk]
name = "t"
run_dir = "r"
shm_dir = "{shm}"
environment = "test"

[venue.x]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "B", px_scale = 1, qty_scale = 8 }}]

[book.three]
sessions = ["l3"]

[book.two]
sessions = ["l2"]
"""
KEY = ("x", "BTC-USD")
NEVER_NS = 1 << 60


@pytest.fixture
def desk(tmp_path: Path) -> DeskConfig:
    (tmp_path / "c").mkdir()
    (tmp_path / "shm").mkdir()
    sessions = SESSION.format(name="l2", level=2) + SESSION.format(name="l3", level=3)
    (tmp_path / "c" / "desk.toml").write_text(DESK.format(shm=tmp_path / "shm") + sessions)
    return load(tmp_path / "c" / "desk.toml")


def region(desk: DeskConfig, shard: str, level: int) -> RegionOwner:
    spec = BookSpec("x", "BTC-USD", 1, 8, level=level, levels=10, orders=10 if level == 3 else 0)
    return create_region(desk.shm_dir / f"book-{shard}", [spec], heartbeat_limit_ns=NEVER_NS)


def side(px: int) -> bytes:
    return px.to_bytes(8, "little") + (5).to_bytes(8, "little")


def test_a_live_book_has_prices_and_the_one_of_levels_is_taken(desk: DeskConfig) -> None:
    owner = region(desk, "two", 2)
    owner.book(*KEY).replace(side(999), side(1001), 1, 1, 1)
    eyes = BookEyes(desk)
    assert list(eyes) == [KEY]
    assert eyes.session(*KEY) == "l2"
    view = eyes.look(*KEY, 0)
    assert (view.state, view.bid, view.ask) == ("LIVE", Decimal("99.9"), Decimal("100.1"))
    owner.close()


def test_a_book_that_is_not_live_says_why_and_has_no_prices(desk: DeskConfig) -> None:
    owner = region(desk, "two", 2)
    book = owner.book(*KEY)
    eyes = BookEyes(desk)
    assert eyes.look(*KEY, 0).state == "RECOVERING"
    book.replace(side(999), side(1001), 1, 1, 1)
    book.set_status(BookState.STALE, BookReason.GAP, 1)
    view = eyes.look(*KEY, 0)
    assert (view.state, view.reason, view.bid) == ("STALE", "GAP", None)
    book.replace(side(1002), side(1001), 2, 1, 1)
    assert eyes.look(*KEY, 0).state == "CROSSED"
    book.replace(side(999), b"", 3, 1, 1)
    view = eyes.look(*KEY, 0)
    assert (view.state, view.bid) == ("LIVE", None)  # one side has no orders
    owner.close()
    assert eyes.look(*KEY, 0).state == "STALE"


def test_a_region_that_is_not_there_is_missing_and_looked_for_again(desk: DeskConfig) -> None:
    eyes = BookEyes(desk)
    view = eyes.look(*KEY, 1)
    assert view.state == "MISSING"
    assert "book-two" in view.reason
    owner = region(desk, "two", 2)
    owner.book(*KEY).replace(side(999), side(1001), 1, 1, 1)
    assert eyes.look(*KEY, 2).state == "MISSING"  # not at every look: it costs a system call and an error
    assert eyes.look(*KEY, 1 + OPEN_AGAIN_NS).state == "LIVE"
    owner.close()
    assert eyes.look("x", "ETH-USD", 0).state == "MISSING"
