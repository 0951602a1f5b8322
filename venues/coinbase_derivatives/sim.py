"""Coinbase Derivatives from its own side: order entry and drop copy in FIX 4.4 (coinbase-derivatives.md, 3 to 5, 7, 9).

Every event has an ExecID that rises. F1 to F5 tell and replay a session's events (drop copy: its firm's), as new
messages with 97=Y; what has no ExecID is not replayed. Market data, the second gateway and the risk API are not
simulated. This side shares nothing with the dialect.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from base.clock import Clock
from base.errors import NumberError
from base.http import Request, Response
from base.instruments import Contract, Instrument
from sim.fields import BusinessError, FieldError, json_response, need
from sim.gateway import Link, Seat, Venue
from sim.matching import Market
from sim.orders import Event, Order, Update
from sim.session import Profile, Refusal
from sim.setup import Setup, same_symbol
from sim.wire import Field, Message
from venues.coinbase_derivatives import sim_orders
from venues.coinbase_derivatives.sim_orders import CLOSED, DUPLICATE, OTHER, UNKNOWN_SYMBOL

OPTIONS = frozenset({"cancel_on_disconnect", "replay_answer", "events_kept", "open"})
STANDALONE = (("trading", "SIM001", "COIND", 2), ("trading", "SIM002", "COIND", 2), ("dropcopy", "SIM003", "COIND", 2))
REQUESTS = frozenset({"D", "F", "G", "F1", "F3"})
_FAULTS = {"too_small": "1", "busy": "3", "too_many": "4", "broken": "5"}


@dataclass(frozen=True, slots=True)
class Told:
    """One event as it was reported, for its replay."""

    number: int  # its ExecID
    sender: str  # of the session whose order it is about
    account: str
    fields: list[Field]


class DerivativesSim(Venue):
    """The simulated venue."""

    services = ("trading", "dropcopy")
    keep_l3 = False
    no_cancel_text = "Outside trading hours"

    def __init__(self, setup: Setup, clock: Clock) -> None:
        super().__init__(setup, clock)
        setup.check_options(OPTIONS)
        self.cancels_day_orders = setup.flag("cancel_on_disconnect", False)
        self.replay_answer = setup.text("replay_answer", "replay", ("replay", "silence", *_FAULTS))
        self.events_kept = setup.number("events_kept", 100_000)
        self.open = setup.flag("open", True)
        self._told: list[Told] = []
        self._number = clock.wall_ns() // 1000

    # -- session --------------------------------------------------------------------------------------------------

    def profile(self, kind: str) -> Profile:
        return Profile(header=(34, 49, 50, 52, 56), time_digits=6, sender_sub_id="PROD", sub_id="PROD")

    def check_logon(self, link: Link, seat: Seat, logon: Message) -> Refusal | None:
        beats = logon.get(108)
        if logon.get(98) != "0" or not beats.isdecimal() or not 5 <= int(beats) <= 60:
            return self.refuse_logon("EncryptMethod (98) must be 0, HeartBtInt (108) from 5 to 60")
        known = (seat.grant.username, seat.grant.password)
        if not self.setup.any_logon and (logon.get(553), logon.get(554)) != known:
            return self.refuse_logon("Username (553) or Password (554) is wrong")
        if seat.live is not None:
            return self.refuse_logon("the session is logged on already")
        return None

    def session_ended(self, link: Link, seat: Seat) -> None:
        """Set up for each client by the exchange; day orders alone, however the connection ended (inferred)."""
        if self.cancels_day_orders and seat.grant.kind == "trading":
            for order in self.exchange.working(comp_id=seat.grant.sender):
                if order.tif == "0":
                    self.exchange.cancel(order, reason="disconnect")

    def announce_maintenance(self, seconds: int) -> None:
        """None is documented: sessions end."""
        self.rollover(seconds)

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        calls: dict[str, Callable[[Link, Seat, Message], None]] = {
            "D": self._new, "F": self._cancel, "G": self._replace, "F1": self._last_id, "F3": self._replay,
        }  # fmt: skip
        orders = message.msg_type in {"D", "F", "G"}
        if message.msg_type not in REQUESTS or (orders and seat.grant.kind != "trading"):
            self._business_reject(link, message, "3", "Unsupported message type")
            return
        try:
            if orders and not (message.has(50) and message.get(57) in {"PROD", "TEST"}):
                raise FieldError(1, 50, "SenderSubID (50) and TargetSubID (57) are required")
            calls[message.msg_type](link, seat, message)
        except NumberError as error:
            link.reject(message, 6, str(error))
        except FieldError as error:
            link.reject(message, error.reason, str(error), error.tag)
        except BusinessError as error:
            self._refuse(link, seat, message, error.reason, str(error))

    def refuse(self, link: Link, message: Message, text: str) -> None:
        assert link.seat is not None
        self._refuse(link, link.seat, message, OTHER, text)

    def _refuse(self, link: Link, seat: Seat, message: Message, reason: str, text: str) -> None:
        now = self.clock.wall_ns()
        if message.msg_type == "D":
            number = self._next_number()
            fields = sim_orders.refused(message, str(number), reason, text, now)
            self._keep(Told(number, seat.grant.sender, seat.grant.account, fields))
            self.report(seat, "8", fields)
        elif message.msg_type in {"F", "G"}:
            self.report(seat, "9", sim_orders.cancel_refused(message, reason, text, now))
        else:
            self._business_reject(link, message, "0", text)

    def _business_reject(self, link: Link, message: Message, reason: str, text: str) -> None:
        named = [(379, message.get(11))] if message.has(11) else []
        link.send("j", [(45, str(message.seq)), (58, text), (372, message.msg_type), *named, (380, reason)])

    def _instrument(self, message: Message) -> Instrument:
        found = self.exchange.instruments.get(message.get(55))
        if found is None:
            raise BusinessError(UNKNOWN_SYMBOL, f"unknown symbol {message.get(55)}")
        return found

    def _new(self, link: Link, seat: Seat, message: Message) -> None:
        instrument = self._instrument(message)
        if not self.open:
            raise BusinessError(CLOSED, "the market is closed")
        same = self.exchange.find(seat.grant.account, message.get(11))
        if same is not None and not same.done:  # among working orders alone
            raise BusinessError(DUPLICATE, "duplicate ClOrdID")
        order = sim_orders.parse(message, instrument, str(self._next_number()), seat, self.clock.wall_ns())
        self.exchange.submit(order)

    def _known(self, seat: Seat, message: Message) -> Order:
        need(message, 1, 11, 37, 54, 55, 60, 167, 1028)
        order = self.exchange.orders.get(message.get(37))
        mine = order is not None and order.owner.comp_id == seat.grant.sender
        if order is None or not mine or message.get(41, order.cl_ord_id) != order.cl_ord_id:
            raise BusinessError("1", "unknown order")
        if order.done:
            raise BusinessError("1", "unknown order: it is done")
        return order

    def _cancel(self, link: Link, seat: Seat, message: Message) -> None:
        self.cancel(self._known(seat, message), message.get(11))

    def _replace(self, link: Link, seat: Seat, message: Message) -> None:
        order = self._known(seat, message)
        instrument = self.exchange.instruments[order.symbol]
        wanted = sim_orders.parse(message, instrument, order.order_id, seat, self.clock.wall_ns())
        if (wanted.tif, wanted.side) != (order.tif, order.side) or wanted.wire.get(40) != order.wire.get(40):
            raise BusinessError(OTHER, "TimeInForce, Side and OrdType cannot change")
        if order.wire.get(40) in {"3", "4"} and order.trigger is None:
            raise BusinessError("0", "a triggered stop cannot be replaced")
        if wanted.qty <= order.cum:
            self.cancel(order, message.get(11))
            return
        stop = wanted.trigger.px if wanted.trigger is not None else None
        self.exchange.replace(order, message.get(11), qty=wanted.qty, price=wanted.price, stop_px=stop)

    # -- F1 to F5 -------------------------------------------------------------------------------------------------

    def _heard_by(self, seat: Seat) -> list[Told]:
        if seat.grant.kind == "dropcopy":
            return [t for t in self._told if t.account == seat.grant.account]
        return [t for t in self._told if t.sender == seat.grant.sender]

    def _last_id(self, link: Link, seat: Seat, message: Message) -> None:
        heard = self._heard_by(seat)
        last = [(17, str(heard[-1].number))] if heard else []
        link.send("F2", [(45, str(message.seq)), *last])

    def _replay(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 22003)
        begin, end = message.get(22003), message.get(22004)
        if self.replay_answer == "silence":
            return
        if self.replay_answer in _FAULTS:
            self._no_replay(link, message, _FAULTS[self.replay_answer], self.replay_answer)
        elif not begin.isdecimal() or int(begin) < (self._told[0].number if self._told else 0):
            self._no_replay(link, message, "1", "BeginExecId is too small")
        elif end and (not end.isdecimal() or int(end) > self._number):
            self._no_replay(link, message, "2", "EndExecId is too large")
        else:
            last = int(end) if end else self._number
            wanted = [t for t in self._heard_by(seat) if int(begin) <= t.number <= last]
            for told in wanted:
                link.send("8", [(97, "Y"), *told.fields])
            link.send("F4", [(45, str(message.seq)), (22005, str(len(wanted)))])

    def _no_replay(self, link: Link, message: Message, reason: str, text: str) -> None:
        link.send("F5", [(45, str(message.seq)), (22006, reason), (58, text)])

    def _next_number(self) -> int:
        """A number that rises over restarts, too."""
        self._number = max(self._number + 1, self.clock.wall_ns() // 1000)
        return self._number

    def _keep(self, told: Told) -> None:
        self._told.append(told)
        del self._told[: -self.events_kept]

    # -- reports --------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        order, number = event.order, self._next_number()
        fields = sim_orders.report(event, self.exchange.instruments[order.symbol], str(number))
        self._keep(Told(number, order.owner.comp_id, order.owner.account, fields))
        seat = self.seat_of(order)
        for hearer in ([seat] if seat is not None else []) + self.seats_of(order.owner.account, "dropcopy"):
            self.report(hearer, "8", fields, event)

    def bust(self, order: Order, exec_id: str, last_qty: int, last_px: int, trade_id: int) -> None:
        """Take a trade back: 150=H, on drop copy alone."""
        number, now = self._next_number(), self.clock.wall_ns()
        order.cum -= last_qty
        status, worth = "1" if order.cum else "0", order.notional - last_qty * last_px
        event = Event(
            "F", order, now, status, order.cum, order.leaves, order.qty, worth, last_px=last_px, last_qty=last_qty,
            trade_id=trade_id,
        )  # fmt: skip
        fields = sim_orders.report(event, self.exchange.instruments[order.symbol], str(number))
        fields = [(150, "H") if tag == 150 else (tag, value) for tag, value in fields] + [(19, exec_id)]
        self._keep(Told(number, "", order.owner.account, fields))
        for seat in self.seats_of(order.owner.account, "dropcopy"):
            self.report(seat, "8", fields)

    def on_update(self, market: Market, update: Update) -> None:
        """Market data is not simulated."""

    def rest(self, request: Request) -> Response:
        return json_response({"message": "there is no REST side"}, 404)


def make(setup: Setup, clock: Clock) -> DerivativesSim:
    """The venue, ready to be served."""
    return DerivativesSim(setup, clock)


def new_secret(what: str) -> str:
    """A fresh credential: plain texts."""
    return secrets.token_hex(12)


def default_instruments(venue: str) -> list[Instrument]:
    """Two futures, in whole contracts."""
    return [
        Instrument(venue, "BTC-USD-20261225", "BTZ26", 2, 0, tick_size=500, min_qty=1, contract=Contract(1, 2)),
        Instrument(venue, "ETH-USD-20261225", "ETZ26", 2, 0, tick_size=50, min_qty=1, contract=Contract(1, 1)),
    ]


symbol_for = same_symbol
