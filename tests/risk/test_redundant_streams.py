"""Two sessions that tell the same, each dying and coming back at any point: what counts is as of one whole stream."""

import random
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipc.events import ExecutionReport, OrderState
from ipc.ledger_records import COPY
from ipc.once import Once
from risk.kill_orders import OrderLedger
from risk.ledger_parts import Source
from risk.triggers.days import Days
from risk.triggers.drop_copy import DropCopyBook
from tests.risk.ledger_kit import Kept
from tests.risk.ledger_world import AFTER_NS, COPY_SOURCE, ENTRY_SOURCE, T0, S, World, placed, report
from tests.risk.triggers.kit import limit

SECOND_COPY = COPY_SOURCE._replace(session="dc2")
SECOND_ENTRY = ENTRY_SOURCE._replace(session="trd2")
NAMINGS = ("trade", "trade-only", "cum", "exec", "mixed", "aliases")
Queue = list[tuple[Source, Any]]


def lives(rng: random.Random, said: list[Any]) -> tuple[list[Any], set[int]]:
    """What a session tells that dies up to three times; and what it never told, since its venue resends nothing."""
    out: list[Any] = []
    at, told = 0, set()
    for _ in range(rng.randint(0, 3)):
        end = rng.randint(at, len(said))
        out += said[at:end]
        told |= set(range(at, end))
        if rng.random() < 0.5:  # the venue resends, and begins somewhere before
            at = rng.randint(0, end)
            again = [msgspec.structs.replace(e, poss_dup=True, recv_ns=e.recv_ns + 60 * S) for e in said[at:end]]
            out, at = out + again, end
        else:
            at = rng.randint(end, len(said))
    out += said[at:]
    return out, set(range(len(said))) - told - set(range(at, len(said)))


def understood(told: tuple[list[Any], set[int]], said: list[Any]) -> tuple[list[Any], set[int]]:
    """Where only the session's own ExecID names a trade, a bust means nothing to who did not hear the trade by it."""
    out, missed = told
    own = {e.exec_id for i, e in enumerate(said) if i in missed and isinstance(e, ExecutionReport) and not e.trade_id}
    unclear = {i for i, e in enumerate(said) if getattr(e, "exec_ref_id", "") in own - {""}}
    names = {said[i].exec_id for i in unclear}
    return [e for e in out if getattr(e, "exec_id", "") not in names - {""}], missed | unclear


def pair(rng: random.Random, one: Source, two: Source, firsts: list[Any], seconds: list[Any]) -> list[Queue]:
    """Both sessions' streams; what neither told the second has resent in the end."""
    first, missed = understood(lives(rng, firsts), firsts)
    second, missed_too = understood(lives(rng, seconds), seconds)
    resent = missed & missed_too
    about = {getattr(seconds[i], "exec_ref_id", "") for i in resent}
    resent |= {i for i in missed_too if getattr(seconds[i], "exec_id", "") in about - {""}}
    second += [seconds[i] for i in sorted(resent)]
    return [[(one, e) for e in first], [(two, e) for e in second]]


def merged(rng: random.Random, queues: list[Queue]) -> Queue:
    """In any interleaving, each in its own order."""
    queues, out = [list(q) for q in queues], []
    while any(queues):
        out.append(rng.choice([q for q in queues if q]).pop(0))
    return out


def ledger_of(rng: random.Random, world: World, queue: Queue, *, restarts: bool) -> dict[str, Any]:
    """Everything on record in the end."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Kept(Path(folder), kept=rng.choice([2, 50_000]) if restarts else 50_000)
        for source, event in queue:
            kept.take(source, event)
            if restarts and rng.random() < 0.1:
                kept.save(reopen=rng.random() < 0.5)
        kept.tick(world.end_ns + AFTER_NS * 20)
        fills = kept.fills()
        books = {b.id: b for b in kept.store.books()}
        orders = {o.id: o for o in (kept.store.order(f.order)[0] for f in fills)}  # type: ignore[index]
        found = {
            "fills": sorted(
                (
                    orders[f.order].instrument, orders[f.order].order_id, books[f.book].strategy, f.side, f.qty, f.px,
                    f.first_qty, f.first_px, f.transact_ns, f.cum_qty or 0, f.fees,
                    (f.entry.qty, f.entry.px) if f.entry else (), (f.copy.qty, f.copy.px) if f.copy else (),
                )
                for f in fills
            ),
            "positions": sorted(
                (b.strategy, b.instrument, b.position, b.realised, b.bought, b.sold, b.bought_value, b.sold_value,
                 sorted((c, Decimal(a)) for c, a in b.fees.items()), b.fills)
                for b in books.values() if b.fills
            ),
            "orders": sorted(
                (o.instrument, o.order_id, o.cl_ord_id, o.strategy, o.known, o.cum_qty, o.ord_status, o.state, o.fills)
                for o in orders.values()
            ),
            "breaks": sorted((b.kind, b.lacks, b.order_id) for b in kept.breaks()),
        }  # fmt: skip
        kept.close()
    return found


def without_deaths(world: World) -> Queue:
    return [(s, e) for s in (ENTRY_SOURCE, COPY_SOURCE) for e in world.said(s)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(NAMINGS))
def test_two_drop_copies_make_the_record_of_one_that_never_died(seed: int, naming: str) -> None:
    rng = random.Random(seed)
    world = World(rng, naming, drops=False)
    copies = pair(rng, COPY_SOURCE, SECOND_COPY, world.said(COPY_SOURCE), world.said(SECOND_COPY))
    queue = merged(rng, [[(ENTRY_SOURCE, e) for e in world.said(ENTRY_SOURCE)], *copies])
    found = ledger_of(rng, world, queue, restarts=True)
    assert found == ledger_of(rng, world, without_deaths(world), restarts=False)
    assert {kind for kind, _, _ in found["breaks"]} <= {"unknown_order"}  # a stranger's, as with one
    check_kill_switch(world, queue)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(NAMINGS))
def test_what_two_trading_sessions_hear_of_one_account_is_on_record_once(seed: int, naming: str) -> None:
    """The second hears everything of orders that the first placed, and nothing that the first missed is lost."""
    rng = random.Random(seed)
    world = World(rng, naming, drops=False)
    own, beside = world.said(ENTRY_SOURCE), world.said(SECOND_ENTRY)
    orders = [e for e in own if isinstance(e, OrderState)]  # journalled before they are sent: nothing loses them
    told = [e for e in own if isinstance(e, ExecutionReport)]
    foreign = [msgspec.structs.replace(e, foreign=True) for e in beside if isinstance(e, ExecutionReport)]
    entries = pair(rng, ENTRY_SOURCE, SECOND_ENTRY, told, foreign)
    entries[0] = [(ENTRY_SOURCE, e) for e in orders] + entries[0]
    queue = merged(rng, [*entries, [(COPY_SOURCE, e) for e in world.said(COPY_SOURCE)]])
    found = ledger_of(rng, world, queue, restarts=True)
    assert found == ledger_of(rng, world, without_deaths(world), restarts=False)
    # What the kill switch hears first is the order itself: its owner journals it before it leaves.
    rest = [(s, e) for s, e in queue if not isinstance(e, OrderState)]
    check_kill_switch(world, [(ENTRY_SOURCE, e) for e in orders] + rest)


def check_kill_switch(world: World, queue: Queue) -> None:
    """No fill waits for a view that told it, no two differ, and the same orders are open."""
    ours = {o["cl_ord_id"] for n, o in enumerate(world.orders) if n not in world.strangers}
    limits = [limit("venue:v", max_drop_copy_lag_s=1, max_drop_copy_mismatches_per_day=0)]
    views, orders = DropCopyBook(limits, {"v": "main"}, Days(ZoneInfo("UTC"))), OrderLedger()
    for _, told in queue:
        stranger = isinstance(told, ExecutionReport) and not told.drop_copy and told.cl_ord_id not in ours
        event = msgspec.structs.replace(told, foreign=True) if stranger else told
        views.event(event, T0, T0, T0, lambda r: r.cl_ord_id in ours)
        orders.event(event, T0)
    late = T0 + 600 * S
    assert [r.value for r in views.readings(lambda _: False, late, "2023-11-14")] == [0, 0]
    assert {o.cl_ord_id for o in orders.open()} == ours


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_a_client_hears_each_report_once(seed: int, by_session: bool) -> None:
    """By ExecID where it is the account's, by the trade's id where each session numbers its own."""
    rng = random.Random(seed)
    world = World(rng, "trade" if by_session else "exec", drops=False)
    whole = world.said(COPY_SOURCE)
    queue = merged(rng, pair(rng, COPY_SOURCE, SECOND_COPY, whole, world.said(SECOND_COPY)))
    once = Once(by_session=by_session)
    heard = [e for _, e in queue if once.first(e)]

    def facts(e: ExecutionReport) -> tuple[Any, ...]:
        return e.instrument, e.order_id, e.exec_type, e.trade_id, e.cum_qty, e.last_qty, e.last_px, e.transact_ns

    key = lambda f: str(f)  # noqa: E731
    assert sorted(map(facts, heard), key=key) == sorted(map(facts, whole), key=key)


@pytest.mark.parametrize("by_session", [False, True])
def test_what_the_venue_gave_no_name_is_always_news(by_session: bool) -> None:
    once = Once(by_session=by_session)
    assert [once.first(report(exec_type="8")) for _ in range(2)] == [True, True]


def test_sessions_that_number_their_exec_ids_themselves_share_a_trades_id_alone() -> None:
    once = Once(by_session=True)
    fill = report(exec_id="7", trade_id="t1")
    assert once.first(fill)
    assert not once.first(msgspec.structs.replace(fill, session="other", exec_id="9"))
    assert once.first(msgspec.structs.replace(fill, trade_id="t2"))
    new = report(exec_id="8", exec_type="0", cum_qty=0)
    assert [once.first(new), once.first(new)] == [True, False]
    assert once.first(msgspec.structs.replace(new, session="other"))  # nothing says that it is the same


def test_only_the_latest_reports_are_remembered() -> None:
    once = Once(kept=2)
    one, two, three = (report(exec_id=str(n)) for n in range(3))
    assert [once.first(r) for r in (one, two, three, one, three)] == [True, True, True, True, False]


def test_one_exec_id_of_two_sessions_that_number_themselves_is_two_fills_on_record(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    one, two = (Source(n, "v", "main", COPY, two_views=False, own_exec_ids=True) for n in ("dc", "dc2"))
    kept.take(one, report(one, exec_id="7", cum_qty=None))
    kept.take(two, report(two, exec_id="7", cum_qty=None, last_qty=20, transact_ns=T0 + 5 * S))
    assert sorted(f.qty for f in kept.fills()) == [10, 20]
    kept.take(one, report(one, exec_id="8", exec_ref_id="7", exec_type="H", cum_qty=None))
    assert sorted(f.qty for f in kept.fills()) == [0, 20]
    kept.close()


def test_an_order_does_not_go_back_by_what_a_session_that_was_away_tells_late(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.take(ENTRY_SOURCE, placed())
    new = report(COPY_SOURCE, exec_id="1", exec_type="0", ord_status="0", cum_qty=0, last_qty=None, last_px=None)
    fill = report(COPY_SOURCE, exec_id="2", trade_id="1", cum_qty=100, last_qty=100, ord_status="2")
    kept.take(COPY_SOURCE, new, fill)
    late = [msgspec.structs.replace(e, session="dc2", recv_ns=T0 + 60 * S) for e in (new, fill)]
    kept.take(SECOND_COPY, late[0])  # and dies again
    kept.save()
    order = kept.store.order(1)
    assert order is not None
    assert (order[0].ord_status, order[0].cum_qty, len(order[1])) == ("2", 100, 1)
    kept.close()


def test_a_correction_of_a_correction_stands_when_another_session_tells_both_late(tmp_path: Path) -> None:
    """Both at one instant, by the venue's clock: only that they were applied before tells them apart."""
    kept = Kept(tmp_path)
    fill = report(COPY_SOURCE, exec_id="1", trade_id="t", cum_qty=10)
    first = report(COPY_SOURCE, exec_type="G", exec_id="2", exec_ref_id="1", trade_id="t", last_px=5100, cum_qty=None)
    second = report(COPY_SOURCE, exec_type="G", exec_id="3", exec_ref_id="2", trade_id="t", last_px=5200, cum_qty=None)
    kept.take(COPY_SOURCE, fill, first, second)
    kept.take(SECOND_COPY, *(msgspec.structs.replace(e, session="dc2") for e in (fill, first)))
    assert [f.px for f in kept.fills()] == [5200]
    kept.close()


def test_a_bust_that_both_told_before_its_fill_waits_once(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    bust = report(COPY_SOURCE, exec_type="H", exec_id="2", exec_ref_id="1", trade_id="t", cum_qty=None)
    kept.take(COPY_SOURCE, bust)
    kept.take(SECOND_COPY, msgspec.structs.replace(bust, session="dc2", recv_ns=T0 + S))
    kept.save()
    order = kept.store.order(1)
    assert order is not None
    assert len(order[0].pending) == 1
    kept.take(SECOND_COPY, report(SECOND_COPY, exec_id="1", trade_id="t", cum_qty=10))
    assert [f.qty for f in kept.fills()] == [0]
    kept.close()


def test_a_drop_copy_that_comes_back_with_old_reports_shows_no_order_alive() -> None:
    orders = OrderLedger()
    orders.event(placed(), T0)
    new = report(COPY_SOURCE, exec_id="1", exec_type="0", ord_status="0", cum_qty=0)
    seen = orders.event(new, T0)
    assert seen is not None
    assert seen.life == "alive"
    assert orders.event(msgspec.structs.replace(new, session="dc2", poss_dup=True), T0 + S) is None
    assert orders.event(msgspec.structs.replace(new, session="trd2", drop_copy=False, foreign=True), T0 + S) is None
    news = orders.event(msgspec.structs.replace(new, session="dc2", exec_id="2"), T0 + S)
    assert news is not None
    assert news.life == "alive"


def test_a_strangers_fill_that_a_trading_session_hears_waits_for_no_drop_copy() -> None:
    limits = [limit("venue:v", max_drop_copy_lag_s=1)]
    views = DropCopyBook(limits, {"v": "main"}, Days(ZoneInfo("UTC")))
    views.event(report(exec_id="1", foreign=True), T0, T0, T0, lambda _: False)
    assert views.readings(lambda _: False, T0 + 60 * S, "2023-11-14")[0].value == 0
    views.event(report(exec_id="1", foreign=True), T0, T0, T0, lambda _: True)
    assert views.readings(lambda _: False, T0 + 5 * S, "2023-11-14")[0].value == 5


@pytest.mark.parametrize("odd_first", [True, False])
def test_copies_that_contradict_each_other_are_a_break_and_order_entry_counts(tmp_path: Path, odd_first: bool) -> None:
    kept = Kept(tmp_path)
    fill = report(exec_id="1", trade_id="t", cum_qty=10)
    right = msgspec.structs.replace(fill, session="dc", drop_copy=True)
    odd = msgspec.structs.replace(right, session="dc2", last_px=5100)
    kept.take(ENTRY_SOURCE, placed(), fill)
    both: Queue = [(COPY_SOURCE, right), (SECOND_COPY, odd)]
    for source, event in reversed(both) if odd_first else both:
        kept.take(source, event)
    kept.tick(T0 + AFTER_NS * 2)
    assert [(f.qty, f.px) for f in kept.fills()] == [(10, 5000)]
    assert [b.kind for b in kept.breaks()] == ["price"]
    kept.close()
