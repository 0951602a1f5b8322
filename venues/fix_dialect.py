"""What a FIX dialect supplies for one session: settings, logon body, encoders, decoding rules.

The adaptors (`fix_session`, `fix_trading`, `fix_marketdata`) drive the FIX engine with it and speak
`venues.interface` to the processes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from base.instruments import Instrument
from fix.codec import BodyWriter, FieldRules, GroupSpec, MdDecoder, Message
from fix.settings import SessionSettings
from ipc.events import AnyEvent, ExecutionReport
from ipc.requests import NewOrder
from venues.fix_requests import Request
from venues.ids import IdSource
from venues.interface import BookRule, WorkingOrder


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """The venue ends this session in `seconds_left` (0 = at once): open another one and move over."""

    seconds_left: int
    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know."""

    severity: Literal["info", "warning", "critical"]
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class TradingStatus:
    """The venue's trading session is in this state (values of InstrumentDefinition.status)."""

    status: str
    text: str


@dataclass(frozen=True, slots=True)
class Reference:
    """What a venue says of one instrument; numbers as decimal text, "" or -1 where it is silent."""

    symbol: str
    px_digits: int
    qty_digits: int
    tick_size: str
    lot_size: str
    min_qty: str = ""
    max_qty: str = ""
    min_notional: str = ""
    status: str = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class BookNumber:
    """A message that counts among a book's update ids without changing the book; `req_id` is its MDReqID, if any."""

    symbol: str
    number: int
    req_id: str = ""


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """The venue's stream of this symbol broke off or begins anew: what we have of its book does not count any more."""

    symbol: str


Said = AnyEvent | PlannedMove | Notice | TradingStatus | Reference | BookNumber | Resubscribe


def standard_unknown(origin: str, code: str, text: str) -> bool:
    """CxlRejReason(102) 0: too late to cancel, 1: unknown order; BusinessRejectReason(380) 1: unknown id."""
    return code in ("0", "1") if origin == "9" else origin == "j" and code == "1"


@dataclass(frozen=True, slots=True)
class ReportRules:
    """How a venue's 35=8, 9, r and j differ from the standard."""

    stop_px_tag: int = 99
    display_tag: int = 111
    trade_id_tags: tuple[int, ...] = (1003, 527)
    liquidity_tag: int = 851
    liquidity: Mapping[str, str] = field(default_factory=lambda: {"1": "M", "2": "T"})
    reason_tags: tuple[int, ...] = (103,)
    """Where a rejected report carries its reason; the first that is present counts."""
    cancel_reason_tags: tuple[int, ...] = (102,)
    required: tuple[int, ...] = (11, 17, 37, 39, 54, 55, 150)
    """Tags whose absence from 35=8 is listed as a defect."""
    cancel_rejects: Mapping[str, str] = field(default_factory=lambda: {"9": ""})
    """MsgTypes that refuse a cancel or replace, with what they answer ("" = CxlRejResponseTo(434) says)."""
    batch_rejects: frozenset[str] = frozenset()
    """MsgTypes that refuse a whole batch, named by `batch_id_tag`."""
    batch_id_tag: int = 8014
    replace_suffix: str = ""
    """Where a replace cancels and places anew: its cancel half goes by the request's ClOrdID with this behind it."""
    unknown_order: Callable[[str, str, str], bool] = standard_unknown
    """Whether (MsgType, reason code, text) of a refusal says that the venue knows no such open order."""
    no_order_ids: tuple[str, ...] = ("", "NONE")
    """OrderID(37) of an answer about an order that the venue does not know."""
    fees: GroupSpec = field(default_factory=lambda: GroupSpec(136, (137, 138, 139, 891)))
    commission_in: Callable[[str, str], str] | None = None
    """Currency of Commission(12) by Symbol(55) and Side(54), where it comes without CommCurrency(479)."""
    standing: frozenset[str] = frozenset()
    """OrdStatus(39) that say nothing of the order's end: read as 0 or 1, by what is filled."""
    old_fills: bool = False
    """FIX 4.2: ExecType(150) 1 and 2 are how fills are said, and no defect."""
    status_trans: frozenset[str] = frozenset("3")
    """ExecTransType(20) that makes a report without ExecRefID(19) the answer to a status request."""
    status_rejects: bool = False
    """A status request that names nothing is answered by 150=8 with 103=5, too."""
    report_types: frozenset[str] = frozenset({"8"})
    """MsgTypes that are read as reports."""
    request_tag: int = 0
    """Where a report names the request that it answers, if not in ClOrdID(11)."""
    events: "Callable[[Message, ExecutionReport, Request | None], Iterable[AnyEvent]] | None" = None
    """What a venue means by a report of its own form: the events of it, given what the standard's fields say."""
    exec_type: Callable[[Message], str] | None = None
    """ExecType(150) in the standard's terms, where a venue leaves it out or means something else by it."""
    swapped_ids: bool = False
    """ClOrdID(11) of a report is the venue's own id and OrigClOrdID(41) the order's, which a replace leaves as it is;
    requests carry no id of their own, and 35=9 names the order as the request did."""
    status_doubts: frozenset[str] = frozenset()
    """OrdRejReason(103) of a 150=I 39=8 that refuses a status request and tells nothing of the order."""
    reject_is_doubt: bool = False
    """35=3 does not prove that an order was not taken: people are told, and the order is asked for."""
    account: str = ""
    """Account(1) of all that concerns this venue's account; a report with another one says whose it is."""

    @property
    def told_by(self) -> frozenset[str]:
        """MsgTypes by which the venue speaks of our orders and requests."""
        return self.report_types | self.batch_rejects | frozenset(self.cancel_rejects)


class FixProfile(Protocol):
    """What every session needs."""

    settings: SessionSettings
    rules: FieldRules | None

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Fields of the Logon after 98, 108 and 141; `sending_time` is the text of 52."""
        ...

    def other(self, message: Message) -> Iterable[Said] | None:
        """What an application message outside the common ones says; None when the dialect does not know its type."""
        ...


class TradingProfile(FixProfile, Protocol):
    """Order entry: each method writes a body and returns its MsgType. VenueError names what the venue cannot do."""

    report_rules: ReportRules
    ids: IdSource

    def new_order(
        self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int
    ) -> str: ...
    def cancel_order(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str: ...
    def replace_order(
        self,
        body: BodyWriter,
        order: WorkingOrder,
        request_id: str,
        order_qty: int,
        price: int | None,
        stop_px: int | None,
        wall_ns: int,
    ) -> str: ...
    def replace_is_new(self, order: WorkingOrder, order_qty: int, price: int | None, stop_px: int | None) -> bool: ...
    def after_logon(self) -> Iterable[tuple[str, bytes]]:
        """Requests (MsgType, body) to be sent once the session is ready; none for most venues."""
        ...

    def order_status(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str: ...
    def mass_status(self, body: BodyWriter, request_id: str, wall_ns: int) -> str: ...
    def mass_cancel(self, body: BodyWriter, instrument: Instrument | None, request_id: str, wall_ns: int) -> str: ...


class BatchProfile(Protocol):
    """Several orders, or several cancels, in one message."""

    def may_join(self, order: NewOrder) -> bool:
        """Whether a batch may hold such an order."""
        ...

    def new_entry(
        self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int
    ) -> None:
        """One order of a batch, as its fields stand in the group. VenueError as `TradingProfile.new_order`."""
        ...

    def new_orders(self, body: BodyWriter, count: int, batch_id: str) -> str:
        """What stands before the entries, of which there are so many; the MsgType."""
        ...

    def cancel_orders(self, body: BodyWriter, orders: Sequence[tuple[WorkingOrder, str]], batch_id: str) -> str: ...


class DropCopyProfile(FixProfile, Protocol):
    """A session that only hears reports."""

    report_rules: ReportRules


class MarketDataProfile(FixProfile, Protocol):
    """Market data: subscriptions, reference data, and the decoder's settings."""

    rule: BookRule
    requests_per_s: int
    """Requests a second that the session sends at most."""

    def decoder(self) -> MdDecoder:
        """A decoder set up for the venue's 35=X and 35=W."""
        ...

    def rule_of(self, instrument: Instrument, reference: Reference | None) -> BookRule:
        """The instrument's rule, given what the venue said of it."""
        ...

    def subscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str: ...
    def unsubscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str: ...
    def companions(self, instrument: Instrument) -> list[tuple[str, bytes]]:
        """Further subscriptions (MsgType, body), sent once a connection: streams that need no refresh; [] = none."""
        ...

    def reference_requests(self, instruments: list[Instrument]) -> list[tuple[str, bytes]]:
        """Requests (MsgType, body) for reference data and trading status, sent before the subscriptions; [] = none."""
        ...

    has_reference: bool
    """Subscriptions wait for reference data."""


@runtime_checkable
class EndlessSubscriptions(Protocol):
    """Market data whose subscriptions end with their connection alone: a refresh is one more beside the old one."""

    left_most: int
    """So many may go on though nobody wants them any more; for the next one another connection is made."""


class CountedPieces(MarketDataProfile, Protocol):
    """Market data whose 35=W may be one of several pieces, by number."""

    pieces_tag: int
    """How many pieces the snapshot has."""
    piece_tag: int
    """Which of them this is."""
