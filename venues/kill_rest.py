"""The kill switch's own way over a venue's REST side: cancel-alls, single cancels, lists, questions, the timer."""

from collections import deque
from collections.abc import Callable

import msgspec

from base.config import DeskConfig
from base.decimals import to_scaled
from base.errors import CodecError, VenueError
from base.instruments import Instrument
from base.reactor import Priority, Reactor
from risk.kill_actions import RestCancelOrder
from risk.kill_plan import RestCancelAll
from risk.kill_proof import ListedId
from risk.order import Order
from venues.context import dialect_of
from venues.interface import CancelAnswer, CancelOutcome, OpenOrder, RestRequest, WorkingOrder
from venues.kill_paths import Note
from venues.rate_share import DeskRates
from venues.rest_client import Answered, RestClient, open_rest
from venues.rest_rates import RestRates, SingleRates
from venues.throttle import LATE

RETRY_NS = 250_000_000
FIRST_RETRY_NS = 20_000_000
QUERIES = 40  # that may wait
HOLD_NS = 1_000_000_000
RETRIES = 20
SETTLED_NS = 3_000_000_000  # an order of which the venue says that it is over is not cancelled again before that
FINAL_STATUS = frozenset("2348C")


class _Waiting(msgspec.Struct):
    """A request that waits for its turn. `order`: of a single cancel; `left`: called when it was handed over."""

    client: RestClient
    render: Callable[[], RestRequest]
    answered: Answered
    order: str = ""
    left: Callable[[], object] = lambda: None


class RestPath:
    """One venue's REST side. Cancel-alls have a connection of their own and go first.

    Lists, queries and single cancels go one at a time, each signed when it leaves, after the cancel-alls that are under
    way (for at most a second): venues that want rising nonces refuse what was overtaken.
    """

    def __init__(self, reactor: Reactor, desk: DeskConfig, venue: str, note: Note) -> None:
        self.venue = venue
        self._reactor, self._note = reactor, note
        self._desk = desk
        dialect = dialect_of(desk, venue)
        self._api = open_rest(desk, venue, dialect, kill=True)
        self._instruments = {i.name: i for i in desk.venue_instruments(venue)}
        self._names = {i.symbol: i.name for i in self._instruments.values()}
        throttle = DeskRates(desk, venue, dialect).rest("killswitch")
        self._rates = RestRates(throttle, reactor.clock, forced=True)
        self._cancels = RestClient(reactor, desk, venue, Priority.COMMAND, self._rates)
        # Lists leave the reserve to the cancels, and questions about single orders half of the rest to the lists.
        self._list_rates = RestRates(throttle, reactor.clock)
        self._lists = RestClient(reactor, desk, venue, Priority.COMMAND, self._list_rates)
        self._round = 0
        self._cancelling = 0
        self._hold_until_ns = 0
        self._asking = False
        self._waiting: deque[_Waiting] = deque()
        self._each = RestClient(reactor, desk, venue, Priority.COMMAND, SingleRates(throttle, reactor.clock))
        self._singles: set[str] = set()  # orders whose single cancel waits or is under way
        self._settled: dict[str, int] = {}  # orders that the venue said to be over, and until when that is heeded
        # Told of cancels that were refused: venue, why, and the instrument where the request was about one.
        self.refused: Callable[[str, str, str], object] = lambda venue, why, instrument: None
        self.said: Callable[[str], object] = lambda text: None  # told of those that were answered

    @property
    def usable(self) -> bool:
        """Whether this venue has a REST side and it is configured."""
        return self._api is not None

    def cancel_all(self, action: RestCancelAll) -> None:
        """Send it, and again while it fails, until the next round takes over."""
        if self._api is None:
            return
        self._round += 1
        try:
            requests = self._api.cancel_all(self._reactor.clock.wall_ns(), self._named(action))
        except (VenueError, CodecError) as e:
            self._note("not sent", {"path": f"{self.venue} rest", "why": str(e)})
            return
        self._rates.burst = len(requests)
        for i in range(len(requests)):
            self._cancel(action, i, self._round, RETRIES)

    def forget(self) -> None:
        """No trip is under way: what failed is not tried again, and what waits for its turn does not leave any more: it
        would cancel what was placed since.
        """
        self._round += 1
        if self._cancelling:
            self._cancels.close()
        if self._singles or self._settled:
            self._singles -= {w.order for w in self._waiting}
            self._waiting = deque(w for w in self._waiting if not w.order)
            self._settled.clear()

    def cancel_order(self, action: RestCancelOrder, left: Callable[[], object]) -> None:
        """Cancel one order; `left` is called when the request was handed over. One of an order at a time, and none for
        a while after the venue said that the order is over: lists and reports prove it meanwhile.
        """
        api, name = self._api, action.order_id or action.cl_ord_id
        if api is None or name in self._singles or self._settled.get(name, 0) > self._reactor.clock.mono_ns():
            return
        symbol = action.symbol or action.instrument
        instrument = self._instruments.get(action.instrument) or Instrument(self.venue, symbol, symbol, 0, 0)
        facts = {"path": f"{self.venue} rest", "order": name}

        def render() -> RestRequest:
            request = api.cancel_order(self._reactor.clock.wall_ns(), instrument, action.order_id, action.cl_ord_id)
            if request is None:
                raise VenueError(f"{self.venue} has no single cancel over REST")
            facts["said"] = _said(request)
            return request

        def answered(status: int, body: bytes, error: str) -> None:
            self._singles.discard(name)
            if error.startswith(LATE):
                return  # it did not leave; the trip asks again
            said = CancelAnswer(CancelOutcome.UNKNOWN, error) if error else api.parse_cancel_order(status, body)
            if said.settled:
                self._settled[name] = self._reactor.clock.mono_ns() + SETTLED_NS
                self._note("answer", {**facts, "outcome": str(said.outcome), "text": said.text})
                return
            self._note("cancel failed", {**facts, "outcome": str(said.outcome), "why": said.text})
            self.refused(self.venue, said.text, action.instrument)

        self._singles.add(name)
        self._waiting.append(_Waiting(self._each, render, answered, name, left))
        self._pump()

    def _named(self, action: RestCancelAll) -> list[Instrument]:
        """The desk's instruments, and the bare symbols that only the venue's list names."""
        strange = [Instrument(self.venue, symbol, symbol, 0, 0) for symbol in action.symbols]
        return [self._instruments[n] for n in action.instruments] + strange

    def _cancel(self, action: RestCancelAll, index: int, round_: int, tries: int) -> None:
        """One request of the round, signed anew each time: nonces and times age."""
        assert self._api is not None
        instruments = self._named(action)
        requests = self._api.cancel_all(self._reactor.clock.wall_ns(), instruments)
        request = requests[index]
        facts = {"path": f"{self.venue} rest", "said": _said(request)}
        if len(requests) == len(instruments) > 1:
            facts["instrument"] = instruments[index].name

        def answered(status: int, body: bytes, error: str) -> None:
            why = error
            if not error:
                try:
                    assert self._api is not None
                    count = self._api.parse_cancel_all(status, body)
                    self._note("answer", {**facts, "cancels": count})
                    self.said(f"a count of {count}" if count is not None else "an answer without a count")
                except VenueError as e:
                    why = str(e)
            self._cancelling -= 1
            if why:
                self._note("cancel-all failed", {**facts, "why": why, "tries_left": tries})
                self.refused(self.venue, why, instruments[index].name if len(requests) == len(instruments) else "")
                if round_ == self._round and tries:
                    again = lambda: self._cancel(action, index, round_, tries - 1)  # noqa: E731
                    self._reactor.call_later(
                        RETRY_NS if tries < RETRIES else FIRST_RETRY_NS, again, f"{self.venue} cancel"
                    )
            self._pump()

        self._cancelling += 1
        self._hold_until_ns = self._reactor.clock.mono_ns() + HOLD_NS
        self._cancels.ask(request, answered)

    def _ask(self, render: Callable[[], RestRequest], answered: Answered, *, first: bool = False) -> None:
        (self._waiting.appendleft if first else self._waiting.append)(_Waiting(self._lists, render, answered))
        self._pump()

    def _pump(self) -> None:
        """Send the next list, query or single cancel, if none is under way and no cancel-all wants to go first."""
        if self._asking or not self._waiting:
            return
        hold_ns = self._hold_until_ns - self._reactor.clock.mono_ns()
        if self._cancelling and hold_ns > 0:
            self._reactor.call_later(hold_ns, self._pump, f"{self.venue} lists")
            return
        waiting = self._waiting.popleft()
        answered = waiting.answered
        try:
            request = waiting.render()
        except (VenueError, CodecError) as e:
            error = str(e)
            self._reactor.call_soon(lambda: answered(0, b"", error), f"{self.venue} rest")
            self._pump()
            return

        def done(status: int, body: bytes, error: str) -> None:
            self._asking = False
            answered(status, body, error)
            self._pump()

        self._asking = True
        if waiting.client.ask(request, done):
            waiting.left()

    def list_orders(self, done: Callable[[list[ListedId], int, int], object], failed: Callable[[str], object]) -> None:
        """Fetch every page; `done(lines, started_ns, done_ns)` or `failed(why)`, exactly once."""
        started_ns = self._reactor.clock.mono_ns()
        self._page("", [], started_ns, done, failed)

    def _page(
        self,
        cursor: str,
        lines: list[ListedId],
        started_ns: int,
        done: Callable[[list[ListedId], int, int], object],
        failed: Callable[[str], object],
    ) -> None:
        api = self._api
        assert api is not None

        def answered(status: int, body: bytes, error: str) -> None:
            if error:
                failed(error)
                return
            try:
                page = api.parse_open_orders(status, body)
                lines.extend(self._line(o) for o in page.orders)
                if page.cursor:
                    self._page(page.cursor, lines, started_ns, done, failed)
                    return
            except (VenueError, CodecError) as e:
                failed(str(e))
                return
            done(lines, started_ns, self._reactor.clock.mono_ns())

        self._ask(lambda: api.open_orders(self._reactor.clock.wall_ns(), cursor), answered, first=True)

    def _line(self, order: OpenOrder) -> ListedId:
        return ListedId(order.order_id, order.cl_ord_id, self._names.get(order.symbol, ""), order.symbol)

    def ask_order(self, order: Order, done: Callable[[str, int | None], object]) -> None:
        """Ask for one order; `done(final OrdStatus or "", cum_qty)` when the venue answered."""
        instrument = self._instruments.get(order.instrument)
        api = self._api
        if api is None or instrument is None or len(self._waiting) >= QUERIES:
            return  # it is asked for again while the order is not proven
        if not self._list_rates.roomy(api.order(self._reactor.clock.wall_ns(), _working(order, instrument))):
            return  # the lists prove more at once

        def answered(status: int, body: bytes, error: str) -> None:
            if error:
                self._note("order query failed", {"venue": self.venue, "order": order.cl_ord_id, "why": error})
                return
            try:
                found = api.parse_order(status, body, order.cl_ord_id)
                cum = to_scaled(found.cum_qty or "0", order.qty_scale) if found is not None else None
            except (VenueError, CodecError) as e:
                self._note("order query failed", {"venue": self.venue, "order": order.cl_ord_id, "why": str(e)})
                return
            if found is not None and found.status in FINAL_STATUS:
                done(found.status, cum)

        self._ask(lambda: api.order(self._reactor.clock.wall_ns(), _working(order, instrument)), answered)

    def set_timer(self, seconds: int, done: Callable[[str], object]) -> None:
        """Start the account's dead man's timer anew, 0 disables it; `done("")` when the venue took it, else why not."""
        api = self._api
        assert api is not None

        def render() -> RestRequest:
            request = api.cancel_after(self._reactor.clock.wall_ns(), seconds)
            if request is None:
                raise VenueError(f"{self.venue} has no cancel-all-after timer")
            return request

        def answered(status: int, body: bytes, error: str) -> None:
            why = error
            if not error:
                try:
                    api.parse_cancel_after(status, body)
                except VenueError as e:
                    why = str(e)
            done(why)

        self._ask(render, answered, first=True)

    def close(self) -> None:
        """Drop the connections."""
        self._cancels.close()
        self._lists.close()
        self._each.close()


def _said(request: RestRequest) -> str:
    """What was asked, for the audit: the query is left out, since venues want their signatures in it."""
    return f"{request.method} {request.target.partition('?')[0]}"


def _working(order: Order, instrument: Instrument) -> WorkingOrder:
    return WorkingOrder(
        instrument=instrument, cl_ord_id=order.cl_ord_id, order_id=order.order_id, side=order.side,
        ord_type=order.ord_type, time_in_force=order.time_in_force, order_qty=order.order_qty, price=order.price,
        stop_px=order.stop_px, leaves_qty=order.leaves_qty, cum_qty=order.cum_qty, sent_ns=order.sent_ns,
    )  # fmt: skip
