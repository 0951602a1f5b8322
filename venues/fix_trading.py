"""Order entry and drop copy over FIX."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from base.errors import CodecError, VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter, Message
from fix.session_events import FieldDefect, RejectReceived
from fix.store import MessageStore
from ipc.events import ExecutionReport
from ipc.requests import NewOrder
from venues.fix_captures import CaptureDecoder
from venues.fix_dialect import BatchProfile, DropCopyProfile, Said, TradingProfile
from venues.fix_fields import FieldReader
from venues.fix_reports import ReportDecoder
from venues.fix_requests import BatchBook, Request, RequestBook, cancel_like
from venues.fix_session import FixVenueSession
from venues.interface import MassStatus, SessionContext, Sink, WorkingOrder
from venues.mass_status import MassStatusBook


class FixTradingSession(FixVenueSession):
    """TradingSession over FIX."""

    sends_orders = True

    def __init__(
        self,
        context: SessionContext,
        sink: Sink,
        profile: TradingProfile,
        store: MessageStore,
        batching: BatchProfile | None = None,
    ) -> None:
        super().__init__(context, sink, profile, store, profile.report_rules.told_by)
        self._orders = profile
        self._batching = batching
        self._batches = BatchBook()
        self._requests = RequestBook()
        self._lists = MassStatusBook()
        self._decoder = ReportDecoder(context, profile.report_rules, self._requests)
        self._counters["foreign"] = 0  # reports on orders whose ClOrdID was not made here

    def make_cl_ord_id(self, wall_ns: int) -> str:
        """A fresh ClOrdID in the venue's form."""
        return self._orders.ids.next(wall_ns)

    def owns(self, cl_ord_id: str) -> bool:
        """Whether this session made that ClOrdID."""
        return self._orders.ids.owns(cl_ord_id)

    def replace_is_new(self, order: WorkingOrder, order_qty: int, price: int | None, stop_px: int | None) -> bool:
        """Whether that replace cancels the order and places a new one."""
        return self._orders.replace_is_new(order, order_qty, price, stop_px)

    def new_order(self, order: NewOrder, instrument: Instrument, cl_ord_id: str, mono_ns: int, wall_ns: int) -> None:
        """Place an order."""
        body = BodyWriter()
        msg_type = self._orders.new_order(body, order, instrument, cl_ord_id, wall_ns)
        request = Request("new", cl_ord_id, instrument, cl_ord_id, order=order, side=order.side)
        self._requests.add(self._send(msg_type, body.take(), mono_ns, wall_ns), request)

    def may_join(self, order: NewOrder) -> bool:
        """Whether it may be one of several in a message."""
        return self._batching is not None and self._batching.may_join(order)

    def new_orders(
        self, orders: Sequence[tuple[NewOrder, str]], instrument: Instrument, mono_ns: int, wall_ns: int
    ) -> list[str]:
        """Place several orders in one message; why each is not in it."""
        if self._batching is None:
            raise VenueError(f"{self._name}: the venue takes one order a message")
        problems, entries, requests = [], [], []
        for order, cl_ord_id in orders:
            body = BodyWriter()
            try:
                self._batching.new_entry(body, order, instrument, cl_ord_id, wall_ns)
            except (VenueError, CodecError) as e:
                problems.append(str(e))
                continue
            problems.append("")
            entries.append(body.take())
            requests.append(Request("new", cl_ord_id, instrument, cl_ord_id, order=order, side=order.side))
        if entries:
            body, batch_id = BodyWriter(), self._orders.ids.next(wall_ns)
            msg_type = self._batching.new_orders(body, len(entries), batch_id)
            seq = self._send(msg_type, body.take() + b"".join(entries), mono_ns, wall_ns)
            self._keep_batch(seq, batch_id, requests)
        return problems

    def cancel_order(self, order: WorkingOrder, request_id: str, mono_ns: int, wall_ns: int) -> None:
        """Ask for an order to be cancelled."""
        body = BodyWriter()
        msg_type = self._orders.cancel_order(body, order, request_id, wall_ns)
        self._keep(self._send(msg_type, body.take(), mono_ns, wall_ns), cancel_like("cancel", request_id, order))

    def cancel_orders(self, orders: Sequence[tuple[WorkingOrder, str]], mono_ns: int, wall_ns: int) -> None:
        """Ask for several orders to be cancelled, in one message."""
        if self._batching is None:
            raise VenueError(f"{self._name}: the venue takes one cancel a message")
        body, batch_id = BodyWriter(), self._orders.ids.next(wall_ns)
        msg_type = self._batching.cancel_orders(body, orders, batch_id)
        seq = self._send(msg_type, body.take(), mono_ns, wall_ns)
        self._keep_batch(seq, batch_id, [cancel_like("cancel", request_id, order) for order, request_id in orders])

    def replace_order(
        self,
        order: WorkingOrder,
        request_id: str,
        order_qty: int,
        price: int | None,
        stop_px: int | None,
        mono_ns: int,
        wall_ns: int,
    ) -> None:
        """Ask for an order to be changed, by the means the venue has."""
        body = BodyWriter()
        placed = self._requests.by_id(order.cl_ord_id)
        placed_as = placed.order if placed is not None else None
        if placed_as is not None and not order.exec_inst:
            order = replace(order, exec_inst=placed_as.exec_inst)
        msg_type = self._orders.replace_order(body, order, request_id, order_qty, price, stop_px, wall_ns)
        successor = self._orders.replace_is_new(order, order_qty, price, stop_px)
        request = cancel_like("replace", request_id, order)._replace(
            order=placed_as, successor=successor, terms=(order_qty, price)
        )
        suffix = self._orders.report_rules.replace_suffix
        aliases = [request_id + suffix] if successor and suffix else []
        self._keep(self._send(msg_type, body.take(), mono_ns, wall_ns), request, *aliases)

    def order_status(self, order: WorkingOrder, request_id: str, mono_ns: int, wall_ns: int) -> None:
        """Ask for the state of an order."""
        body = BodyWriter()
        msg_type = self._orders.order_status(body, order, request_id, wall_ns)
        self._keep(self._send(msg_type, body.take(), mono_ns, wall_ns), cancel_like("status", request_id, order))

    def mass_status(self, request_id: str, answered: MassStatus, mono_ns: int, wall_ns: int) -> None:
        """Ask for the state of every order."""
        body = BodyWriter()
        msg_type = self._orders.mass_status(body, request_id, wall_ns)
        seq = self._send(msg_type, body.take(), mono_ns, wall_ns)
        self._requests.add(seq, Request("list", request_id, None))
        self._lists.asked(request_id, answered)

    def mass_cancel(
        self, instrument: Instrument | None, request_id: str, mono_ns: int, wall_ns: int, *, act_first: bool = False
    ) -> None:
        """Ask for many orders to be cancelled; `act_first`: written before it is stored."""
        body = BodyWriter()
        msg_type = self._orders.mass_cancel(body, instrument, request_id, wall_ns)
        seq = self._send(msg_type, body.take(), mono_ns, wall_ns, act_first=act_first)
        self._requests.add(seq, Request("mass", request_id, instrument))

    def _keep(self, seq: int, request: Request, *aliases: str) -> None:
        named = request.aliases() if self._orders.report_rules.swapped_ids else ()
        self._requests.add(seq, request, *aliases, *named)

    def _keep_batch(self, seq: int, batch_id: str, requests: list[Request]) -> None:
        for request in requests:
            self._requests.add(seq, request)
        self._batches.add(seq, batch_id, requests)

    def _ready(self) -> None:
        for msg_type, body in self._orders.after_logon():
            self._send(msg_type, body, self._mono_ns, self._wall_ns)

    def _take(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> bool:
        decoder, wall_ns = self._decoder, self._wall_ns
        match message.msg_type:
            case "8" if message.has(584) and self._lists.take(message):
                pass
            case kind if kind in self._orders.report_rules.report_types:
                nothing = decoder.status_of_unknown(message, wall_ns)
                if nothing is not None:
                    self._say(nothing)
                    return True
                for event in decoder.reports(message, flags, defects, wall_ns):
                    if isinstance(event, ExecutionReport):
                        self._counters["foreign"] += not self._orders.ids.owns(event.cl_ord_id)
                    self._sink.event(event)
            case "r":
                self._sink.event(decoder.mass_cancel_report(message, wall_ns))
            case "j":
                self._business_reject(message)
            case refusal if refusal in self._orders.report_rules.batch_rejects:
                self._batch_reject(message)
            case refusal if refusal in self._orders.report_rules.cancel_rejects:
                self._say_all(decoder.cancel_reject(message, wall_ns))
            case _:
                return False
        return True

    def _batch_reject(self, message: Message) -> None:
        """Nothing of a batch was done: each of its requests is told so."""
        read = FieldReader(message)
        name, text = read.text(self._orders.report_rules.batch_id_tag), read.text(58)
        requests = self._batches.refused(name)
        if not requests:
            self._alert("warning", "rejected", f"35={message.msg_type} of a batch {name!r} that is not known: {text}")
        self._say_all(self._decoder.batch_refused(requests, message.msg_type, "", "", text, self._wall_ns))

    def _business_reject(self, message: Message) -> None:
        read = FieldReader(message)
        batch = self._batches.refused(read.text(379), read.integer(45) or 0)
        if batch:
            what = read.text(372), read.text(380), read.text(58)
            self._say_all(self._decoder.batch_refused(batch, "j", *what, self._wall_ns))
            return
        request = self._requests.by_id(read.text(379)) or self._requests.by_seq(read.integer(45) or 0)
        if not self._list_refused(request, read.text(58)):
            self._say_all(self._decoder.business_reject(message, self._wall_ns))

    def _list_refused(self, request: Request | None, text: str) -> bool:
        return request is not None and request.kind == "list" and self._lists.refused(request.request_id, text)

    def _rejected(self, event: RejectReceived) -> None:
        if self._list_refused(self._requests.by_seq(event.ref_seq_num), event.text):
            return
        batch = self._batches.refused(seq=event.ref_seq_num)
        if batch:
            what = event.ref_msg_type, str(event.reason), event.text
            self._say_all(self._decoder.batch_refused(batch, "3", *what, self._wall_ns))
            return
        self._say_all(self._decoder.session_reject(event, self._wall_ns))

    def _say_all(self, said: Iterable[Said]) -> None:
        for each in said:
            self._say(each)

    def _renumbered(self) -> None:
        self._requests.renumbered()
        self._batches.renumbered()

    def _lost(self) -> None:
        self._lists.forget()


class FixDropCopySession(FixVenueSession):
    """A session that only hears the account's reports."""

    def __init__(self, context: SessionContext, sink: Sink, profile: DropCopyProfile, store: MessageStore) -> None:
        super().__init__(context, sink, profile, store, profile.report_rules.told_by)
        self._decoder = ReportDecoder(context, profile.report_rules, RequestBook(), drop_copy=True)
        self._types = profile.report_rules.report_types
        self._captures = CaptureDecoder(context)

    def _take(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> bool:
        if message.msg_type in self._types:
            events = self._decoder.reports(message, flags, defects, self._wall_ns)
        elif message.msg_type == "AE":
            events = self._captures.reports(message, flags, defects, self._wall_ns)
        else:
            return False
        for event in events:
            self._sink.event(event)
        return True
