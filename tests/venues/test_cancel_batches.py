"""Cancels together in one message: by instrument, as many as the venue takes, each order answered by itself."""

from ipc.requests import MassCancel
from tests.venues.fakes import Bench
from venues.cancel_batches import batches
from venues.interface import SessionPhase
from venues.sweep import AGAIN_NS, Sweep


def test_orders_go_together_by_instrument_and_alone_where_the_venue_takes_one() -> None:
    bench = Bench()
    btc = [bench.place() for _ in range(3)]
    eth = bench.place(instrument="ETH-USD", order_qty=1000)
    assert list(batches([btc[0], eth, *btc[1:]], 2)) == [[btc[0], btc[1]], [eth], [btc[2]]]
    assert list(batches([btc[0], eth], 1)) == [[btc[0]], [eth]]


def test_a_cancel_of_everything_leaves_in_batches_where_there_is_no_better_way() -> None:
    bench = Bench(cancel_batch=2, mass_cancel=False)
    orders = [bench.place() for _ in range(3)]
    assert bench.entry.handle(MassCancel("c", "k", 0)).accepted
    first, second = (f"{a.ids[0]} {b.ids[0]}" for a, b in ((orders[0], orders[1]), (orders[2], orders[2])))
    assert bench.session.sent[3:] == [("cancels", first), ("cancel", second.split()[0])]
    assert bench.entry.counters["cancels"] == 3
    assert {o.state for o in orders} == {"PENDING_CANCEL"}


def test_a_batch_counts_as_one_request_of_the_venue_s_limit() -> None:
    bench = Bench(cancel_batch=15, mass_cancel=False, orders_per_s=20)
    for _ in range(16):
        bench.place()
    assert bench.entry.handle(MassCancel("c", "k", 0)).accepted
    assert [what for what, _ in bench.session.sent[16:]] == ["cancels", "cancel"]


def test_a_batch_that_cannot_leave_leaves_nothing_pending_and_says_why() -> None:
    bench = Bench(cancel_batch=5, mass_cancel=False)
    orders = [bench.place() for _ in range(2)]
    bench.session.refuse = "35=U4 was not sent"
    answer = bench.entry.handle(MassCancel("c", "k", 0))
    assert answer.reason == "2 of 2 orders not cancelled: 35=U4 was not sent"
    assert [o.requests for o in orders] == [{}, {}]
    bench.session.refuse, bench.session.phase = "", SessionPhase.DISCONNECTED
    assert "not logged on" in bench.entry.handle(MassCancel("c", "k2", 0)).reason


def test_a_sweep_cancels_in_batches_and_repeats_what_is_still_open() -> None:
    bench = Bench(cancel_batch=15, mass_cancel=False)
    orders = [bench.place() for _ in range(3)]
    sweep = Sweep(bench.entry)
    sweep.start("trip", lambda _: True, bench.clock.mono_ns(), mass=True)
    assert bench.session.sent[3:] == [("cancels", " ".join(o.ids[0] for o in orders))]
    bench.report(orders[1], "4", "4")
    sweep.tick(bench.clock.mono_ns())
    bench.clock.advance(AGAIN_NS)
    sweep.tick(bench.clock.mono_ns())
    assert bench.session.sent[4:] == [("cancels", f"{orders[0].ids[0]} {orders[2].ids[0]}")]
