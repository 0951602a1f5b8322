"""Exposure rows of a status page: what one process has at risk, one row an instrument, one writer.

Quantities are integers at the row's scales. Notionals are integers at NOTIONAL_SCALE decimals of the quote currency,
rounded away from zero, since price times size at full scale does not fit 64 bits.
"""

import struct
from collections.abc import Iterable
from typing import Self

import msgspec

from base.errors import RegionError
from base.instruments import ONE, Contract
from ipc._words import Words
from ipc.readiness import FIRST_ROW, MOVED, ROW_CAPACITY, ROW_WORDS, ROWS, StatusPage

NOTIONAL_SCALE = 6
UNOPENED = 1  # what the account held before the desk's own fills is not known yet: so is the position not
UNPRICED = 2  # what a quantity is worth is not known: no price of what is held, or no value of a contract
_MAX = 2**63 - 1
# venue 24 bytes, instrument 40 bytes, px_scale, qty_scale, flags, then the figures of ExposureRow in order.
_ROW = struct.Struct("<24s40sHHIqqqqqqqqq")
IDENTITY_BYTES = 72  # of a row's record: names, scales and flags (as ipc/_row_sums.pxi has it)


class ExposureRow(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one instrument in one process. Zero rows are kept: a row never moves."""

    venue: str
    instrument: str
    px_scale: int
    qty_scale: int
    open_orders: int = 0  # UNCERTAIN ones count as open
    uncertain: int = 0
    working_buy_qty: int = 0
    working_sell_qty: int = 0
    position: int = 0  # signed, at qty_scale
    buy_notional: int = 0  # of working buys at NOTIONAL_SCALE, without what only closes a short position
    sell_notional: int = 0
    position_notional: int = 0  # absolute, at NOTIONAL_SCALE
    updated_mono_ns: int = 0
    flags: int = 0  # what its figures leave out: UNOPENED, UNPRICED

    def pack(self) -> bytes:
        """Bytes of the record; RegionError when a name is too long. Figures saturate rather than wrap."""
        venue, instrument = self.venue.encode(), self.instrument.encode()
        if len(venue) > 24 or len(instrument) > 40:
            raise RegionError(f"exposure row {self.venue}/{self.instrument}: name too long for 24 / 40 bytes")
        figures = (
            self.open_orders,
            self.uncertain,
            self.working_buy_qty,
            self.working_sell_qty,
            self.position,
            self.buy_notional,
            self.sell_notional,
            self.position_notional,
            self.updated_mono_ns,
        )
        try:
            return _ROW.pack(venue, instrument, self.px_scale, self.qty_scale, self.flags, *figures)
        except struct.error:
            clamped = (max(-_MAX, min(_MAX, f)) for f in figures)
            return _ROW.pack(venue, instrument, self.px_scale, self.qty_scale, self.flags, *clamped)

    @classmethod
    def unpack(cls, raw: bytes, path: str) -> Self:
        """The row; RegionError naming `path` when the record has another size."""
        if len(raw) != _ROW.size:
            raise RegionError(f"{path}: exposure row of {len(raw)} bytes, expected {_ROW.size}")
        venue, instrument, px_scale, qty_scale, flags, *f = _ROW.unpack(raw)
        return cls(
            venue=venue.rstrip(b"\0").decode(),
            instrument=instrument.rstrip(b"\0").decode(),
            px_scale=px_scale,
            qty_scale=qty_scale,
            open_orders=f[0],
            uncertain=f[1],
            working_buy_qty=f[2],
            working_sell_qty=f[3],
            position=f[4],
            buy_notional=f[5],
            sell_notional=f[6],
            position_notional=f[7],
            updated_mono_ns=f[8],
            flags=flags,
        )


def notional(px: int, px_scale: int, qty: int, qty_scale: int, contract: Contract = ONE) -> int:
    """|px * qty| at NOTIONAL_SCALE, rounded up: a limit is never undershot by rounding.

    Of contracts times what one stands for; inverse ones are worth the same quote currency at every price.
    """
    product, extra = abs(px * qty), px_scale + qty_scale - NOTIONAL_SCALE
    if contract is not ONE:
        if contract.inverse:
            product, extra = abs(qty), qty_scale - NOTIONAL_SCALE
        product, extra = product * contract.value, extra + contract.scale
    unit: int = 10 ** abs(extra)
    return -(-product // unit) if extra > 0 else product * unit


class ExposureWriter:
    """Rows of one status page, found by (venue, instrument). Takes over the rows of the process before."""

    def __init__(self, page: StatusPage) -> None:
        self._words = page.words
        try:
            found = read_exposure(self._words)
        except RegionError:
            found = []  # a writer died inside one: nobody can say whose row it is
        self._spare: list[tuple[str, str]] = []  # rows of the process before that may be given away
        self._before = {(row.venue, row.instrument): row for row in found}
        self._index = {key: i for i, key in enumerate(self._before)}
        if len(self._index) != self._words.load(ROWS):
            self._index, self._before = {}, {}
            self._words.store(ROWS, 0)

    def begin(self, rows: Iterable[ExposureRow]) -> None:
        """Show all rows of a process that starts, at once; what it does not have of the one before is zero now."""
        fresh = {(row.venue, row.instrument): row for row in rows}
        for key, row in self._before.items():
            if key not in fresh:
                self._write(_zero(row))
                self._spare.append(key)
        self._before = {}
        for row in fresh.values():
            self._write(row)
        self._words.store(ROWS, len(self._index))
        self._say(2, 0)  # more than one change: readers look at all

    def set(self, row: ExposureRow) -> None:
        """Write or replace the instrument's row; RegionError when the page has no room for another."""
        index = self._write(row)
        if index >= self._words.load(ROWS):
            self._words.store(ROWS, index + 1)
        self._say(1, index)

    def _say(self, changes: int, index: int) -> None:
        self._words.store(MOVED, ((self._words.load(MOVED) >> 16) + changes) << 16 | index)

    def _write(self, row: ExposureRow) -> int:
        key = (row.venue, row.instrument)
        index = self._index.get(key)
        if index is None:
            index = self._place(key)
        self._words.write_record(FIRST_ROW + index * ROW_WORDS, ROW_WORDS, row.pack())
        self._index[key] = index
        return index

    def _place(self, key: tuple[str, str]) -> int:
        index = len(self._index)
        if index < self._words.load(ROW_CAPACITY):
            return index
        if not self._spare:
            raise RegionError(f"{self._words.path}: no room for row {key}: all {index} rows are taken")
        return self._index.pop(self._spare.pop())


def _zero(row: ExposureRow) -> ExposureRow:
    return ExposureRow(venue=row.venue, instrument=row.instrument, px_scale=row.px_scale, qty_scale=row.qty_scale)


def read_exposure(words: Words) -> list[ExposureRow]:
    """All rows of a mapped status page (StatusReader.words()); RegionError when a row cannot be read."""
    rows = []
    for i in range(min(words.load(ROWS), words.load(ROW_CAPACITY))):
        raw = words.read_record(FIRST_ROW + i * ROW_WORDS, ROW_WORDS)
        if raw is None:
            raise RegionError(f"{words.path}: exposure row {i}: its writer stopped inside")
        rows.append(ExposureRow.unpack(raw, f"{words.path}: row {i}"))
    return rows
