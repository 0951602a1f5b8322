"""What all processes have at risk within the scopes of limits, added up from their exposure rows as these change. Pure.

Quantities are integers at 18 decimals, so that rows of any scale add up; notionals at NOTIONAL_SCALE decimals.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from ipc.exposure import ExposureRow
from risk.kill_plan import Owned, covers
from risk.limits import quote_of

QTY_SCALE: Final = 18


class Account(NamedTuple):
    """Where a session trades, and what."""

    venue: str
    account: str
    instruments: frozenset[str]


class Held:
    """One instrument within one scope, at 18 decimals."""

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


class ScopeSums:
    """One scope."""

    def __init__(self) -> None:
        self.open_orders = 0
        self._held: dict[str, Held] = {}
        self._gross: dict[str, Gross] = {}

    def held(self, instrument: str) -> Held:
        """The instrument's figures; always the same object."""
        return self._held.setdefault(instrument, Held())

    def gross(self, quote: str) -> Gross:
        """The currency's figure; always the same object."""
        return self._gross.setdefault(quote, Gross())


class _Share:
    """What one row adds to the sums of the scopes it lies in."""

    __slots__ = ("buys", "notional", "open_orders", "position", "sells", "targets", "unit")

    def __init__(self, targets: Sequence[tuple[ScopeSums, Held, Gross]], qty_scale: int) -> None:
        self.targets = targets
        self.unit = 10 ** (QTY_SCALE - qty_scale)
        self.open_orders = self.position = self.buys = self.sells = self.notional = 0  # quantities as in the row


class ExposureSums:
    """Sums of the scopes that were asked for, over the sessions of a desk."""

    def __init__(self, sessions: Mapping[str, Account]) -> None:
        self._sessions = sessions
        self._scopes: dict[str, ScopeSums] = {}
        self._shares: dict[tuple[str, str, str, int], _Share] = {}

    def scope(self, scope: str) -> ScopeSums:
        """The sums of a scope; asked for before the first row is fed. Always the same object."""
        if scope not in self._scopes:
            if self._shares:
                raise ValueError(f"{scope}: rows were added up before it was asked for")
            self._scopes[scope] = ScopeSums()
        return self._scopes[scope]

    def feed(self, session: str, row: ExposureRow) -> None:
        """Take in that a row of a session's page is now so."""
        share = self._shares.get((session, row.venue, row.instrument, row.qty_scale))
        if share is None:
            share = self._enter(session, row)
        open_orders = row.open_orders - share.open_orders
        position = row.position - share.position
        buys = row.working_buy_qty - share.buys
        sells = row.working_sell_qty - share.sells
        worth = row.buy_notional + row.sell_notional + row.position_notional
        more = worth - share.notional
        if not (open_orders or position or buys or sells or more):
            return
        share.open_orders, share.position, share.notional = row.open_orders, row.position, worth
        share.buys, share.sells = row.working_buy_qty, row.working_sell_qty
        unit = share.unit
        for sums, held, gross in share.targets:
            sums.open_orders += open_orders
            held.position += position * unit
            held.buys += buys * unit
            held.sells += sells * unit
            gross.notional += more

    def _enter(self, session: str, row: ExposureRow) -> _Share:
        """A row that was not there yet, or is there at another scale now: then what it was before goes."""
        for key in [k for k in self._shares if k[:3] == (session, row.venue, row.instrument)]:
            px_scale, qty_scale = row.px_scale, key[3]
            self.feed(session, ExposureRow(venue=key[1], instrument=key[2], px_scale=px_scale, qty_scale=qty_scale))
            del self._shares[key]
        share = _Share(self._aim(session, row.instrument), row.qty_scale)
        self._shares[session, row.venue, row.instrument, row.qty_scale] = share
        return share

    def _aim(self, session: str, instrument: str) -> list[tuple[ScopeSums, Held, Gross]]:
        account = self._sessions.get(session)
        if account is None:
            return []
        of = Owned(account.venue, account.account, session, instrument, "")
        return [
            (sums, sums.held(instrument), sums.gross(quote_of(instrument)))
            for scope, sums in self._scopes.items()
            if covers(scope, of)
        ]
