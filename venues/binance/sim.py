"""Binance Spot from its own side: order entry, market data and drop copy over FIX 4.4 (venues/binance.md).

No resend, 141=Y at every logon, numbers from 1 per connection, 9= with seven digits, one 35=q per symbol that reaches
the whole account. Market data is in `sim_md.py`, REST in `sim_rest.py`. This side shares nothing with the dialect.
Order lists (35=E) are not simulated: they are refused with -1020.
"""

import base64
import uuid
from functools import partial

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from base.clock import Clock
from base.errors import ConfigError, NumberError
from base.http import Request, Response
from base.instruments import Instrument
from sim import timetext
from sim.gateway import MS_NS, SECOND_NS, Link, Seat, Venue
from sim.matching import Market
from sim.orders import Event, Order, Update
from sim.session import Acceptor, Profile, Refusal
from sim.setup import Grant, Setup
from sim.wire import Field, Garbled, Message, number
from venues.binance import sim_orders
from venues.binance.sim_fields import COMP_ID, EngineError, RefusedError, check, one_of, reject_fields
from venues.binance.sim_limits import LIMIT_OPTIONS, Limits
from venues.binance.sim_md import BinanceMarketData
from venues.binance.sim_rest import BinanceRest

OPTIONS = frozenset({"list_lag_ms", "drop_copy_delay_ms", "report_before_cancels", "update_ms"}) | LIMIT_OPTIONS
STANDALONE = (
    ("trading", "OE", "SPOT", 2),
    ("marketdata", "MD", "SPOT", 2),
    ("dropcopy", "DC", "SPOT", 2),
)
KIND_OF = {"trading": "trading", "marketdata": "marketdata", "dropcopy": "dropcopy"}
NOT_HERE = {"marketdata": -1187, "dropcopy": -1183, "trading": -1186}


class BinanceSim(Venue):
    """The simulated venue."""

    services = ("trading", "marketdata", "dropcopy")
    keep_l3 = False
    no_cancel_text = "Market is closed."

    def __init__(self, setup: Setup, clock: Clock) -> None:
        super().__init__(setup, clock)
        setup.check_options(OPTIONS)
        self.drop_copy_delay_ns = setup.number("drop_copy_delay_ms", 1000) * MS_NS
        self.report_first = setup.flag("report_before_cancels", False)
        self.limits = Limits(setup, clock)
        self.public_keys = {
            g.password: private_key(g.password).public_key() for g in setup.grants if g.password and not setup.any_logon
        }
        self.market_data = BinanceMarketData(self, setup.number("update_ms", 100))
        self._rest = BinanceRest(self)
        self._execs = clock.wall_ns() // 1_000_000
        self._order_ids = 0
        self._uuid = str(uuid.UUID(int=setup.seed, version=4))

    # -- session --------------------------------------------------------------------------------------------------

    def profile(self, kind: str) -> Profile:
        return Profile(
            length_digits=7,
            time_digits=6,
            replays=False,
            reset_each_logon=True,
            drop_after=2.2,
            logout_text="Logout acknowledgment.",
            unresponsive_text="Session unresponsive to TestRequests.",
        )

    def serves(self, service: str, grant: Grant) -> bool:
        return service in {"any", grant.kind}

    def seat_key(self, link: Link, grant: Grant) -> tuple[str, str]:
        return grant.account, link.sender  # one live session per SenderCompID of the account, whatever its kind

    def find_grant(self, link: Link, logon: Message) -> Grant | None:
        """By API key: the client chooses its SenderCompID itself."""
        key = logon.get(553)
        known = [g for g in self.setup.grants if g.username == key or self.setup.any_logon]
        kind = KIND_OF.get(link.service) or self._kind_of(link, logon, known)
        for grant in known:
            if grant.kind == kind and (grant.sender == link.sender or link.service != "any"):
                return Grant(kind, link.sender, "SPOT", grant.account, 2, key, grant.password, grant.name)
        if known:
            return Grant(kind, link.sender, "SPOT", known[0].account, 2, key, known[0].password)
        return None

    @staticmethod
    def _kind_of(link: Link, logon: Message, known: list[Grant]) -> str:
        if logon.get(9406) == "Y":
            return "dropcopy"
        return next((g.kind for g in known if g.sender == link.sender), "trading")

    def refuse_logon(self, text: str) -> Refusal:
        return Refusal("3", ((372, "A"), (373, "99"), (25016, "-2015"), (58, text)))

    def not_first(self, session: Acceptor, message: Message) -> Refusal:
        return Refusal("3", tuple(reject_fields(message, RefusedError(-1180, "Logon must be the first message."))))

    def check_logon(self, link: Link, seat: Seat, logon: Message) -> Refusal | None:
        try:
            self._check_logon(link, seat, logon)
        except RefusedError as problem:
            return Refusal("3", tuple(reject_fields(logon, problem)))
        return None

    def _check_logon(self, link: Link, seat: Seat, logon: Message) -> None:
        kind = seat.grant.kind
        check(logon, market_data=kind == "marketdata" and link.service != "any")
        if not COMP_ID.match(link.sender) or link.target != "SPOT":
            raise RefusedError(-1130, "SenderCompID or TargetCompID is malformed.", 5, 49)
        if logon.get(141) != "Y":
            raise RefusedError(-1175, "ResetSeqNumFlag must be 'Y'.", 5, 141)
        if logon.seq != 1:
            raise RefusedError(-1179, "MsgSeqNum must be 1.", 5, 34)
        one_of(logon, 98, "0")
        one_of(logon, 25035, "12")
        if not 5 <= number(logon.get(108), 0) <= 60:
            raise RefusedError(-1130, "HeartBtInt must be between 5 and 60.", 5, 108)
        if (logon.get(9406) == "Y") != (kind == "dropcopy"):
            code = -1185 if kind == "dropcopy" else -1184
            raise RefusedError(code, "DropCopyFlag does not fit this host.", 5, 9406)
        self._check_time(logon, 5_000)
        if not self.setup.any_logon:
            self._check_signature(seat, logon)
        if seat.live is not None or self.clock.mono_ns() < seat.blocked_until_ns:
            raise RefusedError(-1033, "SenderCompID is already in use.", 99, 49)
        active = [s for s in self.seats.values() if s.live is not None and s.grant.kind == kind]
        self.limits.connections(kind, sum(s.grant.account == seat.grant.account for s in active))
        link.state["acks_only"] = logon.get(25036) == "2"
        seat.grant = Grant(kind, link.sender, "SPOT", seat.grant.account, 2, logon.get(553), seat.grant.password)

    def _check_signature(self, seat: Seat, logon: Message) -> None:
        payload = "\x01".join(("A", logon.get(49), logon.get(56), logon.get(34), logon.get(52))).encode()
        public = self.public_keys.get(seat.grant.password)
        if public is None:
            raise RefusedError(-2015, "Invalid API-key, IP, or permissions for action.", 99, 553)
        try:
            public.verify(base64.b64decode(logon.get(96), validate=True), payload)
        except (InvalidSignature, ValueError):
            raise RefusedError(-1022, "Signature for this request is not valid.", 8, 96) from None

    def _check_time(self, message: Message, default_ms: int = 0) -> None:
        sent = timetext.parse(message.get(52))
        now = self.clock.wall_ns()
        if sent is None:
            raise RefusedError(-1102, "SendingTime is malformed.", 6, 52)
        window, _, _ = message.get(25000).partition(".")
        window_ms = number(window, default_ms)
        if sent >= now + SECOND_NS or (window_ms and now - sent > window_ms * MS_NS):
            raise RefusedError(-1021, "Timestamp for this request is outside of the recvWindow.", 10, 52)

    def logon_fields(self, session: Acceptor, logon: Message) -> list[Field]:
        return [(98, "0"), (108, logon.get(108)), (25037, self._uuid)]

    def session_began(self, link: Link, seat: Seat, logon: Message) -> None:
        seat.blocked_until_ns = 0

    def session_ended(self, link: Link, seat: Seat) -> None:
        """Orders stay. After a close without Logout the SenderCompID stays blocked."""
        if not link.said_logout:
            seat.blocked_until_ns = self.clock.mono_ns() + 2 * link.heartbeat_ns

    def bad_sequence(self, session: Acceptor, message: Message) -> bool:
        text = f"Expected MsgSeqNum {session.numbers.next_in}."
        session.send("3", reject_fields(message, RefusedError(-1179, text, 5, 34)))
        session.end()
        return False

    def garbled(self, session: Acceptor, what: Garbled) -> None:
        super().garbled(session, what)
        if session.active:
            session.send("3", [(373, "99"), (25016, "-1177"), (58, f"Garbled message: {what.reason}.")])

    def announce_maintenance(self, seconds: int) -> None:
        """News every ten seconds to the sessions of now, then Logout; a session opened meanwhile is spared."""
        links = [link for link in self.links if link.active]
        self._news(links, self.clock.mono_ns() + seconds * SECOND_NS)

    def _news(self, links: list[Link], end_ns: int) -> None:
        left = max(0, round((end_ns - self.clock.mono_ns()) / SECOND_NS))
        text = f"You'll be disconnected in {left} seconds. Please reconnect."
        if left <= 10:
            text = "Your connection is about to be closed. Please reconnect."
        for link in links:
            if link.active:
                link.send("B", [(148, text)])
        if left <= 10:
            self.after(max(0, end_ns - self.clock.mono_ns()), lambda: self._close(links))
        else:
            self.after(10 * SECOND_NS, lambda: self._news(links, end_ns))

    def _close(self, links: list[Link]) -> None:
        for link in links:
            if link.active:
                link.logout("Maintenance.")
                link.said_logout = True
                link.end()

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        try:
            self.limits.message(link, seat.grant.kind)
        except RefusedError as problem:
            link.logout(str(problem))
            link.said_logout = True
            link.end()
            return
        try:
            check(message)
            self._check_time(message)
            self._serve(link, seat, message)
        except RefusedError as problem:
            link.send("3", reject_fields(message, problem))
        except NumberError as problem:
            link.send("3", reject_fields(message, RefusedError(-1111, str(problem), 6)))
        except EngineError as problem:
            self._engine_refused(link, message, problem)

    def _serve(self, link: Link, seat: Seat, message: Message) -> None:
        kind, mine = message.msg_type, seat.grant.kind
        if kind == "A":
            raise RefusedError(-1176, "Already logged on.")
        orders = {"D": self._new, "F": self._cancel, "q": self._mass_cancel, "XCN": self._swap, "XAK": self._amend}
        if kind in orders and mine == "trading":
            orders[kind](link, seat, message)
        elif kind in {"V", "x"} and (mine == "marketdata" or link.service == "any"):
            self.market_data.request(link, message)
        elif kind == "XLQ" and mine != "dropcopy":
            link.send("XLR", self.limits.response(link, seat, message.get(6136)))
        else:
            raise RefusedError(NOT_HERE[mine], f"Message type '{kind}' is not allowed in this session.", 99)

    def _engine_refused(self, link: Link, message: Message, problem: EngineError) -> None:
        if message.msg_type in {"F", "XCN"}:
            link.send("9", sim_orders.cancel_reject(message, problem))
        elif message.msg_type == "XAK":
            link.send("XAR", sim_orders.cancel_reject(message, problem))
        else:
            link.send("8", sim_orders.rejection(message, problem, self.clock.wall_ns()))

    def refuse(self, link: Link, message: Message, text: str) -> None:
        if message.msg_type == "q":
            link.send("r", sim_orders.mass_report(message, None, text))
        elif message.msg_type in {"D", "F", "XCN", "XAK"}:
            self._engine_refused(link, message, EngineError(-2010 if message.msg_type == "D" else -2011, text))
        else:
            link.send("3", reject_fields(message, RefusedError(-1000, text)))

    def _new(self, link: Link, seat: Seat, message: Message) -> None:
        instrument = sim_orders.instrument_of(message, self.exchange.instruments)
        market = self.exchange.markets[instrument.symbol]
        self._order_ids += 1
        order = sim_orders.parse(message, instrument, market, str(self._order_ids), seat)
        open_one = self.exchange.find(seat.grant.account, order.cl_ord_id)
        if open_one is not None and not open_one.done and open_one.cl_ord_id == order.cl_ord_id:
            raise EngineError(-2010, "Duplicate order sent.")
        self.limits.order(seat.grant.account)
        self.exchange.submit(order)

    def _named(self, seat: Seat, message: Message) -> Order:
        """The open order of the account that 37 (then 41 must agree) or 41 names."""
        sim_orders.instrument_of(message, self.exchange.instruments)
        if not message.has(37) and not message.has(41):
            raise RefusedError(-1102, "Mandatory tag 37 or 41 was not sent.", 1, 37)
        exchange, account = self.exchange, seat.grant.account
        order = exchange.orders.get(message.get(37)) if message.has(37) else exchange.find(account, message.get(41))
        if order is None or order.done or order.owner.account != account or order.symbol != message.get(55):
            raise EngineError(-2011, "Unknown order sent.")
        if message.has(41) and order.cl_ord_id != message.get(41):
            raise EngineError(-2011, "Unknown order sent.")
        restriction = message.get(25002)
        if (restriction == "1" and order.cum) or (restriction == "2" and not order.cum):
            raise EngineError(-2011, "Order was not canceled due to cancel restrictions.")
        return order

    def _cancel(self, link: Link, seat: Seat, message: Message) -> None:
        if not self.cancel(self._named(seat, message), message.get(11)):
            raise EngineError(-2011, "Unknown order sent.")

    def _swap(self, link: Link, seat: Seat, message: Message) -> None:
        go_on = one_of(message, 25033, "12") == "2"
        try:
            old = self._named(seat, message)
            cancel_id = message.get(25034) or f"c{self.next_id()}"
            if not self.cancel(old, cancel_id):
                raise EngineError(-2011, "Unknown order sent.")
        except EngineError as problem:
            link.send("9", sim_orders.cancel_reject(message, problem))
            if not go_on:
                return
        try:
            self._new(link, seat, message)
        except EngineError as problem:
            link.send("8", sim_orders.rejection(message, problem, self.clock.wall_ns()))

    def _amend(self, link: Link, seat: Seat, message: Message) -> None:
        order = self._named(seat, message)
        instrument = self.exchange.instruments[order.symbol]
        qty = instrument.qty(message.get(38))
        if qty > order.qty:
            raise EngineError(-2038, "Order amend (quantity increase) is not supported.")
        if qty == order.qty:
            raise EngineError(-2038, "The requested action would change no state; rejecting.")
        if qty <= order.cum or order.amends >= sim_orders.MAX_AMENDS:
            raise EngineError(-2038, "Filter failure: MAX_NUM_ORDER_AMENDS" if order.amends else "Invalid quantity.")
        self.exchange.replace(order, message.get(11), qty=qty, price=order.price)

    def _mass_cancel(self, link: Link, seat: Seat, message: Message) -> None:
        sim_orders.instrument_of(message, self.exchange.instruments)
        one_of(message, 530, "1")
        orders = self.exchange.working(account=seat.grant.account, symbol=message.get(55))
        if self.report_first and orders:
            link.send("r", sim_orders.mass_report(message, len(orders)))
        count = self.cancel_many(orders, message.get(11), message.get(55))
        if not (self.report_first and orders):
            link.send("r", sim_orders.mass_report(message, count, self.no_cancel_text))

    # -- reports --------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        order = event.order
        if event.kind == "F" and event.cum == event.last_qty:
            self.limits.filled(order.owner.account)
        self._execs += 1
        fields = sim_orders.report(event, self.exchange.instruments[order.symbol], self._execs)
        for seat in self.seats_of(order.owner.account, "trading"):
            if seat.live is not None and (not seat.live.state.get("acks_only") or self._is_ack(seat, event)):
                self.report(seat, "8", fields, event)
        for seat in self.seats_of(order.owner.account, "dropcopy"):
            self.after(self.drop_copy_delay_ns, partial(self.report, seat, "8", fields, event))

    @staticmethod
    def _is_ack(seat: Seat, event: Event) -> bool:
        own = event.order.owner.comp_id == seat.grant.sender
        return own and (event.kind == "0" or bool(event.request_id))

    def on_update(self, market: Market, update: Update) -> None:
        self.market_data.publish(market.symbol, update)

    def tick(self) -> None:
        super().tick()
        self.market_data.tick()

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)


def private_key(text: str) -> Ed25519PrivateKey:
    """An Ed25519 key from PEM, or from base64 of its PKCS#8 DER. ConfigError otherwise, never showing it."""
    try:
        if "BEGIN" in text:
            key = serialization.load_pem_private_key(text.encode(), None)
        else:
            key = serialization.load_der_private_key(base64.b64decode(text, validate=True), None)
    except (ValueError, TypeError):
        raise ConfigError("a Binance private key must be Ed25519, PEM or base64 of PKCS#8 DER") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("a Binance private key must be Ed25519")
    return key


def make(setup: Setup, clock: Clock) -> BinanceSim:
    """The venue, ready to be served."""
    return BinanceSim(setup, clock)


def new_secret(what: str) -> str:
    """A fresh credential: an API key of 64 letters and digits, or an Ed25519 key (base64 of PKCS#8 DER)."""
    if what not in {"password", "rest_secret"}:
        return uuid.uuid4().hex + uuid.uuid4().hex
    der = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return base64.b64encode(der).decode()


def default_instruments(venue: str) -> list[Instrument]:
    """What the venue trades when nobody says."""
    return [
        Instrument(venue, "BTC-USDT", "BTCUSDT", 2, 5, min_qty=1),
        Instrument(venue, "ETH-USDT", "ETHUSDT", 2, 4, min_qty=1),
    ]


def symbol_for(name: str) -> str:
    """The venue's symbol for a desk name."""
    return name.replace("-PERP", "PERP").replace("-", "")
