"""The ledger's rules, one by one: identity, amendments, breaks that open in time and heal, positions by hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ipc.events import Balance
from ipc.ledger_records import BookRecord, Fill
from risk.ledger_fills import FillSet
from risk.ledger_positions import add_exactly, add_fill, is_amount, open_value
from tests.risk.ledger_kit import Kept
from tests.risk.ledger_world import AFTER_NS, COPY_SOURCE, ENTRY_SOURCE, LONE_SOURCE, T0, S, placed, report

OWN, COPY, LONE = ENTRY_SOURCE, COPY_SOURCE, LONE_SOURCE


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    ledger = Kept(tmp_path)
    yield ledger
    ledger.close()


def kinds(kept: Kept) -> list[tuple[str, str]]:
    return [(b.kind, b.lacks) for b in kept.breaks()]


# -- identity ----------------------------------------------------------------------------------------------------


def test_one_trade_id_is_one_fill_on_every_channel(kept: Kept) -> None:
    kept.take(OWN, placed(), report(trade_id="7", exec_id="a"), report(trade_id="7", exec_id="a", poss_dup=True))
    kept.take(COPY, report(COPY, trade_id="7", exec_id="other"))
    kept.take(OWN, report(trade_id="7", exec_id="", origin="rest", cum_qty=None))
    assert [f.qty for f in kept.fills()] == [10]


def test_two_own_orders_that_trade_with_each_other_share_a_trade_id_and_are_two_fills(kept: Kept) -> None:
    kept.take(OWN, placed(), placed(cl_ord_id="c2", side="2"))
    kept.take(OWN, report(trade_id="7"), report(cl_ord_id="c2", order_id="o2", side="2", trade_id="7"))
    assert len(kept.fills()) == 2


def test_a_new_fill_of_an_order_with_thousands_is_held_against_none_that_has_a_name(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    may_be = FillSet._may_be
    monkeypatch.setattr(FillSet, "_may_be", lambda s, fill, told: compared.append(fill) or may_be(s, fill, told))
    kept.take(OWN, placed())
    for n in range(1, 301):
        kept.take(OWN, report(trade_id=f"{n}", exec_id=f"e{n}", last_qty=1, cum_qty=n))
    for n in range(301, 401):  # and where no running quantity is told
        kept.take(OWN, report(trade_id=f"{n}", exec_id=f"e{n}", last_qty=1, cum_qty=None))
    assert (len(kept.fills()), compared) == (400, [])
    kept.take(OWN, report(trade_id="", exec_id="own", last_qty=1, cum_qty=None, transact_ns=T0 + 5 * S))
    kept.take(COPY, report(COPY, trade_id="t", exec_id="its", last_qty=1, cum_qty=None, transact_ns=T0 + 5 * S))
    assert [f.trade_id for f in kept.fills() if f.transact_ns == T0 + 5 * S] == ["t"]  # one fill: the facts agree


def test_order_ids_are_a_venues_per_instrument(kept: Kept) -> None:
    kept.take(OWN, report(trade_id="7"), report(trade_id="7", instrument="ETH-USD", cl_ord_id="c2"))
    assert len(kept.fills()) == 2


def test_equal_exec_ids_of_two_channels_are_no_proof_against_their_trade_ids(kept: Kept) -> None:
    kept.take(OWN, report(trade_id="7", exec_id="1", cum_qty=10), report(trade_id="8", exec_id="2", cum_qty=20))
    kept.take(COPY, report(COPY, trade_id="8", exec_id="1", cum_qty=20))
    assert sorted((f.trade_id, f.copy is not None) for f in kept.fills()) == [("7", False), ("8", True)]


def test_a_client_order_id_that_a_stranger_uses_again_is_another_order(kept: Kept) -> None:
    kept.take(
        OWN, report(cl_ord_id="x", order_id="o1", trade_id="1"), report(cl_ord_id="x", order_id="o2", trade_id="1")
    )
    assert len(kept.fills()) == 2


def test_fills_told_under_the_order_id_and_under_the_client_order_id_meet_when_both_are_told(kept: Kept) -> None:
    kept.take(COPY, report(COPY, cl_ord_id="", trade_id="7", exec_id="q"))
    kept.take(OWN, placed(), report(order_id="", trade_id="7", exec_id="a"))
    assert len(kept.fills()) == 2
    kept.save(reopen=True)
    kept.take(OWN, report(exec_type="0", last_qty=None, last_px=None, cum_qty=0))
    (fill,) = kept.fills()
    assert (fill.entry is not None, fill.copy is not None) == (True, True)
    assert [(b.strategy, b.position) for b in kept.store.books() if b.fills] == [("s1", 10)]
    assert kept.store.order_named("cv\x1fmain\x1fc1") == kept.store.order_named("ov\x1fmain\x1fBTC-USD\x1fo1") > 0


def test_where_rest_names_trades_otherwise_facts_tell_which_is_which_one_for_one(kept: Kept) -> None:
    foreign = OWN._replace(foreign_rest=True)
    for n in (1, 2):
        kept.take(COPY, report(COPY, trade_id=f"{n}", exec_id=f"x{n}", cum_qty=10 * n, transact_ns=T0 + n))
        rest = report(trade_id=f"T{n}", origin="rest", cum_qty=None, transact_ns=T0 + n * 1_000_000)
        kept.take(foreign, rest, rest)
    assert [(f.trade_id, f.entry is not None) for f in kept.fills()] == [("1", True), ("2", True)]
    third = report(trade_id="T3", origin="rest", cum_qty=None)
    assert len(kept.take(foreign, third).fills()) == 3


def test_what_a_restarted_session_has_rest_tell_again_under_other_names_is_no_further_fill(kept: Kept) -> None:
    """The desk's own count decides: it did not rise. Of two alike one was new, and its count rose."""
    lone = LONE._replace(foreign_rest=True)

    def rest(n: int, **more: object) -> object:
        return report(LONE, trade_id=f"r{n}", origin="rest", cum_qty=None, transact_ns=T0 + n * 1_000_000, **more)

    kept.take(lone, placed(LONE), report(LONE, trade_id="1", exec_id="a"), placed(LONE, order_id="o1", cum_qty=10))
    kept.take(lone, report(LONE, trade_id="2", exec_id="b", cum_qty=20, transact_ns=T0 + 2_000_000)).save(reopen=True)
    state = placed(LONE, order_id="o1", cum_qty=30)  # the venue's list says 30: one was missed
    for n in (1, 2, 3):
        kept.take(lone, rest(n), state, rest(n), state).save(reopen=True)
    assert [(f.trade_id, f.qty) for f in kept.fills()][:2] == [("1", 10), ("2", 10)]
    assert sum(f.qty for f in kept.fills()) == 30
    assert [b.position for b in kept.store.books()] == [30]
    known = {name for f in kept.fills() for name in f.names}
    assert {"rr1", "rr2", "rr3"} <= known


def test_after_a_bust_the_order_may_come_by_the_same_quantity_again(kept: Kept) -> None:
    """Without trade ids, and with other ExecIDs on the drop copy, which the delayed copy of the first must not be."""
    kept.take(LONE, placed(LONE), report(LONE, exec_id="a"))
    kept.take(LONE, report(LONE, exec_type="H", exec_id="h", exec_ref_id="a", cum_qty=0))
    kept.take(LONE, report(LONE, exec_id="b", last_px=5100, transact_ns=T0 + 9), report(LONE, exec_id="c"))
    assert sorted((f.qty, f.px) for f in kept.fills()) == [(0, 5000), (10, 5100)]


def test_after_an_earlier_fill_was_busted_or_corrected_a_new_one_at_a_known_quantity_is_another(kept: Kept) -> None:
    kept.take(LONE, placed(LONE), report(LONE, exec_id="a"), report(LONE, exec_id="b", cum_qty=20, transact_ns=T0 + 1))
    kept.take(LONE, report(LONE, exec_type="H", exec_id="h", exec_ref_id="a", cum_qty=10))
    refill = report(LONE, exec_id="c", cum_qty=20, transact_ns=T0 + 9)
    kept.take(LONE, refill, refill)
    assert [f.qty for f in kept.fills()] == [0, 10, 10]
    assert [b.position for b in kept.store.books()] == [20]


def test_order_entrys_price_counts_from_when_it_is_told_also_in_the_position(kept: Kept) -> None:
    kept.take(OWN, placed()).take(COPY, report(COPY, trade_id="7", last_px=5001)).save()
    assert [b.bought_value for b in kept.store.books()] == [10 * 5001]
    kept.take(OWN, report(trade_id="7")).save()
    assert [b.bought_value for b in kept.store.books()] == [10 * 5000]


def test_a_fill_without_quantity_or_price_is_not_made_up_but_missed(kept: Kept) -> None:
    kept.take(LONE, placed(LONE), report(LONE, last_px=None, cum_qty=10))
    assert kept.fills() == []
    assert kinds(kept.tick(T0 + AFTER_NS)) == [("unexplained", "")]
    kept.take(LONE, report(LONE, trade_id="7", origin="rest", cum_qty=None, recv_ns=T0 + 60 * S))
    assert kinds(kept) == []


# -- corrections and busts -----------------------------------------------------------------------------------------


def test_a_bust_takes_the_fill_out_of_position_and_profit_and_stays_on_record(kept: Kept) -> None:
    kept.take(
        LONE, placed(LONE), report(LONE, trade_id="1", exec_id="a"), report(LONE, trade_id="2", exec_id="b", cum_qty=20)
    )
    kept.take(LONE, report(LONE, exec_type="H", exec_id="h", exec_ref_id="a", cum_qty=10))
    assert sorted((f.trade_id, f.qty) for f in kept.fills()) == [("1", 0), ("2", 10)]
    assert [b.position for b in kept.store.books()] == [10]
    assert kinds(kept.tick(T0 + 10 * AFTER_NS)) == []


@pytest.mark.parametrize("every", [1, 2, 3])
def test_fills_that_share_a_place_all_count_when_a_later_one_is_busted(
    kept: Kept, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One moment, no trade id, no CumQty: as a venue's trade list tells them where it names trades otherwise."""
    for module in ("risk.ledger", "risk.ledger_save"):
        monkeypatch.setattr(f"{module}.MARK_EVERY", every)
    foreign = LONE._replace(foreign_rest=True)
    for n in range(4):
        kept.take(foreign, report(LONE, trade_id=f"r{n}", origin="rest", cum_qty=None, last_px=5000 + n)).save()
    kept.take(LONE, report(LONE, trade_id="9", exec_id="late", cum_qty=50, transact_ns=T0 + S)).save()
    kept.take(LONE, report(LONE, exec_type="H", exec_id="h", exec_ref_id="late", cum_qty=40)).save()
    assert [b.position for b in kept.store.books()] == [40]


def test_a_correction_of_a_correction_refers_to_the_last_one(kept: Kept) -> None:
    kept.take(LONE, report(LONE, trade_id="1", exec_id="a"))
    second = report(LONE, exec_type="G", exec_id="c", exec_ref_id="b", last_qty=7, last_px=5100, transact_ns=T0 + 2)
    first = report(LONE, exec_type="G", exec_id="b", exec_ref_id="a", last_qty=9, last_px=5050, transact_ns=T0 + 1)
    kept.take(LONE, second).save(reopen=True).take(LONE, first)
    assert [(f.qty, f.px, f.first_qty, f.first_px) for f in kept.fills()] == [(7, 5100, 10, 5000)]


def test_a_bust_of_what_nobody_told_waits_and_is_a_break_in_time(kept: Kept) -> None:
    kept.take(LONE, placed(LONE), report(LONE, exec_type="H", exec_id="h", exec_ref_id="a", cum_qty=0))
    assert kinds(kept.tick(T0 + AFTER_NS - 1)) == []
    assert kinds(kept.tick(T0 + AFTER_NS)) == [("unknown_fill", "")]
    kept.save(reopen=True)
    kept.take(LONE, report(LONE, exec_id="a", recv_ns=T0 + 20 * S))
    assert ([f.qty for f in kept.fills()], kinds(kept)) == ([0], [])


# -- breaks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "lacks"), [(OWN, "drop_copy"), (COPY, "order_entry")])
def test_a_fill_of_one_view_is_a_break_after_the_stated_time_and_heals_when_the_other_tells_it(
    kept: Kept, source: object, lacks: str
) -> None:
    other = COPY if source is OWN else OWN
    kept.take(OWN, placed()).take(source, report(source, trade_id="7"))  # type: ignore[arg-type]
    assert kinds(kept.tick(T0 + AFTER_NS - 1)) == []
    kept.save(reopen=True)
    assert kinds(kept.tick(T0 + AFTER_NS)) == [("missing", lacks)]
    assert kinds(kept.tick(T0 + 2 * AFTER_NS)) == [("missing", lacks)]
    kept.save(reopen=True)
    kept.take(other, report(other, trade_id="7", recv_ns=T0 + 3 * AFTER_NS))
    assert kinds(kept) == []
    (closed,) = kept.store.open_breaks()  # not published in this state yet
    assert (closed.closed_by, closed.closed_ns, closed.said) == ("healed", T0 + 3 * AFTER_NS, False)


@pytest.mark.parametrize(("fields", "kind"), [({"last_px": 5001}, "price"), ({"last_qty": 9}, "quantity")])
def test_views_that_differ_about_price_or_quantity_are_a_break(kept: Kept, fields: dict[str, int], kind: str) -> None:
    kept.take(OWN, placed(), report(trade_id="7")).take(COPY, report(COPY, trade_id="7", **fields))
    assert kinds(kept.tick(T0 + AFTER_NS)) == [(kind, "")]
    (found,) = kept.breaks()
    assert (found.order_entry, found.strategy) == ("buy 0.001 @ 50, trd", "s1")
    assert found.drop_copy.endswith(", dc")
    assert len(kept.fills()) == 1


def test_fills_beyond_what_the_venue_says_was_filled_are_doubled(kept: Kept) -> None:
    kept.take(LONE, placed(LONE), report(LONE, trade_id="1", exec_id="a"), report(LONE, trade_id="2", exec_id="b"))
    assert kinds(kept.tick(T0 + AFTER_NS)) == [("doubled", "")]


def test_a_strangers_order_is_one_break_not_one_a_fill_and_is_kept_as_such(kept: Kept) -> None:
    kept.take(COPY, report(COPY, trade_id="1"), report(COPY, trade_id="2", cum_qty=20))
    assert kinds(kept.tick(T0 + AFTER_NS)) == [("unknown_order", "")]
    assert [(b.strategy, b.position) for b in kept.store.books()] == [("", 20)]
    kept.take(OWN, placed(since_ns=T0 + 2 * AFTER_NS))  # it was ours after all: now each fill is missing here
    assert kinds(kept) == []
    assert kinds(kept.tick(T0 + 4 * AFTER_NS)) == [("missing", "order_entry")] * 2
    assert [(b.strategy, b.position) for b in kept.store.books() if b.fills] == [("s1", 20)]


def test_without_a_drop_copy_there_is_no_second_view_and_nothing_to_miss(kept: Kept) -> None:
    kept.take(LONE, report(LONE, trade_id="1"), placed(LONE, cl_ord_id="c2"))
    kept.take(LONE, report(LONE, cl_ord_id="c2", order_id="o2", trade_id="2"))
    assert kinds(kept.tick(T0 + 100 * AFTER_NS)) == []


def test_a_person_closes_what_will_not_heal(kept: Kept) -> None:
    kept.take(OWN, placed(), report(trade_id="7"))
    (found,) = kept.tick(T0 + AFTER_NS).breaks()
    assert not kept.ledger.watch.accept(found.id + 1, "no", T0)
    assert kept.ledger.watch.accept(found.id, "seen at the venue", T0 + 2 * AFTER_NS)
    assert kinds(kept.tick(T0 + 3 * AFTER_NS)) == []
    assert kept.store.open_breaks()[0].closed_by == "accepted: seen at the venue"


def test_balances_are_the_last_that_were_told(kept: Kept) -> None:
    for total in ("5", "7.5"):
        kept.take(OWN, Balance("trd", "v", "main", "USD", total, total, "0", total, T0))
    kept.save()
    rows = kept.store.database.execute("SELECT currency, total FROM balances").fetchall()
    assert rows == [("USD", "7.5")]


# -- positions ---------------------------------------------------------------------------------------------------


def fill(side: str, qty: int, px: int, when: int, fees: tuple[tuple[str, str], ...] = (), **other: int) -> Fill:
    scales = {"px_scale": 2, "qty_scale": 3, **other}
    return Fill(
        id=when, order=1, side=side, first_qty=qty, first_px=px, qty=qty, px=px, transact_ns=when, fees=fees, **scales
    )


def test_first_in_first_out_by_hand() -> None:
    book = BookRecord(id=1, strategy="s", venue="v", account="a", instrument="BTC-USD")
    for n, (side, qty, px) in enumerate([("1", 100, 5000), ("1", 100, 6000), ("2", 150, 7000), ("2", 100, 4000)]):
        add_fill(book, fill(side, qty, px, n))
    # 100 bought at 50 and 50 of those at 60 sold at 70; 50 at 60 sold at 40; 50 sold short at 40.
    assert book.realised == 100 * 2000 + 50 * 1000 - 50 * 2000
    assert (book.position, book.lots, open_value(book)) == (-50, [(50, 4000)], 200_000)


def test_a_finer_scale_changes_no_value() -> None:
    book = BookRecord(id=1, strategy="s", venue="v", account="a", instrument="BTC-USD")
    add_fill(book, fill("1", 100, 5000, 1))
    add_fill(book, fill("2", 400_000, 51_000, 2, px_scale=3, qty_scale=7))  # 0.04 at 51
    assert (book.px_scale, book.qty_scale, book.position, book.lots) == (3, 7, 600_000, [(600_000, 50_000)])
    assert book.realised == 400_000 * 1000


def test_fees_add_up_exactly_by_currency_and_a_rebate_is_negative() -> None:
    book = BookRecord(id=1, strategy="s", venue="v", account="a", instrument="BTC-USD")
    add_fill(book, fill("1", 1, 1, 1, (("USD", "0.10"), ("BNB", "0.000000000000000000001"))))
    add_fill(book, fill("1", 1, 1, 2, (("USD", "-0.30"),)))
    assert book.fees == {"USD": "-0.20", "BNB": "0.000000000000000000001"}
    assert add_exactly("12345678901234567890.123456789", "0.000000000000000000001") == (
        "12345678901234567890.123456789000000000001"
    )
    assert [is_amount(t) for t in ("1.5", "-2", "", "NaN", "Infinity", "1e999999", "x")] == [True, True] + [False] * 5
