"""Recorded books of real venues through the rules, the private books and the shared ones."""

import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.decimals import to_scaled
from ipc._book import Book, BookSet
from ipc.books import BookReason, BookRegion, BookSpec, create_region
from tests.ipc.book_reference import (
    CHANGE,
    DELETE,
    HAS_CHECKSUM,
    HAS_FIRST_ID,
    HAS_LAST_ID,
    Entry,
    NaiveL2,
    record,
    what,
)

DATA = Path(os.environ.get("QUARTERDECK_DATA", Path(__file__).parents[3] / "shared" / "data"))
LONG_NS = 3_600_000_000_000


def lines(name: str) -> Iterator[str]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no recording {path}")
    with gzip.open(path, "rt") as file:
        yield from file


def entries(side: int, rows: list[list[str]], px_scale: int, qty_scale: int) -> list[Entry]:
    out = []
    for px, qty, *_ in rows:
        size = to_scaled(qty, qty_scale)
        out.append((what(side, CHANGE if size else DELETE), to_scaled(px, px_scale), size, 0, 0))
    return out


@pytest.mark.parametrize("finer", [0, 2])
def test_every_checksum_of_a_recorded_session_is_verified(finer: int) -> None:
    books, index, scales = BookSet(), {}, {}
    verified = checksums = 0
    for line in lines("captures/kraken_v1_book1000_ws_20210417.txt.gz"):
        _, _, text = line.partition(": ")
        if not text.startswith("["):
            continue
        _, *parts, _, pair = json.loads(text)
        body: dict[str, Any] = {k: v for part in parts for k, v in part.items()}
        if "as" in body:
            index[pair] = len(index)
            scales[pair] = len(body["as"][0][0].partition(".")[2]) + finer
            book = Book(levels=1500, max_depth=1000)
            books.add(index[pair], book, continuity=1, px_drop=finer)
            rows = entries(0, body["bs"], scales[pair], 8) + entries(1, body["as"], scales[pair], 8)
            data = record(rows, instrument=index[pair], snapshot=True)
        else:
            checksums += 1
            rows = [e for s, k in ((1, "a"), (0, "b")) for e in entries(s, body.get(k, []), scales[pair], 8)]
            data = record(rows, instrument=index[pair], flags=HAS_CHECKSUM, checksum=int(body["c"]))
        [verdict] = books.verify_and_pack(data)
        assert verdict.reason == BookReason.OK, (pair, checksums)
        verified += "c" in body
    assert verified == checksums == 2968


def test_recorded_updates_leave_the_shared_book_equal_to_a_dict_after_every_message(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    owner = create_region(tmp_path / "books", [BookSpec("V", "BTC-USDT", 2, 5, 2, 20_000)], heartbeat_limit_ns=LONG_NS)
    request.addfinalizer(owner.close)
    shared, reader = owner.book("V", "BTC-USDT"), BookRegion.open(owner.path).book("V", "BTC-USDT")
    books, naive, waiting, compared = BookSet(), NaiveL2(), [], 0
    books.add(0, Book(levels=20_000), continuity=2, crossed_is_stale=True)

    def feed(data: bytes) -> None:
        for v in books.verify_and_pack(data):
            assert v.reason == BookReason.OK
            if v.snapshot:
                assert shared.replace(v.bids, v.asks, v.last_id) == BookReason.OK
            else:
                assert shared.apply_changes(v.changes, v.last_id) == BookReason.OK

    for line in lines("books/binance/spot_btcusdt_20240808.gz"):
        body = json.loads(line.partition(" ")[2])
        if "lastUpdateId" in body:
            rows = entries(0, body["bids"], 2, 8) + entries(1, body["asks"], 2, 8)
            last_id = body["lastUpdateId"]
            feed(record(rows, snapshot=True, flags=HAS_LAST_ID, last_id=last_id))
            ready = [(rows, 0, last_id), *waiting]
        elif body["data"].get("e") == "depthUpdate":
            d = body["data"]
            rows = entries(0, d["b"], 2, 8) + entries(1, d["a"], 2, 8)
            ready = [(rows, d["U"], d["u"])]
            if not naive.sides[0]:
                waiting += ready
                continue
        else:
            continue
        for rows, first, last in ready:
            if first and last <= reader.times()[0]:
                continue
            if first:
                feed(record(rows, flags=HAS_FIRST_ID | HAS_LAST_ID, first_id=first, last_id=last))
            for e in rows:
                naive.apply(e)
            compared += 1
            assert reader.times()[0] == last
            best = [naive.levels(s)[0] for s in (0, 1)]
            assert reader.bbo() == best[0] + best[1]
            if compared % 10 == 0:
                for side, levels in enumerate(reader.depth()):
                    assert [(px, qty) for px, qty, _ in levels] == naive.levels(side)
    assert compared > 3400


def test_a_recorded_l3_book_of_110_606_orders_stands_in_shared_memory(tmp_path: Path) -> None:
    body = json.loads("".join(lines("books/coinbase/l3_snapshot_20260807.json.gz")))
    specs = [BookSpec("V", "BTC-USD", 2, 8, 3, 60_000, 150_000)]
    owner = create_region(tmp_path / "books", specs, heartbeat_limit_ns=LONG_NS)
    rows, expected = [], []
    for side, name in ((0, "bids"), (1, "asks")):
        queue = []
        for px, qty, order_id in body[name]:
            key = int.from_bytes(hashlib.blake2b(order_id.encode(), digest_size=8).digest(), "little") | 1
            queue.append((to_scaled(px, 2), to_scaled(qty, 8), key, 0))
            rows.append((what(side), *queue[-1]))
        expected.append(sorted(queue, key=lambda o: o[0] if name == "asks" else -o[0]))
    shared, reader = owner.book("V", "BTC-USD", 3), BookRegion.open(owner.path).book("V", "BTC-USD", 3)
    assert shared.apply_record(record(rows, snapshot=True, seq_num=5)) == BookReason.OK
    assert shared.n_orders == 57_419 + 53_187
    assert list(reader.orders()) == expected
    assert reader.bbo()[::2] == (expected[0][0][0], expected[1][0][0])
    for _, _, _, key, _ in rows[::3]:
        assert shared.apply(what(0, DELETE), 0, 0, key) == BookReason.OK
    gone = {r[3] for r in rows[::3]}
    assert list(reader.orders()) == [[o for o in side if o[2] not in gone] for side in expected]
    owner.close()
