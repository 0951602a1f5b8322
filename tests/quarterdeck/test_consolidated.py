"""One book over venues: exact at a common scale, without what is not LIVE, crossed where it is."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

import quarterdeck as qd
from base.config import load
from ipc.books import BookReason, BookSpec, BookState, RegionOwner, create_region

CONFIG = """
[desk]
name = "t"
environment = "test"
shm_dir = "{shm}"
"""
VENUE = """
[venue.{v}]
dialect = "fix44"
instruments = [
    {{ name = "BTC-USD", symbol = "BTC", px_scale = {px}, qty_scale = {qty} }},
    {{ name = "BTC-USD-PERP", symbol = "P", px_scale = 1, qty_scale = 0, contract_value = "{px}", inverse = true }},
]
[session.{v}-md]
venue = "{v}"
kind = "marketdata"
address = "localhost:1"
sender_comp_id = "A"
target_comp_id = "B"
[book.{v}]
sessions = ["{v}-md"]
"""
VENUES = {"a": (1, 3), "b": (2, 2), "c": (1, 3)}


def words(*values: int) -> bytes:
    return b"".join(v.to_bytes(8, "little", signed=True) for v in values)


class Venues:
    """Books of three venues, two of which have their regions."""

    def __init__(self, folder: Path) -> None:
        file = folder / "config" / "desk.toml"
        file.parent.mkdir()
        text = "".join(VENUE.format(v=v, px=px, qty=qty) for v, (px, qty) in VENUES.items())
        file.write_text(CONFIG.format(shm=folder) + text)
        self.desk = load(file)
        self.desk.run_dir.mkdir(mode=0o700)
        self.owners: dict[str, RegionOwner] = {}

    def open(self, venue: str) -> None:
        specs = [BookSpec(venue, "BTC-USD", *VENUES[venue]), BookSpec(venue, "BTC-USD-PERP", 1, 0)]
        path = self.desk.shm_dir / f"book-{venue}"
        self.owners[venue] = create_region(path, specs, heartbeat_limit_ns=3_600_000_000_000)

    def say(self, venue: str, bids: bytes, asks: bytes) -> None:
        self.owners[venue].book(venue, "BTC-USD").replace(bids, asks, 1, 1, 1)


@pytest.fixture
def venues(tmp_path: Path) -> Iterator[Venues]:
    made = Venues(tmp_path)
    made.open("a")
    made.open("b")
    yield made
    for owner in made.owners.values():
        owner.close()


@pytest.fixture
def desk(venues: Venues) -> Iterator[qd.Desk]:
    with qd.connect(venues.desk.path) as desk:
        yield desk


def test_levels_are_merged_at_a_common_scale(venues: Venues, desk: qd.Desk) -> None:
    venues.say("a", words(1000, 5000, 999, 1000), words(1002, 1000))
    venues.say("b", words(10000, 100, 9995, 200), words(10010, 300))
    book = desk.consolidated("BTC-USD", ["a", "b"])
    assert (book.px_scale, book.qty_scale, book.venues) == (2, 3, ("a", "b"))
    image = book.image(2)
    assert image.bids == ((10000, 6000, (("a", 5000), ("b", 1000))), (9995, 2000, (("b", 2000),)))
    assert image.asks == ((10010, 3000, (("b", 3000),)), (10020, 1000, (("a", 1000),)))
    assert (image.crossed, image.spread, image.left_out) == (False, 10, {})
    assert all(age > 0 for age in image.ages_ns.values())
    assert len(book.image(0).bids) == 3
    best = book.bbo()
    assert (best.bids, best.asks) == (image.bids[:1], image.asks[:1])


def test_a_venue_whose_book_is_not_live_is_left_out_and_named(venues: Venues, desk: qd.Desk) -> None:
    book = desk.consolidated("BTC-USD")
    assert sorted(book.image().left_out) == ["a", "b", "c"]
    venues.say("a", words(1000, 1), words(1002, 1))
    venues.say("b", words(10500, 1), words(10600, 1))
    assert list(book.bbo().left_out) == ["c"]
    assert "book-c" in book.bbo().left_out["c"]  # no region yet
    venues.owners["b"].book("b", "BTC-USD").set_status(BookState.STALE, BookReason.GAP, 1)
    image = book.bbo()
    assert (image.left_out["b"], list(image.ages_ns), image.bids[0].px) == ("STALE (GAP)", ["a"], 10000)
    venues.open("c")  # its book process has come up
    venues.say("c", words(1001, 1), words(1003, 1))
    assert (book.bbo().bids[0].venues, list(book.bbo().left_out)) == ((("c", 1),), ["b"])


def test_crossed_over_venues_is_told_and_no_error(venues: Venues, desk: qd.Desk) -> None:
    venues.say("a", words(1010, 1), words(1012, 1))
    venues.say("b", words(9900, 1), words(10000, 1))
    image = desk.consolidated("BTC-USD", ["a", "b"]).bbo()
    assert (image.crossed, image.spread) == (True, -100)


def test_net_prices_are_exact_and_may_end_a_cross(venues: Venues, desk: qd.Desk) -> None:
    venues.say("a", words(1010, 1), words(1012, 1))
    venues.say("b", words(9900, 1), words(10100, 1))
    book = desk.consolidated("BTC-USD", ["a", "b"], fees_bps={"a": "2.5", "b": Decimal(10)})
    assert book.bbo().crossed
    image = book.bbo(net=True)
    bid, ask = qd.decimal(image.bids[0].px, image.px_scale), qd.decimal(image.asks[0].px, image.px_scale)
    assert (bid, ask) == (Decimal("101.0") * (1 - Decimal("0.00025")), Decimal("101.00") * (1 + Decimal("0.001")))
    assert (image.crossed, image.net) == (False, True)


def test_what_cannot_be_added_up_is_refused(desk: qd.Desk) -> None:
    with pytest.raises(qd.ConfigError, match="does not mean the same at a and b"):
        desk.consolidated("BTC-USD-PERP", ["a", "b"])
    assert desk.consolidated("BTC-USD-PERP", ["a", "c"]).venues == ("a", "c")
    with pytest.raises(qd.ConfigError, match="no venue of this desk has ETH-USD"):
        desk.consolidated("ETH-USD")
    with pytest.raises(qd.ConfigError, match="no instrument x BTC-USD"):
        desk.consolidated("BTC-USD", ["x"])
    with pytest.raises(qd.ConfigError, match="'c' is none of the venues a, b"):
        desk.consolidated("BTC-USD", ["a", "b"], fees_bps={"c": "1"})
    with pytest.raises(qd.NumberError, match="is a float"):
        desk.consolidated("BTC-USD", ["a", "b"], fees_bps={"a": 2.5})  # type: ignore[dict-item]
