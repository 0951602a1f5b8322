"""FIX messages of order entry into events: 35=8, 9, r, j and 3, by a dialect's rules.

A report is delivered whenever it can be read at all: what is odd about it is listed in `defects`, and a number that
does not fit its scale is None, never a wrong number.
"""

from collections.abc import Iterable

from base.instruments import Instrument
from fix.codec import Message
from fix.session_events import POSS_DUP, POSS_RESEND, FieldDefect, RejectReceived
from ipc.events import AnyEvent, CancelReject, ExecutionReport, MassCancelReport
from venues.fix_dialect import Notice, ReportRules
from venues.fix_fields import FieldReader, fee_amount
from venues.fix_requests import Kind, Request, RequestBook
from venues.interface import SessionContext

_OLD_FILLS = frozenset({"1", "2"})  # ExecType of FIX 4.2: partial fill, fill
_OLD_AMENDMENTS = {"1": "H", "2": "G", "3": "I"}  # ExecTransType(20) of FIX 4.2: cancel, correct, status
_TRADES = frozenset("FGH")  # a fill, its correction, its bust
_ENDS_REQUEST = frozenset({"4", "6", "E"})  # these name the order in 41 and the request in 11
_UNKNOWN_ORDER = "5"  # OrdRejReason(103)
_MISSING = "is missing"
_KINDS: dict[str, Kind] = {"D": "new", "F": "cancel", "G": "replace", "H": "status", "q": "mass", "AF": "status"}
_ANSWERED: dict[str, tuple[Kind, ...]] = {"1": ("cancel",), "2": ("replace",)}  # by CxlRejResponseTo(434)


class ReportDecoder:
    """Decodes for one session."""

    def __init__(
        self, context: SessionContext, rules: ReportRules, requests: RequestBook, *, drop_copy: bool = False
    ) -> None:
        self._session = context.name
        self._venue = context.config.venue
        self._account = context.venue.account
        self._rules = rules
        self._requests = requests
        self._drop_copy = drop_copy
        self._by_symbol = {i.symbol: i for i in context.instruments}

    def execution_report(
        self, message: Message, flags: int, defects: tuple[FieldDefect, ...], recv_ns: int
    ) -> ExecutionReport:
        """35=8."""
        rules = self._rules
        read = FieldReader(message, defects)
        for tag in rules.required:
            if not message.has(tag):
                read.defects.append(f"{tag}: {_MISSING}")
        exec_type = self._exec_type(message, read)
        cl_ord_id, request_id = self._whose(exec_type, read.text(11), read.text(41))
        symbol = read.text(55) or self._symbol_of(cl_ord_id)
        name, px_scale, qty_scale = self._scales(symbol, read)
        order_qty, price = read.scaled(38, qty_scale), read.scaled(44, px_scale)
        order_id, original = read.text(37), read.text(41)
        if self._is_swapped(read):
            order_id, original = read.text(11) or order_id, ""
            exec_type, request_id = self._requests.replaced(exec_type, cl_ord_id, (order_qty, price))
        return ExecutionReport(
            session=self._session,
            venue=self._venue,
            account=self._whose_account(read),
            instrument=name,
            cl_ord_id=cl_ord_id,
            order_id=order_id,
            exec_id=read.text(17),
            exec_type=exec_type,
            ord_status=self._ord_status(read),
            side=read.text(54),
            ord_type=read.text(40),
            time_in_force=read.text(59),
            px_scale=px_scale,
            qty_scale=qty_scale,
            order_qty=order_qty,
            price=price,
            stop_px=read.scaled(rules.stop_px_tag, px_scale),
            last_qty=read.scaled(32, qty_scale),
            last_px=read.scaled(31, px_scale),
            cum_qty=read.scaled(14, qty_scale),
            leaves_qty=read.scaled(151, qty_scale),
            transact_ns=read.utc(60),
            sending_ns=read.utc(52),
            recv_ns=recv_ns,
            request_id=request_id,
            orig_cl_ord_id=original,
            text=read.text(58),
            reason_code=read.first(rules.reason_tags),
            poss_dup=bool(flags & POSS_DUP),
            poss_resend=bool(flags & POSS_RESEND),
            drop_copy=self._drop_copy,
            trade_id=read.first(rules.trade_id_tags) if exec_type in _TRADES else "",
            liquidity=rules.liquidity.get(read.text(rules.liquidity_tag), "") if exec_type == "F" else "",
            fees=self._fees(message, read),
            venue_symbol=symbol,
            display_qty=read.scaled(rules.display_tag, qty_scale),
            defects=tuple(read.defects),
            exec_ref_id=read.text(19),
        )

    def reports(
        self, message: Message, flags: int, defects: tuple[FieldDefect, ...], recv_ns: int
    ) -> Iterable[AnyEvent]:
        """A message that is read as a report: for most venues one event."""
        report, events = self.execution_report(message, flags, defects, recv_ns), self._rules.events
        if events is None:
            return (report,)
        return events(message, report, self._requests.by_id(message.get_str(self._rules.request_tag) or ""))

    def status_of_unknown(self, message: Message, recv_ns: int) -> CancelReject | Notice | None:
        """What the standard has for a status request that names nothing: 150=I 39=8 with 103=5 or OrderID NONE.

        It says that the venue knows no such order, not that the order was rejected; and where the request was refused
        for another reason, nothing of the order at all.
        """
        read = FieldReader(message)
        exec_type, reason = read.text(150), read.text(103)
        unknown = reason == _UNKNOWN_ORDER
        as_status = exec_type == "I" and (unknown or read.text(37) in self._rules.no_order_ids)
        as_reject = exec_type == "8" and unknown and self._rules.status_rejects
        if read.text(39) == "8" and exec_type == "I" and reason in self._rules.status_doubts:
            text = f"35=H of {read.text(11) or read.text(37)!r}: 103={reason} {read.text(58)}"
            return Notice("warning", "rejected", text.rstrip())
        if read.text(39) != "8" or not (as_status or as_reject):
            return None
        instrument = self._by_symbol.get(read.text(55))
        cl_ord_id, request_id = self._whose("I", read.text(11), read.text(41))
        if self._rules.swapped_ids:
            asked = self._requests.of_order(("status",), read.text(41), read.text(37), read.text(584))
            cl_ord_id, request_id = (asked.cl_ord_id, asked.request_id) if asked else (cl_ord_id, request_id)
        return CancelReject(
            session=self._session,
            venue=self._venue,
            instrument=instrument.name if instrument else "",
            cl_ord_id=cl_ord_id,
            request_id=request_id or read.text(790),
            order_id="",
            response_to="",
            reason_code=read.text(103),
            text=read.text(58),
            origin="8",
            recv_ns=recv_ns,
            unknown_order=True,
        )

    def cancel_reject(self, message: Message, recv_ns: int) -> list[AnyEvent]:
        """35=9 and its like; of a replace that would have placed a new order, that order's end too."""
        read = FieldReader(message)
        request_id, original = read.text(11), read.text(41)
        request = self._requests.by_id(request_id)
        if self._rules.swapped_ids:  # 11 and 41 name the order, whichever of them the request used
            kinds = _ANSWERED.get(read.text(434), ("cancel", "replace"))
            request = self._requests.of_order(kinds, request_id, original) or request
            request_id, original = ("", "") if request else ("", request_id)
        code, text = read.first(self._rules.cancel_reason_tags), read.text(58)
        instrument = self._by_symbol.get(read.text(55))
        answers = self._rules.cancel_rejects.get(message.msg_type) or read.text(434)
        order_id = read.text(37) or (read.text(41) if self._rules.swapped_ids and request is None else "")
        reject = CancelReject(
            session=self._session,
            venue=self._venue,
            instrument=instrument.name if instrument else _name(request),
            cl_ord_id=request.cl_ord_id if request and original in self._rules.no_order_ids else original,
            request_id=request.request_id if request else request_id,
            order_id=(request.order_id if request else "") if order_id in self._rules.no_order_ids else order_id,
            response_to=answers,
            reason_code=code,
            text=text,
            origin=message.msg_type,
            recv_ns=recv_ns,
            unknown_order=self._rules.unknown_order(message.msg_type, code, text),
        )
        return [reject, *self._successor(request, message.msg_type, code, text, recv_ns)]

    def mass_cancel_report(self, message: Message, recv_ns: int) -> MassCancelReport:
        """35=r: an answer to a request, never a proof that orders are dead."""
        read = FieldReader(message)
        instrument = self._by_symbol.get(read.text(55))
        return MassCancelReport(
            session=self._session,
            venue=self._venue,
            instrument=instrument.name if instrument else _name(self._requests.by_id(read.text(11))),
            request_id=read.text(11),
            request_type=read.text(530),
            response=read.text(531) or "0",  # nothing said is no success
            affected=read.integer(533),
            reason_code=read.first((25016, 532)),
            text="; ".join([read.text(58), *read.defects]) if read.defects else read.text(58),
            recv_ns=recv_ns,
        )

    def business_reject(self, message: Message, recv_ns: int) -> list[AnyEvent | Notice]:
        """35=j, by BusinessRejectRefID(379), else by RefSeqNum(45)."""
        read = FieldReader(message)
        ref_id, ref_type = read.text(379), read.text(372)
        request = self._requests.by_id(ref_id) if ref_id else self._requests.by_seq(read.integer(45) or 0)
        if self._rules.swapped_ids and ref_type in _KINDS:
            request = self._requests.of_order((_KINDS[ref_type],), ref_id) or request
        request = self._meant(request, ref_type, ref_id)
        return self._refused(request, "j", ref_type, read.text(380), read.text(58), recv_ns)

    def session_reject(self, event: RejectReceived, recv_ns: int) -> list[AnyEvent | Notice]:
        """35=3, by RefSeqNum(45)."""
        message = Message.parse(event.raw) if event.raw else None
        read = FieldReader(message) if message else None
        code = read.first((25016,)) if read else ""
        code = code or (str(event.reason) if event.reason >= 0 else "")
        text = event.text if event.ref_tag_id < 0 else f"{event.text} (tag {event.ref_tag_id})"
        request = self._requests.by_seq(event.ref_seq_num)
        return self._refused(request, "3", event.ref_msg_type, code, text, recv_ns)

    def _exec_type(self, message: Message, read: FieldReader) -> str:
        """ExecType(150) in FIX 4.4 terms; ExecTransType(20) of FIX 4.2 says what is no news, or takes it back."""
        said = self._rules.exec_type(message) if self._rules.exec_type is not None else read.text(150)
        trans = read.text(20)
        if trans in self._rules.status_trans and not read.text(19):
            return "I"
        if said in _OLD_FILLS:
            if not self._rules.old_fills:
                read.defects.append(f"150: {said} is of FIX 4.2, read as F")
            said = "F"
        return _OLD_AMENDMENTS.get(trans, said)

    def _ord_status(self, read: FieldReader) -> str:
        said = read.text(39)
        if said not in self._rules.standing:
            return said
        return "1" if read.text(14).strip("0.") else "0"

    def _whose_account(self, read: FieldReader) -> str:
        told, own = read.text(1), self._rules.account
        if not told or not own or told == own:
            return self._account
        read.defects.append(f"1: {told!r} is not the account of this venue")
        return told

    def batch_refused(
        self, requests: Iterable[Request], origin: str, ref_type: str, code: str, text: str, recv_ns: int
    ) -> list[AnyEvent | Notice]:
        """The refusal of a whole batch, as one of each of its requests."""
        return [said for r in requests for said in self._refused(r, origin, ref_type, code, text, recv_ns)]

    def _scales(self, symbol: str, read: FieldReader) -> tuple[str, int, int]:
        instrument = self._by_symbol.get(symbol)
        if instrument is not None:
            return instrument.name, instrument.px_scale, instrument.qty_scale
        if symbol:
            read.defects.append(f"55: {symbol!r} is not an instrument of this session")
        qty_tags = (38, 32, 14, 151, self._rules.display_tag)
        return "", read.decimals((44, 31, self._rules.stop_px_tag)), read.decimals(qty_tags)

    def _whose(self, exec_type: str, named: str, original: str) -> tuple[str, str]:
        """(ClOrdID of the order, ClOrdID of the request) out of 11 and 41."""
        request = self._requests.by_id(named)
        if self._rules.swapped_ids and original and request is None:
            return original, ""
        if exec_type == "5":
            return named, named
        if request is not None and self._is_successor(request, named) and original in ("", named):
            return named, ""
        if exec_type in _ENDS_REQUEST and original and original != named:
            return original, request.request_id if request else named
        if request is not None and request.kind != "new" and (exec_type in _ENDS_REQUEST or request.kind != "replace"):
            # 41 is missing: the request tells which order it was about; of a mass cancel only 37 does.
            return original or request.cl_ord_id, request.request_id
        return named, ""

    def _is_successor(self, request: Request, named: str) -> bool:
        """Whether that is the order which a replace placed anew: the end of the old one goes by the suffix."""
        return request.successor and named == request.request_id and bool(self._rules.replace_suffix)

    def _is_swapped(self, read: FieldReader) -> bool:
        """Whether 11 is the venue's id: not where it is that of a request that left here."""
        return self._rules.swapped_ids and bool(read.text(41)) and self._requests.by_id(read.text(11)) is None

    def _symbol_of(self, cl_ord_id: str) -> str:
        """For a report without Symbol(55): that of the order, as long as its request is remembered."""
        request = self._requests.by_id(cl_ord_id)
        return request.instrument.symbol if request is not None and request.instrument is not None else ""

    def _fees(self, message: Message, read: FieldReader) -> tuple[tuple[str, str], ...]:
        if not message.has(136):
            return self._commission(read)
        entries = message.group(self._rules.fees)
        alone = (message.get_str(891) or "") if len(entries) == 1 else ""
        base = self._base(read.text(55))
        return tuple((e.get_str(138) or "", fee_amount(message, e, base, alone)) for e in entries)

    def _commission(self, read: FieldReader) -> tuple[tuple[str, str], ...]:
        """Commission(12), an absolute amount (13 = 3, or unsaid), in the currency of 479, 2643 or the dialect."""
        amount, currency_of = read.text(12), self._rules.commission_in
        if not amount or read.text(13) not in ("", "3"):
            return ()
        currency = read.first((479, 2643))
        if not currency and currency_of is not None:
            currency = currency_of(read.text(55), read.text(54))
        return ((currency, amount),) if currency else ()

    def _base(self, symbol: str) -> str:
        instrument = self._by_symbol.get(symbol)
        return instrument.name.partition("-")[0] if instrument else ""

    @staticmethod
    def _meant(request: Request | None, ref_type: str, ref_id: str) -> Request | None:
        """The request that RefMsgType(372) says was refused.

        A status request may go by its order's own ClOrdID: its refusal must never pass for the order's. And a request
        that nobody here remembers (a restart lies between) is known as far as the refusal tells.
        """
        kind = _KINDS.get(ref_type)
        if kind is None or not ref_id or (request is not None and request.kind == kind):
            return request
        if request is None:
            return Request(kind, ref_id, None, ref_id if kind in ("new", "status") else "")
        return Request(kind, ref_id, request.instrument, request.cl_ord_id, request.order_id, None, request.side)

    def _refused(
        self, request: Request | None, origin: str, ref_type: str, code: str, text: str, recv_ns: int
    ) -> list[AnyEvent | Notice]:
        unknown = self._rules.unknown_order(origin, code, text)
        if request is None or (request.kind == "status" and not unknown):
            said = f"35={origin} of our 35={ref_type or '?'}: {code} {text}".rstrip()
            return [Notice("warning", "rejected", said)]
        if origin == "3" and self._rules.reject_is_doubt and (request.kind == "new" or request.successor):
            said = f"35=3 of {request.request_id}, which does not prove that it was not taken: {code} {text}"
            return [Notice("warning", "rejected", said.rstrip())]
        if request.kind == "new":
            return [self._refused_order(request, request.cl_ord_id, origin, code, text, recv_ns)]
        if request.kind == "mass":
            return [self._refused_mass(request, code, text, recv_ns)]
        reject = CancelReject(
            session=self._session,
            venue=self._venue,
            instrument=_name(request),
            cl_ord_id=request.cl_ord_id,
            request_id=request.request_id,
            order_id=request.order_id,
            response_to={"cancel": "1", "replace": "2"}.get(request.kind, ""),
            reason_code=code,
            text=text,
            origin=origin,
            recv_ns=recv_ns,
            unknown_order=unknown,
        )
        return [reject, *self._successor(request, origin, code, text, recv_ns)]

    def _successor(
        self, request: Request | None, origin: str, code: str, text: str, recv_ns: int
    ) -> list[ExecutionReport]:
        """The end of the order that a refused cancel-and-place-anew would have placed."""
        if request is None or not request.successor:
            return []
        return [self._refused_order(request, request.request_id, origin, code, text, recv_ns)]

    def _refused_mass(self, request: Request, code: str, text: str, recv_ns: int) -> MassCancelReport:
        return MassCancelReport(
            session=self._session,
            venue=self._venue,
            instrument=_name(request),
            request_id=request.request_id,
            request_type="",
            response="0",
            affected=None,
            reason_code=code,
            text=text,
            recv_ns=recv_ns,
        )

    def _refused_order(
        self, request: Request, cl_ord_id: str, origin: str, code: str, text: str, recv_ns: int
    ) -> ExecutionReport:
        order, instrument = request.order, request.instrument
        return ExecutionReport(
            session=self._session,
            venue=self._venue,
            account=self._account,
            instrument=_name(request),
            cl_ord_id=cl_ord_id,
            order_id="",
            exec_id="",
            exec_type="8",
            ord_status="8",
            side=request.side,
            ord_type=order.ord_type if order else "",
            time_in_force=order.time_in_force if order else "",
            px_scale=instrument.px_scale if instrument else 0,
            qty_scale=instrument.qty_scale if instrument else 0,
            order_qty=order.order_qty if order and request.kind == "new" else None,
            price=order.price if order and request.kind == "new" else None,
            stop_px=order.stop_px if order and request.kind == "new" else None,
            last_qty=None,
            last_px=None,
            cum_qty=0,
            leaves_qty=0,
            transact_ns=0,
            sending_ns=0,
            recv_ns=recv_ns,
            text=text,
            reason_code=code,
            origin=origin,
            drop_copy=self._drop_copy,
            venue_symbol=instrument.symbol if instrument else "",
        )


def _name(request: Request | None) -> str:
    instrument: Instrument | None = request.instrument if request else None
    return instrument.name if instrument else ""
