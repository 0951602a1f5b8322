"""A plain FIX 4.4 venue from its own side: what the standard says and no more, for any conforming initiator.

D F G H q and V from the client; 8 9 r, W X Y and j from here. Numbers continue over connections unless 141=Y; missed
messages are replayed with PossDupFlag. The account behind a session owns its orders; scopes are options.
"""

import secrets

from base.clock import Clock
from base.errors import NumberError
from base.http import Request, Response
from base.instruments import Instrument
from sim.fields import FieldError, cancel_reject, need, rejection, standing
from sim.gateway import Link, Seat, Venue
from sim.matching import Market
from sim.orders import Event, Order, Update
from sim.session import Profile, Refusal
from sim.setup import Grant, Setup
from sim.wire import Message
from venues.fix44 import sim_orders
from venues.fix44.sim_md import PlainMarketData
from venues.fix44.sim_rest import PlainRest

OPTIONS = frozenset({"mass_cancel_reaches", "on_disconnect", "list_lag_ms"})
STANDALONE = (
    ("trading", "CLIENT", "VENUE", 2),
    ("trading", "CLIENT2", "VENUE", 2),
    ("marketdata", "CLIENTMD", "VENUE", 2),
    ("marketdata", "CLIENTL3", "VENUE", 3),
    ("dropcopy", "CLIENTDC", "VENUE", 2),
)


class PlainSim(Venue):
    """The simulated venue."""

    says_pending = True

    def __init__(self, setup: Setup, clock: Clock) -> None:
        super().__init__(setup, clock)
        setup.check_options(OPTIONS)
        self.reaches = setup.text("mass_cancel_reaches", "comp_id", ("connection", "comp_id", "account"))
        self.cancels_on_loss = setup.text("on_disconnect", "keeps", ("keeps", "cancels")) == "cancels"
        self.market_data = PlainMarketData(self)
        self._rest = PlainRest(self)

    # -- session --------------------------------------------------------------------------------------------------

    def profile(self, kind: str) -> Profile:
        return Profile(replay_types=frozenset("89rj"))

    def find_grant(self, link: Link, logon: Message) -> Grant | None:
        """The configured session; with any logon, a trading session that may also ask for market data."""
        found = super().find_grant(link, logon)
        if found is None and self.setup.any_logon and link.sender and link.target:
            kind = link.service if link.service != "any" else "trading"
            level = 3 if kind == "marketdata_l3" else 2
            return Grant(kind.removesuffix("_l3"), link.sender, link.target, "main", level)
        return found

    def check_logon(self, link: Link, seat: Seat, logon: Message) -> Refusal | None:
        if logon.get(98) != "0" or not logon.get(108).isdigit():
            return self.refuse_logon("EncryptMethod (98) must be 0, HeartBtInt (108) a number")
        grant = seat.grant
        wanted = (grant.username, grant.password)
        if not self.setup.any_logon and any(wanted) and (logon.get(553), logon.get(554)) != wanted:
            return self.refuse_logon("Username (553) or Password (554) is wrong")
        if seat.live is not None:
            return self.refuse_logon("this session is already logged on")
        seat.cancels_on_loss = self.cancels_on_loss and grant.kind == "trading"
        return None

    def announce_maintenance(self, seconds: int) -> None:
        """The standard has no notice: sessions end with a Logout that says why, and come back later."""
        self.rollover_text("down for maintenance", seconds)

    def rollover_text(self, text: str, seconds: int) -> None:
        """Log every session out and stay closed for a while; numbers are kept."""
        self.closed_until_ns = self.clock.mono_ns() + seconds * 1_000_000_000
        for link in list(self.links):
            link.logout(text)
            link.said_logout = True
            link.end()

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        kind = message.msg_type
        trades = seat.grant.kind == "trading"
        calls = {"D": self._new, "F": self._cancel, "G": self._replace, "H": self._status, "q": self._mass_cancel}
        calls["AF"] = self._mass_status
        if kind == "V" and (seat.grant.kind == "marketdata" or self.setup.any_logon):
            self.market_data.request(link, seat, message)
            return
        if kind == "A":
            link.reject(message, 99, "already logged on")
            return
        if kind not in calls or not trades:
            self.business_reject(link, message, "3", "Unsupported message type")
            return
        try:
            calls[kind](link, seat, message)
        except NumberError as error:
            link.reject(message, 6, str(error))
        except FieldError as error:
            link.reject(message, error.reason, str(error), error.tag)

    def business_reject(self, link: Link, message: Message, reason: str, text: str) -> None:
        """35=j."""
        fields = [(45, str(message.seq)), (372, message.msg_type), (380, reason), (58, text)]
        if message.has(11) or message.has(584):
            fields.insert(2, (379, message.get(11) or message.get(584)))
        link.send("j", fields)

    def refuse(self, link: Link, message: Message, text: str) -> None:
        seat = link.seat
        assert seat is not None
        if message.msg_type == "D":
            self.report(seat, "8", rejection(message, self.exec_id(), text, self.clock.wall_ns()))
        elif message.msg_type in {"F", "G"}:
            order = self._named(seat, message)
            self.report(seat, "9", cancel_reject(message, order, "2", text, self.clock.wall_ns()))
        elif message.msg_type == "q":
            fields = sim_orders.mass_report(message, None, "99", self.exec_id(), self.clock.wall_ns())
            self.report(seat, "r", [*fields, (58, text)])
        else:
            self.business_reject(link, message, "0", text)

    def exec_id(self) -> str:
        """A report's id, unique over restarts."""
        return f"{self.setup.seed}-{self.clock.wall_ns():x}-{self.next_id()}"

    def _instrument(self, message: Message) -> Instrument | None:
        return self.exchange.instruments.get(message.get(55))

    def _new(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 11, 55, 54, 38, 40)
        instrument = self._instrument(message)
        if instrument is None:
            self.refuse(link, message, f"unknown symbol {message.get(55)}")
            return
        if self.exchange.find(seat.grant.sender, message.get(11)) is not None:
            self.refuse(link, message, "duplicate ClOrdID")
            return
        order_id = f"{self.clock.wall_ns():x}{self.next_id()}"
        order, problem = sim_orders.parse(message, instrument, order_id, seat, self.clock.wall_ns())
        if problem:
            self.refuse(link, message, problem)
            return
        assert order is not None
        self.exchange.submit(order)

    def _named(self, seat: Seat, message: Message) -> Order | None:
        """The order that 37, or without it 41, names; of this comp id."""
        order_id = message.get(37)
        order = self.exchange.orders.get(order_id) if order_id not in {"", "NONE"} else None
        order = order or self.exchange.find(seat.grant.sender, message.get(41) or message.get(11))
        if order is None or order.owner.comp_id != seat.grant.sender:
            return None
        return order

    def _cancel(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 11, 41)
        order = self._named(seat, message)
        now = self.clock.wall_ns()
        if order is None:
            self.report(seat, "9", cancel_reject(message, None, "1", "unknown order", now))
        elif not self.cancel(order, message.get(11)):
            self.report(seat, "9", cancel_reject(message, order, "0", "too late to cancel", now))

    def _replace(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 11, 41, 38, 40)
        order, now = self._named(seat, message), self.clock.wall_ns()
        if order is None or order.done or order.cl_ord_id != message.get(41):
            reason = "1" if order is None else "0"
            text = "unknown order" if order is None else "too late to replace"
            self.report(seat, "9", cancel_reject(message, order, reason, text, now))
            return
        instrument = self.exchange.instruments[order.symbol]
        qty = instrument.qty(message.get(38))
        price = instrument.px(message.get(44)) if message.has(44) and order.price is not None else order.price
        stop = instrument.px(message.get(99)) if message.has(99) and order.trigger else None
        if qty <= 0 or (price is not None and price <= 0):
            self.report(seat, "9", cancel_reject(message, order, "2", "bad quantity or price", now))
            return
        self.exchange.replace(order, message.get(11), qty=qty, price=price, stop_px=stop)

    def _status(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 11, 55)
        order = self._named(seat, message)
        if order is None:
            fields = sim_orders.unknown_order(message, self.exec_id())
        else:
            event = standing(order, self.clock.wall_ns())
            fields = sim_orders.report(event, self.exchange.instruments[order.symbol], self.exec_id())
            if message.has(790):
                fields.append((790, message.get(790)))
        self.report(seat, "8", fields)

    def _mass_status(self, link: Link, seat: Seat, message: Message) -> None:
        """35=AF: a report for each working order of the comp id, counted (911) and the last one marked (912)."""
        need(message, 584, 585)
        scope, symbol = message.get(585), message.get(55)
        if scope not in {"1", "7"} or (scope == "1" and symbol not in self.exchange.markets):
            self.business_reject(link, message, "5", "only one symbol (585=1) or everything (585=7)")
            return
        orders = self.exchange.working(comp_id=seat.grant.sender, symbol=symbol if scope == "1" else "")
        for n, order in enumerate(orders, 1):
            event = standing(order, self.clock.wall_ns())
            fields = sim_orders.report(event, self.exchange.instruments[order.symbol], self.exec_id())
            last = "Y" if n == len(orders) else "N"
            self.report(seat, "8", [*fields, (584, message.get(584)), (911, str(len(orders))), (912, last)])
        if not orders:
            self.report(seat, "8", sim_orders.no_orders(message, self.exec_id()))

    def _mass_cancel(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 11, 530)
        scope, symbol = message.get(530), message.get(55)
        problem = ""
        if scope not in {"1", "7"}:
            problem = "0"
        elif scope == "1" and symbol not in self.exchange.markets:
            problem = "1"
        count: int | None = None
        if not problem:
            orders = self._reached(seat, symbol if scope == "1" else "")
            count = self.cancel_many(orders, message.get(11), symbol)
            problem = "99" if count is None else ""
        fields = sim_orders.mass_report(message, count, problem, self.exec_id(), self.clock.wall_ns())
        self.report(seat, "r", fields)

    def _reached(self, seat: Seat, symbol: str) -> list[Order]:
        if self.reaches == "account":
            return self.exchange.working(account=seat.grant.account, symbol=symbol)
        connection = seat.connection if self.reaches == "connection" else None
        return self.exchange.working(comp_id=seat.grant.sender, connection=connection, symbol=symbol)

    # -- reports --------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        order = event.order
        instrument = self.exchange.instruments[order.symbol]
        fields = sim_orders.report(event, instrument, self.exec_id())
        seat = self.seat_of(order)
        if seat is not None:
            self.report(seat, "8", fields, event)
        for copy in self.seats_of(order.owner.account, "dropcopy"):
            self.report(copy, "8", fields, event)

    def on_update(self, market: Market, update: Update) -> None:
        self.market_data.publish(market.symbol, update)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)


def make(setup: Setup, clock: Clock) -> PlainSim:
    """The venue, ready to be served."""
    return PlainSim(setup, clock)


def new_secret(what: str) -> str:
    """A fresh credential: any text will do for this venue."""
    return secrets.token_urlsafe(24)


def default_instruments(venue: str) -> list[Instrument]:
    """What the venue trades when nobody says."""
    return [
        Instrument(venue, "BTC-USD", "BTC-USD", 2, 6, tick_size=1, lot_size=1, min_qty=10),
        Instrument(venue, "ETH-USD", "ETH-USD", 2, 5, tick_size=1, lot_size=1, min_qty=10),
    ]


def symbol_for(name: str) -> str:
    """The venue's symbol for a desk name: the same."""
    return name
