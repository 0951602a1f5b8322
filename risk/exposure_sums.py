"""What all processes have at risk within the scopes of limits, added up from their exposure rows as these change. Pure.

Quantities are integers at 18 decimals, so that rows of any scale add up; notionals at NOTIONAL_SCALE decimals. Only
what a limit asked for is added up: this is on every order's way.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from ipc.exposure import ExposureRow
from risk.kill_plan import Owned, covers
from risk.limits import quote_of

QTY_SCALE: Final = 18

Take = Callable[[int, int, int, int, int], None]
"""Share.now of a row."""


class Account(NamedTuple):
    """Where a session trades, and what."""

    venue: str
    account: str
    instruments: frozenset[str]


class Count:
    """Open orders within one scope."""

    __slots__ = ("open_orders",)

    def __init__(self) -> None:
        self.open_orders = 0


class Held:
    """One instrument within one scope, at QTY_SCALE."""

    __slots__ = ("buys", "position", "sells")

    def __init__(self) -> None:
        self.position = 0  # signed
        self.buys = 0  # working
        self.sells = 0


class Gross:
    """One quote currency within one scope: working buys, working sells and positions, all counted up."""

    __slots__ = ("notional",)

    def __init__(self) -> None:
        self.notional = 0


class Share:
    """What one row adds to the sums of the scopes it lies in."""

    __slots__ = ("_buys", "_counts", "_gross", "_held", "_notional", "_open_orders", "_position", "_sells", "_unit")

    def __init__(self, counts: list[Count], held: list[Held], gross: list[Gross], qty_scale: int) -> None:
        self._counts, self._held, self._gross = counts, held, gross
        self._unit = 10 ** (QTY_SCALE - qty_scale)
        self._open_orders = self._position = self._buys = self._sells = self._notional = 0  # quantities as in the row

    def now(self, open_orders: int, buys: int, sells: int, position: int, notional: int) -> None:
        """The row says this now; quantities at its scale, notional of working orders and position together."""
        if open_orders != self._open_orders:
            more, self._open_orders = open_orders - self._open_orders, open_orders
            for count in self._counts:
                count.open_orders += more
        if buys != self._buys:
            more, self._buys = (buys - self._buys) * self._unit, buys
            for held in self._held:
                held.buys += more
        if sells != self._sells:
            more, self._sells = (sells - self._sells) * self._unit, sells
            for held in self._held:
                held.sells += more
        if position != self._position:
            more, self._position = (position - self._position) * self._unit, position
            for held in self._held:
                held.position += more
        if notional != self._notional:
            more, self._notional = notional - self._notional, notional
            for gross in self._gross:
                gross.notional += more


class ExposureSums:
    """Sums that were asked for, over the sessions of a desk. They are asked for before the first row is taken in."""

    def __init__(self, sessions: Mapping[str, Account]) -> None:
        self._sessions = sessions
        self._counts: dict[str, Count] = {}
        self._held: dict[tuple[str, str], Held] = {}
        self._gross: dict[tuple[str, str], Gross] = {}
        self._shares: dict[tuple[str, str, str], tuple[int, Share]] = {}

    def count(self, scope: str) -> Count:
        """Open orders of the scope; always the same object."""
        return self._counts.setdefault(scope, Count())

    def held(self, scope: str, instrument: str) -> Held:
        """The instrument's figures within the scope; always the same object."""
        return self._held.setdefault((scope, instrument), Held())

    def gross(self, scope: str, quote: str) -> Gross:
        """The currency's figure within the scope; always the same object."""
        return self._gross.setdefault((scope, quote), Gross())

    def feed(self, session: str, row: ExposureRow) -> None:
        """Take in that a row of a session's page is now so."""
        self.share(session, row.venue, row.instrument, row.qty_scale)(
            row.open_orders, row.working_buy_qty, row.working_sell_qty, row.position,
            row.buy_notional + row.sell_notional + row.position_notional,
        )  # fmt: skip

    def share(self, session: str, venue: str, instrument: str, qty_scale: int) -> Take:
        """What takes in a row's figures (Share.now). A row at another scale than before begins at zero."""
        key = (session, venue, instrument)
        known = self._shares.get(key)
        if known is not None and known[0] != qty_scale:
            known[1].now(0, 0, 0, 0, 0)
            known = None
        if known is None:
            known = self._shares[key] = qty_scale, self._aim(session, instrument, qty_scale)
        return known[1].now

    def _aim(self, session: str, instrument: str, qty_scale: int) -> Share:
        account = self._sessions.get(session)
        if account is None:
            return Share([], [], [], qty_scale)
        of, quote = Owned(account.venue, account.account, session, instrument, ""), quote_of(instrument)
        return Share(
            [count for scope, count in self._counts.items() if covers(scope, of)],
            [held for (scope, name), held in self._held.items() if name == instrument and covers(scope, of)],
            [gross for (scope, name), gross in self._gross.items() if name == quote and covers(scope, of)],
            qty_scale,
        )
