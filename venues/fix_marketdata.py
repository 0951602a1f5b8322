"""Market data over FIX: reference data first, then one subscription an instrument, at the rate the venue allows."""

from array import array
from collections import deque

from msgspec.structs import replace

from fix.codec import BodyWriter, MdDecoder, Message
from fix.session_events import FieldDefect, RejectReceived
from fix.store import MessageStore
from ipc.events import InstrumentDefinition
from venues.fix_dialect import (
    BookNumber,
    EndlessSubscriptions,
    MarketDataProfile,
    Reference,
    Resubscribe,
    Said,
    TradingStatus,
)
from venues.fix_session import FixVenueSession
from venues.fragments import Fragments
from venues.interface import BookRule, RecordSink, SessionContext, SessionPhase, Sink
from venues.rate import Pace
from venues.reference import as_configured, confirm
from venues.subscriptions import Subscription, sifted, signed_key

SECOND_NS = 1_000_000_000
STARVED_NS = 120 * SECOND_NS
"""Subscribed, and not one snapshot came in so long though the session lives: another connection is tried."""
HAS_LAST_ID = 4
"""QD_MD_HAS_LAST_ID of base/md_record.h."""
REFERENCE_NS = 5 * SECOND_NS
"""How long subscriptions wait for reference data."""


class FixMarketDataSession(FixVenueSession):
    """MarketDataSession over FIX."""

    def __init__(
        self,
        context: SessionContext,
        sink: Sink,
        profile: MarketDataProfile,
        store: MessageStore,
        records: RecordSink,
    ) -> None:
        super().__init__(context, sink, profile, store)
        self._md = profile
        self._records = records
        self._instruments = context.instruments
        self._subscriptions = [self._subscription(i, context.epoch) for i in range(len(context.instruments))]
        self._by_symbol = {i.symbol: n for n, i in enumerate(context.instruments)}
        self._definitions: dict[int, InstrumentDefinition] = {}
        self._references: dict[int, Reference] = {}
        self._market_status = ""
        self._left_most = profile.left_most if isinstance(profile, EndlessSubscriptions) else None
        self._left = 0  # subscriptions that go on and that nobody wants
        self._bucket = Pace(profile.requests_per_s)
        self._queue: deque[tuple[str, bytes]] = deque()  # reference requests, then those below
        self._wanted: deque[int] = deque()  # instruments to subscribe to (anew)
        self._sent_for: dict[int, int] = {}  # MsgSeqNum -> instrument
        self._reference_deadline_ns = 0
        self._pump_ns = 0
        self._check_ns = 0  # when to look for overdue subscriptions: one look a second while there may be any
        self._fragments = Fragments()  # of those whose rule says that snapshots come in pieces
        self._waiting = 0  # subscriptions whose snapshot has not come
        self._starved_ns = 0  # since when snapshots are awaited and none has come
        self._counters |= dict.fromkeys(("subscriptions", "refreshes", "batches", "snapshots"), 0)
        self._decoder = profile.decoder()
        for n, instrument in enumerate(context.instruments):
            self._decoder.add_symbol(instrument.symbol, n, instrument.px_scale, instrument.qty_scale)
        self._fix.md_decoder = self._decoder

    @property
    def rule(self) -> BookRule:
        """The session's own rule."""
        return self._md.rule

    @property
    def deadline_ns(self) -> int:
        """Monotonic time at which `tick` wants to be called."""
        deadlines = [super().deadline_ns]
        if self.phase is SessionPhase.READY:
            deadlines += [d for d in (self._reference_deadline_ns, self._pump_ns, self._check_ns) if d]
        return min(deadlines)

    def tick(self, mono_ns: int, wall_ns: int) -> None:
        """Do what is due: the session's own, late answers, requests held back by the rate limit."""
        super().tick(mono_ns, wall_ns)
        if self.phase is not SessionPhase.READY:
            return
        if self._reference_deadline_ns and mono_ns >= self._reference_deadline_ns:
            self._reference_late()
        if self._check_ns and mono_ns >= self._check_ns:
            self._check_subscriptions()
        self._pump()

    def refresh(self, instrument: int, mono_ns: int, wall_ns: int) -> None:
        """Ask for a fresh snapshot: unsubscribe and subscribe anew. Harmless while one is on its way."""
        self._now(mono_ns, wall_ns)
        subscription = self._subscriptions[instrument]
        if subscription.live and not subscription.halted and self.phase is SessionPhase.READY:
            self._counters["refreshes"] += 1
            self._want(subscription)
            self._pump()

    # --- what comes in

    def on_batch(self, decoder: MdDecoder, messages: int) -> None:
        """A run of market data went into the decoder's records."""
        self._counters["messages"] += messages
        self._deliver()

    def _take(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> bool:
        match message.msg_type:
            case "W" | "X":
                self._decoder.decode_message(message, self._wall_ns)
                self._deliver()
            case "Y":
                self._refused(message.get_str(262) or "", f"{message.get_str(281) or ''} {message.get_str(58) or ''}")
            case _:
                return False
        return True

    def _words_of(self, message: Message) -> "array[int]":
        """The records of one message, for sessions that look at each."""
        self._decoder.decode_message(message, self._wall_ns)
        words = array("q", memoryview(self._decoder.records).tolist())
        self._decoder.records.clear()
        return words

    def _deliver(self) -> None:
        records = self._decoder.records
        if not len(records):
            return
        self._counters["batches"] += 1
        try:
            with memoryview(records) as words:
                self._hand_on(words)
        finally:
            records.clear()

    def _hand_on(self, words: memoryview) -> None:
        if self._fragments.waits:
            words = memoryview(self._fragments.take(words))
        if self._left_most is not None and (self._left or self._waiting):
            words = memoryview(sifted(words, [s.key for s in self._subscriptions]))
        if self._waiting:
            self._look_for_snapshots(words)
        if words:
            self._records.records(words, len(words))

    def _count_number(self, said: BookNumber) -> None:
        """A record that has nothing but its update id."""
        index = self._by_symbol.get(said.symbol)
        if index is not None:
            key = signed_key(said.req_id) if said.req_id else 0
            words = (0, index, 0, HAS_LAST_ID, 0, 0, said.number, 0, 0, self._wall_ns, key, 0)
            self._hand_on(memoryview(array("q", words)))

    def _look_for_snapshots(self, words: memoryview) -> None:
        """Only while a snapshot is awaited: walk the record headers (base/md_record.h) for it."""
        at, end = 0, len(words)
        while at < end:
            n_changes, index, kind, key = words[at], words[at + 1], words[at + 2], words[at + 10]
            if kind == 1 and index >= 0 and self._subscriptions[index].snapshot(key):
                self._waiting -= 1
                self._starved_ns = 0
                self._counters["snapshots"] += 1
            at += 12 + 5 * n_changes

    def _refused(self, req_id: str, why: str) -> None:
        for subscription in self._subscriptions:
            if subscription.req_id == req_id:
                self._give_up(subscription, why)
                return
        self._alert("warning", "md_rejected", f"MDReqID {req_id!r}: {why}")

    def _rejected(self, event: RejectReceived) -> None:
        index = self._sent_for.get(event.ref_seq_num)
        if index is None:
            super()._rejected(event)
        else:
            self._give_up(self._subscriptions[index], f"35=3: {event.text}")

    def _give_up(self, subscription: Subscription, why: str) -> None:
        self._fragments.forget(subscription.index)
        self._waiting -= subscription.waiting
        self._starved_ns = 0  # a refusal is an answer
        delay_ns = subscription.refused(self._mono_ns)
        self._check_soon()
        name = self._instruments[subscription.index].name
        text = f"{name}: subscription refused, next try in {delay_ns // SECOND_NS} s: {why}"
        self._alert("warning", "md_rejected", text)

    def _say_further(self, said: Said) -> None:
        match said:
            case Reference():
                self._reference(said)
            case BookNumber():
                self._count_number(said)
            case Resubscribe(symbol=symbol):
                index = self._by_symbol.get(symbol)
                if index is not None:
                    self.refresh(index, self._mono_ns, self._wall_ns)
            case TradingStatus(status=status, text=text):
                self._market_status = "" if status == "TRADING" else status
                self._alert("info", "trading_status", text)
                for index in self._definitions:
                    self._define(index)
            case _:
                super()._say_further(said)

    # --- reference data

    def _reference(self, said: Reference) -> None:
        index = self._by_symbol.get(said.symbol)
        if index is None:
            return
        instrument, subscription = self._instruments[index], self._subscriptions[index]
        definition, halted, differs = confirm(instrument, said)
        known = self._references.get(index) == said
        self._definitions[index], self._references[index] = definition, said
        self._define(index)
        if differs and not known:
            self._alert("warning", "reference", f"{instrument.name}: {differs}")
        if halted:
            if not subscription.halted:
                self._alert("critical", "scale", f"{halted}; not subscribed to, correct the configuration")
            self._halt(subscription)
        else:
            subscription.halted = False
            if subscription.idle:
                self._want(subscription)
        if self._reference_deadline_ns and len(self._references) == len(self._instruments):
            self._reference_deadline_ns = 0
        self._pump()

    def _define(self, index: int) -> None:
        definition = self._definitions[index]
        if self._market_status and definition.status != "HALTED":
            definition = replace(definition, status=self._market_status)
        self._sink.event(definition)

    def _halt(self, subscription: Subscription) -> None:
        self._fragments.forget(subscription.index)
        self._waiting -= subscription.waiting
        if subscription.req_id and self._left_most is None:
            self._request("unsubscribe", subscription)
        subscription.halt()

    def _reference_late(self) -> None:
        self._reference_deadline_ns = 0
        for index, instrument in enumerate(self._instruments):
            if index not in self._references:
                self._alert("warning", "reference", f"{instrument.name}: the venue sent no reference data in time")
                self._definitions[index] = as_configured(instrument, "UNKNOWN")
                self._define(index)
                self._want(self._subscriptions[index])

    # --- subscriptions

    def _subscription(self, index: int, epoch: int) -> Subscription:
        return Subscription(index, epoch)

    def _ready(self) -> None:
        self._queue.extend(self._md.reference_requests(self._instruments))
        self._references.clear()
        if self._md.has_reference and self._instruments:
            self._reference_deadline_ns = self._mono_ns + REFERENCE_NS
        else:
            for subscription in self._subscriptions:
                self._want(subscription)
        self._pump()

    def _lost(self) -> None:
        """Subscriptions die with their connection."""
        self._queue.clear()
        self._wanted.clear()
        self._sent_for.clear()
        self._fragments.forget()
        self._left = 0
        self._waiting = self._reference_deadline_ns = self._pump_ns = self._check_ns = self._starved_ns = 0
        for subscription in self._subscriptions:
            subscription.reset()

    def _want(self, subscription: Subscription) -> None:
        self._waiting -= subscription.waiting
        if subscription.want():
            self._wanted.append(subscription.index)

    def _overdue(self, subscription: Subscription) -> None:
        if subscription.waiting:
            name = self._instruments[subscription.index].name
            self._alert("warning", "no_snapshot", f"{name}: no snapshot in time, asking again")
        self._want(subscription)

    def _check_subscriptions(self) -> None:
        self._check_ns = 0
        if self._starved_ns and self._mono_ns - self._starved_ns >= STARVED_NS and not self._has_book():
            self._starved_ns = 0
            self._sink.disconnect(f"no snapshot for {STARVED_NS // SECOND_NS} s, though the session lives")
            return
        for subscription in self._subscriptions:
            if subscription.due_ns:
                self._check_soon()
                if self._mono_ns >= subscription.due_ns:
                    self._overdue(subscription)

    def _has_book(self) -> bool:
        return any(subscription.live for subscription in self._subscriptions)

    def _check_soon(self) -> None:
        self._check_ns = self._check_ns or self._mono_ns + SECOND_NS

    def _pump(self) -> None:
        """Send what is queued, as far as the rate limit allows; the rest follows at `_pump_ns`."""
        self._pump_ns = 0
        while (self._queue or self._wanted) and self.phase is SessionPhase.READY:
            if not self._bucket.take(self._mono_ns):
                self._pump_ns = self._mono_ns + SECOND_NS // self._md.requests_per_s
                return
            if self._queue:
                msg_type, body = self._queue.popleft()
                self._send(msg_type, body, self._mono_ns, self._wall_ns)
            else:
                self._subscribe_next()

    def _subscribe_next(self) -> None:
        subscription = self._subscriptions[self._wanted[0]]
        if not subscription.queued:  # halted meanwhile
            self._wanted.popleft()
            return
        if subscription.req_id:
            if self._left_most is not None:
                self._leave(subscription, self._left_most)
                return
            self._request("unsubscribe", subscription)
            subscription.req_id = ""
            return  # the subscription itself takes its own turn of the rate limit
        self._wanted.popleft()
        instrument = self._instruments[subscription.index]
        key = subscription.begin(self._mono_ns)
        self._waiting += 1
        self._starved_ns = self._starved_ns or self._mono_ns
        self._check_soon()
        self._counters["subscriptions"] += 1
        reference = self._references.get(subscription.index)
        rule = self._md.rule_of(instrument, reference)
        if rule.fragments:
            self._fragments.expect(subscription.index, signed_key(subscription.req_id))
        self._records.subscribed(subscription.index, key, rule)
        self._request("subscribe", subscription)
        if subscription.first_time():
            self._queue.extend(self._md.companions(instrument))

    def _leave(self, subscription: Subscription, most: int) -> None:
        """The venue cannot be asked to end it: its records, under its own key, do not count from now on."""
        self._left += 1
        if self._left > most:
            self._sink.disconnect(f"{self._left} subscriptions that cannot be ended: another connection is made")
            self._wanted.clear()
            return
        subscription.req_id = ""

    def _request(self, what: str, subscription: Subscription) -> None:
        body = BodyWriter()
        write = self._md.subscribe if what == "subscribe" else self._md.unsubscribe
        msg_type = write(body, subscription.req_id, self._instruments[subscription.index])
        seq = self._send(msg_type, body.take(), self._mono_ns, self._wall_ns)
        if what == "subscribe":
            self._sent_for[seq] = subscription.index
