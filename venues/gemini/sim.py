"""Gemini from its own side: order entry, market data, drop copy in FIX 4.4 (gemini.md), apart from the dialect.

What it does not like of a Logon it closes without a word. Order entry and drop copy replay, market data answers a
ResendRequest with a gap fill. REST is in `sim_rest.py`, market data in `sim_md.py`; clearing (35=s, u) is left out.
"""

import secrets
from collections import deque
from decimal import Decimal
from typing import Any

from base.clock import Clock
from base.errors import NumberError
from base.http import Request, Response
from base.instruments import Instrument
from sim.fields import BusinessError, FieldError, cancel_reject, need, rejection
from sim.gateway import SECOND_NS, Link, Seat, Venue
from sim.matching import Market
from sim.orders import Event, Order, Update
from sim.session import Profile, Refusal
from sim.setup import Setup
from sim.wire import Message
from venues.gemini import sim_orders
from venues.gemini.sim_md import GeminiMarketData
from venues.gemini.sim_rest import GeminiRest

OPTIONS = frozenset(
    {"cancel_reach", "messages_per_s", "resend", "wrong_stop_text", "nonce", "rest_a_minute", "list_lag_ms"}
)
STANDALONE = (
    ("trading", "DESKOE001", "GEMINI", 2),
    ("trading", "DESKOE002", "GEMINI", 2),
    ("marketdata", "DESKMD001", "GEMINI", 2),
    ("dropcopy", "DESKDC001", "GEMINI", 2),
)
KEPT = {"trading": frozenset("89"), "dropcopy": frozenset({"AE"})}
THROTTLED = "System Error: Message rate exceeded allocated throttle"
NO_RESEND = "Unable to process ResendRequest. Please contact support."


class GeminiSim(Venue):
    """The simulated venue."""

    services = ("trading", "marketdata", "dropcopy")
    keep_l3 = False
    no_cancel_text = "Maintenance"

    def __init__(self, setup: Setup, clock: Clock) -> None:
        super().__init__(setup, clock)
        setup.check_options(OPTIONS)
        self.cancel_reach = setup.text("cancel_reach", "numbers", ("numbers", "connection"))
        self.messages_per_s = setup.number("messages_per_s", 100)
        self.resends = setup.text("resend", "replay", ("replay", "unable")) == "replay"
        self.wrong_stop_text = setup.text("wrong_stop_text", "InvalidStopPrice")
        self._began: dict[str, int] = {}  # connection that began with 141=Y, by session
        self._sent: dict[str, deque[int]] = {}
        self._trades: dict[tuple[str, int], str] = {}  # ids of fills, by order and the market's own number
        self.market_data = GeminiMarketData(self)
        self._rest = GeminiRest(self)

    # -- session --------------------------------------------------------------------------------------------------

    def profile(self, kind: str) -> Profile:
        kept = KEPT.get(kind, frozenset())
        return Profile(header=(34, 49, 52, 56), replay_types=kept, explains=False, reset_mode=False)

    def refuse_logon(self, text: str) -> Refusal:
        return Refusal("")

    def not_first(self, session: Any, message: Message) -> Refusal:
        return Refusal("")

    def check_logon(self, link: Link, seat: Seat, logon: Message) -> Refusal | None:
        if (logon.get(98), logon.get(108)) != ("0", "30") or logon.get(9001, "N") not in ("Y", "N"):
            return Refusal("")
        if logon.has(9001) and seat.grant.kind != "trading":
            return Refusal("")
        seat.cancels_on_loss = logon.get(9001) == "Y"
        return None

    def session_began(self, link: Link, seat: Seat, logon: Message) -> None:
        """Numbers that match are answered by a Heartbeat, too."""
        key = self._key(seat)
        if logon.get(141) == "Y" or key not in self._began:
            self._began[key] = seat.connection
        if logon.get(141) != "Y" and logon.seq + 1 == seat.numbers.next_in:
            link.send("0", [])

    def resend(self, session: Any, message: Message) -> bool:
        if not self.resends:
            session.send("j", [(45, str(message.seq)), (58, NO_RESEND), (372, "2"), (380, "0")], keep=False)
        return self.resends

    @staticmethod
    def _key(seat: Seat) -> str:
        return f"{seat.grant.kind} {seat.grant.sender}"

    def announce_maintenance(self, seconds: int) -> None:
        """Nothing is documented: sessions are logged out, and no logon is taken while it lasts."""
        self.rollover(seconds)

    def fee(self, order: Order, px: int, qty: int) -> Decimal:
        return sim_orders.fee_of(px, qty, self.exchange.instruments[order.symbol])

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        kind, service = message.msg_type, seat.grant.kind
        takes = {"trading": "DF", "marketdata": "Vx"}.get(service, "")
        if not self._within(self._key(seat)):
            link.reject(message, 99, THROTTLED)
        elif kind not in takes:
            link.reject(message, 11, "Invalid MsgType", 35)
        elif service == "marketdata":
            self.market_data.request(link, seat, message)
        elif kind == "D" and message.get(97) == "Y":
            link.send("j", [(45, str(message.seq)), (58, "PossResend is not supported"), (372, "D"), (380, "0")])
        else:
            self._serve(link, seat, message)

    def _within(self, who: str) -> bool:
        """Whether one more in any second is within the throttle; 0 is none."""
        now, times = self.clock.mono_ns(), self._sent.setdefault(who, deque())
        while times and times[0] <= now - SECOND_NS:
            times.popleft()
        if self.messages_per_s and len(times) >= self.messages_per_s:
            return False
        times.append(now)
        return True

    def _serve(self, link: Link, seat: Seat, message: Message) -> None:
        try:
            if message.msg_type == "D":
                self._new(seat, message)
            else:
                self._cancel(seat, message)
        except NumberError:
            link.reject(message, 6, "Invalid tag value")
        except FieldError as error:
            link.reject(message, error.reason, str(error), error.tag)
        except BusinessError as error:
            self._refuse(seat, message, error.reason, str(error))

    def refuse(self, link: Link, message: Message, text: str) -> None:
        seat = link.seat
        if seat is not None and message.msg_type in ("D", "F"):
            self._refuse(seat, message, "99", text)
        elif message.msg_type == "V":
            link.send("Y", [(262, message.get(262)), (281, "0"), (58, text)])
        else:
            link.reject(message, 99, text)

    def _refuse(self, seat: Seat, message: Message, reason: str, text: str) -> None:
        now = self.clock.wall_ns()
        if message.msg_type == "D":
            fields = rejection(message, self.number(), text, now)
            self.report(seat, "8", sorted((tag, v) for tag, v in fields if tag != 103 and v))
            return
        order = self.exchange.find(seat.grant.sender, message.get(41)) if reason == "0" else None
        fields = cancel_reject(message, order, reason, text, now)
        self.report(seat, "9", [f for f in fields if reason != "99" or f[0] != 102])

    def number(self) -> str:
        """An id of an order or an event: whole numbers, unique over restarts."""
        return str(self.clock.wall_ns() // 1_000 * 1_000 + self.next_id() % 1_000)

    def _new(self, seat: Seat, message: Message) -> None:
        if message.has(115):
            raise FieldError(5, 115, sim_orders.OUT_OF_RANGE)  # no third-party support here
        instrument = self.exchange.instruments.get(message.get(55))
        if instrument is None:
            raise BusinessError("99", f"Unsupported Symbol value '{message.get(55)}'")
        if self.exchange.find(seat.grant.sender, message.get(11)) is not None:
            raise BusinessError("99", "Duplicate ClOrdID")
        self.exchange.submit(sim_orders.parse(message, instrument, self.number(), seat, self.wrong_stop_text))

    def _cancel(self, seat: Seat, message: Message) -> None:
        """By 41 alone, of an order that was submitted in this trading session."""
        need(message, 11, 41, 54, 55, 60)
        order = self.exchange.find(seat.grant.sender, message.get(41))
        since = self._began[self._key(seat)] if self.cancel_reach == "numbers" else seat.connection
        if order is None or order.owner.connection < since or order.cl_ord_id != message.get(41):
            raise BusinessError("1", "Unknown order")
        if order.done:
            raise BusinessError("0", "Too late to cancel")
        self.cancel(order, message.get(11))

    # -- reports --------------------------------------------------------------------------------------------------

    def trade_id(self, order_id: str, trade: int) -> str:
        """The id of a fill: ExecID here, TradeReportID on drop copy, tid over REST."""
        return self._trades.setdefault((order_id, trade), self.number())

    def on_event(self, event: Event) -> None:
        order = event.order
        instrument = self.exchange.instruments[order.symbol]
        exec_id = self.trade_id(order.order_id, event.trade_id) if event.kind == "F" else self.number()
        owner = self.seat_of(order)
        if owner is not None:
            self.report(owner, "8", sim_orders.report(event, instrument, exec_id), event)
        if event.kind == "F":
            for seat in self.seats_of(order.owner.account, "dropcopy"):
                self.report(seat, "AE", sim_orders.capture(event, instrument, exec_id), event)

    def on_update(self, market: Market, update: Update) -> None:
        self.market_data.publish(market.symbol, update)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)


def make(setup: Setup, clock: Clock) -> GeminiSim:
    """The venue, ready to be served."""
    return GeminiSim(setup, clock)


def new_secret(what: str) -> str:
    """A fresh credential; FIX sessions need none."""
    return secrets.token_hex(16)


def default_instruments(venue: str) -> list[Instrument]:
    """Two pairs, for a venue that is told of none."""
    return [
        Instrument(venue, "BTC-USD", "BTCUSD", 2, 8, min_qty=1_000),
        Instrument(venue, "ETH-USD", "ETHUSD", 2, 6, min_qty=1_000),
    ]


def symbol_for(name: str) -> str:
    """The venue's symbol for a desk name: run together."""
    return name.replace("-", "")
