"""What all processes have at risk within the scopes of limits, added up from their exposure rows as these change. Pure.

Quantities are integers at 18 decimals of what they stand for (base currency; of inverse contracts the quote currency),
so that rows of any scale and contract add up; notionals at NOTIONAL_SCALE decimals. Only
what a limit asked for is added up: this is on every order's way.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from base.instruments import ONE, Contract
from ipc._words import RowShare, RowSums
from ipc.exposure import ExposureRow
from risk.kill_plan import Owned, covers
from risk.limits import quote_of

QTY_SCALE: Final = 18
_MAX: Final = 2**63 - 1


class Account(NamedTuple):
    """Where a session trades, and what."""

    venue: str
    account: str
    instruments: frozenset[str]


class ExposureSums:
    """Sums that were asked for, over the sessions of a desk. They are asked for before the first row is taken in.

    A sum is known by its index in `sums`; of an instrument held the first of three: position, working buys and sells.
    """

    def __init__(
        self, sessions: Mapping[str, Account], contracts: Mapping[tuple[str, str], Contract | None] | None = None
    ) -> None:
        """`contracts`: what a quantity stands for, by venue and instrument; spot where it is silent."""
        self.sums = RowSums()
        self._sessions = sessions
        self._contracts = contracts or {}
        self._counts: dict[str, int] = {}
        self._held: dict[tuple[str, str], int] = {}
        self._gross: dict[tuple[str, str], int] = {}
        self._shares: dict[tuple[str, str, str], tuple[int, RowShare]] = {}

    def count(self, scope: str) -> int:
        """Open orders of the scope."""
        if scope not in self._counts:
            self._counts[scope] = self.sums.add()
        return self._counts[scope]

    def held(self, scope: str, instrument: str) -> int:
        """Quantities of the instrument within the scope, at QTY_SCALE."""
        if (scope, instrument) not in self._held:
            self._held[scope, instrument] = self.sums.add(3)
        return self._held[scope, instrument]

    def gross(self, scope: str, quote: str) -> int:
        """Working buys, working sells and positions of the currency within the scope, all counted up."""
        if (scope, quote) not in self._gross:
            self._gross[scope, quote] = self.sums.add()
        return self._gross[scope, quote]

    def feed(self, session: str, row: ExposureRow) -> None:
        """Take in that a row of a session's page is now so; figures saturate as they do in the page."""
        share = self.share(session, row.venue, row.instrument, row.qty_scale)
        worth = row.buy_notional + row.sell_notional + row.position_notional
        try:
            share.now(row.open_orders, row.working_buy_qty, row.working_sell_qty, row.position, worth)
        except OverflowError:
            buys, sells = _within(row.working_buy_qty), _within(row.working_sell_qty)
            share.now(_within(row.open_orders), buys, sells, _within(row.position), worth)

    def share(self, session: str, venue: str, instrument: str, qty_scale: int) -> RowShare:
        """What takes in a row's figures. A row at another scale than before begins at zero."""
        key = (session, venue, instrument)
        known = self._shares.get(key)
        if known is not None and known[0] != qty_scale:
            known[1].now(0, 0, 0, 0, 0)
            known = None
        if known is None:
            unit = unit_of(self._contracts.get((venue, instrument), ONE), qty_scale)
            known = self._shares[key] = qty_scale, self._aim(session, instrument, unit)
        return known[1]

    def _aim(self, session: str, instrument: str, unit: int) -> RowShare:
        account = self._sessions.get(session)
        if account is None:
            return RowShare(self.sums, unit, [], [], [])
        of, quote = Owned(account.venue, account.account, session, instrument, ""), quote_of(instrument)
        return RowShare(
            self.sums,
            unit,
            [i for scope, i in self._counts.items() if covers(scope, of)],
            [i for (scope, name), i in self._held.items() if name == instrument and covers(scope, of)],
            [i for (scope, name), i in self._gross.items() if name == quote and covers(scope, of)],
        )


def unit_of(contract: Contract | None, qty_scale: int) -> int:
    """From a quantity at `qty_scale` to what it stands for at QTY_SCALE; unknown contracts count as one."""
    contract = contract or ONE
    unit: int = contract.value * 10 ** (QTY_SCALE - qty_scale - contract.scale)
    return unit


def _within(figure: int) -> int:
    return max(-_MAX, min(_MAX, figure))
