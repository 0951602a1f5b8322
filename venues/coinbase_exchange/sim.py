"""Coinbase Exchange from its own side: FIX 5.0 SP2 order entry and drop copy (coinbase-exchange.md, 4, 5 and 7).

The client's numbers begin at 1 with each connection, the venue's go on unless 141=Y; a gap fill behind the Logon tells
where they stand. 35=q reaches the session that sends it and is only acknowledged. Market data is in `sim_md.py`, REST
in `sim_rest.py`. Where the documentation is silent the choice is an option. This side shares nothing with the dialect.
"""

import base64
import hashlib
import hmac
import random
from collections import deque
from decimal import Decimal
from uuid import UUID

from base.clock import Clock
from base.errors import NumberError
from base.http import Request, Response
from sim.fields import FieldError, need, standing
from sim.gateway import SECOND_NS, Link, Seat, Venue
from sim.matching import Market
from sim.orders import Event, Order, Update
from sim.session import Acceptor, Profile, Refusal
from sim.setup import Grant, Setup, dollar_pairs, same_symbol
from sim.wire import Field, Message, number
from venues.coinbase_exchange import sim_orders
from venues.coinbase_exchange.sim_brackets import Brackets
from venues.coinbase_exchange.sim_md import CoinbaseMarketData
from venues.coinbase_exchange.sim_orders import EngineError
from venues.coinbase_exchange.sim_rest import CoinbaseRest

OPTIONS = frozenset(
    {
        "session_scope",
        "list_lag_ms",
        "messages_per_s",
        "rest_burst",
        "forgets_cancelled",
        "drop_copy_delay_ms",
        "snapshot_entries",
        "trade_then_change",
    }
)
STANDALONE = (
    ("trading", "CLIENT", "Coinbase", 2),
    ("marketdata", "CLIENTMD", "Coinbase", 3),
    ("dropcopy", "CLIENTDC", "Coinbase", 2),
)
HEARTBEAT_MOST = {"trading": 30, "marketdata": 300, "dropcopy": 300}
BATCH_MOST = 15
DAY_NS = 86_400 * SECOND_NS
RESEND_MOST = 1_000


class CoinbaseSim(Venue):
    """The simulated venue."""

    no_cancel_text = "down for maintenance"

    def __init__(self, setup: Setup, clock: Clock) -> None:
        super().__init__(setup, clock)
        setup.check_options(OPTIONS)
        self.random = random.Random(setup.seed)
        self.session_scope = setup.text("session_scope", "connection", ("connection", "comp_id"))
        self.messages_per_s = setup.number("messages_per_s", 0)  # 0: not counted; the venue says 100, and 200 ends it
        self.copy_delay_ns = setup.number("drop_copy_delay_ms", 0) * 1_000_000
        self.refused_for_rate = 0
        self.rpt_seq = dict.fromkeys(self.exchange.markets, 0)
        self._left_ns: dict[int, int] = {}  # by seat: when its last connection ended
        self._brackets = Brackets(self)
        for market in self.exchange.markets.values():
            market.tells_decrements = True
        self.market_data = CoinbaseMarketData(self)
        self._rest = CoinbaseRest(self)

    # -- session --------------------------------------------------------------------------------------------------

    def profile(self, kind: str) -> Profile:
        return Profile(
            begin="FIXT.1.1", header=(49, 56, 34, 50, 52, 369), time_digits=6, sub_id="TEST", theirs_restart=True,
            replays=kind == "trading", resend_most=RESEND_MOST, test_after=1.5, drop_after=2.0,
        )  # fmt: skip

    def serves(self, service: str, grant: Grant) -> bool:
        return service in {"any", grant.kind} or (service == "marketdata_l3" and grant.kind == "marketdata")

    def refuse_logon(self, text: str) -> Refusal:
        return Refusal("5", ((58, text),))

    def logon_fields(self, session: Acceptor, logon: Message) -> list[Field]:
        return [(98, "0"), (108, logon.get(108, "10")), (1137, "9")]

    def check_logon(self, link: Link, seat: Seat, logon: Message) -> Refusal | None:
        kind, grant = seat.grant.kind, seat.grant
        if logon.seq != 1 or logon.get(1137) != "9" or logon.get(98, "0") != "0":
            return self.refuse_logon("MsgSeqNum (34) must be 1, DefaultApplVerID (1137) 9, EncryptMethod (98) 0")
        if not 1 <= number(logon.get(108, "10"), 0) <= HEARTBEAT_MOST[kind]:
            return self.refuse_logon(f"HeartBtInt (108) must be at most {HEARTBEAT_MOST[kind]}")
        if logon.get(8013, "S") not in {"S", "Y"} or (kind == "dropcopy") != (logon.get(9406, "N") == "Y"):
            return self.refuse_logon("CancelOrdersOnDisconnect (8013) or DropCopyFlag (9406) is wrong")
        if not self.setup.any_logon:
            wanted = signature(grant.password, logon, grant.passphrase)
            right = hmac.compare_digest(wanted, logon.get(96)) and logon.get(95) == str(len(wanted))
            if not right or (logon.get(553), logon.get(554)) != (grant.username, grant.passphrase):
                return Refusal("3", ((45, "1"), (372, "A"), (373, "8"), (58, "invalid signature")))
        if seat.live is not None:
            return self.refuse_logon("one connection a key")
        left = self._left_ns.get(id(seat), self.clock.mono_ns())
        if self.clock.mono_ns() - left > DAY_NS:
            seat.numbers.reset()
        seat.cancels_on_loss = kind == "trading" and logon.has(8013)
        link.state["whole_profile"] = logon.get(8013) == "Y"
        return None

    def session_ended(self, link: Link, seat: Seat) -> None:
        self._left_ns[id(seat)] = self.clock.mono_ns()
        if seat.cancels_on_loss and not link.said_logout and link.state.get("whole_profile"):
            for order in self.exchange.working(account=seat.grant.account):
                self.exchange.cancel(order, reason="disconnect")
            return
        super().session_ended(link, seat)

    def announce_maintenance(self, seconds: int) -> None:
        """A deployment: Logout, then the connection ends, and logons are refused for a while. Numbers are kept."""
        self.closed_until_ns = self.clock.mono_ns() + seconds * SECOND_NS
        for link in list(self.links):
            link.logout("server terminated")
            link.said_logout = True
            link.end()

    def fee(self, order: Order, px: int, qty: int) -> Decimal:
        return sim_orders.fee_of(px, qty, self.exchange.instruments[order.symbol])

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        kind = message.msg_type
        if seat.grant.kind == "marketdata" and kind in {"V", "x"}:
            self.market_data.request(link, message)
            return
        calls = {
            "D": self._new, "F": self._cancel, "G": self._replace, "H": self._status, "q": self._mass_cancel,
            "U6": self._new_batch, "U4": self._cancel_batch,
        }  # fmt: skip
        if seat.grant.kind != "trading" or kind not in calls:
            self.business_reject(link, message, "2", f"unsupported message type {kind}")
            return
        if self._too_many(link, message):
            return
        try:
            calls[kind](link, seat, message)
        except NumberError as error:
            link.reject(message, 6, str(error))
        except FieldError as error:
            link.reject(message, error.reason, str(error), error.tag)

    def business_reject(self, link: Link, message: Message, reason: str, text: str) -> None:
        """35=j; 380 is the venue's own numbering."""
        name = message.get(8014) or message.get(11) or message.get(37)
        fields = [(45, str(message.seq)), (372, message.msg_type), (380, reason), (58, text)]
        link.send("j", fields if not name else [*fields[:2], (379, name), *fields[2:]])

    def refuse(self, link: Link, message: Message, text: str) -> None:
        seat = link.seat
        assert seat is not None
        if message.msg_type == "D":
            self._refuse_order(seat, message, EngineError(text))
        elif message.msg_type in {"F", "G"}:
            self.report(seat, "9", sim_orders.cancel_reject(message, message.msg_type, "2", text))
        elif message.msg_type == "q":
            self.report(seat, "r", [(11, message.get(11)), (530, message.get(530)), (531, "0"), (58, text)])
        elif message.msg_type in {"U4", "U6"}:
            self._refuse_batch(seat, message, text)
        else:
            self.business_reject(link, message, "1", text)

    def _too_many(self, link: Link, message: Message) -> bool:
        """Over the limit in a second: refused; at twice the limit the session ends."""
        if not self.messages_per_s:
            return False
        times: deque[int] = link.state.setdefault("times", deque())
        now = self.clock.mono_ns()
        times.append(now)
        while times[0] <= now - SECOND_NS:
            times.popleft()
        if len(times) <= self.messages_per_s:
            return False
        self.refused_for_rate += 1
        if len(times) > 2 * self.messages_per_s:
            link.logout("message rate exceeded")
            link.end()
        else:
            self.refuse(link, message, "rate limit exceeded")
        return True

    def new_id(self) -> str:
        """A fresh UUID: OrderID and ExecID."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def _refuse_order(self, seat: Seat, message: Message, problem: EngineError) -> None:
        fields = sim_orders.rejection(message, self.new_id(), self.new_id(), problem, self.clock.wall_ns())
        self.report(seat, "8", fields)

    def _parse(self, seat: Seat, message: Message) -> Order:
        """An order. EngineError when it is refused by 35=8."""
        i = self.exchange.instruments.get(message.get(55))
        if i is None:
            raise EngineError(f"unknown symbol {message.get(55)}", "1")
        before = self.exchange.find(seat.grant.account, message.get(11))
        if before is not None and not before.done:
            raise EngineError("ClOrdID (11) is that of an open order")
        market = self.exchange.markets[i.symbol]
        return sim_orders.parse(message, i, market, self.new_id(), seat, self.clock.wall_ns())

    def _new(self, link: Link, seat: Seat, message: Message) -> None:
        try:
            order = self._parse(seat, message)
        except EngineError as problem:
            self._refuse_order(seat, message, problem)
            return
        self._submit(order)

    def _submit(self, order: Order) -> None:
        self._brackets.add(order)
        self.exchange.submit(order)

    def _batch(self, message: Message) -> list[Message]:
        """The entries. FieldError when the batch itself is wrong."""
        need(message, 8014, 73)
        sim_orders.check_id(message, 8014)
        entries = message.group(73, 11)
        if not 1 <= len(entries) <= BATCH_MOST or message.get(73) != str(len(entries)):
            raise EngineError(f"1 to {BATCH_MOST} orders, as NoOrders (73) says")
        ids = [entry.get(11) for entry in entries]
        if len({entry.get(55) for entry in entries}) != 1 or len(set(ids)) != len(ids):
            raise EngineError("one symbol, and ClOrdIDs (11) of their own")
        return entries

    def _refuse_batch(self, seat: Seat, message: Message, text: str) -> None:
        self.report(seat, "U7" if message.msg_type == "U6" else "U5", [(8014, message.get(8014)), (58, text)])

    def _new_batch(self, link: Link, seat: Seat, message: Message) -> None:
        try:
            entries = self._batch(message)
        except EngineError as problem:
            self._refuse_batch(seat, message, str(problem))
            return
        orders: list[tuple[Message, Order | EngineError]] = []
        for entry in entries:
            try:
                if entry.get(40) == "O" or (entry.has(152) and entry.get(40) != "1"):
                    raise EngineError("not in a batch")
                orders.append((entry, self._parse(seat, entry)))
            except EngineError as problem:
                orders.append((entry, problem))
        if all(isinstance(made, EngineError) for _, made in orders):
            self._refuse_batch(seat, message, str(orders[0][1]))
            return
        for entry, made in orders:
            if isinstance(made, EngineError):
                self._refuse_order(seat, entry, made)
            else:
                self._submit(made)

    def _named(self, seat: Seat, message: Message) -> Order | None:
        """The order of this profile that 37, or without it 41, names."""
        order_id = message.get(37)
        order = self.exchange.orders.get(order_id) if order_id else None
        order = order or self.exchange.find(seat.grant.account, message.get(41))
        mine = order is not None and order.owner.account == seat.grant.account and order.symbol == message.get(55)
        return order if mine else None

    def _cancel(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 11, 55)
        text = self._cancel_problem(seat, message)
        if text:
            self.report(seat, "9", sim_orders.cancel_reject(message, "F", "1", text))

    def _cancel_problem(self, seat: Seat, message: Message) -> str:
        """Cancel what 37 and 41 name; why not, "" when it is done."""
        try:
            sim_orders.check_id(message, 11)
        except EngineError as problem:
            return str(problem)
        order = self._named(seat, message)
        return "" if order is not None and self.cancel(order, message.get(11)) else "order not found"

    def _cancel_batch(self, link: Link, seat: Seat, message: Message) -> None:
        try:
            entries = self._batch(message)
        except EngineError as problem:
            self._refuse_batch(seat, message, str(problem))
            return
        found = [self._named(seat, entry) for entry in entries]
        if all(order is None or order.done for order in found):
            self._refuse_batch(seat, message, "no order found")
            return
        for entry in entries:
            text = self._cancel_problem(seat, entry)
            if text:
                self.report(seat, "9", sim_orders.cancel_reject(entry, "F", "1", text))

    def _replace(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 11, 37, 41, 38, 40, 44, 55)
        order = self._named(seat, message)
        reason, text = self._replace_problem(seat, message, order)
        if text or order is None:
            self.report(seat, "9", sim_orders.cancel_reject(message, "G", reason, text))
            return
        i = self.exchange.instruments[order.symbol]
        qty, price = sim_orders.size_of(message, i), sim_orders.px_of(message, i, 44)
        stop = sim_orders.px_of(message, i, 99) if message.has(99) else None
        if order.wire.get(40) == "O":
            order.wire |= {99: message.get(99), 3040: message.get(3040)}
        self.exchange.replace(order, message.get(11), qty=qty, price=price, stop_px=stop)

    def _replace_problem(self, seat: Seat, message: Message, order: Order | None) -> tuple[str, str]:
        """CxlRejReason and why an amend is refused, or ("", "")."""
        if order is None or order.done or order.cl_ord_id != message.get(41):
            return "1", "order not found"
        if order.owner.comp_id != seat.grant.sender:
            return "2", "not the session that placed the order"
        if order.quote_qty or order.price is None or order.wire.get(40) != message.get(40):
            return "2", "this order cannot be amended"
        i = self.exchange.instruments[order.symbol]
        try:
            sim_orders.check_id(message, 11)
            sim_orders.size_of(message, i)
            for tag in (44, *((99,) if message.has(99) else ()), *((3040,) if message.has(3040) else ())):
                sim_orders.px_of(message, i, tag)
        except EngineError as problem:
            return "2", str(problem)
        return "", ""

    def _status(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 55)
        asked = Message([(37, message.get(37)), (41, message.get(11)), (55, message.get(55))])
        order = self._named(seat, asked)
        if order is None:
            self.report(seat, "8", sim_orders.unknown_order(message, self.new_id(), self.clock.wall_ns()))
            return
        event = standing(order, self.clock.wall_ns())
        self.report(seat, "8", self._fields(event))

    def _mass_cancel(self, link: Link, seat: Seat, message: Message) -> None:
        need(message, 11, 530, 60)
        name: list[Field] = [(11, message.get(11)), (530, message.get(530))]
        if message.get(530) != "6":
            text = f"MassCancelRequestType (530) {message.get(530)} is not supported"
            self.report(seat, "r", [*name, (531, "0"), (58, text)])
            return
        # Only an acknowledgement; the orders end by reports of their own.
        self.report(seat, "r", [*name, (531, "6")])
        connection = seat.connection if self.session_scope == "connection" else None
        self.cancel_many(self.exchange.working(comp_id=seat.grant.sender, connection=connection), message.get(11))

    # -- reports --------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        order = event.order
        repriced = event.kind == "5" and self._brackets.repricing is order
        fields = self._fields(event, repriced=repriced)
        seat = self.seat_of(order)
        if seat is not None:
            self.report(seat, "8", fields, event)
        for copy in self.seats_of(order.owner.account, "dropcopy"):
            if self.copy_delay_ns:
                self.after(self.copy_delay_ns, lambda copy=copy: self.report(copy, "8", fields, event))  # type: ignore[misc]
            else:
                self.report(copy, "8", fields, event)

    def _fields(self, event: Event, *, repriced: bool = False) -> list[Field]:
        symbol = event.order.symbol
        instrument = self.exchange.instruments[symbol]
        return sim_orders.report(event, instrument, self.new_id(), self.rpt_seq[symbol] + 1, repriced=repriced)

    def on_update(self, market: Market, update: Update) -> None:
        self.market_data.publish(market.symbol, update)
        if update.trades:
            self._brackets.traded()

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)


def signature(secret: str, logon: Message, passphrase: str) -> str:
    """What 96 must be (coinbase-exchange.md 4.3). `secret` is base64."""
    parts = [logon.get(52), "A", logon.get(34), logon.get(49), logon.get(56), passphrase]
    key = base64.b64decode(secret)
    return base64.b64encode(hmac.new(key, "\x01".join(parts).encode(), hashlib.sha256).digest()).decode()


def make(setup: Setup, clock: Clock) -> CoinbaseSim:
    """The venue, ready to be served."""
    return CoinbaseSim(setup, clock)


def new_secret(what: str) -> str:
    """A fresh credential of the venue's form: API key, base64 secret of 64 bytes, passphrase."""
    source = random.SystemRandom()
    if what in {"password", "rest_secret"}:
        return base64.b64encode(source.randbytes(64)).decode()
    return source.randbytes(16).hex()


default_instruments = dollar_pairs
symbol_for = same_symbol
