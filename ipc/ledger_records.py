"""What the ledger keeps, as its store and its logic both know it. Quantities and prices are integers at the scales."""

from typing import Final

import msgspec

ENTRY: Final = 0  # the two views of an account: the desk's own trading sessions, and the venue's drop copy
COPY: Final = 1
VIEWS: Final = ("order_entry", "drop_copy")

# Channels that can tell a fill, as bits; trade ids mean the same on all of them unless the dialect says otherwise.
FIX_ENTRY: Final = 1
FIX_COPY: Final = 2
REST: Final = 4


class Said(msgspec.Struct, array_like=True, gc=False):
    """What one view says of a fill: quantity 0 once it was busted. `amended_ns`: of the last bust or correction."""

    qty: int
    px: int
    session: str
    amended_ns: int = 0


class Amendment(msgspec.Struct, array_like=True, gc=False):
    """A bust (150=H) or correction (150=G) of the execution `ref`, or of the trade `trade_id`."""

    exec_type: str
    view: int
    channel: int
    ref: str
    exec_id: str
    trade_id: str
    qty: int
    px: int
    when_ns: int
    recv_ns: int
    session: str


class Fill(msgspec.Struct, kw_only=True, gc=False):
    """One fill of record. `qty` and `px` are what counts now, `first_*` what was reported first; qty 0: busted."""

    id: int
    order: int
    book: int = 0  # the position it counts in
    side: str
    px_scale: int
    qty_scale: int
    first_qty: int
    first_px: int
    qty: int
    px: int
    transact_ns: int  # TransactTime(60), or when it was received where the venue gave none
    trade_id: str = ""
    cum_qty: int | None = None  # of the order, once this fill was done
    names: list[str] = []  # "t<trade id>", "r<trade id over REST>", "x<channel>:<ExecID>"
    channels: int = 0
    entry: Said | None = None
    copy: Said | None = None
    liquidity: str = ""
    fees: tuple[tuple[str, str], ...] = ()
    rank: int = 9  # of the channel that gave time, liquidity and fees; the lowest wins
    recv_ns: int = 0  # first told
    changed_ns: int = 0
    due_ns: int = 0  # when the views are compared; 0: nothing to wait for


class OrderRecord(msgspec.Struct, kw_only=True, gc=False):
    """One order of record, of the desk's own making (`known`) or a stranger's on the account."""

    id: int
    venue: str
    account: str
    instrument: str
    order_id: str = ""
    cl_ord_id: str = ""
    session: str = ""
    strategy: str = ""
    client_id: str = ""
    command_id: str = ""
    known: bool = False
    side: str = ""
    ord_type: str = ""
    time_in_force: str = ""
    px_scale: int = 0
    qty_scale: int = 0
    order_qty: int | None = None
    price: int | None = None
    stop_px: int | None = None
    state: str = ""  # the desk's word (OrderState); "" for a stranger's order
    ord_status: str = ""  # OrdStatus(39) of the last report
    cum_qty: int = 0  # the most that the venue said
    text: str = ""
    first_ns: int = 0
    last_ns: int = 0
    pending: list[Amendment] = []  # of executions not told yet
    due_ns: int = 0
    fills: int = 0  # how many


class BreakRecord(msgspec.Struct, kw_only=True):
    """A difference between the views. `fill_row` 0: of a whole order; `order_row` 0 too: of a journal."""

    id: int
    kind: str
    lacks: str
    order_row: int = 0
    fill_row: int = 0
    venue: str = ""
    account: str = ""
    instrument: str = ""
    order_id: str = ""
    cl_ord_id: str = ""
    trade_id: str = ""
    strategy: str = ""
    order_entry: str = ""
    drop_copy: str = ""
    text: str = ""
    opened_ns: int = 0
    closed_ns: int = 0
    closed_by: str = ""
    said: bool = False  # published in its present state


class BookRecord(msgspec.Struct, kw_only=True, gc=False):
    """Position and realised profit of one strategy, venue, account and instrument, first in first out.

    `lots` are open (quantity, price), oldest first; `position` is signed. Money is at px_scale + qty_scale decimals.
    """

    id: int
    strategy: str
    venue: str
    account: str
    instrument: str
    px_scale: int = 0
    qty_scale: int = 0
    position: int = 0
    lots: list[tuple[int, int]] = []
    realised: int = 0
    bought: int = 0
    sold: int = 0
    bought_value: int = 0
    sold_value: int = 0
    fees: dict[str, str] = {}  # by currency, exact decimal text
    fills: int = 0
    last: tuple[int, int, str, int] = (0, 0, "", 0)  # order of its last fill, as `sort_key` says


class SourceRecord(msgspec.Struct, kw_only=True):
    """How far a session's journal is in the ledger: the next event due, and where to look for its record."""

    session: str
    epoch: int = 0
    next_seq: int = 0
    record: int = 0
    events: int = 0


class BalanceRecord(msgspec.Struct, kw_only=True):
    """The last balance that a venue told of one currency, exact decimal texts."""

    venue: str
    account: str
    currency: str
    session: str
    total: str
    available: str
    held: str
    buying_power: str
    ts_ns: int
    origin: str


def sort_key(fill: Fill) -> tuple[int, int, str, int]:
    """Fills count in this order: venue's time, then trade id as a number where it is one, then the running quantity."""
    return (fill.transact_ns, len(fill.trade_id), fill.trade_id, fill.cum_qty or 0)
