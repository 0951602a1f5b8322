"""Exposure rows of a desk's other trading processes, each read anew only when it changed.

On the way of every order stands `refresh`: one word a page, and what that word says has changed. `look`, from a timer,
finds processes that appear, pages that were replaced, and the row of a writer that died between row and word.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from base.config import DeskConfig, Kind
from base.errors import RegionError
from ipc._words import Words
from ipc.exposure import FIGURES, IDENTITY_BYTES, ExposureRow
from ipc.journal import NAME
from ipc.readiness import (
    FIRST_ROW,
    MOVED,
    ROW_CAPACITY,
    ROW_WORDS,
    ROWS,
    SENT,
    STATUS_KIND,
    Readiness,
    readiness_of,
)

Take = Callable[[int, int, int, int, int], None]
"""Figures of a row as they are now: open orders, working buys, working sells, position, and the notional of all."""

Enter = Callable[[str, str, str, int], Take]
"""(session, venue, instrument, qty_scale): what takes in the figures of that row."""

_INDEX: Final = 0xFFFF


class OwnerPage:
    """The status page of one trading process. Its rows count whether it lives or not."""

    def __init__(self, session: str, path: Path, journal: Path, enter: Enter) -> None:
        self.session = session
        self.unknown = ""  # why its rows are not known; "" when they are
        self._path, self._journal, self._enter = path, journal, enter
        self._words: Words | None = None
        self.moved = 0  # the page's word about its rows, as it was when they were last read
        self._versions: list[int] = []
        self._unread: set[int] = set()
        self._places: list[_Place | None] = []
        self._former: dict[tuple[str, str], _Place] = {}  # of a page that another took the place of

    @property
    def load(self) -> Callable[[int], int] | None:
        """Reads a word of the page; None while there is none."""
        return self._words.load if self._words is not None else None

    def take(self, moved: int) -> None:
        """Take in what changed, the page's word saying so."""
        words, before = self._words, self.moved
        if words is None:
            return
        self.moved = moved
        index = moved & _INDEX
        if moved >> 16 == (before >> 16) + 1 and index < len(self._versions):
            self._read(words, index)
        else:
            self._read_all(words)

    def sent(self) -> int:
        """New orders that the process handed to the wire since its start; 0 without a page."""
        return self._words.load(SENT) if self._words is not None else 0

    def look(self) -> None:
        """Find the page, or the one that took its place, and read whatever changed in it."""
        if self._words is None or self._replaced(self._words):
            self._open()
        words = self._words
        if words is None:
            self.unknown = "has no status page" if self._traded() else ""
            return
        self.moved = words.load(MOVED)
        self._read_all(words)
        if not self._versions and readiness_of(words) is Readiness.STARTING:
            # Rows outlive their process: this is a new page, and the journal is not read yet.
            self.unknown = "is starting" if self._traded() else ""
        elif self._unread:
            self.unknown = "stopped inside a row that was never read"
        else:
            self.unknown = ""
            self._zero_former()

    def _open(self) -> None:
        try:
            words = Words.open(self._path, STATUS_KIND)
        except RegionError:
            return  # rows that were read before go on counting
        self._former |= {place.key: place for place in self._places if place is not None}
        self._words, self._versions, self._places, self._unread = words, [], [], set()

    def _zero_former(self) -> None:
        for key, place in self._former.items():
            if not self._has(key):
                place.take(0, 0, 0, 0, 0)
        self._former = {}

    def _has(self, key: tuple[str, str]) -> bool:
        return any(place is not None and place.key == key for place in self._places)

    def _replaced(self, words: Words) -> bool:
        try:
            stat = os.stat(self._path)
        except OSError:
            return False
        return (stat.st_ino, stat.st_dev) != (words.inode, words.device)

    def _traded(self) -> bool:
        """Whether the session ever ran here, and may hold something."""
        return any(self._journal.glob(f"{NAME}*"))

    def _read_all(self, words: Words) -> None:
        versions = self._versions
        count = min(words.load(ROWS), words.load(ROW_CAPACITY))
        versions.extend([0] * (count - len(versions)))  # 0: never written
        self._places.extend([None] * (count - len(self._places)))
        for i in range(count):
            if words.load(FIRST_ROW + i * ROW_WORDS) != versions[i]:
                self._read(words, i)

    def _read(self, words: Words, i: int) -> None:
        at = FIRST_ROW + i * ROW_WORDS
        version = words.load(at)
        raw = words.read_record(at, ROW_WORDS)
        if raw is None:  # its writer stopped inside: what the row said before goes on counting
            if not self._versions[i]:
                self._unread.add(i)
            return
        self._versions[i] = version
        place = self._places[i]
        if place is None or not raw.startswith(place.identity):
            place = self._settle(words, i, raw)
        figures = FIGURES.unpack_from(raw, IDENTITY_BYTES)
        place.take(figures[0], figures[2], figures[3], figures[4], figures[5] + figures[6] + figures[7])

    def _settle(self, words: Words, i: int, raw: bytes) -> "_Place":
        """A row that was not there before, or is another instrument's now."""
        row = ExposureRow.unpack(raw, f"{words.path}: row {i}")
        before, key = self._places[i], (row.venue, row.instrument)
        place = _Place(raw[:IDENTITY_BYTES], key, self._enter(self.session, *key, row.qty_scale))
        self._places[i] = place
        self._unread.discard(i)
        if before is not None and not self._has(before.key):
            before.take(0, 0, 0, 0, 0)
        return place


class _Place(NamedTuple):
    """Whose row it is, and who takes in its figures."""

    identity: bytes
    key: tuple[str, str]
    take: Take


class OtherRows:
    """The pages of all trading processes of a desk but one."""

    def __init__(self, desk: DeskConfig, own: str, enter: Enter) -> None:
        self.pages = [
            OwnerPage(s, desk.shm_dir / "proc" / s, desk.data_dir / s, enter)
            for s in desk.sessions(Kind.TRADING)
            if s != own
        ]
        self.unknown: dict[str, str] = {}  # session -> why its rows are not known, once looked at
        self._loads: list[tuple[Callable[[int], int], OwnerPage]] = []

    def refresh(self) -> None:
        """Before an order is judged: take in what changed."""
        for load, page in self._loads:
            moved = load(MOVED)
            if moved != page.moved:
                page.take(moved)

    def look(self) -> None:
        """From a timer: processes that appeared, pages that were replaced."""
        for page in self.pages:
            page.look()
        self._loads = [(page.load, page) for page in self.pages if page.load is not None]
        self.unknown = {page.session: page.unknown for page in self.pages if page.unknown}
