"""Catching up: how fast the ledger takes journals in that nobody read for hours, beside what the work is made of.

The same journals in every round, an order-entry session's and a drop copy's: decoded only (what any reader pays), their
rows written by a bare sqlite3 executemany into the same tables (what any store of them pays), and taken in by the
ledger. `python -m bench.ledger [--json]`.
"""

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from base.segments import MEBIBYTE, SegmentSettings
from bench.report import Row, interleave, print_rows
from ipc import frames
from ipc.events import AnyEvent, ExecutionReport, OrderState, Position
from ipc.journal import Journal, read_events
from ipc.ledger_db import LedgerDb
from ipc.ledger_records import COPY, ENTRY, Fill, OrderRecord
from risk.ledger_parts import Source
from risk.ledger_save import Keeper

ORDERS = 12_000
ROUNDS = 3
T0 = 1_700_000_000_000_000_000
REACH = 20_000.0  # events a second of processor time: the machine may have other work
SHARE = 0.2  # of the rate at which the parts alone go
BATCH = 4_000
ENTRY_SOURCE = Source("trd", "v", "main", ENTRY, True)
COPY_SOURCE = Source("dc", "v", "main", COPY, True)
LARGE = SegmentSettings(segment_bytes=4 * MEBIBYTE, retain_bytes=512 * MEBIBYTE)


def report(n: int, kind: str, now: int, cum: int, qty: int, copy: bool) -> ExecutionReport:
    """A report as a venue's session publishes it, with everything that it carries."""
    filled = kind == "F"
    return ExecutionReport(
        session="dc" if copy else "trd", venue="v", account="main", instrument=("BTC-USD", "ETH-USD")[n % 2],
        cl_ord_id=f"qd7abcdef-{n:012d}", order_id=f"O{n:07d}-ABCDE-{n % 977:05d}",
        exec_id=f"{1_700_000_000 + n * 8 + cum}",
        exec_type=kind, ord_status="1" if filled else kind, side="12"[n % 2], ord_type="2", time_in_force="1",
        px_scale=2, qty_scale=8, order_qty=100_000_000, price=6_000_000 + n % 100, stop_px=None,
        last_qty=qty if filled else None, last_px=6_000_000 + n % 100 if filled else None, cum_qty=cum,
        leaves_qty=100_000_000 - cum, transact_ns=now, sending_ns=now, recv_ns=now + 1_000_000, drop_copy=copy,
        strategy="" if copy else f"s{n % 3}", client_id="" if copy else "quoter-1", command_id="" if copy else f"c{n}",
        trade_id=f"{n * 8 + cum % 7}" if filled else "", liquidity="M" if filled else "",
        fees=(("USD", "0.0125"),) if filled else (),
    )  # fmt: skip


def state(n: int, word: str, now: int, cum: int) -> OrderState:
    """The desk's own word, which follows each report."""
    return OrderState(
        "trd", "v", "main", ("BTC-USD", "ETH-USD")[n % 2], f"qd7abcdef-{n:012d}",
        "" if word == "PENDING_NEW" else f"O{n:07d}-ABCDE-{n % 977:05d}", word, "12"[n % 2], "2", "1", 2, 8,
        100_000_000, 6_000_000 + n % 100, cum, 100_000_000 - cum, f"s{n % 3}", "quoter-1", f"c{n}", now,
    )  # fmt: skip


def history(orders: int) -> Iterator[tuple[list[AnyEvent], list[AnyEvent]]]:
    """Frames of (order entry, drop copy), order by order: two of three are filled, in one to three parts."""
    rng = random.Random(7)
    now = T0
    for n in range(orders):
        now += 1_000_000
        yield [state(n, "PENDING_NEW", now, 0)], []
        yield [report(n, "0", now, 0, 0, False), state(n, "NEW", now, 0)], [report(n, "0", now, 0, 0, True)]
        cum, parts = 0, rng.randint(0, 3) if n % 3 else 0
        for _ in range(parts):
            now += 500_000
            qty = rng.randint(1, 9) * 1_000_000
            cum += qty
            told = report(n, "F", now, cum, qty, False)
            position = Position("trd", "v", "main", told.instrument, cum, 8, now)
            yield [told, state(n, "PARTIALLY_FILLED", now, cum), position], [report(n, "F", now, cum, qty, True)]
        yield [report(n, "4", now, cum, 0, False), state(n, "CANCELED", now, cum)], [report(n, "4", now, cum, 0, True)]


def write_journals(folder: Path, orders: int) -> int:
    """The journals, as processes write them: one frame for what one report led to. How many events."""
    journals = {name: Journal(folder / name, T0, settings=LARGE) for name in ("trd", "dc")}
    heads = {name: frames.prefix(f"exec.{name}".encode(), T0) for name in journals}
    seqs = dict.fromkeys(journals, 1)
    for told in history(orders):
        for name, events in zip(journals, told, strict=True):
            if events:
                packed = b"".join(map(frames.encode_event, events))
                journals[name].frame(frames.frame(heads[name], seqs[name], T0, len(events), packed))
                seqs[name] += len(events)
    for journal in journals.values():
        journal.close()
    return sum(seqs.values()) - len(seqs)


def decoded(folder: Path) -> float:
    """Seconds to read and decode all of it."""
    begin = time.perf_counter()
    for name in ("trd", "dc"):
        for _ in read_events(folder / name):
            pass
    return time.perf_counter() - begin


def kept_rows(folder: Path) -> tuple[list[OrderRecord], list[Fill]]:
    """What the ledger keeps of it."""
    store = LedgerDb(folder / "rows.db")
    ids = [row[0] for row in store.database.execute("SELECT id FROM orders")]
    found = [kept for kept in map(store.order, ids) if kept is not None]
    store.close()
    return [order for order, _ in found], [fill for _, fills in found for fill in fills]


def plain(folder: Path, orders: list[OrderRecord], fills: list[Fill], number: list[int]) -> float:
    """Seconds for a bare executemany of the rows that are kept in the end, in transactions as large as ours."""
    number[0] += 1
    store = LedgerDb(folder / f"plain-{number[0]}.db")
    begin = time.perf_counter()
    left = iter(orders), iter(fills)
    share = BATCH * len(orders) // max(1, len(orders) + len(fills)) + 1
    while True:
        some, told = list(islice(left[0], share)), list(islice(left[1], share))
        if not some and not told:
            break
        with store.transaction():
            store.put_orders(some, ((f"o{o.order_id}", o.id) for o in some))
            store.put_orders((), ((f"c{o.cl_ord_id}", o.id) for o in some))
            store.put_fills(told)
    taken = time.perf_counter() - begin
    store.close()
    return taken


def caught_up(folder: Path, path: Path) -> float:
    """Seconds for the ledger to take all of it in."""
    journals = {source: folder / source.session for source in (ENTRY_SOURCE, COPY_SOURCE)}
    keeper = Keeper(path, journals, 10_000_000_000)
    begin = time.perf_counter()
    while keeper.step(T0).more:
        pass
    taken = time.perf_counter() - begin
    keeper.close()
    return taken


def measure(folder: Path, orders: int = ORDERS) -> list[Row]:
    """All three, in turn."""
    events = write_journals(folder, orders)
    caught_up(folder, folder / "rows.db")
    kept = kept_rows(folder)
    number = [0]
    busy: list[float] = []

    def ledger() -> float:
        number[0] += 1
        begin = time.process_time()
        taken = caught_up(folder, folder / f"ledger-{number[0]}.db")
        busy.append(time.process_time() - begin)
        return taken

    took, decode, bare = interleave(
        ROUNDS, [ledger, lambda: decoded(folder), lambda: plain(folder, *kept, number)]
    )  # fmt: skip
    rate = events / took
    rows: list[Row] = []

    name = f"catch-up of {events:,} events, {len(kept[1]):,} fills"

    def beside(peer: str, seconds: float) -> Row:
        return Row(name, rate, "events/s", peer, events / seconds, seconds / took)

    rows.append(beside("decoding the journals alone", decode))
    rows.append(beside("sqlite3 executemany of the rows alone", bare))
    share = (decode + bare) / took
    both = "both, one after the other"
    rows.append(Row(name, rate, "events/s", both, events / (decode + bare), share, SHARE, share >= SHARE))
    worked = events / statistics.median(busy)
    rows.append(Row("the same, a second of processor time", worked, "events/s", reach=REACH, ok=worked >= REACH))
    return rows


def run(json: bool = False) -> int:
    """Measure and print; 4 when catch-up is slower than its mark."""
    with tempfile.TemporaryDirectory() as place:
        rows = measure(Path(place))
    print_rows(rows, json)
    return 0 if all(row.ok for row in rows) else 4


def profile() -> None:
    """Where the time goes."""
    import cProfile
    import pstats

    with tempfile.TemporaryDirectory() as place:
        folder: Any = Path(place)
        print(write_journals(folder, ORDERS), "events")
        watch = cProfile.Profile()
        watch.runcall(caught_up, folder, folder / "profiled.db")
        pstats.Stats(watch).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    if "--profile" in sys.argv:
        profile()
        raise SystemExit(0)
    raise SystemExit(run("--json" in sys.argv))
