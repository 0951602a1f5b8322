"""Crypto.com from its own side: FIX 4.4 order entry and drop copy (crypto-com.md, 4, 5 and 7).

Numbers go on and everything is replayed. Requests are answered twice: pending (150=A, 6), then done. 35=q goes by
symbol and 35=r accepts it. Market data is in `sim_md.py`, REST in `sim_rest.py`. Where the documentation is silent the
choice is an option. This side shares nothing with the dialect. 35=DJ is not simulated.
"""

import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from base.clock import Clock
from base.http import Request, Response
from base.instruments import Instrument
from sim.fields import BusinessError, FieldError, need, standing
from sim.gateway import MS_NS, SECOND_NS, Link, Seat, Venue
from sim.matching import Market
from sim.orders import Event, Order, Update
from sim.session import Profile, Refusal
from sim.setup import Setup
from sim.wire import Field, Message, number
from venues.crypto_com import sim_orders
from venues.crypto_com.sim_md import CryptoComMarketData
from venues.crypto_com.sim_orders import OTHER, UNKNOWN_ORDER, UNKNOWN_SYMBOL
from venues.crypto_com.sim_rest import CryptoComRest

OPTIONS = frozenset(
    {"list_lag_ms", "requests_per_s", "mass_cancel_reach", "amend_id", "first_refresh", "rest_burst", "nonce_window_s"}
)
STANDALONE = (
    ("trading", "SIM.CLIENT.UD.00", "SIM.CDC.UD", 2),
    ("dropcopy", "SIM.CLIENT.UC.00", "SIM.CDC.UC", 2),
    ("marketdata", "SIM.CLIENT.MD.00", "SIM.CDC.MD", 2),
)
TOO_MANY = "Too many requests"


class CryptoComSim(Venue):
    """The simulated venue."""

    services = ("trading", "marketdata", "dropcopy")
    keep_l3 = False
    no_cancel_text = "MARKET_IS_NOT_OPEN"

    def __init__(self, setup: Setup, clock: Clock) -> None:
        super().__init__(setup, clock)
        setup.check_options(OPTIONS)
        self.requests_per_s = setup.number("requests_per_s", 0)  # 0: not counted
        self.reach = setup.text("mass_cancel_reach", "account", ("account", "session"))
        self.amend_id = setup.text("amend_id", "new", ("new", "same"))
        self.nonce_ns = setup.number("nonce_window_s", 60) * SECOND_NS
        self.market_data = CryptoComMarketData(self)
        self._rest = CryptoComRest(self)

    # -- session --------------------------------------------------------------------------------------------------

    def profile(self, kind: str) -> Profile:
        return Profile(header=(34, 49, 56, 52), replay_types=frozenset("89rj"))

    def check_logon(self, link: Link, seat: Seat, logon: Message) -> Refusal | None:
        problem = self._logon_problem(seat, logon)
        if problem:
            return self.refuse_logon(problem)
        cancels = (logon.get(6867), logon.get(35002)) == ("Y", "3")
        seat.cancels_on_loss = seat.grant.kind == "trading" and cancels
        return None

    def _logon_problem(self, seat: Seat, logon: Message) -> str:
        nonce = logon.get(96)
        if logon.get(98) != "0" or not logon.get(108).isdigit():
            return "EncryptMethod (98) must be 0, HeartBtInt (108) a number"
        if logon.get(6867, "Y") != "Y" or logon.get(35002, "0") not in {"0", "3"}:
            return "CancelOnDisconnectScope (6867) must be Y, CancelOnDisconnectType (35002) 0 or 3"
        if self.setup.any_logon:
            return ""
        if logon.get(95) != str(len(nonce)) or abs(number(nonce, 0) * MS_NS - self.clock.wall_ns()) > self.nonce_ns:
            return "RawData (96) is not the time in milliseconds"
        wanted = signature(seat.grant.password, seat.grant.kind, logon)
        right = hmac.compare_digest(wanted, logon.get(554)) and logon.get(553) == seat.grant.username
        return "" if right else "invalid user or password"

    def logon_fields(self, session: Any, logon: Message) -> list[Field]:
        """The client's own fields again."""
        return [(tag, logon.get(tag)) for tag in (95, 96, 98, 108, 141, 553, 554, 6867, 35002) if logon.has(tag)]

    def refuse_logon(self, text: str) -> Refusal:
        return Refusal("5", ((58, text),))

    def announce_maintenance(self, seconds: int) -> None:
        """The monthly window: order management alone ends, and numbers begin anew."""
        self.closed_until_ns = self.clock.mono_ns() + seconds * SECOND_NS
        for link in [link for link in self.links if link.seat and link.seat.grant.kind == "trading"]:
            link.logout("FIX gateway maintenance")
            link.said_logout = True
            link.end()
        for seat in self.seats.values():
            if seat.grant.kind == "trading":
                seat.numbers.reset()

    def fee(self, order: Order, px: int, qty: int) -> Decimal:
        return sim_orders.fee_of(px, qty, self.exchange.instruments[order.symbol])

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        kind = message.msg_type
        calls: dict[str, dict[str, Callable[[Link, Message], None]]] = {
            "trading": {
                "D": self._new, "F": self._cancel, "G": self._amend, "H": self._status, "q": self._mass_cancel,
            },
            "marketdata": {"V": self.market_data.ask, "x": self.market_data.securities},
        }  # fmt: skip
        call = calls.get(seat.grant.kind, {}).get(kind)
        try:
            if call is None:
                self._business_reject(link, message, "3", "Unsupported Message Type")
            elif self._too_many(link):
                self.refuse(link, message, TOO_MANY)
            else:
                call(link, message)
        except FieldError as error:
            link.reject(message, error.reason, str(error), error.tag)
        except BusinessError as error:
            self._refuse(link, message, error.reason, str(error))

    def _too_many(self, link: Link) -> bool:
        times: deque[int] = link.state.setdefault("times", deque())
        now = self.clock.mono_ns()
        while times and times[0] <= now - SECOND_NS:
            times.popleft()
        if self.requests_per_s and len(times) >= self.requests_per_s:
            return True
        times.append(now)
        return False

    def _business_reject(self, link: Link, message: Message, reason: str, text: str) -> None:
        name = message.get(11) or message.get(262)
        fields = [(45, str(message.seq)), (372, message.msg_type), (379, name), (380, reason), (58, text)]
        link.send("j", [f for f in fields if f[1]])

    def refuse(self, link: Link, message: Message, text: str) -> None:
        self._refuse(link, message, OTHER, text)

    def _refuse(self, link: Link, message: Message, reason: str, text: str) -> None:
        seat, now = link.seat, self.clock.wall_ns()
        assert seat is not None
        match message.msg_type:
            case "D":
                self.report(seat, "8", sim_orders.rejection(message, self.exec_id(), reason, text, now))
            case "F" | "G":
                self.report(seat, "9", sim_orders.cancel_reject(message, self._named(seat, message), reason, text))
            case "H":
                self.report(seat, "8", sim_orders.no_status(message, self.exec_id(), reason, text))
            case "q" if reason == UNKNOWN_SYMBOL:  # 35=r has a code and no text
                fields: list[Field] = [(11, message.get(11)), (530, message.get(530)), (532, reason)]
                self.report(seat, "r", [*fields, (19, self.exec_id())])
            case _:
                self._business_reject(link, message, "0", text)

    def exec_id(self) -> str:
        """A report's id, unique over restarts."""
        return f"{self.clock.wall_ns():x}-{self.next_id()}"

    def new_order_id(self) -> str:
        """A number, as the venue's are."""
        return f"{self.clock.wall_ns() // 1_000}{self.next_id() % 1_000:03d}"

    def _new(self, link: Link, message: Message) -> None:
        seat = self._seat(link)
        need(message, 11, 55)
        instrument = self.exchange.instruments.get(message.get(55))
        if instrument is None:
            raise BusinessError(UNKNOWN_SYMBOL, "INVALID_INSTRUMENT")
        self._fresh(seat, message)
        order = sim_orders.parse(message, instrument, self.new_order_id(), seat, self.clock.wall_ns())
        self._submit(order)

    def _submit(self, order: Order) -> None:
        """Taken by the gateway, which is not the book yet."""
        pending = replace(standing(order, self.clock.wall_ns()), kind="A", status="A")
        self._say(order, "8", self._fields(pending), pending)
        self.exchange.submit(order)

    def _fresh(self, seat: Seat, message: Message) -> None:
        """ClOrdIDs are unique over all sessions. BusinessError."""
        if self.exchange.find(seat.grant.account, message.get(11)) is not None:
            raise BusinessError(OTHER, "DUPLICATE_CLORDID")

    @staticmethod
    def _seat(link: Link) -> Seat:
        assert link.seat is not None
        return link.seat

    def _named(self, seat: Seat, message: Message) -> Order | None:
        """The account's order that 37, or without it 41 (35=H: 11), names."""
        order_id, own = message.get(37), message.get(11 if message.msg_type == "H" else 41)
        order = self.exchange.orders.get(order_id) if order_id else self.exchange.find(seat.grant.account, own)
        return order if order is not None and order.owner.account == seat.grant.account else None

    def _open(self, seat: Seat, message: Message) -> Order:
        """The order, if it is open. BusinessError."""
        order = self._named(seat, message)
        if order is None or order.done or message.get(55, order.symbol) != order.symbol:
            raise BusinessError(UNKNOWN_ORDER if message.msg_type == "H" else "1", "NO_ACTIVE_ORDER")
        return order

    def _cancel(self, link: Link, message: Message) -> None:
        need(message, 11, 55)
        self.cancel(self._open(self._seat(link), message), message.get(11))

    def cancel(self, order: Order, request_id: str, reason: str = "request") -> bool:
        """Every cancel is pending first."""
        if not order.done:
            pending = replace(standing(order, self.clock.wall_ns()), kind="6", status="6", request_id=request_id)
            self._say(order, "8", self._fields(pending), pending)
        return super().cancel(order, request_id, reason)

    def _amend(self, link: Link, message: Message) -> None:
        """Cancelled and placed anew behind the scene, as REST's page says; the old order's end is reported."""
        seat = self._seat(link)
        need(message, 11, 38, 44, 60)
        order = self._open(seat, message)
        self._fresh(seat, message)
        instrument = self.exchange.instruments[order.symbol]
        qty, price = sim_orders.qty_of(message, instrument), sim_orders.px_of(message, instrument)
        order_id = self.new_order_id() if self.amend_id == "new" else order.order_id
        anew = Order(
            order_id, message.get(11), order.symbol, seat.owner, order.side, qty, price, order.tif,
            post_only=order.post_only, stp=order.stp, wire=dict(order.wire), origin=order.cl_ord_id,
        )  # fmt: skip
        self.exchange.cancel(order)
        self._submit(anew)

    def _mass_cancel(self, link: Link, message: Message) -> None:
        seat = self._seat(link)
        need(message, 11, 530)
        symbol = message.get(55)
        if message.get(530) != "1" or symbol not in self.exchange.markets:
            raise BusinessError(UNKNOWN_SYMBOL, "unknown symbol")
        accepted: list[Field] = [(11, message.get(11)), (530, "1"), (531, "1"), (19, self.exec_id())]
        self.report(seat, "r", accepted)
        session = seat.grant.sender if self.reach == "session" else None
        orders = self.exchange.working(account=seat.grant.account, comp_id=session, symbol=symbol)
        self.cancel_many(orders, message.get(11), symbol)

    def _status(self, link: Link, message: Message) -> None:
        """Open orders alone."""
        seat = self._seat(link)
        need(message, 55)
        order = self._open(seat, message)
        self.report(seat, "8", [*self._fields(standing(order, self.clock.wall_ns())), (912, "Y")])

    # -- reports --------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        self._say(event.order, "8", self._fields(event), event)

    def _fields(self, event: Event) -> list[Field]:
        return sim_orders.report(event, self.exchange.instruments[event.order.symbol], self.exec_id())

    def _say(self, order: Order, msg_type: str, fields: list[Field], event: Event) -> None:
        """To the session that placed the order, and to drop copy."""
        owner = self.seat_of(order)
        for seat in [*([owner] if owner else []), *self.seats_of(order.owner.account, "dropcopy")]:
            self.report(seat, msg_type, fields, event)

    def on_update(self, market: Market, update: Update) -> None:
        self.market_data.publish(market.symbol, update)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)


def signature(secret: str, kind: str, logon: Message) -> str:
    """What 554 must be (crypto-com.md, 4)."""
    label = "" if kind == "marketdata" else "system_labelONEEX"
    text = "public/auth" + logon.get(34) + logon.get(553) + label + logon.get(96)
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def make(setup: Setup, clock: Clock) -> CryptoComSim:
    """The venue, ready to be served."""
    return CryptoComSim(setup, clock)


def new_secret(what: str) -> str:
    """A fresh credential."""
    return secrets.token_urlsafe(16)


def default_instruments(venue: str) -> list[Instrument]:
    """Two Spot pairs and a perpetual."""
    return [
        Instrument(venue, "BTC-USDT", "BTC_USDT", 2, 5, min_qty=1),
        Instrument(venue, "ETH-USDT", "ETH_USDT", 2, 4, min_qty=1),
        Instrument(venue, "BTC-USD-PERP", "BTCUSD-PERP", 1, 4, min_qty=1),
    ]


def symbol_for(name: str) -> str:
    """BTC_USDT of BTC-USDT, BTCUSD-PERP of BTC-USD-PERP."""
    base, quote, *rest = name.split("-")
    return "-".join([base + quote, *rest]) if rest else f"{base}_{quote}"
