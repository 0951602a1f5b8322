"""Orders and what happens to them inside a simulated venue: venue-neutral, integers at the instrument's scales.

Letters are FIX's own: sides are 0 buy and 1 sell here, ExecType(150) and OrdStatus(39) as on the wire.
"""

from dataclasses import dataclass, field
from enum import StrEnum

BUY, SELL = 0, 1

MARKET_ACCOUNT = ""  # the anonymous crowd: no session stands behind it, and it never counts as self-trade


class Stp(StrEnum):
    """Self-trade prevention, as the taker's order asks for it."""

    NONE = "none"
    CANCEL_TAKER = "cancel_taker"
    CANCEL_MAKER = "cancel_maker"
    CANCEL_BOTH = "cancel_both"
    DECREMENT = "decrement"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who stands behind an order. Cancel scopes differ by venue: account, comp id or one logon (connection)."""

    account: str
    comp_id: str = ""
    connection: int = 0


CROWD = Owner(MARKET_ACCOUNT)


@dataclass(slots=True)
class Trigger:
    """Makes an order sleep until a trade prints at `px` or beyond, upwards or downwards.

    `trail` (units of price) or `trail_bips` move `px` behind the best trade price seen; `active_px` delays trailing.
    """

    px: int
    up: bool
    trail: int = 0
    trail_bips: int = 0
    active_px: int = 0
    armed: bool = True

    def fires(self, last_px: int) -> bool:
        """Whether a trade at `last_px` fires it; trails first."""
        if not self.armed:
            reached = last_px <= self.active_px if self.up else last_px >= self.active_px
            if not reached:
                return False
            self.armed = True
        self._follow(last_px)
        return last_px >= self.px if self.up else last_px <= self.px

    def _follow(self, last_px: int) -> None:
        distance = self.trail or last_px * self.trail_bips // 10_000
        if not distance:
            return
        behind = last_px + distance if self.up else last_px - distance
        if self.px == 0 or (behind < self.px if self.up else behind > self.px):
            self.px = behind


@dataclass(slots=True)
class Order:
    """One order of a simulated venue; only its market changes it."""

    order_id: str
    cl_ord_id: str
    symbol: str
    owner: Owner
    side: int
    qty: int
    price: int | None = None  # None: market
    tif: str = "1"  # 1 GTC, 3 IOC, 4 FOK, 6 GTD
    post_only: bool = False
    display: int = 0  # iceberg: visible quantity; 0 = all
    quote_qty: int = 0  # market order by value: px x qty units still to spend; qty is then what was filled
    trigger: Trigger | None = None
    start_ns: int = 0
    expire_ns: int = 0
    stp: Stp = Stp.NONE
    wire: dict[int, str] = field(default_factory=dict)  # fields of the request that reports echo
    # state
    status: str = "A"
    cum: int = 0
    notional: int = 0  # sum of px x qty of the fills
    prevented: int = 0  # taken away by self-trade prevention
    shown: int = 0
    opened_ns: int = 0
    closed_ns: int = 0
    queue_ns: int = 0  # when it joined its price level
    origin: str = ""  # ClOrdID of the previous version
    amends: int = 0
    ended: str = ""  # why it was cancelled or expired, as Event.reason has it

    @property
    def leaves(self) -> int:
        """Quantity still open; 0 once the order is finished."""
        return 0 if self.done else max(self.qty - self.cum - self.prevented, 0)

    @property
    def done(self) -> bool:
        return self.status in "24C8"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to an order, with the order's figures at that moment."""

    kind: str  # ExecType(150): 0 A F 4 5 C D
    order: Order
    time_ns: int
    status: str
    cum: int
    leaves: int
    qty: int
    notional: int
    reason: str = ""  # why a 4 or C: request, ioc, fok, no_liquidity, post_only, stp, expired, disconnect, engine
    request_id: str = ""  # ClOrdID of the cancel or replace that caused it
    last_px: int = 0
    last_qty: int = 0
    trade_id: int = 0
    aggressor: bool = False
    counter_id: str = ""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of a client's order, as it is kept for good: what every report is held against."""

    time_ns: int
    order_id: str
    trade_id: int
    px: int
    qty: int
    cum: int
    aggressor: bool = False


@dataclass(frozen=True, slots=True)
class Trade:
    """A public trade; `side` is the taker's."""

    trade_id: int
    px: int
    qty: int
    side: int
    time_ns: int
    market_order: bool = False


@dataclass(frozen=True, slots=True)
class L3Change:
    """One change of one visible order: action 0 new, 1 quantity changed, 2 gone."""

    action: int
    side: int
    order_id: str
    px: int
    qty: int
    time_ns: int
    traded: int = 0  # by so much a trade changed it: the k-th such change belongs to the update's k-th trade


@dataclass(slots=True)
class Update:
    """What the public feed hears of one step: levels as absolute sizes, orders, trades."""

    time_ns: int = 0
    levels: list[tuple[int, int, int]] = field(default_factory=list)  # (side, px, size)
    orders: list[L3Change] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    first_id: int = 0  # replay only: the venue's own update ids
    last_id: int = 0
    best: tuple[tuple[int, int], tuple[int, int]] | None = None  # replay only: best bid and offer as the venue said

    def __bool__(self) -> bool:
        return bool(self.levels or self.orders or self.trades or self.best)
