"""Rate limits of an account, kept by all processes of a desk together, in shared memory without locks.

Each writer has a row of its own and nobody else writes it: what it has spent in all, and its view of the whole with its
time. A process adds what the others' totals grew by since it last looked. Two that look at the same instant may both
pass: the meters set one request a writer aside for that. docs/decisions/shared-rates.md says why not otherwise.
"""

import hashlib
import mmap
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from base.config import DeskConfig, Kind
from base.errors import ConfigError
from base.segment_file import this_boot
from venues.interface import Dialect
from venues.limits import Limit
from venues.rate import Column
from venues.throttle import Throttle

WORD = 8
WORDS = 3  # total, used, at_ns


class SharedColumn:
    """One limit's row words of every writer."""

    def __init__(self, words: memoryview, first: int, writers: int, row: int) -> None:
        self.writers = writers
        self._row = row
        self._totals, self._used, self._at = (
            words[first + n * writers : first + (n + 1) * writers] for n in range(WORDS)
        )
        self._seen = sum(self._totals)
        self._own = self._totals[row]

    def others(self) -> int:
        """What others have spent since the last call."""
        total = sum(self._totals)
        delta, self._seen = total - self._seen, total
        return delta

    def add(self, spent: int) -> None:
        """We spent that much; one aligned store."""
        self._own += spent
        self._totals[self._row] = self._own
        self._seen += spent

    def show(self, used: int, at_ns: int) -> None:
        """Our view of the whole."""
        self._used[self._row] = used
        self._at[self._row] = at_ns

    def latest(self) -> tuple[int, int]:
        """The latest view of anybody; of two that are as late, the one that counted more."""
        at_ns, used = max(zip(self._at, self._used, strict=True))
        return max(used, 0), at_ns


class SharedRates:
    """A file of columns; its name follows from what is in it, so that another configuration has another file.

    And from the boot: monotonic times of an earlier one would lie ahead of ours, and count until then.
    """

    def __init__(self, folder: Path, name: str, columns: Sequence[str], writers: Sequence[str], writer: str) -> None:
        """ConfigError when the file cannot be had: without it a limit could not be kept."""
        what = "\n".join((*columns, "", *writers, "", str(this_boot())))
        mark = hashlib.sha256(what.encode()).hexdigest()[:12]
        self.path = folder / f"{name}-{mark}"
        self._columns = {column: n for n, column in enumerate(columns)}
        self._writers, self._row = len(writers), list(writers).index(writer)
        size = max(len(columns) * WORDS * len(writers) * WORD, WORD)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)  # a full tmpfs shows here, not as a SIGBUS later
                self._map = mmap.mmap(fd, size)
            finally:
                os.close(fd)
        except OSError as error:
            raise ConfigError(f"{self.path}: shared rate limits cannot be kept: {error.strerror}") from error
        self._words = memoryview(self._map).cast("q")

    def column(self, name: str) -> SharedColumn:
        """The column of that name."""
        first = self._columns[name] * WORDS * self._writers
        return SharedColumn(self._words, first, self._writers, self._row)


def _column_name(limit: Limit, symbol: str) -> str:
    return f"{limit.name} {symbol}" if symbol else limit.name


class DeskRates:
    """What the processes of a desk share of one venue's limits."""

    def __init__(self, desk: DeskConfig, venue: str, dialect: Dialect) -> None:
        config = desk.config.venue[venue]
        self._desk, self._venue, self._config = desk, venue, config
        self._dialect = config.dialect
        self._limits = dialect.capabilities(config).limits
        self._same = [
            name
            for name, other in desk.config.venue.items()
            if (other.dialect, other.account) == (config.dialect, config.account)
        ]

    def orders(self, session: str) -> Throttle:
        """The limits of order entry as one trading session keeps them."""
        names = {i.name: i.symbol for i in self._desk.session_instruments(session)}
        symbols = sorted({i.symbol for venue in self._same for i in self._desk.venue_instruments(venue)})
        columns = self._columns(self._limits.orders, symbols)
        rates = self._open("orders", columns, self._sessions(self._same), session)

        def column(limit: Limit, instrument: str) -> Column | None:
            if limit.scope == "session" or rates is None:
                return None
            return rates.column(_column_name(limit, names.get(instrument, "")))

        return Throttle(self._limits.orders, names, column, self._config.limit_share_pct)

    def rest(self, writer: str) -> Throttle:
        """The limits of the REST side; `writer` is a trading session, or "killswitch"."""
        limits = self._limits.rest
        by_address = any(limit.scope == "address" for limit in limits)
        venues = [n for n, v in self._desk.config.venue.items() if v.dialect == self._dialect]
        venues = venues if by_address else self._same
        writers = [*self._sessions(venues), *(f"killswitch {venue}" for venue in sorted(venues))]
        me = f"killswitch {self._venue}" if writer == "killswitch" else writer
        rates = self._open("rest", self._columns(limits, []), writers, me)
        own_key = writer == "killswitch" and bool(self._config.rest and self._config.rest.kill_key)

        def column(limit: Limit, _: str) -> Column | None:
            alone = rates is None or limit.scope == "session" or (limit.scope == "key" and own_key)
            return None if alone or rates is None else rates.column(limit.name)

        return Throttle(limits, (), column, self._config.limit_share_pct)

    def _sessions(self, venues: Iterable[str]) -> list[str]:
        sessions = self._desk.config.session.items()
        return sorted(name for name, s in sessions if s.venue in set(venues) and s.kind is Kind.TRADING)

    @staticmethod
    def _columns(limits: Iterable[Limit], symbols: Sequence[str]) -> list[str]:
        found = []
        for limit in limits:
            if limit.scope == "instrument":
                found += [_column_name(limit, symbol) for symbol in symbols]
            elif limit.scope != "session":
                found.append(limit.name)
        return found

    def _open(self, what: str, columns: list[str], writers: list[str], writer: str) -> SharedRates | None:
        """None where there is nobody to share with, or nothing."""
        if not columns or writer not in writers:
            return None
        return SharedRates(self._desk.shm_dir / "rates", f"{what}-{self._dialect}", columns, writers, writer)
