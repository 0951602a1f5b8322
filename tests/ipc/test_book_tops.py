"""Best prices for judging orders: only of books that are LIVE with a living writer, from whichever shard keeps them."""

import time
from pathlib import Path

from base.config import DeskConfig, load
from ipc.book_tops import BookTops, book_places
from ipc.books import BookReason, BookSpec, BookState, RegionOwner, create_region

CONFIG = """
[desk]
name = "t"
shm_dir = "{folder}/shm"
[venue.v]
dialect = "fix44"
instruments = [
    {{ name = "BTC-USD", symbol = "B", px_scale = 1, qty_scale = 3 }},
    {{ name = "ETH-USD", symbol = "E", px_scale = 2, qty_scale = 3 }},
]
"""
SESSION = """
[session.{name}]
venue = "v"
kind = "marketdata"
level = {level}
address = "127.0.0.1:1"
sender_comp_id = "A"
target_comp_id = "{name}"
[book.{name}]
sessions = ["{name}"]
"""
BTC = BookSpec("v", "BTC-USD", 1, 3, 2, 100)


def make_desk(folder: Path) -> DeskConfig:
    path = folder / "config" / "desk.toml"
    path.parent.mkdir()
    path.write_text(
        CONFIG.format(folder=folder) + SESSION.format(name="l3", level=3) + SESSION.format(name="l2", level=2)
    )
    desk = load(path)
    desk.shm_dir.mkdir()
    return desk


def region(desk: DeskConfig, shard: str = "l2", spec: BookSpec = BTC, bid: int = 100) -> RegionOwner:
    owner = create_region(desk.shm_dir / f"book-{shard}", [spec])
    owner.heartbeat(time.monotonic_ns())
    sides = [b"".join(n.to_bytes(8, "little") for level in side for n in level)
             for side in ([(bid, 5), (bid - 1, 6)], [(bid + 1, 7), (bid + 2, 8)])]  # fmt: skip
    if spec.level == 3:
        sides = [b"".join(n.to_bytes(8, "little") for n in (px, 5, px, 0)) for px in (bid, bid + 1)]
    owner.book("v", "BTC-USD", spec.level).replace(*sides)
    return owner


def test_a_book_is_found_once_its_shard_appears(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    tops = BookTops(desk, "v", desk.venue_instruments("v"))
    assert tops.best("BTC-USD") is None
    owner = region(desk)
    tops.look()
    assert tops.best("BTC-USD") == (100, 5, 101, 7)
    assert tops.best("ETH-USD") is None, "the region has no book of it"
    assert tops.best("XRP-USD") is None
    owner.close()


def test_the_book_of_levels_is_asked_before_the_book_of_orders_and_that_one_when_it_is_not_live(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    assert book_places(desk, "v", "BTC-USD") == [("l2", 2), ("l3", 3)]
    assert book_places(desk, "w", "BTC-USD") == []
    levels, orders = region(desk), region(desk, "l3", BookSpec("v", "BTC-USD", 1, 3, 3, 100, 100), 200)
    tops = BookTops(desk, "v", desk.venue_instruments("v"))
    assert tops.best("BTC-USD") == (100, 5, 101, 7)
    levels.book("v", "BTC-USD").set_status(BookState.STALE, BookReason.GAP, 1)
    assert tops.best("BTC-USD") == (200, 5, 201, 5)
    assert tops.reach("BTC-USD", "1", 5) == (201, True)
    orders.book("v", "BTC-USD", 3).set_status(BookState.HALTED, BookReason.VENUE_HALT, 1)
    assert tops.best("BTC-USD") is None
    assert tops.reach("BTC-USD", "1", 5) == (0, False)
    levels.close()
    orders.close()


def test_a_book_whose_writer_is_gone_has_no_prices_until_the_next_one_stands(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    owner = region(desk)
    tops = BookTops(desk, "v", desk.venue_instruments("v"))
    assert tops.best("BTC-USD") is not None
    owner.close()
    assert tops.best("BTC-USD") is None
    again = region(desk, bid=300)
    assert tops.best("BTC-USD") == (300, 5, 301, 7)
    again.close()
    other = region(desk, spec=BookSpec("v", "BTC-USD", 2, 3, 2, 100))
    assert tops.best("BTC-USD") is None, "at other scales than the configuration's"
    other.close()


def test_a_crossed_book_has_no_prices(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    owner = region(desk)
    tops = BookTops(desk, "v", desk.venue_instruments("v"))
    owner.book("v", "BTC-USD").apply(1, 99, 1)
    assert owner.book("v", "BTC-USD").status[0] == BookState.CROSSED
    assert tops.best("BTC-USD") is None
    owner.close()


def test_how_far_a_market_order_would_reach(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    owner = region(desk)
    tops = BookTops(desk, "v", desk.venue_instruments("v"))
    for side, qty, reached in (("1", 7, (101, True)), ("1", 8, (102, True)), ("1", 15, (102, True)),
                               ("1", 16, (102, False)), ("2", 5, (100, True)), ("2", 11, (99, True)),
                               ("2", 12, (99, False))):  # fmt: skip
        assert tops.reach("BTC-USD", side, qty) == reached, (side, qty)
    owner.close()
