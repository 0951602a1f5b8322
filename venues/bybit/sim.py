"""Bybit Spot from its own side: order entry over FIX 4.4 (bybit.md, 3.3, 4.4 and 5.8). REST is in `sim_rest.py`.

Numbers begin at 1 with every connection and nothing is resent; the heartbeat is 10 s whatever is asked for; every
connection of the account hears all pushes. A name whose connection ended without a Logout is refused for `blocked_s`.
This side shares nothing with the dialect. Attached take-profit and stop-loss orders, RPI quotes and the slippage band
of market orders are not simulated; fees are in quote currency.
"""

import base64
import re
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from base.clock import Clock
from base.http import Request, Response
from base.instruments import Instrument
from sim.fields import FieldError, need, standing
from sim.gateway import MS_NS, SECOND_NS, Link, Seat, Venue
from sim.matching import Market
from sim.orders import Event, Order, Update
from sim.session import Profile, Refusal
from sim.setup import Grant, Setup
from sim.wire import Field, Message, number
from venues.bybit import sim_orders
from venues.bybit.sim_orders import WAITING, RefusedError
from venues.bybit.sim_rest import BybitRest

OPTIONS = frozenset(
    {
        "creates_per_s", "amends_per_s", "cancels_per_s", "rest_per_5s", "blocked_s", "ack_last", "partial_cancel",
        "list_lag_ms", "closed_orders",
    }
)  # fmt: skip
SERVER = "BYBIT_FIX_SERVER"
STANDALONE = (("trading", "OE1", SERVER, 2), ("trading", "OE2", SERVER, 2), ("dropcopy", "OE3", SERVER, 2))
COMP_ID = re.compile(r"[a-zA-Z0-9_-]{1,16}")
HEARTBEAT_NS = 10 * SECOND_NS
MOST_CONNECTIONS = 20
ANSWERS = {"D": "8", "F": "XCA", "XAR": "XAA"}


class BybitSim(Venue):
    """The simulated venue."""

    services = ("trading", "dropcopy")
    keep_l3 = False
    no_cancel_text = "System is under maintenance"

    def __init__(self, setup: Setup, clock: Clock) -> None:
        super().__init__(setup, clock)
        setup.check_options(OPTIONS)
        self._per_s = {
            "D": setup.number("creates_per_s", 20), "F": setup.number("cancels_per_s", 20),
            "XAR": setup.number("amends_per_s", 10),
        }  # fmt: skip
        self._blocked_ns = setup.number("blocked_s", 30) * SECOND_NS
        self._ack_last = setup.flag("ack_last", False)
        self._partial_cancel = setup.text("partial_cancel", "4", ("4", "F"))
        self._sent: dict[tuple[str, str], deque[int]] = {}
        self._sweep: list[Event] = []  # fills of one taker that are told together
        self._rest = BybitRest(self)

    # -- session --------------------------------------------------------------------------------------------------

    def profile(self, kind: str) -> Profile:
        return Profile(header=(34, 49, 52, 56), replays=False, reset_each_logon=True, test_after=1.0, drop_after=2.2)

    def seat_key(self, link: Link, grant: Grant) -> tuple[str, str]:
        return grant.account, link.sender

    def find_grant(self, link: Link, logon: Message) -> Grant | None:
        """By API key: the client chooses its SenderCompID itself."""
        known = [g for g in self.setup.grants if g.username == logon.get(553) or self.setup.any_logon]
        mine = [g for g in known if g.sender == link.sender and link.service in ("any", g.kind)] or known
        return replace(mine[0], sender=link.sender, target=SERVER) if mine else None

    def refuse_logon(self, text: str) -> Refusal:
        return Refusal("5", ((58, text),))

    def check_logon(self, link: Link, seat: Seat, logon: Message) -> Refusal | None:
        problem = self._logon_problem(link, seat, logon)
        if problem:
            return self.refuse_logon(problem)
        seat.account_wide = logon.get(25036, "1") != "2"
        return None

    def _logon_problem(self, link: Link, seat: Seat, logon: Message) -> str:
        if not COMP_ID.fullmatch(link.sender) or link.target != SERVER:
            return "SenderCompID or TargetCompID is malformed"
        if logon.seq != 1 or logon.get(98) != "0" or not logon.get(108).isdigit():
            return "MsgSeqNum must be 1, EncryptMethod 0, HeartBtInt a number"
        if seat.live is not None or self.clock.mono_ns() < seat.blocked_until_ns:
            return "SenderCompID is in use"
        up = [s for s in self.seats.values() if s.live is not None and s.grant.account == seat.grant.account]
        if len(up) >= MOST_CONNECTIONS:
            return "too many connections"
        return "" if self.setup.any_logon else self._signature_problem(seat.grant, logon)

    def _signature_problem(self, grant: Grant, logon: Message) -> str:
        expires, now_ms = number(logon.get(30023), 0), self.clock.wall_ns() // MS_NS
        if expires <= now_ms:
            return "Expires (30023) is past"
        key = load_der_private_key(base64.b64decode(grant.password), None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, rsa.RSAPrivateKey)
        try:
            signature = base64.b64decode(logon.get(96), validate=True)
            key.public_key().verify(signature, f"GET/realtime{expires}".encode(), padding.PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return "access denied"
        return ""

    def logon_fields(self, session: Any, logon: Message) -> list[Field]:
        return [(98, "0"), (108, "10"), (141, "Y")]

    def session_began(self, link: Link, seat: Seat, logon: Message) -> None:
        link.heartbeat_ns = HEARTBEAT_NS

    def session_ended(self, link: Link, seat: Seat) -> None:
        """Orders stay; the name stays in use for a while unless a Logout was said."""
        if not link.said_logout:
            seat.blocked_until_ns = self.clock.mono_ns() + self._blocked_ns

    def bad_sequence(self, session: Any, message: Message) -> bool:
        session.reject(message, 5, f"MsgSeqNum {session.numbers.next_in} is expected", 34)
        session.end()
        return False

    def resend(self, session: Any, message: Message) -> bool:
        self._business_reject(session, message, "3", "ResendRequest is not supported")
        return False

    def announce_maintenance(self, seconds: int) -> None:
        """FIX says nothing of it beforehand."""
        self.after(seconds * SECOND_NS, lambda: self.rollover(2))

    def fee(self, order: Order, px: int, qty: int) -> Decimal:
        return sim_orders.fee_of(px, qty, self.exchange.instruments[order.symbol])

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        calls: dict[str, Callable[[Link, Seat, Message], None]] = {
            "D": self._new, "F": self._cancel, "XAR": self._amend,
        }  # fmt: skip
        call = calls.get(message.msg_type)
        if call is None:
            self._business_reject(link, message, "3", "Unsupported message type")
            return
        try:
            need(message, 30002, 30010, 55)
            self._check(seat, message)
            call(link, seat, message)
        except FieldError as error:
            self._business_reject(link, message, "5", str(error))
        except RefusedError as error:
            self._refused(link, message, error.code, str(error))
        self._swept()

    def _check(self, seat: Seat, message: Message) -> None:
        sent_ms, now_ms = number(message.get(30002), 0), self.clock.wall_ns() // MS_NS
        if not now_ms - number(message.get(30001), 5_000) <= sent_ms < now_ms + 1_000:
            raise RefusedError(10002, "The request time exceeds the time window range.")
        if message.get(30010) != "spot":
            raise RefusedError(10001, "Request parameter error: category.")
        if len(self._used(seat, message.msg_type)) >= self._per_s[message.msg_type] > 0:
            raise RefusedError(10006, "Too many visits. Exceeded the API Rate Limit.")
        self._used(seat, message.msg_type).append(self.clock.mono_ns())
        if message.get(55) not in self.exchange.instruments:
            raise RefusedError(170121, "Invalid symbol.")

    def _used(self, seat: Seat, kind: str) -> deque[int]:
        """When requests of the kind came in the last second."""
        times = self._sent.setdefault((seat.grant.account, kind), deque())
        while times and times[0] <= self.clock.mono_ns() - SECOND_NS:
            times.popleft()
        return times

    def _answer(self, seat: Seat, message: Message, fields: list[Field]) -> list[Field]:
        """A direct answer: trace, the request's id, what is left of the limit, and what it says."""
        most = self._per_s[message.msg_type]
        left = max(most - len(self._used(seat, message.msg_type)), 0)
        head: list[Field] = [(30005, f"{self.next_id():032x}")]
        if message.has(30006):
            head.append((30006, message.get(30006)))
        head += [(30007, str(most)), (30008, str(left)), (30009, str(self.clock.wall_ns() // MS_NS + 1_000))]
        return [*head, *fields]

    def _accepted(self, seat: Seat, message: Message, order: Order, letter: str) -> list[Field]:
        named = message.get(11) or order.cl_ord_id
        ids: list[Field] = [(11, named), (37, order.order_id)] if named else [(37, order.order_id)]
        return self._answer(seat, message, [*ids, (150, letter), (39, letter)])

    def _refused(self, link: Link, message: Message, code: int, text: str) -> None:
        assert link.seat is not None
        states: list[Field] = [(150, "8"), (39, "8")] if message.msg_type == "D" else []
        fields = self._answer(link.seat, message, [*states, (103, str(code)), (58, text)])
        self.report(link.seat, ANSWERS[message.msg_type], fields)

    def _business_reject(self, link: Link, message: Message, reason: str, text: str) -> None:
        link.send("j", [(45, str(message.seq)), (372, message.msg_type), (380, reason), (58, text)])

    def refuse(self, link: Link, message: Message, text: str) -> None:
        if message.msg_type in ANSWERS:
            self._refused(link, message, 10001, text)
        else:
            self._business_reject(link, message, "0", text)

    def _new(self, link: Link, seat: Seat, message: Message) -> None:
        instrument, cl_ord_id = self.exchange.instruments[message.get(55)], message.get(11)
        known = self.exchange.find(seat.grant.account, cl_ord_id) if cl_ord_id else None
        if known is not None and not known.done:
            raise RefusedError(170141, "Duplicate clientOrderId.")
        last_px = self.exchange.markets[instrument.symbol].last_px or 0
        order_id = str(self.clock.wall_ns() + self.next_id())
        order = sim_orders.parse(message, instrument, order_id, seat, last_px)
        ack = [*self._accepted(seat, message, order, "A"), (58, "OK")]
        pending = replace(standing(order, self.clock.wall_ns()), kind="A")
        if not self._ack_last:
            self.report(seat, "8", ack, pending)
        self.exchange.submit(order)
        self._swept()
        if self._ack_last:
            self.report(seat, "8", ack, pending)

    def _named(self, seat: Seat, message: Message) -> Order:
        """The open order of the account that 37, which wins, or 11 names."""
        order_id, exchange = message.get(37), self.exchange
        order = exchange.orders.get(order_id) if order_id else exchange.find(seat.grant.account, message.get(11))
        if order is None or order.owner.account != seat.grant.account or order.symbol != message.get(55):
            raise RefusedError(170213, "Order does not exist.")
        if order.done:
            raise RefusedError(170139, "Order has been filled.") if order.status == "2" else _gone()
        return order

    def _cancel(self, link: Link, seat: Seat, message: Message) -> None:
        order = self._named(seat, message)
        if (message.get(30024, "Order") in WAITING) is not (order.trigger is not None):
            raise RefusedError(170213, "Order does not exist.")
        self.report(seat, "XCA", self._accepted(seat, message, order, "6"))
        self.cancel(order, message.get(30006))

    def _amend(self, link: Link, seat: Seat, message: Message) -> None:
        order = self._named(seat, message)
        i = self.exchange.instruments[order.symbol]
        qty = sim_orders.qty_of(message, i) if message.has(38) else order.qty
        price = sim_orders.px_of(message, i, 44) if message.has(44) and order.price is not None else order.price
        stop = sim_orders.px_of(message, i, 99) if message.has(99) else None
        if (qty, price) == (order.qty, order.price) and stop is None:
            raise RefusedError(10001, "The order remains unchanged as the parameters entered match the existing ones.")
        if qty <= order.cum:
            raise RefusedError(110064, "The quantity must exceed what is filled.")
        self.report(seat, "XAA", self._accepted(seat, message, order, "E"))
        self.exchange.replace(order, order.cl_ord_id, qty=qty, price=price, stop_px=stop)

    # -- pushes ---------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Fills of a taker wait for the rest of its sweep."""
        takes = event.kind == "F" and event.aggressor
        goes_on = bool(self._sweep) and event.order is self._sweep[0].order
        if takes != goes_on:
            self._swept()
        if takes:
            self._sweep.append(event)
            return
        self._push([event])
        if event.kind == "D":  # it goes into the book, or trades
            self._push([replace(event, kind="0", status="1" if event.cum else "0")])

    def on_update(self, market: Market, update: Update) -> None:
        self._swept()

    def tick(self) -> None:
        super().tick()
        self._swept()

    def _swept(self) -> None:
        sweep, self._sweep = self._sweep, []
        if sweep:
            self._push(sweep)

    def _push(self, events: list[Event]) -> None:
        """To every connection of the account."""
        event = events[-1]
        instrument = self.exchange.instruments[event.order.symbol]
        fields = sim_orders.push(events, instrument, sim_orders.shape(event, self._partial_cancel))
        for seat in list(self.seats.values()):
            if seat.account_wide and seat.grant.account == event.order.owner.account:
                self.report(seat, "8", fields, event)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)


def _gone() -> RefusedError:
    return RefusedError(170142, "Order has been canceled.")


def make(setup: Setup, clock: Clock) -> BybitSim:
    """The venue, ready to be served."""
    return BybitSim(setup, clock)


@cache
def _rsa_key() -> str:
    """One key pair a process, for making one takes a while; base64 of its DER, as the dialect reads it."""
    key = rsa.generate_private_key(65537, 2048)
    return base64.b64encode(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())).decode()


def new_secret(what: str) -> str:
    """A fresh credential: sessions sign by RSA, REST by a text."""
    return _rsa_key() if what == "password" else secrets.token_hex(16)


def default_instruments(venue: str) -> list[Instrument]:
    """Two pairs, for a venue that is told of none."""
    return [
        Instrument(venue, "BTC-USDT", "BTCUSDT", 2, 6, min_qty=10),
        Instrument(venue, "ETH-USDT", "ETHUSDT", 2, 5, min_qty=10),
    ]


def symbol_for(name: str) -> str:
    """The venue's symbol for a desk name."""
    return name.replace("-", "")
