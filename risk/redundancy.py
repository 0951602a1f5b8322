"""Groups of sessions that stand in for each other: when one is away that is an alarm, and never a trip. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

START_NS = 30_000_000_000  # for sessions that were never up, after the first look


class Said(msgspec.Struct, frozen=True):
    """What people have to know of a group: "warning" while one is left, "critical" with none, "info": all are up."""

    severity: str
    group: str
    text: str


class Redundancy:
    """Feed it who is away, every 100 ms or so."""

    def __init__(self, groups: Mapping[str, Sequence[str]], grace_ns: int) -> None:
        """`grace_ns`: so long a session may be away before that is said."""
        self._groups, self._grace_ns = groups, grace_ns
        self._since: dict[str, int] = {}  # by session that is away: monotonic time
        self._was_up: set[str] = set()
        self._begun_ns: int | None = None
        self._said: dict[str, tuple[str, ...]] = {}  # by group: those that were said to be away

    def look(self, away: Mapping[str, str], mono_ns: int) -> list[Said]:
        """`away`: by session why it is not up; of those it leaves out it is up, or excused. What is new to say."""
        self._begun_ns = mono_ns if self._begun_ns is None else self._begun_ns
        return [s for name, group in self._groups.items() if (s := self._look(name, group, away, mono_ns)) is not None]

    def _look(self, name: str, group: Sequence[str], away: Mapping[str, str], mono_ns: int) -> Said | None:
        missing = tuple(s for s in group if self._is_missing(s, away, mono_ns))
        if missing == self._said.get(name, ()):
            return None
        self._said[name] = missing
        if not missing:
            return Said("info", name, f"{name}: all {len(group)} sessions are up again")
        left = [s for s in group if s not in missing]
        why = "; ".join(f"{s}: {away[s]}" for s in missing)
        up = (
            f"only {', '.join(left)} is left"
            if len(left) == 1
            else f"{', '.join(left)} are left"
            if left
            else "none is left"
        )
        return Said("warning" if left else "critical", name, f"{name}: of {len(group)} sessions {up}; {why}")

    def _is_missing(self, session: str, away: Mapping[str, str], mono_ns: int) -> bool:
        if session not in away:
            self._since.pop(session, None)
            self._was_up.add(session)
            return False
        since_ns = self._since.setdefault(session, mono_ns)
        started = session in self._was_up or mono_ns - (self._begun_ns or 0) >= START_NS
        return started and mono_ns - since_ns >= self._grace_ns
