"""Kraken from its own side: Spot and Derivatives order entry over FIX 4.4 (venues/kraken.md, sections 4 and 5).

Where the documentation is silent or contradicts itself the choice is an option of `[sim.X]` (docs/simvenue.md).
Market data is in `sim_md.py`, REST in `sim_rest.py`. This side shares nothing with the dialect.
"""

import base64
import hashlib
import hmac
import random
from decimal import Decimal
from uuid import UUID

from base.clock import Clock
from base.errors import NumberError
from base.http import Request, Response
from base.instruments import Instrument
from sim.fields import BusinessError, FieldError, standing
from sim.gateway import SECOND_NS, Link, Seat, Venue
from sim.matching import Market
from sim.orders import BUY, Event, Order, Update
from sim.session import Profile, Refusal
from sim.setup import Setup
from sim.wire import Field, Message, number
from venues.kraken import sim_orders
from venues.kraken.sim_md import KrakenMarketData
from venues.kraken.sim_rest import KrakenRest

ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
REQUIRED = {
    "D": ((11, "ClOrdID"), (55, "Symbol"), (54, "Side"), (38, "OrderQty"), (40, "OrdType"), (59, "TimeInForce")),
    "F": ((11, "ClOrdID"), (55, "Symbol"), (54, "Side"), (60, "TransactTime")),
    "G": ((11, "ClOrdID"), (37, "OrderID"), (41, "OrigClOrdID"), (55, "Symbol"), (54, "Side"), (38, "OrderQty")),
    "H": ((11, "ClOrdID"), (37, "OrderID"), (55, "Symbol")),
    "q": ((11, "ClOrdID"), (60, "TransactTime"), (530, "MassCancelRequestType")),
}
OPTIONS = frozenset(
    {
        "mass_cancel_7",
        "session_scope",
        "nonce_window_s",
        "amend_derivatives",
        "daily_rollover",
        "list_lag_ms",
        "tier",
        "rate_ceiling",
        "rate_refuses_cancels",
    }
)
STANDALONE = (
    ("trading", "CLIENT", "KRAKEN-TRD", 2),
    ("marketdata", "CLIENT", "KRAKEN-MD", 2),
    ("marketdata", "CLIENTL3", "KRAKEN-MD", 3),
    ("trading", "CLIENT_DRV", "KRAKEN-DRV-TRD", 2),
    ("marketdata", "CLIENT_DRV", "KRAKEN-DRV-MD", 2),
    ("marketdata", "CLIENTL3_DRV", "KRAKEN-DRV-MD", 3),
)


class KrakenSim(Venue):
    """The simulated venue."""

    tls13_only = True
    no_cancel_text = "EService:Market in maintenance"

    def __init__(self, setup: Setup, clock: Clock) -> None:
        super().__init__(setup, clock)
        setup.check_options(OPTIONS)
        self.random = random.Random(setup.seed)
        self.market_status = dict.fromkeys(self.exchange.markets, "1")  # AssetPairStatus(5032)
        self.trading_status = "2"  # TradSesStatus(340): 1 maintenance, 2 online
        self.mass_cancel_7 = setup.text("mass_cancel_7", "comp_id", ("comp_id", "account"))
        self.session_scope = setup.text("session_scope", "connection", ("connection", "comp_id"))
        self.nonce_window_ns = setup.number("nonce_window_s", 5) * SECOND_NS
        self.amend_derivatives = setup.flag("amend_derivatives", False)
        self.limiter = sim_orders.rate_counter(setup)
        self._amended_ns: dict[str, int] = {}
        self._rolls = setup.flag("daily_rollover", False)
        self._day = self._rollover_day()
        self.market_data = KrakenMarketData(self)
        self._rest = KrakenRest(self)

    # -- session --------------------------------------------------------------------------------------------------

    def profile(self, kind: str) -> Profile:
        # Execution reports are replayed; market data is gap filled (the subscription is made anew instead).
        return Profile(replay_types=frozenset("8") if kind in {"trading", "any"} else frozenset())

    def check_logon(self, link: Link, seat: Seat, logon: Message) -> Refusal | None:
        if logon.get(98) != "0" or number(logon.get(108), 0) < 1:
            return self.refuse_logon("EncryptMethod (98) must be 0, HeartBtInt (108) positive")
        if logon.get(8674, "0") not in {"0", "1"}:
            return self.refuse_logon("CancelOrdersOnDisconnect (8674) must be 0 or 1")
        if seat.grant.kind == "trading" and not self.setup.any_logon:
            refusal = self._check_signature(seat, logon)
            if refusal is not None:
                return refusal
        seat.cancels_on_loss = seat.grant.kind == "trading" and logon.get(8674, "0") == "0"
        if logon.get(5030) == "Y":
            seat.watermark = 0
        return None

    def _check_signature(self, seat: Seat, logon: Message) -> Refusal | None:
        nonce = logon.get(5025)
        for tag, name in ((553, "Username"), (554, "Password"), (5025, "Nonce")):
            if not logon.has(tag):
                return self.refuse_logon(f"Missing mandatory field: {name} ({tag})")
        if abs(number(nonce, 0) * 1_000_000 - self.clock.wall_ns()) > self.nonce_window_ns:
            return Refusal("")  # a stale nonce is met with a closed socket
        if number(nonce, 0) <= seat.last_nonce:
            return self.refuse_logon("Invalid nonce: not above the last one")
        wanted = signature(seat.grant.password, seat.grant.username, logon)
        if logon.get(553) != seat.grant.username or not hmac.compare_digest(wanted, logon.get(554)):
            return self.refuse_logon("Invalid credentials")
        seat.last_nonce = number(nonce, 0)
        return None

    def tick(self) -> None:
        super().tick()
        if self._rolls and self._rollover_day() != self._day:
            self._day = self._rollover_day()
            self.rollover(30)

    def _rollover_day(self) -> int:
        return (self.clock.wall_ns() // SECOND_NS - 22 * 3600) // 86_400

    def fee(self, order: Order, px: int, qty: int) -> Decimal:
        return sim_orders.fee_of(px, qty, self.exchange.instruments[order.symbol])

    def announce_maintenance(self, seconds: int) -> None:
        self._set_status("1")
        self.after(seconds * SECOND_NS, lambda: self._set_status("2"))

    def _set_status(self, status: str) -> None:
        self.trading_status = status
        self.market_data.tell_status()

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        kind = message.msg_type
        if seat.grant.kind == "marketdata" and kind in {"V", "x", "g"}:
            self.market_data.request(link, seat, message)
            return
        if seat.grant.kind != "trading" or kind not in REQUIRED:
            self.business_reject(link, message, "3", "Unsupported message type")
            return
        for tag, name in REQUIRED[kind]:
            if not message.get(tag):
                link.reject(message, 1, f"Missing mandatory field: {name} ({tag})", tag)
                return
        problem = self._id_problem(seat, message)
        if problem:
            link.reject(message, 5, f"ClOrdID invalid value ({problem})", 11)
        elif self._used(seat, message.get(11)):
            self.business_reject(link, message, "0", "EOrder:Duplicate ClOrdID")
        elif self.trading_status == "1":
            self.business_reject(link, message, "4", self.no_cancel_text)
        else:
            self._serve(link, seat, message)

    def _serve(self, link: Link, seat: Seat, message: Message) -> None:
        seat.seen_ids.add(message.get(11))
        try:
            {"D": self._new, "F": self._cancel, "G": self._amend, "H": self._status, "q": self._mass_cancel}[
                message.msg_type
            ](link, seat, message)
        except NumberError as error:
            link.reject(message, 5, str(error))
        except FieldError as error:
            link.reject(message, error.reason, str(error), error.tag)
        except BusinessError as error:
            self.business_reject(link, message, error.reason, str(error))

    def refuse(self, link: Link, message: Message, text: str) -> None:
        self.business_reject(link, message, "0", text)

    def business_reject(self, link: Link, message: Message, reason: str, text: str) -> None:
        """35=j; 45 is always 0 here, 379 is the key."""
        fields = [(45, "0"), (58, text), (372, message.msg_type), (379, message.get(11)), (380, reason)]
        link.send("j", fields)

    def _id_problem(self, seat: Seat, message: Message) -> str:
        text = message.get(11)
        if text.isdigit() and len(text) <= 18:
            if sim_orders.is_derivatives(seat.grant.target):
                return "a COMB UUID is needed"
            return ""
        try:
            value = UUID(text)
        except ValueError:
            return "neither an integer of at most 18 digits nor a UUID"
        stamp_ns = (value.int >> 80) * 10_000
        if abs(stamp_ns - self.clock.wall_ns()) > 120 * SECOND_NS:
            return "timestamp is out of date"
        return ""

    def _used(self, seat: Seat, text: str) -> bool:
        if not text.isdigit():
            return text in seat.seen_ids
        if int(text) <= seat.watermark:
            return True
        seat.watermark = int(text)
        return False

    def instrument(self, seat: Seat, symbol: str) -> Instrument:
        """The instrument of a symbol on the seat's market (Spot or Derivatives)."""
        found = self.exchange.instruments.get(symbol)
        if found is None or sim_orders.is_derivatives(seat.grant.target) == ("/" in symbol):
            raise BusinessError("2", f"EGeneral:Unknown symbol {symbol}")
        return found

    def _new(self, link: Link, seat: Seat, message: Message) -> None:
        instrument = self.instrument(seat, message.get(55))
        self.limiter.charge(seat.grant.account, instrument.symbol, "add", 0, self.clock.wall_ns())
        if self.market_status[instrument.symbol] not in {"1", "4", "5"}:
            raise BusinessError("0", "EOrder:Market is not online")
        market = self.exchange.markets[instrument.symbol]
        order = sim_orders.parse(message, instrument, market, self.order_id(instrument), seat, self.clock.wall_ns())
        self.exchange.submit(order)

    def order_id(self, instrument: Instrument) -> str:
        """OXXXXX-XXXXX-XXXXXX on Spot, a UUID on Derivatives."""
        if "/" not in instrument.symbol:
            return str(UUID(int=self.random.getrandbits(128), version=4))
        text = "".join(self.random.choices(ID_LETTERS, k=16))
        return f"O{text[:5]}-{text[5:10]}-{text[10:]}"

    def _own(self, seat: Seat, message: Message) -> Order:
        """The order of this FIX session that 37, or without it 41, names."""
        order_id = message.get(37)
        exchange = self.exchange
        order = exchange.orders.get(order_id) if order_id else exchange.find(seat.grant.sender, message.get(41))
        if order is None or order.owner.comp_id != seat.grant.sender or order.symbol != message.get(55):
            raise BusinessError("101", "EOrder:Unknown order")
        if self.session_scope == "connection" and order.owner.connection != seat.connection:
            raise BusinessError("101", "EOrder:Unknown order")
        return order

    def _cancel(self, link: Link, seat: Seat, message: Message) -> None:
        if not message.get(37) and not message.get(41):
            raise FieldError(1, 37, "Missing mandatory field: OrderID (37) or OrigClOrdID (41)")
        order = self._own(seat, message)
        self.charge_cancel(seat.grant.account, order)
        if not self.cancel(order, message.get(11)):
            raise BusinessError("101", "Open Order to cancel not found")

    def charge_cancel(self, account: str, order: Order) -> None:
        """What the engine counts for a cancel, over FIX or REST. BusinessError when it is too much."""
        self.limiter.charge(account, order.symbol, "cancel", self._since(order), self.clock.wall_ns())

    def _amend(self, link: Link, seat: Seat, message: Message) -> None:
        if sim_orders.is_derivatives(seat.grant.target) and not self.amend_derivatives:
            raise BusinessError("3", "Unsupported message type")
        order = self._own(seat, message)
        if order.cl_ord_id != message.get(41) or order.leaves == 0:
            raise BusinessError("101", "EOrder:Unknown order")
        self.limiter.charge(seat.grant.account, order.symbol, "amend", self._since(order), self.clock.wall_ns())
        instrument = self.exchange.instruments[order.symbol]
        change = sim_orders.parse_amend(message, instrument, order)
        if change.post_only and change.price is not None:
            best = self.exchange.markets[order.symbol].sides[1 - order.side].best
            if best is not None and (change.price >= best if order.side == BUY else change.price <= best):
                raise BusinessError("0", "EOrder:Post only order")
        self.exchange.replace(
            order, message.get(11), qty=change.qty, price=change.price, stop_px=change.stop_px, display=change.display
        )
        self._amended_ns[order.order_id] = self.clock.wall_ns()

    def _since(self, order: Order) -> int:
        """When the order was made or last amended: what is young costs more."""
        return self._amended_ns.get(order.order_id, order.opened_ns)

    def _status(self, link: Link, seat: Seat, message: Message) -> None:
        if sim_orders.is_derivatives(seat.grant.target):
            raise BusinessError("3", "Unsupported message type")
        order = self.exchange.orders.get(message.get(37))
        if order is None or order.owner.comp_id != seat.grant.sender:
            raise BusinessError("101", "EOrder:Unknown order")
        event = standing(order, self.clock.wall_ns())
        self.report(seat, "8", self.fields(event, cl_ord_id=message.get(11)), event)

    def _mass_cancel(self, link: Link, seat: Seat, message: Message) -> None:
        scope, symbol = message.get(530), message.get(55)
        if scope not in {"1", "6", "7"}:
            raise FieldError(5, 530, f"MassCancelRequestType (530) {scope!r} is none of 1, 6, 7")
        if scope == "1":
            if not symbol:
                raise FieldError(1, 55, "Missing mandatory field: Symbol (55)")
            self.instrument(seat, symbol)
        else:
            symbol = ""
        if scope == "7" and self.mass_cancel_7 == "account":
            orders = self.exchange.working(account=seat.grant.account, symbol=symbol)
        elif scope == "7" or self.session_scope == "comp_id":
            orders = self.exchange.working(comp_id=seat.grant.sender, symbol=symbol)
        else:
            orders = self.exchange.working(comp_id=seat.grant.sender, connection=seat.connection, symbol=symbol)
        # One report an order and no 35=r: when nothing matches, nothing is said.
        if self.cancel_many(orders, message.get(11), symbol) is None:
            raise BusinessError("0", self.no_cancel_text)

    # -- reports --------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        seat = self.seat_of(event.order)
        if seat is not None:
            self.report(seat, "8", self.fields(event), event)

    def fields(self, event: Event, cl_ord_id: str = "") -> list[Field]:
        """Body of an ExecutionReport, tags in rising order as the samples have them."""
        instrument = self.exchange.instruments[event.order.symbol]
        exec_id = f"E{self.next_id():X}-{self.random.getrandbits(32):08X}"
        return sim_orders.report(event, instrument, exec_id, cl_ord_id)

    def on_update(self, market: Market, update: Update) -> None:
        self.market_data.publish(market.symbol, update)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)


def signature(secret: str, key: str, logon: Message) -> str:
    """What 554 must be (venues/kraken.md 4.4). `secret` is base64."""
    parts = ("35=A", f"34={logon.get(34)}", f"49={logon.get(49)}", f"56={logon.get(56)}", f"553={key}")
    text = "".join(f"{part}\x01" for part in parts) + logon.get(5025)
    inner = hashlib.sha256(text.encode()).digest()
    return base64.b64encode(hmac.new(base64.b64decode(secret), inner, hashlib.sha512).digest()).decode()


def make(setup: Setup, clock: Clock) -> KrakenSim:
    """The venue, ready to be served."""
    return KrakenSim(setup, clock)


def new_secret(what: str) -> str:
    """A fresh credential of the venue's form: `username` or `password`, `rest_key` or `rest_secret`."""
    source = random.SystemRandom()
    if what in {"password", "rest_secret"}:
        return base64.b64encode(source.randbytes(64)).decode()
    return base64.b64encode(source.randbytes(42)).decode()


def default_instruments(venue: str) -> list[Instrument]:
    """What the venue trades when nobody says: two Spot pairs and two perpetuals."""
    return [
        Instrument(venue, "BTC-USD", "BTC/USD", 1, 8, min_qty=10_000),
        Instrument(venue, "ETH-USD", "ETH/USD", 2, 8, min_qty=100_000),
        Instrument(venue, "BTC-USD-PERP", "PF_XBTUSD", 0, 4),
        Instrument(venue, "ETH-USD-PERP", "PF_ETHUSD", 1, 3),
    ]


def symbol_for(name: str) -> str:
    """The venue's symbol for a desk name: BTC/USD on Spot, PF_XBTUSD for a perpetual."""
    base, quote, *rest = name.split("-")
    return f"PF_{'XBT' if base == 'BTC' else base}{quote}" if rest else f"{base}/{quote}"
