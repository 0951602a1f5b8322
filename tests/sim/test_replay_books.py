"""Every recording, whole: the book in shared memory equals a naive reference after every message.

The recordings lie outside the project (QUARTERDECK_DATA). Where they are missing these tests skip; in CI they fail.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.errors import BookError
from ipc.books import BookRegion, BookSpec, RegionOwner, create_region
from sim.recordings import Market, Recording, data_dir, find_recordings, open_recording
from sim.recordings.items import CHANGE, DELETE, NEW, Best, Item, Levels, Orders, Snapshot
from sim.reference_book import ReferenceBook

L2, L3 = struct.Struct("<3q"), struct.Struct("<5q")
SIZE_GIVEN = 1 << 24
TOP = 50
WHOLE_EVERY = 100  # in long recordings every level is compared this often, the top after each message
FILES = [
    "books/binance/cm_btcusd_perp_20240809.gz",  # continues, and begins with, the one of the 8th
    "books/binance/spot_btcusdt_20240809.gz",
    "books/binance/usdm_btcusdt_20240808.gz",
    "books/bitstamp/l3_20150501_part1.log.xz",
    "books/coinbase/l2_snapshot_20260807.json.gz",
    "books/coinbase/l3_snapshot_20260807.json.gz",
    "captures/binance_spot_ws_20211012.txt.gz",
    "captures/bybit_v2_inverse_ws_20210417.txt.gz",
    "captures/coinbase_exchange_level2_ws_20210417.txt.gz",
    "captures/kraken_v1_book1000_ws_20210417.txt.gz",
    "captures/kucoin_spot_ws_20210425.txt.gz",
    "captures/okx_ws_20220513.txt.gz",
]


def recording(name: str) -> Recording:
    path = data_dir() / name
    if not path.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{path}: recordings are missing; in CI they must be there")
        pytest.skip(f"{path}: no recordings here (set QUARTERDECK_DATA)")
    return open_recording(path)


class Twin:
    """One recorded market twice: in a region, through its one writer, and in the reference."""

    def __init__(self, owner: RegionOwner, region: BookRegion, market: Market) -> None:
        self.l3 = market.has_orders
        level = 3 if self.l3 else 2
        self.writer = owner.book("V", market.name, level)
        self.reader = region.book("V", market.name, level)
        self.reference = ReferenceBook(market.px_scale, market.qty_scale, self.l3)
        self.keys: dict[str, int] = {}
        self.messages = 0

    def apply(self, item: Item) -> None:
        if not self.reference.apply(item):
            return
        self.messages += 1
        times = item.line, item.time_ns, item.time_ns
        if isinstance(item, Snapshot):
            reason = self.writer.replace(*self._sides(item), *times)
        else:
            reason = self.writer.apply_changes(b"".join(self._pack(item)), *times)
        if reason:
            raise BookError(f"line {item.line}: the book refuses with reason {reason}")

    def _sides(self, item: Snapshot) -> list[bytes]:
        """Packed sides of the book as the reference has it after the snapshot."""
        ref = self.reference
        if not self.l3:
            return [b"".join(struct.pack("<2q", px, qty) for px, qty, _ in ref.side(side)) for side in (0, 1)]
        return [
            b"".join(struct.pack("<4q", px, qty, self._key(name), item.time_ns) for px, qty, name in ref.queue(side))
            for side in (0, 1)
        ]

    def _key(self, order_id: str) -> int:
        return self.keys.setdefault(order_id, len(self.keys) + 1)

    def _pack(self, item: Item) -> Iterator[bytes]:
        ref = self.reference
        if isinstance(item, Levels):
            for side, px, qty in item.changes:
                size = ref.qty(qty, item)
                yield L2.pack(side | (SIZE_GIVEN | CHANGE << 8 if size else DELETE << 8), ref.px(px, item), size)
        elif isinstance(item, Orders):
            for action, side, px, qty, order_id in item.changes:
                yield self._order(action, side, ref.px(px, item), ref.qty(qty, item), order_id, item.time_ns)

    def _order(self, action: int, side: int, px: int, qty: int, order_id: str, time_ns: int) -> bytes:
        key = self._key(order_id)
        what = side | action << 8 | (0 if action == DELETE else SIZE_GIVEN)
        return L3.pack(what, px, 0 if action == DELETE else qty, key, time_ns if action == NEW else 0)

    def compare(self, whole: bool) -> None:
        """Best and top after every message; every level (and order) when `whole`."""
        want = self.reference.side(0, 0 if whole else TOP), self.reference.side(1, 0 if whole else TOP)
        flat = []
        for side in want:
            rows = [(px, qty) for px, qty, _ in side[:TOP]]
            flat += [n for row in rows + [(0, 0)] * (TOP - len(rows)) for n in row]
        assert list(self.reader.top_any(TOP)[1:]) == flat
        bid, ask = (side[0][:2] if side else (0, 0) for side in want)
        assert self.reader.bbo_any()[1:] == (*bid, *ask)
        if whole:
            self.compare_whole(want)

    def compare_whole(self, want: tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]) -> None:
        _, bids, asks = self.reader.depth_any()
        if not self.l3:
            assert ([row[:2] for row in bids], [row[:2] for row in asks]) == tuple([r[:2] for r in s] for s in want)
            return
        assert (bids, asks) == want
        for side in (0, 1):
            rows = [(px, qty, self.keys[order_id]) for px, qty, order_id in self.reference.queue(side)]
            assert [row[:3] for row in self.writer.orders(side)] == rows


@pytest.mark.parametrize("name", FILES)
@pytest.mark.timeout(600)
def test_shared_memory_equals_the_reference_after_every_message(name: str, tmp_path: Path) -> None:
    played = recording(name)
    markets = {s: m for s, m in played.markets().items() if m.has_book}
    assert markets
    specs = [
        BookSpec("V", m.name, m.px_scale, m.qty_scale, 3 if m.has_orders else 2, 60_000, 120_000 if m.has_orders else 0)
        for m in markets.values()
    ]
    owner = create_region(tmp_path / "books", specs, heartbeat_limit_ns=1 << 60)
    try:
        region = BookRegion.open(owner.path)
        twins = {s: Twin(owner, region, m) for s, m in markets.items()}
        every = 1 if sum(m.items for m in markets.values()) < 10_000 else WHOLE_EVERY
        for item in played.items():
            twin = twins[item.symbol]
            before = twin.messages
            twin.apply(item)
            if twin.messages != before:
                twin.compare(whole=twin.messages % every == 0)
        for symbol, twin in twins.items():
            twin.compare(whole=True)
            assert twin.messages >= markets[symbol].updates
    finally:
        owner.close()


@pytest.mark.parametrize(
    ("name", "agree", "updates"),
    [
        ("books/binance/spot_btcusdt_20240809.gz", 6_491, 6_493),
        ("books/binance/usdm_btcusdt_20240808.gz", 6_547, 6_547),
        ("books/binance/cm_btcusd_perp_20240809.gz", 44_772, 44_772),
    ],
)
def test_the_venues_own_tickers_agree_with_the_books(name: str, agree: int, updates: int) -> None:
    """After the update that ends at id X the top equals the last ticker with an id up to X (figures of the README)."""
    played = recording(name)
    (market,) = played.markets().values()
    tickers: list[Best] = []
    tops: list[tuple[int, tuple[int, ...]]] = []
    ref = ReferenceBook(market.px_scale, market.qty_scale, by_order=False)
    for item in played.items():
        if isinstance(item, Best):
            tickers.append(item)
        elif ref.apply(item) and isinstance(item, Levels):
            (bid,), (ask,) = ref.side(0, 1), ref.side(1, 1)
            tops.append((item.last_id, (*bid[:2], *ask[:2])))
    assert len(tops) == updates
    tickers.sort(key=lambda t: t.last_id)
    found, at = 0, 0
    for last_id, top in tops:
        while at + 1 < len(tickers) and tickers[at + 1].last_id <= last_id:
            at += 1
        t = tickers[at]
        said = (ref.px(t.bid[0], t), ref.qty(t.bid[1], t), ref.px(t.ask[0], t), ref.qty(t.ask[1], t))
        found += said == top or t.last_id > last_id
    assert found >= agree


def test_every_recording_that_lies_there_is_listed_here() -> None:
    recording(FILES[0])
    found = {str(r.path.relative_to(data_dir())) for r in find_recordings(data_dir())}
    trades_alone = {"captures/kraken_v1_trade_ws_20210417.txt.gz"}
    first_halves = {f.replace("0809", "0808") for f in FILES if "0809" in f}
    assert found == set(FILES) | trades_alone | first_halves
