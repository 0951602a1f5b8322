"""Deribit from its own side: one kind of session for orders and market data, any number of them (deribit.md).

Reports go to every connection of the sub-account that did not ask for less (9009, 9010). Market data is in `sim_md.py`,
HTTP in `sim_rest.py`. Where the documentation is silent the choice is an option. This side shares nothing with the
dialect.
"""

import base64
import hashlib
import hmac
import random
from collections.abc import Callable

from base.clock import Clock
from base.errors import NumberError
from base.http import Request, Response
from base.instruments import Contract, Instrument
from sim.fields import FieldError, need, standing
from sim.gateway import SECOND_NS, Link, Seat, Venue
from sim.matching import Market
from sim.orders import Event, Order, Update
from sim.session import Profile, Refusal
from sim.setup import Setup
from sim.wire import Field, Message, number
from venues.deribit import sim_orders
from venues.deribit.sim_md import DeribitMarketData
from venues.deribit.sim_orders import EngineError
from venues.deribit.sim_rest import DeribitRest

OPTIONS = frozenset(
    {
        "list_lag_ms",
        "rest_burst",
        "orders_burst",
        "orders_per_s",
        "first_number",
        "acknowledges",
        "replaces",
        "epoch_times",
    }
)
STANDALONE = (
    ("trading", "CLIENT", "DERIBITSERVER", 2),
    ("marketdata", "CLIENTMD", "DERIBITSERVER", 2),
    ("dropcopy", "CLIENTDC", "DERIBITSERVER", 2),
)
MARKET_DATA = frozenset("Vx")
SECURITY_TYPES = {"FUT": True, "OPT": False, "FUTCO": False, "OPTCO": False}
"""Whether the simulated instruments are of that type."""
SCOPES: dict[str, tuple[int, ...]] = {"7": (), "1": (55,), "5": (167,), "10": (100010,)}
"""MassCancelRequestType(530), with the field that goes with it."""
REASONS = {"disconnect": "cancel_on_disconnect", "post_only": "post_only_reject", "stp": "self_match_prevention"}


class DeribitSim(Venue):
    """The simulated venue."""

    no_cancel_text = "settlement_in_progress"

    def __init__(self, setup: Setup, clock: Clock) -> None:
        super().__init__(setup, clock)
        setup.check_options(OPTIONS)
        self.first_number = setup.number("first_number", 1)
        self.acknowledges = setup.text("acknowledges", "0", ("0", "I", "none"))
        self.replaces = setup.text("replaces", "I", ("0", "5", "I", "none"))
        self.orders_burst = setup.number("orders_burst", 0)  # 0: not counted; the venue begins with 20 and 5 a second
        self.orders_per_s = setup.number("orders_per_s", 5)
        self.refused_for_rate = 0
        self._credits: dict[str, tuple[float, int]] = {}
        self.market_data = DeribitMarketData(self)
        self._rest = DeribitRest(self)

    # -- session --------------------------------------------------------------------------------------------------

    def profile(self, kind: str) -> Profile:
        return Profile(reset_each_logon=True, replays=True)

    def logon_fields(self, session: Link, logon: Message) -> list[Field]:
        """The client's Logon comes back, without its password."""
        session.numbers.next_out = self.first_number
        return [(t, v) for t, v in logon.fields if t not in {8, 9, 10, 34, 35, 49, 52, 56, 554}]

    def check_logon(self, link: Link, seat: Seat, logon: Message) -> Refusal | None:
        if logon.seq != 1 or not 1 <= number(logon.get(108), 0) <= 3600:
            return self.refuse_logon("invalid_heartbeat_or_sequence")
        stamp, _, nonce = logon.get(96).partition(".")
        if not stamp.isdigit() or not nonce or len(nonce) > 700:
            return self.refuse_logon("invalid_nonce_format")
        wanted = password(seat.grant.password, logon.get(96))
        right = logon.get(553) == seat.grant.username and hmac.compare_digest(wanted, logon.get(554))
        if not (right or self.setup.any_logon):
            return self.refuse_logon("invalid_credentials")
        if int(stamp) <= seat.last_nonce and not self.setup.any_logon:
            return self.refuse_logon("invalid_nonce: the timestamp must rise")
        seat.last_nonce = int(stamp)
        seat.cancels_on_loss = logon.get(9001) == "Y"
        link.state["silent"] = logon.get(9009) == "Y"
        link.state["own"] = logon.get(9010) == "Y"
        link.state["fills"] = logon.get(9015) == "Y"
        return None

    def session_ended(self, link: Link, seat: Seat) -> None:
        """A Logout cancels, too."""
        link.said_logout = False
        super().session_ended(link, seat)

    def announce_maintenance(self, seconds: int) -> None:
        """No notice is documented: sessions end, and logons are refused for a while."""
        self.rollover(seconds)

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        kind = message.msg_type
        calls: dict[str, Callable[[Link, Seat, Message], None]] = {
            "D": self._new, "F": self._cancel, "G": self._replace, "AF": self._status, "q": self._mass_cancel,
        }  # fmt: skip
        try:
            if kind in MARKET_DATA:
                (self.market_data.securities(link, message) if kind == "x"
                 else self.market_data.request(link, seat, message))  # fmt: skip
            elif kind not in calls:
                self.business_reject(link, message, "3", "unsupported_message_type")
            elif self._has_credit(link, seat, message):
                calls[kind](link, seat, message)
        except NumberError as error:
            link.reject(message, 6, str(error))
        except FieldError as error:
            link.reject(message, error.reason, str(error), error.tag)
        except EngineError as problem:
            self._refused(link, message, problem)

    def _has_credit(self, link: Link, seat: Seat, message: Message) -> bool:
        """A request without credit is refused, and ends the session."""
        if not self.orders_burst or message.msg_type == "AF":
            return True
        now = self.clock.mono_ns()
        level, at = self._credits.get(seat.grant.account, (float(self.orders_burst), now))
        level = min(self.orders_burst, level + (now - at) / SECOND_NS * self.orders_per_s) - 1
        self._credits[seat.grant.account] = max(level, 0.0), now
        if level >= 0:
            return True
        self.refused_for_rate += 1
        self._refused(link, message, EngineError("too_many_requests"))
        link.logout("too_many_requests")
        link.end()
        return False

    def business_reject(self, link: Link, message: Message, reason: str, text: str) -> None:
        """35=j."""
        name = message.get(41) or message.get(11) or message.get(584)
        link.send("j", [(372, message.msg_type), *([(379, name)] if name else []), (380, reason), (58, text)])

    def refuse(self, link: Link, message: Message, text: str) -> None:
        self._refused(link, message, EngineError(text))

    def _refused(self, link: Link, message: Message, problem: EngineError) -> None:
        match message.msg_type:
            case "D":
                link.send("8", sim_orders.rejection(message, problem, self.clock.wall_ns()))
            case "F" | "G":
                link.send("9", sim_orders.cancel_reject(message, problem.reason, str(problem)))
            case "q":
                link.send(
                    "r", [(11, message.get(11)), (530, message.get(530)), (532, problem.reason), (58, str(problem))]
                )
            case _:
                self.business_reject(link, message, "0", str(problem))

    def change_id(self) -> str:
        """SecondaryExecID(527): an id of each change of an order."""
        return str(self.next_id())

    def _new(self, link: Link, seat: Seat, message: Message) -> None:
        i = self.exchange.instruments.get(message.get(55))
        if i is None:
            raise EngineError("instrument_not_found", "1")
        order_id = f"{i.symbol.partition('-')[0]}-{self.next_id()}"
        market = self.exchange.markets[i.symbol]
        self.exchange.submit(sim_orders.parse(message, i, market, order_id, seat, self.clock.wall_ns()))

    def _named(self, seat: Seat, message: Message) -> Order:
        """The open order of the sub-account that 41 (ours), 11 (the client's) or the label names. EngineError."""
        working = self.exchange.working(account=seat.grant.account)
        if message.has(41):
            found = [o for o in working if o.order_id == message.get(41)]
        elif message.has(11) or message.has(100010):
            need(message, 55)
            tag, name = (11, message.get(11)) if message.has(11) else (100010, message.get(100010))
            found = [o for o in working if name == (o.cl_ord_id if tag == 11 else o.wire.get(100010))]
        else:
            raise FieldError(1, 41, "Required tag missing: 41, 11 or 100010")
        if len(found) != 1:
            raise EngineError("order_not_found" if not found else "several orders have that name", "1")
        return found[0]

    def _cancel(self, link: Link, seat: Seat, message: Message) -> None:
        order = self._named(seat, message)
        link.state.setdefault("cancels", set()).add(order.order_id)
        self.cancel(order, "")

    def _replace(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 55, 54, 38, 44)
        order = self._named(seat, message)
        i = self.exchange.instruments[order.symbol]
        if message.get(40, "2") != "2" or order.price is None or order.trigger is not None:
            raise EngineError("only limit orders are amended")
        if (message.get(54) == "1") != (order.side == 0) or message.get(55) != order.symbol:
            raise EngineError("side or symbol differs")
        qty, price = sim_orders.qty_of(message, i), sim_orders.px_of(message, i)
        if qty <= order.cum:
            raise EngineError("quantity is not above what is filled")
        self.exchange.replace(order, order.cl_ord_id, qty=qty, price=price)

    def _status(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 584, 585)
        name, account = message.get(584), seat.grant.account
        mine = [o for o in self.exchange.orders.values() if o.owner.account == account]
        if message.get(585) == "1":
            found = [o for o in mine if o.order_id == name]
        elif message.has(9014):
            need(message, 55)
            by_label = message.get(9014) == "2"
            found = [o for o in mine if name == (o.wire.get(100010) if by_label else o.cl_ord_id)]
        else:
            found = [o for o in mine if not o.done]
        for order in found:
            instrument = self.exchange.instruments[order.symbol]
            event = standing(order, self.clock.wall_ns())
            link.send("8", sim_orders.report(event, instrument, self.change_id(), "I", "status"))
        if not found and (message.get(585) == "1" or message.has(9014)):
            link.send("8", [(584, name), (39, "8"), (150, "I"), (103, "5"), (58, "order_not_found")])

    def _mass_cancel(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 11, 530)
        self._check_scope(message)
        orders = [o for o in self.exchange.working(account=seat.grant.account) if self._in_scope(o, message)]
        symbol = message.get(55) if message.get(530) == "1" else ""
        count = self.cancel_many(orders, message.get(11), symbol)
        named = [(41, o.order_id) for o in orders[: count or 0]]
        link.send(
            "r",
            [(11, message.get(11)), (530, message.get(530)), (531, message.get(530)), (533, str(count)),
             (534, str(len(named))), *named, (58, "success")],
        )  # fmt: skip

    def _check_scope(self, message: Message) -> None:
        """EngineError or FieldError where the request does not say what it is about."""
        kind = message.get(530)
        if kind not in SCOPES:
            raise FieldError(5, 530, f"MassCancelRequestType (530) {kind}")
        need(message, *SCOPES[kind])
        if kind == "1" and message.get(55) not in self.exchange.markets:
            raise EngineError("instrument_not_found")

    @staticmethod
    def _in_scope(order: Order, message: Message) -> bool:
        if not order.symbol.startswith(message.get(15)):
            return False
        return {
            "7": True,
            "1": order.symbol == message.get(55),
            "5": SECURITY_TYPES.get(message.get(167), False),
            "10": order.wire.get(100010) == message.get(100010),
        }[message.get(530)]

    # -- reports --------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """The order's own connection hears an answer, all others of the sub-account a notification."""
        order, owner = event.order, self.seat_of(event.order)
        for seat in self.seats.values():
            link = seat.live
            if seat.grant.account != order.owner.account or link is None or link.state.get("silent"):
                continue
            if link.state.get("own") and seat.connection != order.owner.connection:
                continue
            self._tell(seat, link, event, answers=seat is owner)

    def _tell(self, seat: Seat, link: Link, event: Event, *, answers: bool) -> None:
        order = event.order
        if event.kind == "4" and order.order_id in link.state.get("cancels", ()):
            link.state["cancels"].discard(order.order_id)
            _, *short = sim_orders.names(order)
            self.report(seat, "8", [*short, (150, "4"), (39, "4"), (58, "success")], event)
        fields = sim_orders.report(
            event, self.exchange.instruments[order.symbol], self.change_id(), self._kind(link, event),
            REASONS.get(event.reason, "success" if answers and event.kind == "0" else "notification"),
        )  # fmt: skip
        self.report(seat, "8", fields, event)

    def _kind(self, link: Link, event: Event) -> str:
        """ExecType(150), "" where it is left out."""
        if event.kind == "F":
            return "F" if link.state.get("fills") else "I"
        if event.kind == "C" and event.reason != "expired":
            return "4"
        if event.kind == "0":
            return self.acknowledges.replace("none", "")
        return self.replaces.replace("none", "") if event.kind == "5" else event.kind

    def on_update(self, market: Market, update: Update) -> None:
        self.market_data.publish(market.symbol, update)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)


def password(secret: str, raw_data: str) -> str:
    """What 554 must be (deribit.md, 4)."""
    return base64.b64encode(hashlib.sha256((raw_data + secret).encode()).digest()).decode()


def make(setup: Setup, clock: Clock) -> DeribitSim:
    """The venue, ready to be served."""
    return DeribitSim(setup, clock)


def new_secret(what: str) -> str:
    """A fresh credential: client ids and secrets are plain texts."""
    source = random.SystemRandom()
    return base64.urlsafe_b64encode(source.randbytes(32 if what.endswith(("password", "secret")) else 6)).decode()


def default_instruments(venue: str) -> list[Instrument]:
    """Two inverse perpetuals, for a venue that is told of none."""
    return [
        Instrument(venue, "BTC-USD-PERP", "BTC-PERPETUAL", 1, 0, tick_size=5, contract=Contract(10, 0, inverse=True)),
        Instrument(venue, "ETH-USD-PERP", "ETH-PERPETUAL", 2, 0, tick_size=5, contract=Contract(1, 0, inverse=True)),
    ]


def symbol_for(name: str) -> str:
    """The venue's symbol for a desk name: BTC-PERPETUAL, or XRP_USDC-PERPETUAL where it is not in dollars."""
    base, quote, *_ = name.split("-")
    return f"{base if quote == 'USD' else f'{base}_{quote}'}-PERPETUAL"
