"""What Bybit says of orders: direct acknowledgements, which hardly say more than ids, and pushes (bybit.md, 5.8).

An acknowledgement (35=8 with 150=A or 8, XCA, XAA) answers the request that ReqId(30006) names. A push has the order,
its fills in a group of the venue's own, several at once after a sweep. Letters that FIX has for something else are
translated: ExecType and OrdStatus U (waits for its trigger), T (triggered), D (deactivated), OrdStatus F (cancelled
after fills). A rejection after fills is a cancel. OrdRejReason(103) is a number or a text.
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from base.errors import CodecError
from fix.codec import GroupEntry, GroupSpec, Message
from ipc.events import AnyEvent, CancelReject, ExecutionReport, VenueLimit
from venues.bybit.limits import KINDS
from venues.fix_dialect import ReportRules, standard_unknown
from venues.fix_fields import FieldReader
from venues.fix_requests import Request

NOT_FOUND = frozenset({"110001", "170213", "170143"})
DONE = frozenset({"110008", "110010", "170139", "170142", "170190"})
UNKNOWN_STATE = frozenset({"10000", "10016", "170007", "170146", "170147"})
"""Codes after which nobody knows what became of the request."""
_ANSWERS = {"XCA": "1", "XAA": "2"}
_EXEC_TYPES = {"U": "0", "T": "L", "D": "4"}
_STATES = {"U": "0", "T": "0", "D": "4", "F": "4"}
_ENDED = frozenset("48")
GROUPS = (30050, 30060)
"""The venue's own NumInGroup tags: fills, fees."""
_MOST_DIGITS = 18
_FILLS = GroupSpec(
    30050, (30051, 30052, 30053, 30054, 30055, 30056, 30059, 30057, 30058, 30063, 30064, 30065, 30066)
)  # fmt: skip


def _unknown_order(origin: str, code: str, text: str) -> bool:
    """Of an order that is over the venue says so by other codes: either way it is not open."""
    return code in NOT_FOUND or code in DONE or standard_unknown(origin, code, text)


class Reports:
    """The events of one session."""

    def __init__(self) -> None:
        self._most: dict[str, int] = {}
        self.rules = ReportRules(
            reason_tags=(103,),
            required=(39, 150),  # of an acknowledgement; what a push lacks besides is said below
            unknown_order=_unknown_order,
            report_types=frozenset({"8", *_ANSWERS}),
            request_tag=30006,
            events=self.events,
        )

    def events(self, message: Message, report: ExecutionReport, request: Request | None) -> Iterable[AnyEvent]:
        """All that one message says, in order."""
        answers = _ANSWERS.get(message.msg_type)
        if answers is not None and report.exec_type in ("", "8"):
            yield _refusal(report, request, message.msg_type, answers)
        elif answers is not None or (not message.has(55) and (request is not None or message.has(30005))):
            yield _acknowledged(report, request, message.msg_type)
        else:
            yield from _pushed(message, report)
        yield from self._limit(message, report)

    def _limit(self, message: Message, report: ExecutionReport) -> Iterator[VenueLimit]:
        """The UID's limit in the venue's own words, when it is another than before or used up."""
        read = FieldReader(message)
        most, left = read.integer(30007), read.integer(30008)
        name = KINDS[message.msg_type]
        if most is None or left is None or most <= 0 or (left > 0 and self._most.get(name) == most):
            return
        self._most[name] = most
        yield VenueLimit(report.session, report.venue, name, max(most - left, 0), most, 1, report.sending_ns)


def _refusal(report: ExecutionReport, request: Request | None, origin: str, answers: str) -> CancelReject:
    known = request.instrument if request else None
    code = report.reason_code
    return CancelReject(
        session=report.session, venue=report.venue, instrument=known.name if known else report.instrument,
        cl_ord_id=request.cl_ord_id if request else report.cl_ord_id,
        request_id=request.request_id if request else "", order_id=request.order_id if request else report.order_id,
        response_to=answers, reason_code=code, text=report.text, origin=origin, recv_ns=report.recv_ns,
        unknown_order=_unknown_order(origin, code, report.text),
    )  # fmt: skip


def _acknowledged(report: ExecutionReport, request: Request | None, origin: str) -> ExecutionReport:
    """What was asked for says the rest. A create whose fate the venue does not know is not refused but looked for."""
    if report.exec_type == "8" and report.reason_code in UNKNOWN_STATE:
        report = replace(report, exec_type="A", ord_status="A")
    report = replace(report, origin=origin, text="" if report.text == "OK" else report.text)
    if request is None:
        return report
    i, order = request.instrument, request.order
    report = replace(
        report, cl_ord_id=report.cl_ord_id or request.cl_ord_id, order_id=report.order_id or request.order_id,
        request_id="" if request.kind == "new" else request.request_id, side=request.side,
    )  # fmt: skip
    if i is not None:
        report = replace(report, instrument=i.name, venue_symbol=i.symbol, px_scale=i.px_scale, qty_scale=i.qty_scale)
    if order is None or request.kind != "new":
        return report
    return replace(
        report, ord_type=order.ord_type, time_in_force=order.time_in_force, order_qty=order.order_qty,
        price=order.price, stop_px=order.stop_px, cum_qty=0 if report.exec_type == "8" else None,
        leaves_qty=0 if report.exec_type == "8" else None,
    )  # fmt: skip


def _pushed(message: Message, report: ExecutionReport) -> Iterator[ExecutionReport]:
    missing = tuple(f"{tag}: is missing" for tag in (37, 54, 55) if not message.has(tag))
    filled = bool(report.cum_qty)
    status = _STATES.get(report.ord_status, report.ord_status)
    if status == "0" and filled:
        status = "1"
    report = replace(
        report, exec_type=_EXEC_TYPES.get(report.exec_type, report.exec_type), ord_status=status,
        defects=report.defects + missing, text=report.text or message.get_str(30040) or "",
    )  # fmt: skip
    if filled and report.exec_type == "8":
        report = replace(report, exec_type="4", ord_status="4")
    ended = report.ord_status in _ENDED
    if message.has(30050):
        yield from _fills(message, replace(report, ord_status="1") if ended else report)
        if not ended:
            return
    if ended:
        report = replace(report, exec_type="4" if report.exec_type == "F" else report.exec_type, leaves_qty=0)
    yield report


def _fills(message: Message, report: ExecutionReport) -> Iterator[ExecutionReport]:
    """One report a fill, each with what was filled by then."""
    before = len(message.defects)
    entries = message.group(_FILLS)
    if not report.instrument:
        report = _exact(report, entries)
    defects = report.defects + tuple(f"{d.tag}: {d.kind.name}" for d in message.defects[before:])
    if not entries:
        yield replace(report, defects=defects)
        return
    read = [_Fill(entry, report) for entry in entries]
    later = [fill.qty for fill in read[1:]]
    for n, fill in enumerate(read):
        last = n == len(read) - 1
        behind = [qty for qty in later[n:] if qty is not None]
        told = report.cum_qty is not None and len(behind) == len(later[n:])
        cum = (report.cum_qty or 0) - sum(behind) if told else None
        leaves = report.order_qty - cum if cum is not None and report.order_qty is not None else None
        yield replace(
            report, last_qty=fill.qty, last_px=fill.px, trade_id=fill.trade_id, liquidity=fill.liquidity,
            fees=fill.fees, transact_ns=fill.utc or report.transact_ns, cum_qty=cum,
            ord_status=report.ord_status if last else "1", leaves_qty=report.leaves_qty if last else leaves,
            defects=(*defects, *fill.defects),
        )  # fmt: skip


def _exact(report: ExecutionReport, entries: list[GroupEntry]) -> ExecutionReport:
    """A report of an instrument that nobody configured, at scales that its fills fit as well."""
    px, qty = (
        max([had, *(min(len((e.get_str(tag) or "").partition(".")[2]), _MOST_DIGITS) for e in entries)])
        for tag, had in ((30053, report.px_scale), (30052, report.qty_scale))
    )

    def finer(value: int | None, digits: int) -> int | None:
        return None if value is None else value * 10**digits

    more_px, more_qty = px - report.px_scale, qty - report.qty_scale
    return replace(
        report, px_scale=px, qty_scale=qty, price=finer(report.price, more_px), stop_px=finer(report.stop_px, more_px),
        order_qty=finer(report.order_qty, more_qty), cum_qty=finer(report.cum_qty, more_qty),
        leaves_qty=finer(report.leaves_qty, more_qty),
    )  # fmt: skip


class _Fill:
    """One entry of the group; what cannot be read is None and a defect."""

    def __init__(self, entry: GroupEntry, report: ExecutionReport) -> None:
        self.defects: list[str] = []
        self.trade_id = entry.get_str(30051) or ""
        self.qty = self._scaled(entry, 30052, report.qty_scale)
        self.px = self._scaled(entry, 30053, report.px_scale)
        self.liquidity = {"Y": "M", "N": "T"}.get(entry.get_str(30058) or "", "")
        amount = entry.get_str(30055)
        self.fees = ((entry.get_str(30056) or "", amount),) if amount else ()
        try:
            self.utc = entry.get_utc_ns(30054) or 0
        except CodecError as e:
            self.utc = 0
            self.defects.append(f"30054: {e}")

    def _scaled(self, entry: GroupEntry, tag: int, scale: int) -> int | None:
        try:
            value = entry.get_scaled(tag, scale)
        except CodecError as e:
            self.defects.append(f"{tag}: {e}")
            return None
        if value is None:
            self.defects.append(f"{tag}: is missing")
        return value
