"""Recordings as a venue's market data: paced as recorded (or N times, or as fast as it goes), ids and trades included.

What a recording has no instrument for is left out; an instrument that no recording fits keeps its seeded flow.
"""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

from base.errors import RecordingError
from base.instruments import Instrument
from sim.flow import Crowd
from sim.gateway import Venue
from sim.orders import BUY, SELL, L3Change, Trade, Update
from sim.publicbook import PublicBook
from sim.recordings import Market as Recorded
from sim.recordings import Recording, find_recordings, open_recording
from sim.recordings.binance import FOLLOWS
from sim.recordings.items import Best, Item, Levels, Orders, Print, Snapshot, scaled
from sim.replaymarket import ReplayMarket

MAX_PER_TURN = 2_000  # items, at full speed
LATE_NS = 200_000_000  # a loop that was away longer than this goes on from where it was


class NothingFitsError(RecordingError):
    """No recording holds a market that an instrument of the venue could be."""


class Fit(NamedTuple):
    """A recorded market and the instrument that it becomes."""

    recording: Recording
    recorded: Recorded
    instrument: Instrument


class Track:
    """One recorded market on one instrument: items to updates, in integers."""

    def __init__(self, fit: Fit, venue: Venue, market: ReplayMarket) -> None:
        self._path = fit.recording.path
        self._instrument = fit.instrument
        self._venue = venue
        self._market = market
        self._has_orders = fit.recorded.has_orders
        self._sizes: tuple[dict[int, int], dict[int, int]] = ({}, {})  # L3: sum of the orders at a price
        self._orders: dict[str, tuple[int, int, int]] = {}  # L3: id -> side, price, size
        self._book = PublicBook()  # what the feed stands at
        self._trades = 0

    def play(self, item: Item) -> None:
        """Publish one item and let the desk's orders meet it."""
        now = self._venue.clock.wall_ns()
        update = Update(time_ns=now)
        if isinstance(item, Snapshot):
            self._snapshot(item, update)
        elif isinstance(item, Levels):
            update.levels = [(s, self._px(px, item), self._qty(qty, item)) for s, px, qty in item.changes]
            update.first_id, update.last_id = item.first_id, item.last_id
        elif isinstance(item, Orders):
            self._change(item, update)
        elif isinstance(item, Best):
            bid, ask = ((self._px(px, item), self._qty(qty, item)) for px, qty in (item.bid, item.ask))
            update.best, update.last_id = (bid, ask), item.last_id
        elif isinstance(item, Print):
            self._print(item, update, now)
        if update.levels and not self._has_orders and self._venue.keep_l3:
            self._one_order_a_level(update)
        self._book.apply(Update(levels=update.levels))
        if update or update.last_id:
            self._venue.on_update(self._market, update)
        self._market.levels(update.levels, now)
        for trade in update.trades:
            self._market.printed(trade.px, trade.qty, trade.side, now)
        self._venue.exchange.settle(self._instrument.symbol)

    def _where(self, item: Item) -> str:
        return f"{self._path}:{item.line}: {item.symbol}"

    def _px(self, text: str, item: Item) -> int:
        return scaled(text, self._instrument.px_scale, self._where(item))

    def _qty(self, text: str, item: Item) -> int:
        return scaled(text, self._instrument.qty_scale, self._where(item))

    def _print(self, item: Print, update: Update, now: int) -> None:
        self._trades += 1
        trade_id = int(item.trade_id) if item.trade_id.isdigit() else self._trades
        update.trades = [Trade(trade_id, self._px(item.px, item), self._qty(item.qty, item), item.side, now)]

    def _snapshot(self, item: Snapshot, update: Update) -> None:
        """A snapshot is published as the changes that lead to it."""
        update.first_id = update.last_id = item.last_id
        if item.orders is None:
            bids, asks = (
                {self._px(px, item): self._qty(qty, item) for px, qty in side} for side in (item.bids, item.asks)
            )
            update.levels = self._book.changes_to(bids, asks)
            return
        for order_id in list(self._orders):
            self._apply(2, order_id, *self._orders[order_id], update)
        for side, orders in zip((BUY, SELL), item.orders, strict=True):
            for px, qty, order_id in orders:
                self._apply(0, order_id, side, self._px(px, item), self._qty(qty, item), update)
        self._collect(update)

    def _change(self, item: Orders, update: Update) -> None:
        for action, side, px, qty, order_id in item.changes:
            self._apply(action, order_id, side, self._px(px, item), self._qty(qty, item), update)
        self._collect(update)

    def _apply(self, action: int, order_id: str, side: int, px: int, qty: int, update: Update) -> None:
        before = self._orders.pop(order_id, None)
        if before is not None:
            self._sizes[before[0]][before[1]] -= before[2]
        if action != 2:
            self._orders[order_id] = (side, px, qty)
            self._sizes[side][px] = self._sizes[side].get(px, 0) + qty
        update.orders.append(L3Change(action, side, order_id, px, 0 if action == 2 else qty, update.time_ns))

    def _collect(self, update: Update) -> None:
        """Levels that the order changes of one item touched."""
        for side, px in dict.fromkeys((c.side, c.px) for c in update.orders):
            update.levels.append((side, px, self._sizes[side].get(px, 0)))
            if not self._sizes[side].get(px, 1):
                del self._sizes[side][px]

    def _one_order_a_level(self, update: Update) -> None:
        """Where the recording has no single orders, the L3 feed shows each level as one."""
        for side, px, qty in update.levels:
            known = self._book.size(side, px)
            if qty or known:
                action = 2 if not qty else (1 if known else 0)
                update.orders.append(L3Change(action, side, f"L{side}{px}", px, qty, update.time_ns))


class Replay:
    """Plays recordings on a venue, paced by its clock."""

    def __init__(self, venue: Venue, fits: list[Fit], speed: float) -> None:
        """`speed` 0 is as fast as it goes."""
        self.done = False
        self.played = 0
        self._clock = venue.clock
        self._speed = speed
        self._tracks: dict[tuple[Path, str], Track] = {}
        for fit in fits:
            symbol = fit.instrument.symbol
            market = ReplayMarket(symbol, max(fit.instrument.lot_size, 1))
            venue.exchange.markets[symbol] = market
            self._tracks[fit.recording.path, fit.recorded.symbol] = Track(fit, venue, market)
        recordings = {fit.recording.path: fit.recording for fit in fits}
        names = [f"{fit.instrument.name} from {fit.recording.path.name}" for fit in fits]
        venue.source = f"replay: {', '.join(names)}"
        self._streams = [_Stream(r, self._tracks) for r in recordings.values()]
        taken = {fit.instrument.symbol for fit in fits}
        rest = [i for i in venue.exchange.instruments.values() if i.symbol not in taken]
        setup = venue.setup
        self._crowd = Crowd(venue.exchange, setup.seed, setup.messages_per_s, {}, rest) if rest else None
        self._at_ns = self._clock.mono_ns()

    @classmethod
    def open(cls, venue: Venue, path: Path, speed: str) -> "Replay":
        """A file, or a directory out of which what fits the venue's instruments is taken."""
        fits = fit_all(path, list(venue.exchange.instruments.values()))
        return cls(venue, fits, parse_speed(speed))

    def tick(self) -> None:
        """Play what is due."""
        if self._crowd is not None:
            self._crowd.tick()
        if self.done:
            return
        now = self._clock.mono_ns()
        passed, self._at_ns = min(now - self._at_ns, LATE_NS), now
        alive = False
        for stream in self._streams:
            self.played += stream.play(int(passed * self._speed) if self._speed else None)
            alive = alive or not stream.done
        self.done = not alive


class _Stream:
    """One recording's items with its own time line."""

    def __init__(self, recording: Recording, tracks: dict[tuple[Path, str], Track]) -> None:
        self._items: Iterator[Item] = recording.items()
        self._path = recording.path
        self._tracks = tracks
        self._next: Item | None = next(self._items, None)
        self._now_ns = self._next.time_ns if self._next else 0
        self.done = self._next is None
        self._stand(recording.starts_ns())

    def _stand(self, starts_ns: int) -> None:
        """Play what comes before the first change at once: the books stand before anybody subscribes."""
        while self._next is not None:
            if self._next.time_ns >= starts_ns and isinstance(self._next, Levels | Orders):
                break
            self._now_ns = self._next.time_ns
            self._play_next()

    def _advance(self) -> None:
        self._next = next(self._items, None)
        self.done = self._next is None

    def _play_next(self) -> None:
        item = self._next
        assert item is not None
        track = self._tracks.get((self._path, item.symbol))
        if track is not None:
            track.play(item)
        self._advance()

    def play(self, passed_ns: int | None) -> int:
        """Play what is due after `passed_ns` more; None: as much as a turn holds. Gives the number of items."""
        count = 0
        if passed_ns is not None:
            self._now_ns += passed_ns
        while self._next is not None and count < MAX_PER_TURN:
            if passed_ns is not None and self._next.time_ns > self._now_ns:
                break
            self._play_next()
            count += 1
        return count


def parse_speed(text: str) -> float:
    """Factor of the recorded pace; "max" is 0, as fast as it goes."""
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 < speed <= 1e6:
        raise RecordingError(f"speed {text!r} is neither a positive number nor max")
    return speed


def fit_all(path: Path, instruments: list[Instrument]) -> list[Fit]:
    """Recorded markets that become the given instruments, the one with most updates for each.

    RecordingError when nothing fits, saying what there is and why it does not.
    """
    by_name = {i.name: i for i in instruments}
    recordings = _useful(path, by_name) if path.is_dir() else [open_recording(path)]
    best: dict[str, Fit] = {}
    seen: list[str] = []
    for recording in recordings:
        for recorded in recording.markets().values():
            instrument = by_name.get(recorded.name)
            seen.append(f"{recorded.name} ({recorded.px_scale}/{recorded.qty_scale} decimals, {recording.path.name})")
            if instrument is None or not recorded.has_book or not _holds(instrument, recorded):
                continue
            known = best.get(instrument.symbol)
            if known is None or recorded.updates > known.recorded.updates:
                best[instrument.symbol] = Fit(recording, recorded, instrument)
    if not best:
        wanted = ", ".join(f"{i.name} ({i.px_scale}/{i.qty_scale} decimals)" for i in instruments)
        raise NothingFitsError(f"{path}: nothing fits {wanted}; it has {', '.join(seen) or 'no recording'}")
    return list(best.values())


def _useful(directory: Path, names: Container[str]) -> list[Recording]:
    """Recordings of a directory that may hold one of the markets; two halves of one are played as one."""
    found = {r.path: r for r in find_recordings(directory) if r.may_hold(names)}
    for path, recording in list(found.items()):
        first = path.with_name(FOLLOWS.get(path.name, path.name))
        if first != path and found.pop(first, None) is not None:
            recording.whole = True
    return list(found.values())


def _holds(instrument: Instrument, recorded: Recorded) -> bool:
    return recorded.px_scale <= instrument.px_scale and recorded.qty_scale <= instrument.qty_scale
