"""Every event of the bus, as msgspec structs: the schema.

On the wire an event is a MessagePack array whose first element is its tag. Fields are only ever added at the
end, with a default: that is compatible. Anything else raises SCHEMA_VERSION. Prices and sizes are integers at
the scale that the event carries (`px_scale`, `qty_scale`: value / 10**scale); `*_ns` are UTC nanoseconds,
`*_mono_ns` are the host's monotonic clock. One-character codes are FIX values (Side 54, OrdType 40,
TimeInForce 59, ExecType 150, OrdStatus 39). An empty string or None means that the venue did not say.
"""

from typing import TypeAlias

import msgspec

SCHEMA_VERSION = 1
_SUBJECT_CHARS = 80


class Event(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Base of every event."""


class ExecutionReport(Event, tag="exec", frozen=True):
    """What a venue said of one order: 35=8, or a refusal on another channel given the same form (`origin`)."""

    session: str
    venue: str
    account: str
    instrument: str
    cl_ord_id: str  # ClOrdID(11) of the order (never of the cancel request)
    order_id: str  # OrderID(37)
    exec_id: str  # ExecID(17); "" when the venue gave none
    exec_type: str  # ExecType(150)
    ord_status: str  # OrdStatus(39)
    side: str  # Side(54)
    ord_type: str  # OrdType(40)
    time_in_force: str  # TimeInForce(59)
    px_scale: int
    qty_scale: int
    order_qty: int | None
    price: int | None
    stop_px: int | None
    last_qty: int | None
    last_px: int | None
    cum_qty: int | None
    leaves_qty: int | None
    transact_ns: int  # TransactTime(60); 0 when absent
    sending_ns: int  # SendingTime(52); 0 when absent
    recv_ns: int
    request_id: str = ""  # ClOrdID(11) as received when it names a request (cancel, replace) rather than the order
    orig_cl_ord_id: str = ""  # OrigClOrdID(41)
    text: str = ""  # Text(58)
    reason_code: str = ""  # OrdRejReason(103), BusinessRejectReason(380), SessionRejectReason(373) or venue code
    origin: str = "8"  # channel: MsgType that carried it (8, 3, j, ...), "rest", or "local" when refused before sending
    poss_dup: bool = False
    poss_resend: bool = False
    drop_copy: bool = False
    strategy: str = ""  # owner of the order, as the desk knows it
    client_id: str = ""
    command_id: str = ""
    trade_id: str = ""
    liquidity: str = ""  # "M" maker, "T" taker, "" unknown
    fees: tuple[tuple[str, str], ...] = ()  # (currency, exact decimal text); positive is paid
    venue_symbol: str = ""
    defects: tuple[str, ...] = ()  # what was odd about the message; the report counts all the same
    display_qty: int | None = None
    exec_ref_id: str = ""  # ExecRefID(19): the execution that a correction (150=G) or a bust (150=H) is about
    swept: bool = False  # a cancel that the desk made itself, of all it has: at a stop, a lost lease, a closed gate
    foreign: bool = False  # of an order that is not this session's: another's of the account, or a stranger's


class CancelReject(Event, tag="cxlrej", frozen=True):
    """A cancel or replace request was refused (35=9, XAR, or 35=3 / 35=j that refers to one)."""

    session: str
    venue: str
    instrument: str
    cl_ord_id: str  # the order the request was about
    request_id: str  # ClOrdID of the refused request
    order_id: str
    response_to: str  # CxlRejResponseTo(434): "1" cancel, "2" replace
    reason_code: str
    text: str
    origin: str  # channel that carried it, as in ExecutionReport
    recv_ns: int
    unknown_order: bool = False  # the venue says it knows no such open order
    strategy: str = ""
    client_id: str = ""
    command_id: str = ""


class MassCancelReport(Event, tag="masscxl", frozen=True):
    """Answer to an OrderMassCancelRequest (35=r), where a venue sends one."""

    session: str
    venue: str
    instrument: str
    request_id: str
    request_type: str  # MassCancelRequestType(530)
    response: str  # MassCancelResponse(531); "0" = rejected
    affected: int | None  # TotalAffectedOrders(533)
    reason_code: str
    text: str
    recv_ns: int


class OrderState(Event, tag="order", frozen=True):
    """The desk's own view of an order after a change; `state` is one of ORDER_STATES."""

    session: str
    venue: str
    account: str
    instrument: str
    cl_ord_id: str
    order_id: str
    state: str  # one of ORDER_STATES
    side: str
    ord_type: str
    time_in_force: str
    px_scale: int
    qty_scale: int
    order_qty: int
    price: int | None
    cum_qty: int
    leaves_qty: int
    strategy: str
    client_id: str
    command_id: str
    since_ns: int
    reason: str = ""
    stop_px: int | None = None
    exec_inst: str = ""  # as in NewOrder
    inferred: bool = False  # finished without a report that says so: one that shows it alive opens it again
    display_qty: int | None = None
    expire_ns: int = 0
    effective_ns: int = 0
    options: dict[str, str] = {}  # further venue options, as in NewOrder
    untold: int = 0  # of cum_qty: filled quantity that no report of a trade accounts for yet, at qty_scale
    trades: bytes = b""  # what is known of its trades, for the publisher's own next life (risk.trades)


ORDER_STATES = (
    "PENDING_NEW",  # stored and handed to the session, not answered yet
    "NEW",
    "PARTIALLY_FILLED",
    "PENDING_CANCEL",
    "PENDING_REPLACE",
    "UNCERTAIN",  # fate unknown: followed until a report, a status answer or the venue's list settles it
    "FILLED",
    "CANCELED",
    "REJECTED",
    "EXPIRED",
)
OPEN_STATES = frozenset(ORDER_STATES[:6])


class Position(Event, tag="position", frozen=True):
    """Net position of one session: its fills, and what the account held before; said at start and after each fill."""

    session: str
    venue: str
    account: str
    instrument: str
    position: int  # signed, at qty_scale
    qty_scale: int
    ts_ns: int
    mark_px: int = 0  # price of the last fill, at px_scale
    px_scale: int = 0  # scale of mark_px
    opening: int | None = None  # what of it was there before the desk's own fills, at qty_scale; none: not told yet


class Balance(Event, tag="balance", frozen=True):
    """What the venue says the account holds of one currency; exact decimal texts, "" where it does not say."""

    session: str
    venue: str
    account: str
    currency: str  # the desk's ticker, as BTC
    total: str  # all that the account has of it
    available: str  # total less what is held
    held: str  # by working orders, or as margin
    buying_power: str  # what the venue would let be spent or risked now, in this currency
    ts_ns: int  # when it was learnt, UTC ns
    origin: str = "rest"  # channel: rest


class Difference(Event, tag="diff", frozen=True):
    """Reconciliation found the desk and the venue of two minds about an order; what was done is said.

    Kinds: unknown_at_venue, unknown_here, qty, filled_meanwhile, missed_fill, finished_meanwhile, alive_after_all,
    adopted.
    """

    session: str
    venue: str
    instrument: str
    cl_ord_id: str
    order_id: str
    kind: str  # what it is about: one of the kinds above
    desk: str  # what the desk held
    venue_says: str  # what the venue says
    settled_by: str  # what settled it
    ts_ns: int


class SessionState(Event, tag="session", frozen=True):
    """State of one venue session."""

    session: str
    venue: str
    kind: str  # trading, marketdata, dropcopy, kill
    state: str  # DISCONNECTED, CONNECTING, LOGGING_ON, RECOVERING, READY, LOGGING_OUT
    reason: str
    since_ns: int
    next_out: int
    next_in: int
    counters: dict[str, int] = {}


class ProcessState(Event, tag="process", frozen=True):
    """Readiness of one process; the same words stand in shared memory."""

    process: str
    kind: str  # kind of process: trading, marketdata, book, killswitch, ...
    pid: int
    readiness: str  # STARTING, RECOVERING, READY, DEGRADED, STOPPING
    reason: str
    since_ns: int
    build: str  # fingerprint of the code
    config: str  # fingerprint of the configuration
    counters: dict[str, int] = {}


class InstrumentDefinition(Event, tag="instrument", frozen=True):
    """Reference data of one instrument, as configured and confirmed or corrected by the venue."""

    venue: str
    instrument: str
    venue_symbol: str
    px_scale: int
    qty_scale: int
    tick_size: int  # at px_scale
    lot_size: int  # at qty_scale
    min_qty: int  # at qty_scale
    max_qty: int  # at qty_scale; 0 = no limit
    min_notional: str  # exact decimal text in quote currency; "" = none
    status: str  # TRADING, CANCEL_ONLY, POST_ONLY, LIMIT_ONLY, REDUCE_ONLY, HALTED, HIDDEN, UNKNOWN
    confirmed: bool  # the venue's own data agrees


class BookSnapshot(Event, tag="snap", frozen=True):
    """The whole book, best first. `bids` and `asks` are packed little-endian int64: L2 (px, qty), L3 (px, qty, key,
    time_ns).
    """

    venue: str
    instrument: str
    level: int  # 2 or 3
    px_scale: int
    qty_scale: int
    bids: bytes  # packed little-endian int64: L2 (px, qty), L3 (px, qty, key, time_ns), best first
    asks: bytes  # as bids
    last_update_id: int
    sending_ns: int
    recv_ns: int
    request_id: str = ""  # echoes a SnapshotRequest


class BookDelta(Event, tag="delta", frozen=True):
    """Verified changes of one or more venue messages, in order. `changes`: packed little-endian int64, L2 (what, px,
    qty), L3 (what, px, qty, key, time_ns); `what`: bits 0-7 side (0 bid, 1 offer), bits 8-15 action (0 new, 1 change,
    2 delete), bit 25 set on the last change of a venue message.
    """

    level: int
    changes: bytes  # packed little-endian int64: L2 (what, px, qty), L3 (what, px, qty, key, time_ns)
    last_update_id: int
    sending_ns: int
    recv_ns: int
    n_messages: int = 1  # venue messages that the changes come from


class PublicTrade(Event, tag="trade", frozen=True):
    """A trade of the market."""

    venue: str
    instrument: str
    px: int
    qty: int
    px_scale: int
    qty_scale: int
    aggressor: str  # "1" buy, "2" sell, "" unknown
    trade_id: str
    transact_ns: int
    recv_ns: int


class BookStatus(Event, tag="book", frozen=True):
    """Validity of a book: LIVE, RECOVERING, STALE, CROSSED, HALTED."""

    venue: str
    instrument: str
    status: str  # LIVE, RECOVERING, STALE, CROSSED or HALTED
    reason: str
    since_ns: int


class TopOfBook(Event, tag="bbo", frozen=True):
    """Best bid and offer after a change; a side without orders has qty 0."""

    venue: str
    instrument: str
    bid_px: int
    bid_qty: int
    ask_px: int
    ask_qty: int
    px_scale: int
    qty_scale: int
    recv_ns: int


class BookSource(Event, tag="source", frozen=True):
    """A book is taken from another market-data session from now on: its fresh snapshot made it LIVE."""

    venue: str
    instrument: str
    level: int  # 2 or 3
    session: str  # market-data session that it is taken from now
    previous: str  # the one before
    reason: str  # why the book was LIVE no more: a book's reason, as in BookStatus
    since_ns: int


class KillState(Event, tag="kill", frozen=True):
    """State of one scope of the kill switch."""

    scope: str  # "desk", "venue:X", "account:X", "session:X", "strategy:X", "instrument:X"
    state: str  # DISARMED, ARMED, TRIPPING, TRIPPED, RESETTING
    generation: int  # generation of the gate word
    reason: str
    cause: str  # operator, limit, process, session, lease, ...
    since_ns: int
    working: int
    proven: int
    uncertain: int  # orders of unknown fate


class KillProgress(Event, tag="killstep", frozen=True):
    """One step of a trip: what was done and what it brought."""

    trip_id: str  # which trip
    step: str  # which step
    detail: str  # what was done and what it brought
    working: int
    proven: int
    filled: int  # orders that filled on the way
    ts_ns: int


class Alert(Event, tag="alert", frozen=True):
    """Something a person should know; `severity` is info, warning, critical.

    An info of the same source, code and subject says that what a warning or critical told is over.
    """

    source: str  # process that says it
    severity: str
    code: str
    text: str
    ts_ns: int
    subject: str = ""  # what it is about: a session, a scope, an order; "" = the word before the first ": " of the text
    mark: int = 0  # how far it has come, where that rises (percent of a limit): each further one is said; 0 else


def told_beside(report: ExecutionReport) -> bool:
    """Of an order that the session which tells it did not place: its owner's own reports are what figures count."""
    return report.drop_copy or report.foreign


def alert_subject(alert: Alert) -> str:
    """What an alert is about: its subject, or the one word before the first ": " of its text, or ""."""
    head, colon, _ = alert.text.partition(": ")
    return alert.subject or (head if colon and " " not in head and len(head) <= _SUBJECT_CHARS else "")


class VenueLimit(Event, tag="limit", frozen=True):
    """A rate limit in the venue's own words: `used` of `most` in `interval_s` seconds."""

    session: str
    venue: str
    name: str  # messages, orders, ... as the dialect calls it
    used: int  # counted so far
    most: int  # allowed
    interval_s: int  # length of the window, s
    ts_ns: int  # when the venue said it, UTC ns


class Marker(Event, tag="marker", frozen=True):
    """Travels in band and closes a snapshot or a replay: what was asked for under this id is complete up to here."""

    request_id: str
    kind: str  # snapshot, replay
    next_seq: int  # sequence number that live events of the topic go on with


class Break(Event, tag="break", frozen=True):
    """The ledger's views of a fill or an order differ; said again when that is over (`closed_ns`)."""

    break_id: int  # the ledger's number of it
    kind: str  # missing, quantity, price, doubled, unexplained, unknown_order, unknown_fill, gap
    lacks: str  # the view that does not show it: order_entry, drop_copy; "" where neither is in the wrong
    venue: str
    account: str
    instrument: str
    order_id: str
    cl_ord_id: str
    trade_id: str
    strategy: str
    order_entry: str  # what order entry says
    drop_copy: str  # what the drop copy says
    text: str
    opened_ns: int  # since when, UTC ns
    closed_ns: int = 0  # when it was over, UTC ns; 0 while it is open
    closed_by: str = ""  # what ended it: "healed", or a person's word


AnyEvent: TypeAlias = (
    ExecutionReport
    | CancelReject
    | MassCancelReport
    | OrderState
    | Position
    | Balance
    | Difference
    | SessionState
    | ProcessState
    | InstrumentDefinition
    | BookSnapshot
    | BookDelta
    | PublicTrade
    | BookStatus
    | TopOfBook
    | BookSource
    | KillState
    | KillProgress
    | Alert
    | VenueLimit
    | Marker
    | Break
)


class Envelope(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Payload of one frame `topic NUL payload`. Event i of `events` has sequence number `first_seq + i`.

    A heartbeat is an envelope without events: `first_seq` is then the number the next event will have.
    """

    schema: int  # SCHEMA_VERSION
    epoch: int  # UTC ns at which the publisher started; another one is another life
    first_seq: int  # 1 for the first event of an epoch and topic
    sent_ns: int  # when the frame was sent, UTC ns
    events: tuple[AnyEvent, ...]  # in order; none in a heartbeat
