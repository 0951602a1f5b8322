"""Stale and crossed books behind working orders: how long it has been so, the venue's calendar left out. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from base.errors import ConfigError
from base.kill_config import LimitConfig
from risk.kill_plan import Owned, Owner, covers
from risk.triggers.rules import rule_of
from risk.triggers.watch import MS, Reading


class BookLook(msgspec.Struct, frozen=True):
    """One book at one moment. `state`: LIVE, CROSSED, or any other word for one that is not to be relied on."""

    state: str
    reason: str = ""


class Working(msgspec.Struct, frozen=True):
    """Working orders of one session in one instrument."""

    session: str
    venue: str
    account: str
    instrument: str
    orders: int


class _Since(msgspec.Struct):
    stale_ns: int = 0  # monotonic; 0: it is not
    crossed_ns: int = 0
    why: str = ""


class BookWatch:
    """Since when books behind working orders have been bad."""

    def __init__(
        self, limits: Sequence[LimitConfig], owners: Mapping[str, Owner], kept: Iterable[tuple[str, str]]
    ) -> None:
        """`kept`: (venue, instrument) of every book that some shard keeps. ConfigError where a limit has none."""
        self.limits = [x for x in limits if x.max_book_stale_ms is not None or x.max_book_crossed_ms is not None]
        self._since: dict[tuple[str, str], _Since] = {}
        books = set(kept)
        dealt = [Owned(o.venue, o.account, o.session, i, "") for o in owners.values() for i in o.instruments]
        for i, limit in enumerate(limits):
            if limit not in self.limits:
                continue
            if limit.scope.startswith("strategy:"):
                raise ConfigError(f"kill.limits[{i}].scope: {limit.scope}: books are watched behind sessions")
            if not any(covers(limit.scope, d) and (d.venue, d.instrument) in books for d in dealt):
                raise ConfigError(f"kill.limits[{i}].scope: {limit.scope}: no [book.X] keeps a book of it")
        self._books = books

    def readings(
        self, working: Iterable[Working], look: Callable[[str, str], BookLook], excused: Callable[[str], bool],
        mono_ns: int,
    ) -> list[Reading]:  # fmt: skip
        """Each figure that has a limit: the worst of its scope. `excused(session)`: by the venue's calendar."""
        behind = [w for w in working if w.orders and (w.venue, w.instrument) in self._books and not excused(w.session)]
        now = {(w.venue, w.instrument) for w in behind}
        for key in [k for k in self._since if k not in now]:
            del self._since[key]
        for key in now:
            self._note(key, look(*key), mono_ns)
        return [r for limit in self.limits for r in self._of(limit, behind, mono_ns)]

    def _note(self, key: tuple[str, str], book: BookLook, mono_ns: int) -> None:
        since = self._since.setdefault(key, _Since())
        since.why = book.reason
        crossed, stale = book.state == "CROSSED", book.state not in ("LIVE", "CROSSED")
        since.crossed_ns = (since.crossed_ns or mono_ns) if crossed else 0
        since.stale_ns = (since.stale_ns or mono_ns) if stale else 0

    def _of(self, limit: LimitConfig, behind: list[Working], mono_ns: int) -> list[Reading]:
        mine = [w for w in behind if covers(limit.scope, Owned(w.venue, w.account, w.session, w.instrument, ""))]
        out = []
        for kind, most in (("stale book", limit.max_book_stale_ms), ("crossed book", limit.max_book_crossed_ms)):
            if most is None:
                continue
            worst, detail = 0, ""
            for w in mine:
                since = self._since[w.venue, w.instrument]
                at_ns = since.stale_ns if kind == "stale book" else since.crossed_ns
                if at_ns and mono_ns - at_ns >= worst:
                    worst = mono_ns - at_ns
                    orders = sum(x.orders for x in mine if (x.venue, x.instrument) == (w.venue, w.instrument))
                    detail = f"{w.venue} {w.instrument} {since.why}, {orders} working orders".replace("  ", " ")
            rule, trips = rule_of(limit, kind), limit.action == "trip"
            value = Decimal(worst // MS)
            out.append(Reading(limit.scope, kind, "ms", value, Decimal(most), rule, trips, detail=detail))
        return out
