"""Reports on orders that the session which hears them did not place: the owner's are what the figures count."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from risk.triggers.counts import CountBook
from risk.triggers.days import Days
from risk.triggers.pnl import ProfitBook
from risk.triggers.self_trades import SelfTradeBook
from tests.risk.triggers.kit import NOW, WALL, limit, position, report

DAYS = Days(ZoneInfo("UTC"))


def test_what_two_sessions_hear_of_one_order_is_one_reject_and_one_fill() -> None:
    book = CountBook([limit(max_rejects_per_min=1, max_cancels_per_fill="1", cancels_floor=1)])
    for own in (report("8"), report("F"), report("4")):
        book.event(own, NOW, NOW)
        book.event(msgspec.structs.replace(own, session="b", foreign=True), NOW, NOW)
    rejects, ratio = book.readings(NOW)
    assert rejects.value == 1
    assert ratio.detail.startswith("1 cancels, 1 fills")


def test_anothers_fill_gives_our_position_no_fee() -> None:
    book = ProfitBook(DAYS)
    own = report(fees=(("USD", "1"),), last_px=10_000)
    others = report(session="a", foreign=True, fees=(("USD", "9"),))
    for seq, event in enumerate((position(0), own, others, position(1, 100))):
        book.event("a", 1, seq, event)
    holding = book.holdings["a", "BTC-USD"]
    assert (holding.fees, holding.fills) == (Decimal(1), 1)


def test_one_half_of_a_trade_heard_twice_is_no_trade_with_oneself() -> None:
    book = SelfTradeBook([limit(max_self_trades_per_day=0)], DAYS)
    bought = report(trade_id="T", side="1")
    book.event(msgspec.structs.replace(bought, session="b", foreign=True), WALL)
    stranger = report(trade_id="T", side="2", foreign=True)
    assert book.event(stranger, WALL) is None
    assert book.event(bought, WALL) is None
    assert book.event(report(trade_id="T", side="2", session="b"), WALL) is not None
