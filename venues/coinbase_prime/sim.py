"""Coinbase Prime from its own side: order entry and drop copy in FIX 4.2 (coinbase-prime.md, 3 to 5, 7 and 9).

Section 4.6 contradicts itself; option `sequence` chooses. "reset": a Logon without 141=Y is refused and nothing is ever
resent. "replay": numbers go on and missed messages are replayed. In both, what a session missed comes again as new
messages after its next logon, under the same ExecID. REST is in `sim_rest.py`. This side shares nothing with the
dialect. Market data is in `sim_md.py`; quotes (35=R) are not simulated.
"""

import base64
import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from base.clock import Clock
from base.errors import NumberError
from base.http import Request, Response
from sim import timetext
from sim.fields import BusinessError, FieldError, cancel_reject, need, rejection, standing
from sim.gateway import SECOND_NS, Link, Seat, Venue
from sim.matching import Market
from sim.orders import Event, Order, Update
from sim.session import Profile, Refusal
from sim.setup import Setup, dollar_pairs, same_symbol
from sim.wire import Field, Message
from venues.coinbase_prime import sim_orders
from venues.coinbase_prime.sim_late import LateReports, Missed
from venues.coinbase_prime.sim_md import PrimeMarketData
from venues.coinbase_prime.sim_orders import BROKER, DUPLICATE, EXCEEDS, OTHER, UNKNOWN_SYMBOL
from venues.coinbase_prime.sim_rest import PrimeRest

OPTIONS = frozenset(
    {
        "sequence",
        "resend_answer",
        "late_burst",
        "last_fill",
        "unfilled_end",
        "amend",
        "daily_window",
        "messages_per_s",
        "orders_per_s",
        "status_trans",
        "list_lag_ms",
        "portfolio_id",
        "snapshot_entries",
    }
)
STANDALONE = (
    ("trading", "SVC1", "COIN", 2),
    ("trading", "SVC2", "COIN", 2),
    ("dropcopy", "SVCDC", "COIN", 2),
    ("marketdata", "SVCMD", "COIN", 2),
)
MOST_SESSIONS = 7
CLOCK_NS = 5 * SECOND_NS
MOST_EDITS = 25
NEW_YORK = ZoneInfo("America/New_York")
TOO_MANY = "rate limit exceeded"


class PrimeSim(Venue):
    """The simulated venue."""

    services = ("trading", "marketdata", "dropcopy")
    keep_l3 = False
    says_pending = True
    no_cancel_text = "System is under maintenance"

    def __init__(self, setup: Setup, clock: Clock) -> None:
        super().__init__(setup, clock)
        setup.check_options(OPTIONS)
        self.replays = setup.text("sequence", "reset", ("reset", "replay")) == "replay"
        self.resend_answer = setup.text("resend_answer", "replay", ("replay", "reject", "logout", "silence"))
        self._late = LateReports(to_any=setup.text("late_burst", "own", ("own", "any")) == "any")
        self.last_fill = setup.text("last_fill", "partial", ("partial", "filled"))
        self.unfilled_end = setup.text("unfilled_end", "4", ("3", "4", "C"))
        self.amend = setup.flag("amend", True)
        self.status_trans = setup.text("status_trans", "1", ("0", "1", "3"))
        self.messages_per_s = setup.number("messages_per_s", 50)
        self.orders_per_s = setup.number("orders_per_s", 50)
        self.portfolio_id = setup.text("portfolio_id", "")
        self.in_maintenance_until_ns = 0
        self._window = setup.flag("daily_window", False)
        self._day = self._trading_day()
        self._sent: dict[str, deque[int]] = {}
        self.market_data = PrimeMarketData(self)
        self._rest = PrimeRest(self)

    # -- session --------------------------------------------------------------------------------------------------

    def profile(self, kind: str) -> Profile:
        if kind == "marketdata":
            return Profile(begin="FIXT.1.1", header=(34, 49, 52, 56), replays=False)
        return Profile(
            begin="FIX.4.2",
            header=(34, 49, 50, 52, 56),
            sender_sub_id="desk-user",
            replays=self.replays,
            replay_types=frozenset("89"),
        )

    def check_logon(self, link: Link, seat: Seat, logon: Message) -> Refusal | None:
        if self._before_opening:
            return self.refuse_logon("the trading day begins at 17:05 New York")
        problem = self._logon_problem(link, seat, logon)
        if problem:
            return self.refuse_logon(problem)
        seat.account_wide = logon.get(9406, "Y") == "Y"
        return None

    def _logon_problem(self, link: Link, seat: Seat, logon: Message) -> str:
        if logon.get(98) != "0" or not logon.get(108).isdigit():
            return "EncryptMethod (98) must be 0, HeartBtInt (108) a number"
        if logon.get(9406, "Y") not in {"Y", "N"}:
            return "DropCopyFlag (9406) must be Y or N"
        if seat.grant.kind == "marketdata" and (logon.get(1137), logon.get(9406)) != ("9", "N"):
            return "DefaultApplVerID (1137) must be 9 and DropCopyFlag (9406) N"
        if seat.grant.kind != "marketdata" and not self.replays and logon.get(141) != "Y":
            return "ResetSeqNumFlag (141) must be Y"
        if abs((timetext.parse(logon.get(52)) or 0) - self.clock.wall_ns()) > CLOCK_NS:
            return "SendingTime (52) is more than 5 s off"
        if any(s.live is not None and s.grant.sender == link.sender for s in self.seats.values()):
            return "this API key has a session already"
        mine = [s for s in self.seats.values() if s.grant.account == seat.grant.account]
        if sum(s.live is not None for s in mine) >= MOST_SESSIONS:
            return f"more than {MOST_SESSIONS} sessions of the portfolio"
        return "" if self.setup.any_logon else _signature_problem(seat, logon)

    def logon_fields(self, session: Any, logon: Message) -> list[Field]:
        version = [(1137, "9")] if logon.has(1137) else []
        return [*super().logon_fields(session, logon), *version]

    def resend(self, session: Any, message: Message) -> bool:
        if not self.replays or self.resend_answer == "reject":
            session.reject(message, 99, "ResendRequest is not supported")
        elif self.resend_answer == "logout":
            session.logout("ResendRequest is not supported")
            session.end()
        return self.replays and self.resend_answer == "replay"

    def session_began(self, link: Link, seat: Seat, logon: Message) -> None:
        """What was missed comes as new messages: to the session itself, or to whichever is back first."""
        if seat.grant.kind != "marketdata":
            for missed in self._late.due(seat, self.clock.wall_ns()):
                link.send(missed.msg_type, missed.fields)

    def _deliver(self, seat: Seat, msg_type: str, fields: list[Field]) -> None:
        if seat.live is None or not seat.live.active:
            portfolio = [s for s in self.seats.values() if s.grant.account == seat.grant.account]
            nobody = all(s.live is None for s in portfolio)
            self._late.keep(Missed(seat, self.clock.wall_ns(), nobody, msg_type, fields))
        super()._deliver(seat, msg_type, fields)

    def tick(self) -> None:
        super().tick()
        if self._window and self._trading_day() != self._day:
            self._day = self._trading_day()
            self.rollover(0)

    def _new_york(self) -> datetime:
        return datetime.fromtimestamp(self.clock.wall_ns() / SECOND_NS, NEW_YORK)

    def _trading_day(self) -> int:
        """Begins at 17:00 New York."""
        now = self._new_york()
        return now.toordinal() + (now.hour >= 17)

    @property
    def _before_opening(self) -> bool:
        now = self._new_york()
        return self._window and now.hour == 17 and now.minute < 5

    def announce_maintenance(self, seconds: int) -> None:
        """No notice is documented: business rejects (35=j) while it lasts."""
        self.in_maintenance_until_ns = self.clock.mono_ns() + seconds * SECOND_NS

    def fee(self, order: Order, px: int, qty: int) -> Decimal:
        return sim_orders.fee_of(px, qty, self.exchange.instruments[order.symbol])

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        kind, now = message.msg_type, self.clock.wall_ns()
        calls: dict[str, Callable[[Seat, Message], None]] = {
            "D": self._new, "F": self._cancel, "G": self._replace, "H": self._status,
        }  # fmt: skip
        if abs((timetext.parse(message.get(52)) or 0) - now) > CLOCK_NS:
            link.reject(message, 10, "SendingTime accuracy problem", 52)
        elif not self._within(f"session {seat.grant.sender}", self.messages_per_s):
            self.refuse(link, message, TOO_MANY)
        elif self.clock.mono_ns() < self.in_maintenance_until_ns:
            self._business_reject(link, message, "4", "System is under maintenance")
        elif kind == "V" and seat.grant.kind == "marketdata":
            self.market_data.request(link, seat, message)
        elif kind not in calls or seat.grant.kind == "marketdata" or (kind == "G" and not self.amend):
            self._business_reject(link, message, "3", "Unsupported message type")
        else:
            self._serve(link, seat, message, calls[kind])

    def _serve(self, link: Link, seat: Seat, message: Message, call: Callable[[Seat, Message], None]) -> None:
        try:
            call(seat, message)
        except NumberError as error:
            link.reject(message, 6, str(error))
        except FieldError as error:
            link.reject(message, error.reason, str(error), error.tag)
        except BusinessError as error:
            self._refuse(link, message, error.reason, str(error))

    def _within(self, who: str, most: int) -> bool:
        """Whether one more in any second is within a limit; 0 is none."""
        now, times = self.clock.mono_ns(), self._sent.setdefault(who, deque())
        while times and times[0] <= now - SECOND_NS:
            times.popleft()
        if most and len(times) >= most:
            return False
        times.append(now)
        return True

    def _business_reject(self, link: Link, message: Message, reason: str, text: str) -> None:
        link.send("j", [(45, str(message.seq)), (58, text), (372, message.msg_type), (380, reason)])

    def refuse(self, link: Link, message: Message, text: str) -> None:
        self._refuse(link, message, OTHER, text)

    def _refuse(self, link: Link, message: Message, reason: str, text: str) -> None:
        seat, now = link.seat, self.clock.wall_ns()
        assert seat is not None
        if message.msg_type == "D":
            fields = [(1, message.get(1)), (20, "0"), *rejection(message, self.exec_id(), text, now, reason)]
            self.report(seat, "8", fields)
        elif message.msg_type in {"F", "G"}:
            self.report(seat, "9", cancel_reject(message, self._named(seat, message), reason, text, now))
        else:
            self._business_reject(link, message, "0", text)

    def exec_id(self) -> str:
        """A report's id, unique over restarts."""
        return f"{self.setup.seed:x}-{self.clock.wall_ns():x}-{self.next_id()}"

    def _new(self, seat: Seat, message: Message) -> None:
        instrument = self.exchange.instruments.get(message.get(55))
        if instrument is None:
            raise BusinessError(UNKNOWN_SYMBOL, f"unknown symbol {message.get(55)}")
        if self.exchange.find(seat.grant.account, message.get(11)) is not None:
            raise BusinessError(DUPLICATE, "duplicate ClOrdID")
        if self.portfolio_id and message.get(1) != self.portfolio_id:
            raise BusinessError(BROKER, "Account (1) is not a portfolio of this key")
        if not self._within(f"portfolio {seat.grant.account}", self.orders_per_s):
            raise BusinessError(EXCEEDS, TOO_MANY)
        order_id = f"{self.clock.wall_ns():x}-{self.next_id()}"
        order = sim_orders.parse(message, instrument, order_id, seat, self.clock.wall_ns())
        pending = replace(standing(order, self.clock.wall_ns()), kind="A")
        self._say(order, self._fields(pending, ("A", "A")), pending)
        self.exchange.submit(order)

    def _named(self, seat: Seat, message: Message) -> Order | None:
        """The order of the portfolio that OrderID(37) names; 41 must go with it."""
        order = self.exchange.orders.get(message.get(37))
        return order if order is not None and order.owner.account == seat.grant.account else None

    def _known(self, seat: Seat, message: Message) -> Order:
        need(message, 11, 37, 41, 54, 55)
        order = self._named(seat, message)
        if order is None or message.get(41) != order.cl_ord_id:
            raise BusinessError("1", "unknown order")
        return order

    def _cancel(self, seat: Seat, message: Message) -> None:
        need(message, 1)
        if not message.has(38) and not message.has(152):
            raise FieldError(1, 38, "Required tag missing: 38 or 152")
        order = self._known(seat, message)
        if order.done:
            raise BusinessError("0", "too late to cancel")
        self.cancel(order, message.get(11))

    def _replace(self, seat: Seat, message: Message) -> None:
        need(message, 21, 38, 40, 44, 60)
        order = self._known(seat, message)
        instrument = self.exchange.instruments[order.symbol]
        if order.done or order.price is None or order.amends >= MOST_EDITS:
            raise BusinessError("0", "too late to replace" if order.done else "this order cannot be changed")
        qty, price = instrument.qty(message.get(38)), sim_orders.px_of(message, instrument, 44)
        stop = sim_orders.px_of(message, instrument, 99) if message.has(99) and order.trigger else None
        if qty <= order.cum:
            raise BusinessError("2", "OrderQty is not above what is filled")
        pending = replace(standing(order, self.clock.wall_ns()), kind="E", request_id=message.get(11))
        self._say(order, self._fields(pending, ("E", "E")))
        self.exchange.replace(order, message.get(11), qty=qty, price=price, stop_px=stop)

    def _status(self, seat: Seat, message: Message) -> None:
        """The state of an order as its latest report would have it; 20 is what the venue's own sample carries."""
        need(message, 11, 37, 54, 55)
        order = self._named(seat, message)
        if order is None:
            fields = rejection(message, self.exec_id(), "unknown order", self.clock.wall_ns(), "5")
            self.report(seat, "8", [(1, ""), (20, self.status_trans), *fields])
            return
        event = standing(order, self.clock.wall_ns())
        last = order.status if order.done else "I"
        self.report(seat, "8", self._fields(event, (last, order.status), self.status_trans))

    # -- reports --------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        self._say(event.order, self._fields(event, self._shape(event)), event)

    def _fields(self, event: Event, shape: tuple[str, str], trans: str = "0") -> list[Field]:
        instrument = self.exchange.instruments[event.order.symbol]
        return sim_orders.report(event, instrument, self.exec_id(), shape, trans)

    def _shape(self, event: Event) -> tuple[str, str]:
        """(ExecType, OrdStatus). A fill says 1 and 1 even when it is the last of several, or 2 and 2 (10, trap 1)."""
        if event.kind == "F":
            alone = event.last_qty == event.qty
            full = event.leaves == 0 and (alone or self.last_fill == "filled")
            return ("2", "2") if full else ("1", "1")
        if event.kind == "C" and event.reason != "expired":
            return self.unfilled_end, self.unfilled_end
        if event.kind == "5":
            return "5", "1" if event.cum else "0"
        return event.kind, event.status

    def _say(self, order: Order, fields: list[Field], event: Event | None = None) -> None:
        """To the session that placed the order, and to all that hear of the whole portfolio."""
        owner = self.seat_of(order)
        for seat in self.seats.values():
            wide = seat.account_wide and seat.grant.account == order.owner.account
            if seat is owner or wide:
                self.report(seat, "8", fields, event)

    def seat_of(self, order: Order) -> Seat | None:
        return next((s for s in self.seats.values() if s.grant.sender == order.owner.comp_id), None)

    def on_update(self, market: Market, update: Update) -> None:
        self.market_data.publish(market.symbol, update)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)


def signature(secret: str, logon: Message, passphrase: str) -> str:
    """What 96 must be (coinbase-prime.md, 4.3)."""
    text = logon.get(52) + "A" + logon.get(34) + _key(logon) + logon.get(56) + passphrase
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


def _key(logon: Message) -> str:
    """AccessKey(9407); market data has it in Username(553)."""
    return logon.get(553) if logon.has(1137) else logon.get(9407)


def _signature_problem(seat: Seat, logon: Message) -> str:
    grant = seat.grant
    if (_key(logon), logon.get(554)) != (grant.username, grant.passphrase):
        return "AccessKey (9407) or Password (554) is wrong"
    wanted = signature(grant.password, logon, grant.passphrase)
    return "" if hmac.compare_digest(wanted, logon.get(96)) else "RawData (96) is not the signature"


def make(setup: Setup, clock: Clock) -> PrimeSim:
    """The venue, ready to be served."""
    return PrimeSim(setup, clock)


def new_secret(what: str) -> str:
    """A fresh credential: access keys and passphrases are plain texts, signing keys base64 that nobody decodes."""
    if what in {"password", "rest_secret"}:
        return base64.b64encode(secrets.token_bytes(48)).decode()
    return secrets.token_hex(16)


default_instruments = dollar_pairs
symbol_for = same_symbol
