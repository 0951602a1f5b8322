"""Each venue's calendar: `calendar.toml` in its folder, as a desk's configuration changes it.

A venue without a dialect may have a calendar all the same: its folder then holds that file alone.
"""

import tomllib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

from base.calendar import Calendar, Closed, Occurrence, Open, Resets, Rule, What
from base.calendar_config import CalendarFile, Note, rule_of
from base.config import SessionConfig, VenueConfig
from base.errors import ConfigError
from ipc.readiness import VENUE_CLOSED

__all__ = ["Closed", "Open", "VenueCalendar", "VenueTimes", "names", "session_calendar", "venue_times"]

FILE = "calendar.toml"


class VenueTimes(msgspec.Struct, frozen=True):
    """All that is known of one venue's times."""

    name: str
    title: str
    rules: list[Rule]
    notes: list[Note]


class VenueCalendar:
    """When one session may be connected. Times are UTC ns."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._calendar = Calendar(list(rules))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What it is made of."""
        return self._calendar.rules

    def status(self, wall_ns: int) -> Open | Closed:
        """Whether the venue takes this session at a time."""
        return self._calendar.status(wall_ns)

    def next_change(self, wall_ns: int) -> int | None:
        """The first moment after `wall_ns` at which `status` turns; None when it does not within 400 days."""
        return self._calendar.next_change(wall_ns)

    def away(self, wall_ns: int, ahead_ns: int = 0) -> str:
        """Why the venue takes no session at a time or within `ahead_ns` after it; "" when it does."""
        now, soon = self.status(wall_ns), self.status(wall_ns + ahead_ns)
        if isinstance(now, Closed):
            return f"closed: {now.why}"
        return f"about to close: {soon.why}" if isinstance(soon, Closed) else ""

    def excuses(self, reason: str, wall_ns: int, return_ns: int) -> str:
        """Why a session that is lost now is no surprise, "" when it is one.

        `reason`: what its process says of itself. `return_ns`: for so long after a window the venue may be coming back.
        """
        if VENUE_CLOSED in reason:
            return reason
        status = self.status(wall_ns)
        if isinstance(status, Closed):
            return f"closed: {status.why}"
        return status.expected or self._returning(wall_ns, return_ns)

    def _returning(self, wall_ns: int, return_ns: int) -> str:
        for found in self.occurrences(wall_ns - return_ns, wall_ns + 1):
            rule = found.rule
            if rule.what in (What.CLOSED, What.EXPECTED):
                back_ns = found.end_ns
            elif rule.what is What.SESSION:
                back_ns = found.start_ns
            else:
                continue
            back_ns += rule.return_s * 1_000_000_000
            if wall_ns - return_ns < back_ns <= wall_ns:
                return f"{rule.name} is just over"
        return ""

    def resets(self) -> Resets | None:
        """Rollovers of its numbers; None when there are none."""
        return self._calendar.resets()

    def occurrences(self, from_ns: int, until_ns: int) -> list[Occurrence]:
        """What lies or reaches into a span of time, by start."""
        return self._calendar.occurrences(from_ns, until_ns)


def names() -> list[str]:
    """Every venue that has a calendar, sorted."""
    return sorted(folder.name.replace("_", "-") for folder in _folders())


def venue_times(name: str, path: str = "venue") -> VenueTimes:
    """A venue's own calendar. ConfigError naming `path` when there is none, or the entry that is wrong."""
    wanted = name.replace("-", "_")
    folder = next((f for f in _folders() if f.name == wanted), None)
    if folder is None:
        raise ConfigError(f"{path}: no calendar of {name!r}; there are {names()}")
    at = f"venues/{wanted}/{FILE}"
    try:
        file = msgspec.convert(tomllib.loads((folder / FILE).read_text()), CalendarFile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as e:
        raise ConfigError(f"{at}: {e}") from None
    rules = [rule_of(entry, f"{at}: entry") for entry in file.entry]
    _each_once([r.name for r in rules], at)
    return VenueTimes(name.replace("_", "-"), file.title, rules, file.note)


def configured_rules(venue: VenueConfig, simulated: bool, path: str = "venue") -> list[Rule]:
    """The venue's own rules and those of the desk, as [venue.X.calendar] says. `simulated`: see `on_simulated`."""
    config = venue.calendar
    own = venue_times(config.of or venue.dialect, f"{path}.calendar.of").rules
    known = {r.name for r in own}
    for name in config.off:
        if name not in known:
            raise ConfigError(f"{path}.calendar.off: no entry {name!r}; there are {sorted(known)}")
    sites = {r.site for r in own} - {""}
    if config.site and config.site not in sites:
        raise ConfigError(f"{path}.calendar.site: no site {config.site!r}; there are {sorted(sites)}")
    added = [rule_of(entry, f"{path}.calendar.entry") for entry in config.entry]
    _each_once([r.name for r in added], f"{path}.calendar")
    if simulated and not config.on_simulated:
        return added
    left_out = {*config.off, *(r.name for r in added)}
    here = (r for r in own if not config.site or r.site in ("", config.site))
    return [r for r in here if r.name not in left_out] + added


def session_calendar(
    venue: VenueConfig, session: SessionConfig, more: Iterable[Rule] = (), path: str = "venue"
) -> VenueCalendar:
    """The calendar that one configured session keeps; `more` rules are the dialect's."""
    rules = [*configured_rules(venue, session.address.startswith("run:"), path), *more]
    return VenueCalendar(r for r in rules if not r.kinds or session.kind in r.kinds)


def _folders() -> Iterator[Traversable]:
    for folder in files("venues").iterdir():
        if folder.is_dir() and (folder / FILE).is_file():
            yield folder


def _each_once(entries: list[str], at: str) -> None:
    for name in entries:
        if entries.count(name) > 1:
            raise ConfigError(f"{at}: two entries are named {name!r}; expected each once")
