"""A naive book in dicts and lists, and records written by hand: what the engine is held against."""

import struct
import zlib
from collections.abc import Iterable

L2 = struct.Struct("<3q")
L3 = struct.Struct("<5q")
NEW, CHANGE, DELETE = 0, 1, 2
HAS_CHECKSUM, HAS_FIRST_ID, HAS_LAST_ID, DEFECT = 1, 2, 4, 256

Entry = tuple[int, int, int, int, int]  # what, px, qty, key, time_ns


def what(side: int, action: int = NEW) -> int:
    return side | action << 8 | (0 if action == DELETE else 1 << 24)


def record(
    changes: Iterable[Entry],
    *,
    instrument: int = 0,
    snapshot: bool = False,
    flags: int = 0,
    checksum: int = 0,
    first_id: int = 0,
    last_id: int = 0,
    seq_num: int = 0,
    req_key: int = 0,
    defect_tag: int = 0,
) -> bytes:
    rows = list(changes)
    ids = (checksum, first_id, last_id, seq_num, 11, 22, req_key, defect_tag)
    head = struct.pack("<12q", len(rows), instrument, int(snapshot), flags, *ids)
    return head + b"".join(L3.pack(w, px, qty, signed(key), t) for w, px, qty, key, t in rows)


def signed(key: int) -> int:
    """A 64-bit key as the signed word that carries it."""
    return key if key < 1 << 63 else key - (1 << 64)


class NaiveL2:
    """Levels in a dict a side; max_depth cuts after each message."""

    def __init__(self, max_depth: int = 0) -> None:
        self.max_depth = max_depth
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def apply(self, entry: Entry) -> None:
        w, px, qty, _, _ = entry
        if w & 255 > 1:
            return
        side = self.sides[w & 255]
        if (w >> 8) & 255 == DELETE or qty == 0:
            side.pop(px, None)
        else:
            side[px] = qty

    def cut(self) -> None:
        for i in (0, 1):
            if self.max_depth:
                for px, _ in self.levels(i)[self.max_depth :]:
                    del self.sides[i][px]

    def levels(self, side: int) -> list[tuple[int, int]]:
        return sorted(self.sides[side].items(), reverse=side == 0)

    def text(self, levels: int) -> str:
        return "".join(f"{px}{qty}" for side in (1, 0) for px, qty in self.levels(side)[:levels])

    def crc(self, levels: int = 10) -> int:
        return zlib.crc32(self.text(levels).encode())


class NaiveL3(NaiveL2):
    """Orders in one list by arrival; a queue is sorted by (time, arrival) when asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: dict[int, tuple[int, int, int, int, int]] = {}  # key -> side, px, qty, time_ns, arrival
        self.arrivals = 0

    def apply(self, entry: Entry) -> None:
        w, px, qty, key, time_ns = entry
        old = self.orders.get(key)
        if (w >> 8) & 255 == DELETE or qty == 0:
            del self.orders[key]
        elif old is not None and old[:2] == (w & 255, px) and time_ns in (0, old[3]):
            self.orders[key] = (*old[:2], qty, *old[3:])
        else:
            self.arrivals += 1
            self.orders[key] = (w & 255, px, qty, time_ns, self.arrivals)

    def queue(self, side: int) -> list[tuple[int, int, int, int]]:
        rows = [(px if side else -px, t, a, qty, key) for key, (s, px, qty, t, a) in self.orders.items() if s == side]
        return [(px if side else -px, qty, key, t) for px, t, _, qty, key in sorted(rows)]

    def levels3(self, side: int) -> list[tuple[int, int, int]]:
        found: dict[int, list[int]] = {}
        for px, qty, _, _ in self.queue(side):
            found.setdefault(px, []).append(qty)
        return [(px, sum(q), len(q)) for px, q in found.items()]

    def text(self, levels: int) -> str:
        parts = []
        for side in (1, 0):
            top = {px for px, _, _ in self.levels3(side)[:levels]}
            parts += [f"{px}{qty}" for px, qty, _, _ in self.queue(side) if px in top]
        return "".join(parts)
