"""What each account of a simulated venue holds: cash moves with fills, working orders hold it. Exact decimals.

Spot: a fill exchanges base for quote; what is sold and not held is owed. Perpetuals and futures: quote currency is the
collateral, a fill that closes realises its profit at the average price, and a tenth of position and working orders is
held as margin.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from base.decimals import from_scaled
from base.instruments import Instrument
from sim.exchange import Exchange
from sim.orders import BUY, Event, Order

DEPOSIT = Decimal(1_000_000)  # of each currency that something is quoted in, at first; nothing of the others
MARGIN = Decimal("0.1")

Fee = Callable[[Order, int, int], Decimal]
"""What a fill of an order at a price (scaled) and quantity (scaled) costs, in quote currency."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One currency of an account."""

    total: Decimal
    held: Decimal

    @property
    def available(self) -> Decimal:
        """What no order holds."""
        return self.total - self.held


@dataclass(slots=True)
class _Position:
    qty: Decimal = Decimal(0)
    px: Decimal = Decimal(0)  # average

    def fill(self, qty: Decimal, px: Decimal) -> Decimal:
        """Take a signed fill in; what it realises."""
        if not self.qty or (self.qty > 0) == (qty > 0):
            total = self.qty + qty
            self.px = (self.px * self.qty + px * qty) / total
            self.qty = total
            return Decimal(0)
        closed = min(abs(qty), abs(self.qty)) * (1 if self.qty > 0 else -1)
        realised = (px - self.px) * closed
        before, self.qty = self.qty, self.qty + qty
        if self.qty and (self.qty > 0) != (before > 0):
            self.px = px
        return realised


class Accounts:
    """Holdings by account and currency; listens to the exchange."""

    def __init__(self, exchange: Exchange, fee: Fee) -> None:
        self._exchange = exchange
        self._fee = fee
        self._cash: dict[tuple[str, str], Decimal] = {}
        self._positions: dict[tuple[str, str], _Position] = {}
        exchange.listen(self._on_event, lambda _market, _update: None)

    def holdings(self, account: str, symbols: Callable[[str], bool] = lambda _: True) -> dict[str, Holding]:
        """By currency, those of the instruments whose symbols are wanted."""
        instruments = [i for s, i in self._exchange.instruments.items() if symbols(s)]
        currencies = dict.fromkeys(c for i in instruments for c in _currencies(i))
        held = dict.fromkeys(currencies, Decimal(0))
        for order in self._exchange.working(account=account):
            if symbols(order.symbol):
                currency, amount = self._holds(order)
                held[currency] += amount
        for (owner, symbol), position in self._positions.items():
            if owner == account and symbols(symbol):
                currency = _currencies(self._exchange.instruments[symbol])[-1]
                held[currency] += abs(position.qty) * position.px * MARGIN
        return {c: Holding(self._cash.get((account, c), self._deposit(c)), held[c]) for c in currencies}

    def positions(self, account: str) -> dict[str, Decimal]:
        """Of derivatives, by symbol; a short one is below 0."""
        return {s: p.qty for (owner, s), p in self._positions.items() if owner == account and p.qty}

    def _deposit(self, currency: str) -> Decimal:
        quotes = (_currencies(i)[-1] for i in self._exchange.instruments.values())
        return DEPOSIT if currency in quotes else Decimal(0)

    def _holds(self, order: Order) -> tuple[str, Decimal]:
        i = self._exchange.instruments[order.symbol]
        currencies = _currencies(i)
        qty = from_scaled(order.leaves, i.qty_scale)
        value = from_scaled(order.price or 0, i.px_scale) * qty
        if len(currencies) == 1:
            return currencies[0], value * MARGIN
        return (currencies[1], value) if order.side == BUY else (currencies[0], qty)

    def _on_event(self, event: Event) -> None:
        if event.kind != "F":
            return
        order, i = event.order, self._exchange.instruments[event.order.symbol]
        account = order.owner.account
        qty, px = from_scaled(event.last_qty, i.qty_scale), from_scaled(event.last_px, i.px_scale)
        signed = qty if order.side == BUY else -qty
        fee = self._fee(order, event.last_px, event.last_qty)
        currencies = _currencies(i)
        if len(currencies) == 1:
            position = self._positions.setdefault((account, order.symbol), _Position())
            self._add(account, currencies[0], position.fill(signed, px) - fee)
        else:
            self._add(account, currencies[0], signed)
            self._add(account, currencies[1], -signed * px - fee)

    def _add(self, account: str, currency: str, amount: Decimal) -> None:
        self._cash[account, currency] = self._cash.get((account, currency), self._deposit(currency)) + amount


def _currencies(instrument: Instrument) -> tuple[str, ...]:
    """(base, quote) on spot, (collateral,) of a derivative."""
    base, quote, *rest = instrument.name.split("-")
    return (quote,) if rest else (base, quote)


def plain(amount: Decimal) -> str:
    """Decimal text without exponent."""
    return f"{amount.normalize() + 0:f}"
