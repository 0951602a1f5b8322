"""Exposure rows of a desk's other trading processes, each read anew only when it changed.

On the way of every order stands `refresh`: one word a page, and what that word says has changed. `look`, from a timer,
finds processes that appear, pages that were replaced, and the row of a writer that died between row and word.
"""

import os
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from base.config import DeskConfig, Kind
from base.errors import RegionError
from ipc._words import RowPage, RowShare, Words
from ipc.exposure import IDENTITY_BYTES, UNOPENED, UNPRICED, ExposureRow
from ipc.journal import NAME
from ipc.readiness import (
    FIRST_ROW,
    MOVED,
    ROW_WORDS,
    ROWS,
    SENT,
    STATUS_KIND,
    Readiness,
    readiness_of,
)

Enter = Callable[[str, str, str, int], RowShare]
"""(session, venue, instrument, qty_scale): what that row's figures add to."""


class OwnerPage:
    """The status page of one trading process. Its rows count whether it lives or not."""

    def __init__(self, session: str, path: Path, journal: Path, enter: Enter) -> None:
        self.session = session
        self.unknown = ""  # why its rows are not known; "" when they are
        self._path, self._journal, self._enter = path, journal, enter
        self._words: Words | None = None
        self.rows: RowPage | None = None
        self.sent: Callable[[], int] = int  # new orders handed to the wire since its start; 0 without a page
        self.flags: dict[str, int] = {}  # of rows that have any, by instrument
        self._keys: dict[int, tuple[str, str]] = {}  # whose row it is
        self._shares: dict[tuple[str, str], RowShare] = {}
        self._former: dict[tuple[str, str], RowShare] = {}  # of a page that another took the place of

    @property
    def begun(self) -> bool:
        """It has shown rows."""
        return bool(self._keys or self._former)

    def look(self) -> None:
        """Find the page, or the one that took its place, and read whatever changed in it."""
        if self._words is None or self._replaced(self._words):
            self._open()
        words = self._words
        if words is None:
            self.unknown = "has no status page" if self._traded() else ""
            return
        unread = self.settle()
        if unread:
            self.unknown = "stopped inside a row that was never read"
        elif not self._keys and readiness_of(words) is Readiness.STARTING:
            # Rows outlive their process: this is a new page, and the journal is not read yet.
            self.unknown = "is starting" if self._traded() else ""
        else:
            self.unknown = ""
            for key, share in self._former.items():
                if key not in self._shares:
                    share.now(0, 0, 0, 0, 0)
            self._former = {}

    def settle(self) -> bool:
        """Take in whatever changed, with rows that are new or another instrument's; whether one cannot be read."""
        words, rows = self._words, self.rows
        if words is None or rows is None or not rows.scan():
            return False
        unread = False
        for i in rows.strange():
            raw = words.read_record(FIRST_ROW + i * ROW_WORDS, ROW_WORDS)
            if raw is None:
                unread = True
                continue
            row = ExposureRow.unpack(raw, f"{words.path}: row {i}")
            before, key = self._keys.get(i), (row.venue, row.instrument)
            self._keys[i] = key
            _note(self.flags, row.instrument, row.flags)
            share = self._shares[key] = self._enter(self.session, *key, row.qty_scale)
            rows.place(i, raw[:IDENTITY_BYTES], share)
            if before is not None and before not in self._keys.values():
                self._shares.pop(before).now(0, 0, 0, 0, 0)
        return unread

    def _open(self) -> None:
        try:
            words = Words.open(self._path, STATUS_KIND)
        except RegionError:
            return  # rows that were read before go on counting
        self._words, self.rows = words, RowPage(words, FIRST_ROW, ROW_WORDS, ROWS, MOVED)
        self.sent = partial(words.load, SENT)
        self._former |= self._shares
        self._keys, self._shares, self.flags = {}, {}, {}

    def _replaced(self, words: Words) -> bool:
        try:
            stat = os.stat(self._path)
        except OSError:
            return False
        return (stat.st_ino, stat.st_dev) != (words.inode, words.device)

    def _traded(self) -> bool:
        """Whether the session ever ran here, and may hold something."""
        return any(self._journal.glob(f"{NAME}*"))


class OtherRows:
    """The pages of all trading processes of a desk but one."""

    def __init__(self, desk: DeskConfig, own: str, enter: Enter, openers: Collection[str] = ()) -> None:
        """`openers`: sessions that hear what accounts held; before their first row nothing is known of that."""
        self.pages = [
            OwnerPage(s, desk.shm_dir / "proc" / s, desk.data_dir / s, enter)
            for s in desk.sessions(Kind.TRADING)
            if s != own
        ]
        self.unknown: dict[str, str] = {}  # session -> why its rows are not known, once looked at
        self.unheld: dict[str, str] = {}  # session, ours too -> why only what it holds is not known
        self.unpriced: dict[str, str] = {}  # session, ours too -> why only what that is worth is not known
        self.blind = False  # any of them
        self._own, self._openers = own, frozenset(openers)
        self._own_flags: dict[str, int] = {}
        self._rows: list[tuple[RowPage, OwnerPage]] = []

    def refresh(self) -> None:
        """Before an order is judged: take in what changed."""
        for rows, page in self._rows:
            if rows.refresh():
                page.settle()
                self._say()

    def ours(self, instrument: str, flags: int) -> None:
        """What our own row of an instrument leaves out."""
        if flags != self._own_flags.get(instrument, 0):
            _note(self._own_flags, instrument, flags)
            self._say()

    def look(self) -> None:
        """From a timer: processes that appeared, pages that were replaced."""
        for page in self.pages:
            page.look()
        self._rows = [(page.rows, page) for page in self.pages if page.rows is not None]
        self.unknown = {page.session: page.unknown for page in self.pages if page.unknown}
        self._say()

    def _say(self) -> None:
        flags = [(self._own, self._own_flags), *((page.session, page.flags) for page in self.pages)]
        self.unheld = {s: f"has not heard what was held of {of}" for s, f in flags if (of := _named(f, UNOPENED))}
        for page in self.pages:
            if page.session in self._openers and not page.begun:
                self.unheld[page.session] = "has not run yet, and hears what the account held"
        self.unpriced = {s: f"does not know what {of} is worth" for s, f in flags if (of := _named(f, UNPRICED))}
        self.blind = bool(self.unknown or self.unheld or self.unpriced)


def _note(flags: dict[str, int], instrument: str, now: int) -> None:
    if now:
        flags[instrument] = now
    else:
        flags.pop(instrument, None)


def _named(flags: dict[str, int], flag: int) -> str:
    return ", ".join(name for name, mask in flags.items() if mask & flag)
