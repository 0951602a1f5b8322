"""A desk of three trading sessions for the pre-trade checks: rows, books and counts are what a test says they are."""

from collections.abc import Callable
from typing import Any

import msgspec

from base.instruments import Instrument
from base.kill_config import LimitConfig
from ipc.exposure import ExposureRow, notional
from ipc.requests import NewOrder
from risk.exposure import ExposureBook, Figures
from risk.exposure_sums import Account, ExposureSums
from risk.order import Order, order_of
from risk.pretrade import PreTrade
from risk.pretrade_plan import Ours

SECOND = 1_000_000_000
NOW = 1_000 * SECOND
BTC = Instrument("x", "BTC-USD", "BTC/USD", 1, 3)
ETH = Instrument("x", "ETH-USD", "ETH/USD", 2, 3)
BOTH = frozenset({"BTC-USD", "ETH-USD"})
SESSIONS = {"a": Account("x", "main", BOTH), "b": Account("x", "main", BOTH), "c": Account("y", "main", BOTH)}
BOOK = (59_990_0, 5_000, 60_000_0, 5_000)  # 59,990 bid and 60,000 offered, 5 BTC each


def limit(scope: str = "desk", **keys: object) -> LimitConfig:
    return msgspec.convert({"scope": scope, **keys}, LimitConfig)


def new(**more: Any) -> NewOrder:
    fields: dict[str, Any] = {
        "client_id": "c", "command_id": "k", "deadline_ns": 0, "venue": "x", "instrument": "BTC-USD", "side": "1",
        "ord_type": "2", "order_qty": 100, "price": 60_000_0, "strategy": "mm",
    }  # fmt: skip
    return NewOrder(**(fields | more))


class Desk:
    """Session `a` is ours; its orders work until the test ends them."""

    def __init__(self, *limits: LimitConfig) -> None:
        self.unknown: dict[str, str] = {}
        self.unheld: dict[str, str] = {}
        self.unpriced: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.book: tuple[int, int, int, int] | None = BOOK
        self.reached = (0, False)
        self.refreshed = 0
        self.exposure = ExposureBook()
        self.sums = ExposureSums(SESSIONS)
        self.checks = PreTrade(limits, Ours("a", "x", "main"), SESSIONS, self.sums, self.exposure, self)
        self.now = NOW
        self._n = 0
        for instrument in (BTC, ETH):
            self.exposure.of(instrument.name, instrument.px_scale, instrument.qty_scale)

    # -- what the checks ask

    @property
    def blind(self) -> bool:
        return bool(self.unknown or self.unheld or self.unpriced)

    def refresh(self) -> None:
        self.refreshed += 1

    def sent(self, session: str) -> Callable[[], int]:
        return lambda: self.counts.get(session, 0)

    def best(self, instrument: str) -> tuple[int, int, int, int] | None:
        return self.book

    def reach(self, instrument: str, side: str, qty: int) -> tuple[int, bool]:
        return self.reached

    # -- what happens

    def ask(self, **more: Any) -> str:
        """The verdict on a new order."""
        command = new(**more)
        return self.checks.new(command, BTC if command.instrument == "BTC-USD" else ETH, self.now)

    def place(self, **more: Any) -> Order:
        """Send a new order, whatever the verdict."""
        self._n += 1
        command = new(**more)
        instrument = BTC if command.instrument == "BTC-USD" else ETH
        scales = (instrument.px_scale, instrument.qty_scale)
        order = order_of(command, "a", "main", f"o{self._n}", scales, self.now)
        self.checks.sent(command, self.now)
        self.moved(order)
        return order

    def moved(self, order: Order) -> None:
        self.show(order.instrument, self.exposure.update(order))
        self.checks.moved(order)

    def end(self, order: Order) -> None:
        order.state = "CANCELED"
        order.leaves_qty = 0
        self.moved(order)

    def fill(self, order: Order, qty: int) -> None:
        order.cum_qty += qty
        order.leaves_qty -= qty
        order.state = "PARTIALLY_FILLED" if order.leaves_qty else "FILLED"
        self.exposure.filled(order, qty, order.price)
        self.moved(order)

    def hold(self, position: int, instrument: Instrument = BTC, mark_px: int = 0) -> None:
        figures = self.exposure.of(instrument.name, instrument.px_scale, instrument.qty_scale)
        figures.position, figures.mark_px = position, mark_px
        self.show(instrument.name, figures)

    def show(self, instrument: str, figures: Figures) -> None:
        self.sums.feed("a", row_of(instrument, figures))

    def other(self, session: str, instrument: str = "BTC-USD", **figures: int) -> None:
        """Another session's row is now so."""
        at = {"px_scale": 1, "qty_scale": 3} | figures
        self.sums.feed(session, ExposureRow(venue=SESSIONS[session].venue, instrument=instrument, **at))


def row_of(instrument: str, f: Figures) -> ExposureRow:
    return ExposureRow(
        venue="x", instrument=instrument, px_scale=f.px_scale, qty_scale=f.qty_scale, open_orders=f.open_orders,
        working_buy_qty=f.working_buy_qty, working_sell_qty=f.working_sell_qty, position=f.position,
        buy_notional=f.counted()[0], sell_notional=f.counted()[1], position_notional=f.position_notional,
    )  # fmt: skip


def worth(qty: int, price: int) -> int:
    return notional(price, BTC.px_scale, qty, BTC.qty_scale)
