"""The public book of one market as the venue's market data shows it: levels and orders, cut to subscribed depths.

It hears `Update`s, from the matching engine or from a recording, and says for each subscribed depth which entries a
subscriber gets: a level that is pushed out of the window leaves it, one that moves up into it comes back.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

from sim.orders import BUY, SELL, L3Change, Update

NEW, CHANGE, DELETE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an incremental message; a DELETE with a size left the window, it is not gone."""

    action: int
    side: int
    px: int
    qty: int


class _Side:
    """Levels of one side: sorted keys, best first, and sizes."""

    def __init__(self, sign: int) -> None:
        self.sign = sign  # -1: bids, greatest first
        self.keys: list[int] = []
        self.size: dict[int, int] = {}

    def set(self, px: int, qty: int) -> tuple[int, int]:
        """(action, index of the level), action -1 when nothing changed."""
        key = px * self.sign
        known = px in self.size
        index = bisect_left(self.keys, key)
        if qty:
            if not known:
                insort(self.keys, key)
            elif self.size[px] == qty:
                return -1, index
            self.size[px] = qty
            return (CHANGE if known else NEW), index
        if not known:
            return -1, index
        del self.keys[index], self.size[px]
        return DELETE, index

    def at(self, index: int) -> tuple[int, int]:
        px = self.keys[index] * self.sign
        return px, self.size[px]

    def top(self, depth: int = 0) -> list[tuple[int, int]]:
        keys = self.keys[:depth] if depth else self.keys
        return [(k * self.sign, self.size[k * self.sign]) for k in keys]


class PublicBook:
    """Levels and, where they are known, single orders of one market."""

    def __init__(self, cap: int = 0) -> None:
        self.cap = cap  # depth that a "full" subscription gets; 0 = everything
        self._sides = (_Side(-1), _Side(1))
        self._orders: tuple[dict[str, L3Change], dict[str, L3Change]] = ({}, {})
        self.last_id = 0  # the venue's own update id, where it has one

    def clear(self) -> None:
        """Forget everything; depths and cap stay."""
        self._sides = (_Side(-1), _Side(1))
        self._orders = ({}, {})

    def apply(self, update: Update, depths: Iterable[int] = ()) -> dict[int, list[Entry]]:
        """Take an update in; for each depth the entries that a subscriber of it is told, in order."""
        out: dict[int, list[Entry]] = {depth: [] for depth in depths}
        for side, px, qty in update.levels:
            s = self._sides[side]
            old = s.size.get(px, 0)
            action, index = s.set(px, qty)
            if action >= 0:
                for depth, entries in out.items():
                    self._tell(entries, depth or self.cap, side, Entry(action, side, px, qty), index, old)
        for change in update.orders:
            orders = self._orders[change.side]
            if change.action == DELETE:
                orders.pop(change.order_id, None)
            else:
                orders[change.order_id] = change
        return out

    def _tell(self, entries: list[Entry], depth: int, side: int, entry: Entry, index: int, old: int) -> None:
        s = self._sides[side]
        if depth and index >= depth:
            return
        entries.append(entry)
        if not depth:
            return
        if entry.action == NEW and len(s.keys) > depth:
            px, qty = s.at(depth)
            entries.append(Entry(DELETE, side, px, qty))
        elif entry.action == DELETE and len(s.keys) >= depth:
            px, qty = s.at(depth - 1)
            entries.append(Entry(NEW, side, px, qty))

    def changes_to(self, bids: dict[int, int], asks: dict[int, int]) -> list[tuple[int, int, int]]:
        """Level changes that make this book the given one."""
        out = []
        for side, want in ((BUY, bids), (SELL, asks)):
            have = self._sides[side].size
            out += [(side, px, 0) for px in have if px not in want]
            out += [(side, px, qty) for px, qty in want.items() if have.get(px) != qty]
        return out

    def levels(self, side: int, depth: int = 0) -> list[tuple[int, int]]:
        """(price, size), best first; depth 0 = up to the cap."""
        return self._sides[side].top(depth or self.cap)

    def size(self, side: int, px: int) -> int:
        """Size at a price, 0 when there is none."""
        return self._sides[side].size.get(px, 0)

    def best(self, side: int) -> tuple[int, int] | None:
        """Best (price, size) of a side."""
        s = self._sides[side]
        return s.at(0) if s.keys else None

    def orders(self, side: int) -> list[L3Change]:
        """Single orders, best price first, oldest first within a price (arrival order where times are equal)."""
        sign = -1 if side == BUY else 1
        return sorted(self._orders[side].values(), key=lambda o: (o.px * sign, o.time_ns))

    def digits(self, levels: int = 10, *, by_order: bool = False) -> bytes:
        """The text a checksum is taken of: asks then bids, price and size digits without leading zeros."""
        out: list[str] = []
        for side in (SELL, BUY):
            if by_order:
                tops = {px for px, _ in self._sides[side].top(levels)}
                out += [f"{o.px}{o.qty}" for o in self.orders(side) if o.px in tops]
            else:
                out += [f"{px}{qty}" for px, qty in self._sides[side].top(levels)]
        return "".join(out).encode()

    def checksum(self, *, by_order: bool = False) -> int:
        """CRC-32 of the ten best levels a side (of each order in them, in queue order, where `by_order`)."""
        return crc32(self.digits(by_order=by_order))
