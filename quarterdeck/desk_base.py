"""What a desk is to a strategy, as far as nothing has to be waited for: the same for both clients."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Generic, TypeVar

from base.config import Kind
from base.instruments import Instrument
from ipc.requests import NewOrder
from ipc.roster import roster
from ipc.sequence import Delivery
from quarterdeck.books import Book
from quarterdeck.callbacks import Callbacks
from quarterdeck.consolidated import Consolidated
from quarterdeck.core import Core
from quarterdeck.health import Health, processes
from quarterdeck.links import Links
from quarterdeck.order_life import OrderLife
from quarterdeck.order_steps import OrderSteps
from quarterdeck.ordering import Ordering

E = TypeVar("E")
OrderT = TypeVar("OrderT", bound=OrderLife)


class DeskBase(ABC, Generic[OrderT]):
    """One client of a running desk."""

    def __init__(self, links: Links, *, strategy: str, timeout: float) -> None:
        self.config = links.desk
        self.strategy = strategy
        self.client_id = links.client_id
        self._links = links
        self._core: Core[OrderT] = Core(links)
        self._ordering = Ordering(
            links.desk, self.client_id, strategy, timeout, self._core.command_id, links.most_deadline_s
        )
        self._steps = OrderSteps(self._core, self._ordering, strategy, self._make_order)
        self._callbacks = Callbacks()
        self._stop = threading.Event()

    @abstractmethod
    def _make_order(self, command: NewOrder, session: str, px_scale: int, qty_scale: int) -> OrderT:
        """An order to be followed, as this kind of desk gives it to a strategy."""

    # -- what there is -----------------------------------------------------------------------------------------

    @property
    def paper(self) -> bool:
        """Every venue of this desk is simulated: no order of it can cost anything."""
        return all(venue in self.config.config.sim for venue in self.config.config.venue)

    @property
    def timeout(self) -> float:
        """Seconds to wait for an answer, and until a command that was not read by then is not acted on."""
        return self._ordering.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._ordering.timeout = seconds

    def instrument(self, venue: str, instrument: str) -> Instrument:
        """An instrument's scales and limits. ConfigError names what there is."""
        return self._ordering.instrument(venue, instrument)

    def instruments(self, venue: str = "") -> list[Instrument]:
        """The desk's instruments, or one venue's."""
        return [i for (v, _), i in self.config.instruments.items() if venue in {"", v}]

    def trading_sessions(self, venue: str = "") -> list[str]:
        """Names of the order-entry sessions, or one venue's."""
        sessions = self.config.config.session
        return [n for n in self.config.sessions(Kind.TRADING) if venue in {"", sessions[n].venue}]

    def health(self) -> Health:
        """What the processes say of themselves, and what of the events is missing."""
        core = self._core
        return Health(
            processes([role.name for role in roster(self.config)], self._links.statuses()),
            tuple(core.feed.subscriber.silent_topics()),
            tuple(core.feed.behind()),
            core.gaps,
            core.missed + core.outbox.dropped,
            core.outbox.dropped,
            tuple(o.cl_ord_id or o.command_id for o in core.tracker.open() if o.state == "UNCERTAIN"),
        )

    # -- events ------------------------------------------------------------------------------------------------

    def subscribe(
        self, *topics: str, replay: bool = False, history: bool = False, since: tuple[int, int] | None = None
    ) -> None:
        """Topics of docs/events.md; one ending in a dot is a prefix ("md.kraken.", "exec."), "" everything.

        For exec.PROCESS topics, `replay` has what is lost from now on replayed; `history` begins with the oldest
        event that the process still has in its journal, `since` with the event of that epoch and number (what a
        delivery told, one further), and both replay too. What redundant sessions tell is heard once.
        """
        for topic in topics:
            self._core.subscribe(topic, replay=replay, history=history, since=since)

    def on(
        self, kind: type[E], function: Callable[[E, Delivery], Any], topic: str = "", *, replay: bool = False,
        history: bool = False,
    ) -> None:  # fmt: skip
        """Have `run` call `function(event, delivery)` for each event of that kind (`qd.Gap` is one, too).

        A `topic` given here is subscribed to, in the manner of `subscribe`; without one, events of every subscribed
        topic are meant. Callbacks are called in the order in which they were registered.
        """
        if topic:
            self.subscribe(topic, replay=replay, history=history)
        self._callbacks.on(kind, function, topic)

    def every(self, seconds: float, function: Callable[[], Any]) -> None:
        """Have `run` call `function()` each so many seconds."""
        self._callbacks.every(seconds, function, time.monotonic())

    def stop(self) -> None:
        """Let `run` return after the callback that is under way, or the next one at once. From a signal handler,
        too.
        """
        self._stop.set()

    # -- books -------------------------------------------------------------------------------------------------

    def book(self, venue: str, instrument: str, level: int = 0) -> Book:
        """A book, read without asking anyone; level 0: L2 where the desk keeps one, else L3.

        ConfigError when no shard keeps it, RegionError when the book process has not started yet.
        """
        self.instrument(venue, instrument)
        return self._links.book(venue, instrument, level)

    def consolidated(
        self, instrument: str, venues: Iterable[str] = (), *, fees_bps: dict[str, str | Decimal | int] | None = None
    ) -> Consolidated:
        """One book of the same instrument over several venues (all that have it, unless they are named).

        `fees_bps`: what a taker pays at each venue, in hundredths of a percent, for net prices. ConfigError when no
        venue has it, or when their quantities do not mean the same.
        """
        chosen = list(venues) or [i.venue for i in self.instruments() if i.name == instrument]
        return Consolidated(instrument, [self.instrument(v, instrument) for v in chosen], self.book, fees_bps or {})
