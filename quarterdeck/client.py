"""A strategy's view of a desk: events, books, orders. Synchronous; one thread."""

import os
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

import zmq

from base.clock import SystemClock
from base.config import DeskConfig, Kind, load
from base.errors import ConfigError
from base.instruments import Instrument
from ipc.command_client import CommandClient
from ipc.events import OrderState
from ipc.recovery import OLDEST
from ipc.requests import Answer, AnyCommand
from ipc.roster import command_endpoint, publisher_endpoint, roster
from ipc.sequence import Delivery
from quarterdeck.feed import Feed
from quarterdeck.one_stream import OneStream
from quarterdeck.ordering import Ordering, OrderTerms

if TYPE_CHECKING:
    from ipc.books import BookReader, BookRegion

BUY: Final = "1"  # Side(54)
SELL: Final = "2"
Number = str | Decimal | int


def connect(config: str | Path = "", *, client_id: str = "", strategy: str = "", timeout: float = 1.0) -> "Desk":
    """The desk that `config` describes: a TOML file, or the run directory of a desk that was started from one.

    "" takes the environment's QD_CONFIG. `client_id`: whose commands these are ("" = made up for this run); `strategy`:
    owner of the orders, for limits and the kill switch; `timeout`: seconds to wait for an answer. Raises ConfigError.
    """
    path = Path(config or os.environ.get("QD_CONFIG", ""))
    if path == Path():
        raise ConfigError("connect: give the desk's configuration file or run directory, or set QD_CONFIG")
    return Desk(load(_configuration(path)), client_id=client_id, strategy=strategy, timeout=timeout)


def _configuration(path: Path) -> Path:
    if not path.is_dir():
        return path
    note = path / "config"
    try:
        return Path(note.read_text().strip())
    except OSError as e:
        raise ConfigError(f"{note}: {e.strerror}; expected the path of the desk's configuration file") from None


class Desk:
    """A running desk. Closes with `with`, or `close`."""

    def __init__(self, desk: DeskConfig, *, client_id: str = "", strategy: str = "", timeout: float = 1.0) -> None:
        self.config = desk
        self.strategy = strategy
        self.client_id = client_id or f"{strategy or 'client'}-{os.getpid()}-{time.time_ns():x}"
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._clock = SystemClock()
        endpoints = [publisher_endpoint(desk, r.name) for r in roster(desk)]
        self._feed = Feed(self._context, endpoints, self._client, OneStream(desk).pick)
        self._ordering = Ordering(desk, self.client_id, strategy, self._client, timeout)
        self._regions: dict[str, BookRegion] = {}

    def __enter__(self) -> "Desk":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; orders stay as they are."""
        self._feed.close()
        self._ordering.close()
        self._context.term()

    # -- what there is -----------------------------------------------------------------------------------------

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

    # -- events ------------------------------------------------------------------------------------------------

    def subscribe(self, *topics: str, replay: bool = False, history: bool = False) -> None:
        """Topics of docs/events.md; one ending in a dot is a prefix ("md.kraken.", "exec."), "" everything.

        For exec.PROCESS topics, `replay` has what is lost from now on replayed; `history` begins with the oldest event
        that the process still has in its journal, and replays too. What redundant sessions tell is heard once.
        """
        for topic in topics:
            if replay or history:
                self._feed.replay(topic, OLDEST if history else None)
            else:
                self._feed.subscribe(topic)

    def poll(self, timeout: float = 0.0) -> list[Delivery]:
        """Events, and Gaps where some are missing, in order; waits up to `timeout` seconds for the first.

        SchemaError when a process of the desk speaks another schema.
        """
        return self._feed.poll(timeout)

    def __iter__(self) -> Iterator[Delivery]:
        """Every event and Gap, for ever."""
        while True:
            yield from self.poll(0.1)

    # -- books -------------------------------------------------------------------------------------------------

    def book(self, venue: str, instrument: str, level: int = 0) -> "BookReader":
        """The shared-memory book, read without asking anyone; level 0: L2 where the desk keeps one, else L3.

        ConfigError when no shard keeps it, RegionError when the book process has not started yet.
        """
        from ipc.books import BookRegion

        self.instrument(venue, instrument)
        shard, found = self._shard(venue, instrument, level)
        if shard not in self._regions:
            self._regions[shard] = BookRegion.open(self.config.shm_dir / f"book-{shard}")
        return self._regions[shard].book(venue, instrument, found)

    def _shard(self, venue: str, instrument: str, level: int) -> tuple[str, int]:
        sessions = self.config.config.session
        kept = {
            sessions[s].level: shard
            for shard, book in self.config.config.book.items()
            for s in book.sessions
            if sessions[s].venue == venue and any(i.name == instrument for i in self.config.session_instruments(s))
        }
        found = level or min(kept, default=2)
        if found not in kept:
            raise ConfigError(f"{self.config.path}: no book shard keeps {venue} {instrument} at level {found}")
        return kept[found], found

    # -- orders ------------------------------------------------------------------------------------------------

    def buy(self, venue: str, instrument: str, qty: Number, price: Number | None = None, **terms: str) -> str:
        """Buy at `price` or, without one, at market; returns the ClOrdID. Terms and errors as `new_order`."""
        return self.new_order(venue, instrument, BUY, qty, price, **terms)

    def sell(self, venue: str, instrument: str, qty: Number, price: Number | None = None, **terms: str) -> str:
        """Sell at `price` or, without one, at market; returns the ClOrdID. Terms and errors as `new_order`."""
        return self.new_order(venue, instrument, SELL, qty, price, **terms)

    def new_order(
        self,
        venue: str,
        instrument: str,
        side: str,
        qty: Number,
        price: Number | None = None,
        *,
        ord_type: str = "",
        time_in_force: str = "1",
        stop_px: Number | None = None,
        exec_inst: str = "",
        session: str = "",
        command_id: str = "",
    ) -> str:
        """Place an order; returns its ClOrdID once a trading process has taken it. Codes are FIX values.

        CommandError: refused, with the reason. NumberError: a number does not fit the instrument's scale. BusError: no
        answer, so the fate is unknown; the same call with the `command_id` that the error names is safe to repeat.
        """
        return self._ordering.new(
            venue, instrument, side, qty, price, ord_type=ord_type, time_in_force=time_in_force, stop_px=stop_px,
            exec_inst=exec_inst, session=session, command_id=command_id,
        )  # fmt: skip

    def new_orders(self, orders: Sequence[OrderTerms], *, session: str = "", command_id: str = "") -> list[Answer]:
        """Place up to 100 orders with one trading session, in as few messages as its venue takes; an answer for each.

        A refused order keeps no other back: `accepted`, `reason`, `cl_ord_id` of its answer say what became of it.
        ConfigError, NumberError: nothing was asked. BusError as `new_order`, the id being that of the whole call.
        """
        return self._ordering.new_orders(orders, session, command_id)

    def replace(self, cl_ord_id: str, qty: Number, price: Number | None = None) -> None:
        """Change quantity or price of a working order, by the means the venue has. Errors as `new_order`."""
        self._ordering.replace(cl_ord_id, qty, price)

    def cancel(self, cl_ord_id: str) -> None:
        """Ask for an order to be cancelled; what comes of it arrives as events. Errors as `new_order`."""
        self._ordering.cancel(cl_ord_id)

    def cancel_all(self, session: str = "", instrument: str = "") -> None:
        """Mass cancel on one order-entry session or on all; CommandError names those that refused."""
        self._ordering.cancel_all([session] if session else self.trading_sessions(), instrument)

    def orders(self, *, open_only: bool = True, session: str = "") -> list[OrderState]:
        """Orders as the trading processes know them, UNCERTAIN ones too. BusError names one that does not answer."""
        return self._ordering.orders([session] if session else self.trading_sessions(), open_only=open_only)

    def arm(self, reason: str) -> None:
        """This strategy is ready again after a reset (docs/kill-switch.md); nothing to do is no error.

        CommandError: the desk or the strategy is tripped, or the client was connected without a strategy. BusError: the
        kill switch does not answer.
        """
        self._ordering.arm(reason)

    def request(self, process: str, command: AnyCommand, timeout: float = 1.0) -> Answer:
        """Any command of docs/commands.md to any process; the answer may be a refusal."""
        return self._ordering.request(process, command, timeout)

    def _client(self, process: str) -> CommandClient:
        return CommandClient(self._context, command_endpoint(self.config, process), self.client_id, self._clock)
