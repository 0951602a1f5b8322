"""What every venue offers to the processes above it, whatever it speaks.

A venue is one folder with a `Dialect`. The dialect states what the venue can do (`Capabilities`, `CancelPlan`), makes
sessions (state machines without I/O) and describes its REST side. Processes own sockets, time and files; they hand in
bytes, times and commands, and get bytes (through `write`) and events (through a sink).
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from base.config import Kind, SessionConfig, VenueConfig
from base.instruments import Instrument
from ipc.events import AnyEvent
from ipc.requests import NewOrder
from venues.cancel_plan import CancelAnswer, CancelOutcome, CancelPlan, CancelStep, DeadMan, OpenOrders
from venues.facts import RestCall, Wire
from venues.limits import RateLimits

__all__ = [
    "BookRule", "CancelAnswer", "CancelOutcome", "CancelPlan", "CancelStep", "Capabilities", "DeadMan", "Dialect",
    "Disconnect", "MarketDataSession", "MassStatus", "OpenOrder", "OpenOrders", "Page", "RecordSink", "Replace",
    "RestApi", "RestRequest", "SessionContext", "SessionPhase", "Sink", "TellsBuyingPower", "TradePage",
    "TradingSession", "VenueBalance", "VenuePosition", "VenueSession", "VenueTrade", "WorkingOrder",
]  # fmt: skip


class Replace(StrEnum):
    """How a working order is changed."""

    NONE = "none"
    IN_PLACE = "in_place"  # 35=G
    CANCEL_NEW = "cancel_new"  # the venue cancels and places anew: queue place is lost


class Disconnect(StrEnum):
    """What happens to working orders when the session drops."""

    CANCELS = "cancels"
    KEEPS = "keeps"
    UNKNOWN = "unknown"


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue can do, as its documentation says; processes and the kill switch plan from this."""

    kinds: frozenset[Kind]
    levels: frozenset[int]  # book levels: 2, 3
    new_types: frozenset[str]  # OrdType(40) accepted in NewOrder.ord_type
    times_in_force: frozenset[str]  # TimeInForce(59)
    replace: Replace
    status_request: bool  # one order can be asked for (FIX or REST)
    mass_cancel: bool
    mass_cancel_report: bool  # a 35=r (or like) answers
    open_orders: OpenOrders
    disconnect: Disconnect
    resend: bool  # missed messages can be had again
    checksum: bool  # books carry a checksum
    update_ids: bool  # books carry contiguous update ids
    reference_data: bool
    trading_status: bool
    planned_moves: bool  # the venue announces maintenance and expects a move to a new session
    account_wide_reports: bool  # this session also hears of orders that others placed
    limits: RateLimits = RateLimits()
    cancel_batch: int = 1  # cancels of one instrument's orders that one message may hold
    order_batch: int = 1  # new orders of one instrument that one message may hold, those that `may_join` allows
    mass_cancel_by_instrument: bool = True  # a mass cancel can be of one instrument alone
    numbers_go_on: bool = True  # our own sequence numbers do, over connections
    drop_copy_fills_only: bool = False  # drop copy tells trades, and nothing of orders and cancels
    shared_trade_ids: bool = True  # REST names a trade as the session's reports do
    documented: str = ""  # date of the documentation that this follows: "2026-07-17", or as much of it as is known
    wires: dict[Kind, Wire] = {}  # of each kind of session that there is
    session_status: bool = True  # `TradingSession.order_status` is there: not REST alone answers for one order
    mass_status: bool = False  # and so is `mass_status`
    rest: frozenset[RestCall] = frozenset()  # what REST has; nothing where it is not configured
    exec_ids: Literal["account", "session"] = "account"  # what ExecID(17) is one name in: all sessions that tell a
    # report, or each by itself (then a trade is known again by its id, and by the order's quantity, alone)


class BookRule(msgspec.Struct, frozen=True, kw_only=True):
    """How the continuity of a book is checked."""

    continuity: Literal["none", "checksum", "update_ids", "newest"]  # newest: ids only rise, holes do not matter
    checksum_levels: int = 10
    checksum_px_digits: int = -1  # decimals that the venue prints; -1 = the instrument's px_scale
    checksum_qty_digits: int = -1
    window: int = 0  # levels a side that the venue keeps us informed of; 0 = all
    top_only: bool = False  # best bid and offer alone: a level replaces its side (book ticker)
    ignore_unknown: bool = False  # L3: changes of orders that are not in the book are passed over
    rise_requeues: bool = False  # L3: an order whose quantity rises goes behind the others of its price
    fragments: bool = False  # snapshots come in pieces, and increments between them count


class WorkingOrder(msgspec.Struct, kw_only=True):
    """What a session needs to know of an order in order to cancel, replace or ask for it."""

    instrument: Instrument
    cl_ord_id: str  # last ClOrdID of the order
    order_id: str
    side: str
    ord_type: str
    time_in_force: str
    order_qty: int
    price: int | None
    stop_px: int | None
    leaves_qty: int
    cum_qty: int = 0
    sent_ns: int = 0
    exec_inst: str = ""  # as in NewOrder; "" also when it is not known any more (the session then helps out)
    display_qty: int | None = None  # these as in NewOrder: a replace says them again, or refuses to lose them
    expire_ns: int = 0
    effective_ns: int = 0
    options: dict[str, str] = {}


class OpenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order of the venue's list."""

    order_id: str
    cl_ord_id: str  # "" when the venue does not say
    symbol: str
    side: str
    order_qty: str  # decimal text
    cum_qty: str
    price: str
    status: str  # OrdStatus(39)
    transact_ns: int = 0


class Page(msgspec.Struct, frozen=True):
    """A page of the venue's list; `cursor` is empty on the last one."""

    orders: tuple[OpenOrder, ...]
    cursor: str = ""


class VenueTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of the account as the venue's REST side tells it; numbers as decimal text."""

    trade_id: str
    order_id: str
    symbol: str
    side: str
    px: str
    qty: str
    cl_ord_id: str = ""  # "" when the venue does not say
    fees: tuple[tuple[str, str], ...] = ()  # (currency, amount); positive is paid
    liquidity: str = ""  # M, T, "" unknown
    transact_ns: int = 0


class TradePage(msgspec.Struct, frozen=True):
    """A page of trades; `cursor` is empty on the last one."""

    trades: tuple[VenueTrade, ...]
    cursor: str = ""
    newest_first: bool = False  # pages go back in time: who knows since when may stop there


class VenueBalance(msgspec.Struct, frozen=True, kw_only=True):
    """One currency of the account, exact decimal texts as in ipc.events.Balance."""

    currency: str
    total: str
    available: str
    held: str
    buying_power: str


class VenuePosition(msgspec.Struct, frozen=True, kw_only=True):
    """What the account holds in one derivative, in the venue's symbol; signed exact decimal text, in contracts."""

    symbol: str
    qty: str


class RestRequest(msgspec.Struct, frozen=True):
    """An HTTP request to be sent as it stands (Host and Content-Length are added by the client)."""

    method: str
    target: str  # path with query
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class RestApi(Protocol):
    """The venue's REST side: requests out, answers in, no I/O. Parsers raise VenueError naming what was wrong."""

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest: ...
    def parse_open_orders(self, status: int, body: bytes) -> Page: ...
    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest: ...
    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
        """The order whatever its state, or None when the venue says it never heard of it.

        `cl_ord_id`: of the order asked for; an answer may hold others, too.
        """
        ...

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        """A page of trades that has those of `order` since then among it (others may be there, too).

        None where the venue cannot tell: no such call, or it wants an OrderID that is not known.
        """
        ...

    def parse_trades(self, status: int, body: bytes) -> TradePage: ...
    def balances(self, wall_ns: int) -> RestRequest | None:
        """What the account holds; None where the venue does not tell."""
        ...

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]: ...
    def positions(self, wall_ns: int) -> RestRequest | None:
        """The account's positions in derivatives; None where the venue has none, or does not tell."""
        ...

    def parse_positions(self, status: int, body: bytes) -> tuple[VenuePosition, ...]: ...
    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """Requests that together cancel every order of the account (on these instruments where it goes by symbol)."""
        ...

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """Number of orders the venue says it cancels, None when it does not say; VenueError when it refused."""
        ...

    def cancel_order(self, wall_ns: int, instrument: Instrument, order_id: str, cl_ord_id: str) -> RestRequest | None:
        """Cancel one order of the account, whatever session placed it, by OrderID where it is known ("" where not);
        None where the venue cannot.
        """
        ...

    def parse_cancel_order(self, status: int, body: bytes) -> CancelAnswer:
        """Never raises: what cannot be read is an outcome unknown."""
        ...

    def cancel_after(self, wall_ns: int, seconds: int) -> RestRequest | None:
        """Start the account's dead man's timer anew with so many seconds, 0 disables it; None where there is none."""
        ...

    def parse_cancel_after(self, status: int, body: bytes) -> None:
        """VenueError when the venue did not take it."""
        ...


@runtime_checkable
class TellsBuyingPower(Protocol):
    """A REST side that tells, beside its balances, what credit adds to what may be spent."""

    def buying_power(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """Requests that together tell it for the currencies of these instruments; none where it is not to be had."""
        ...

    def parse_buying_power(self, status: int, body: bytes) -> tuple[str, str]:
        """(currency, amount that may be spent), exact decimal text; the least of several answers counts."""
        ...


class SessionContext(msgspec.Struct, kw_only=True):
    """What a process gives a session, which keeps its store and FIX log below `data_dir` and `log_dir`.

    A directory left at Path() means that nothing is kept on disk there (tests).
    """

    name: str
    config: SessionConfig
    venue: VenueConfig
    instruments: list[Instrument]
    epoch: int  # wall_ns of the process's start
    username: str = ""
    password: str = ""
    passphrase: str = ""
    data_dir: Path = Path()
    log_dir: Path = Path()
    log_bytes: int = 64 << 20  # of each FIX log, all its parts together
    options: dict[str, Any] = {}
    sender_comp_id: str = ""  # overrides the configured one (planned move to the alternate)


class SessionPhase(StrEnum):
    """Life of a session as processes see it."""

    DISCONNECTED = "DISCONNECTED"
    LOGGING_ON = "LOGGING_ON"
    RECOVERING = "RECOVERING"  # logged on; what either side missed is being had again: cancels only
    READY = "READY"
    LOGGING_OUT = "LOGGING_OUT"


class Sink(Protocol):
    """Where a session delivers. When `event` raises, the message that carried it does not count as received."""

    def event(self, event: AnyEvent) -> None:
        """An application event, in order."""
        ...

    def phase(self, phase: SessionPhase, reason: str) -> None:
        """The session went into another phase."""
        ...

    def disconnect(self, reason: str) -> None:
        """The session wants its connection closed now."""
        ...

    def planned_move(self, seconds_left: int, text: str) -> None:
        """The venue announced that this session ends: open a new one in time and move over."""
        ...

    def alert(self, severity: str, code: str, text: str) -> None:
        """Something a person should know."""
        ...


class VenueSession(Protocol):
    """One session with a venue: a state machine without I/O. Times: monotonic and UTC nanoseconds."""

    phase: SessionPhase
    deadline_ns: int  # monotonic time at which `tick` wants to be called; a far future when never

    def connected(self, write: Callable[[bytes], object], mono_ns: int, wall_ns: int) -> None: ...
    def received(self, data: memoryview | bytes, mono_ns: int, wall_ns: int) -> None: ...
    def disconnected(self, reason: str, mono_ns: int, wall_ns: int) -> None: ...
    def tick(self, mono_ns: int, wall_ns: int) -> None: ...
    def logout(self, reason: str, mono_ns: int, wall_ns: int) -> None: ...
    def numbers(self) -> tuple[int, int]:
        """Next outgoing and next expected incoming sequence number (0, 0 where the venue has none)."""
        ...

    def counters(self) -> dict[str, int]: ...
    def reset_numbers(self, next_out: int, next_in: int, reason: str, wall_ns: int) -> None:
        """An operator sets the numbers of a session that is not connected; a halted one may connect again."""
        ...

    def halted(self) -> str:
        """Why the session must not connect before an operator has set its numbers, with the command; "" when it may."""
        ...

    def upkeep(self) -> bool:
        """Work ahead for quiet moments, bounded; False when nothing is left to do."""
        ...

    def sync(self) -> None:
        """Have on disk what the session keeps there. Blocks; safe in a helper thread."""
        ...

    def close(self) -> None:
        """Give back files and locks; the session is of no use afterwards."""
        ...


MassStatus = Callable[[tuple[OpenOrder, ...], str], None]
"""Takes the answer to a mass status request: the orders, or an error text."""


class TradingSession(VenueSession, Protocol):
    """Order entry. Every method below hands the bytes to `write` before it returns, or raises and sends nothing:
    SessionError when the state forbids it, VenueError when the venue cannot do it, CodecError when a value is not
    fit to be sent. `mono_ns, wall_ns` as everywhere.

    Refusals arrive as events whatever the venue's channel: a new order's as ExecutionReport 150=8 39=8, a cancel's or
    replace's as CancelReject, a mass cancel's as MassCancelReport 531=0. A status request's is a CancelReject with
    response_to "" when the venue says that it knows no such order, and an Alert otherwise.
    """

    def make_cl_ord_id(self, wall_ns: int) -> str:
        """A fresh ClOrdID in the venue's form: unique over restarts, and rising where the venue wants it."""
        ...

    def owns(self, cl_ord_id: str) -> bool:
        """Whether this session made that ClOrdID; False marks the orders of others where reports are account-wide."""
        ...

    def replace_is_new(self, order: WorkingOrder, order_qty: int, price: int | None, stop_px: int | None) -> bool:
        """Whether that replace cancels the order and places a NEW one, whose ClOrdID is then the `request_id`.

        The caller enters the new order in its books before it calls `replace_order`: the old one ends by 150=4.
        """
        ...

    def new_order(
        self, order: NewOrder, instrument: Instrument, cl_ord_id: str, mono_ns: int, wall_ns: int
    ) -> None: ...
    def may_join(self, order: NewOrder) -> bool:
        """Whether the venue takes such an order as one of several in a message."""
        ...

    def new_orders(
        self, orders: Sequence[tuple[NewOrder, str]], instrument: Instrument, mono_ns: int, wall_ns: int
    ) -> list[str]:
        """Orders of one instrument, each with its ClOrdID, in one message; VenueError where there is none.

        Answers why each is not in the message, "" where it is: one that is not fit to be sent keeps no other back.
        """
        ...

    def cancel_order(self, order: WorkingOrder, request_id: str, mono_ns: int, wall_ns: int) -> None: ...
    def cancel_orders(self, orders: Sequence[tuple[WorkingOrder, str]], mono_ns: int, wall_ns: int) -> None:
        """Orders of one instrument, each with its request's id, in one message; VenueError where there is none."""
        ...

    def replace_order(
        self,
        order: WorkingOrder,
        request_id: str,
        order_qty: int,
        price: int | None,
        stop_px: int | None,
        mono_ns: int,
        wall_ns: int,
    ) -> None: ...
    def order_status(self, order: WorkingOrder, request_id: str, mono_ns: int, wall_ns: int) -> None: ...
    def mass_status(self, request_id: str, answered: MassStatus, mono_ns: int, wall_ns: int) -> None:
        """Ask for every order at once; `answered` is called when the last report has come, or at a refusal.

        It is never called when the connection is lost. VenueError where the venue has no such request.
        """
        ...

    def mass_cancel(self, instrument: Instrument | None, request_id: str, mono_ns: int, wall_ns: int) -> None:
        """One request; VenueError when the venue wants one for each instrument and none is given, or takes none."""
        ...


class RecordSink(Protocol):
    """Where a market-data session delivers book records (base/md_record.h; `instrument` = index in the context)."""

    def subscribed(self, instrument: int, req_key: int, rule: BookRule) -> None:
        """A subscription leaves: from now on only records whose MDReqID key is `req_key` count, by this rule.

        The book waits for a snapshot. Called again at every refresh and logon, always before the venue can answer.
        """
        ...

    def records(self, words: memoryview, n_words: int) -> None:
        """Records decoded from one socket read, in order. The buffer is reused after the call."""
        ...


class MarketDataSession(VenueSession, Protocol):
    """Market data. Subscribes to all its instruments when it becomes READY, as fast as the venue's limits allow.

    An instrument whose venue precision is finer than its configured scale is not subscribed to: it is announced by
    InstrumentDefinition(status="HALTED", confirmed=False) and a critical Alert.
    """

    rule: BookRule  # the session's own; `RecordSink.subscribed` has the instrument's

    def refresh(self, instrument: int, mono_ns: int, wall_ns: int) -> None:
        """Ask for a fresh snapshot of the instrument with this index (unsubscribe, subscribe anew)."""
        ...


class Dialect(Protocol):
    """One venue."""

    name: str

    def capabilities(self, venue: VenueConfig) -> Capabilities:
        """What this venue can do as it is configured (its market, the messages it knows)."""
        ...

    def variants(self) -> dict[str, dict[str, Any]]:
        """Configurations that `qd venues` shows, one line each: a name, "" for the plain one, and its options."""
        ...

    def check(self, venue: VenueConfig, sessions: dict[str, SessionConfig], path: str) -> None:
        """ConfigError naming `path` when options or sessions are not what the venue takes."""
        ...

    def cancel_plan(self, venue: VenueConfig) -> CancelPlan: ...
    def trading(self, context: SessionContext, sink: Sink) -> TradingSession: ...
    def marketdata(self, context: SessionContext, sink: Sink, records: RecordSink) -> MarketDataSession: ...
    def dropcopy(self, context: SessionContext, sink: Sink) -> VenueSession: ...
    def rest(self, venue: VenueConfig, key: str, secret: str, passphrase: str = "") -> RestApi | None: ...
