"""What a calendar says, in words: coming events of venues, in local time and UTC, and what the desk does."""

from collections.abc import Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from base.calendar import FAR_NS, SECOND_NS, Calendar, Closed, Occurrence, Reset, Rule, What
from base.calendar_config import Note
from base.config import DeskConfig
from venues.calendar import configured_rules, names, venue_times

_UTC = ZoneInfo("UTC")


class Event(msgspec.Struct, kw_only=True):
    """One row: times as local text with zone, as UTC text (ISO 8601), and in ns."""

    venue: str
    name: str
    what: str
    local: str
    start: str
    end: str
    start_ns: int
    end_ns: int
    happens: str
    desk: str
    kinds: list[str]
    site: str
    certain: bool
    source: str


class VenueSchedule(msgspec.Struct, kw_only=True):
    """One venue from now on. `applies` is false for a simulated venue that does not keep its venue's calendar."""

    venue: str
    title: str
    applies: bool
    status: str
    next_change: str
    events: list[Event]
    notes: list[Note]


def schedules(desk: DeskConfig | None, wanted: str, now_ns: int, until_ns: int) -> list[VenueSchedule]:
    """Of one venue; of those that a desk names; of all when there is neither. ConfigError for one that is not there."""
    if desk is not None and wanted in desk.config.venue:
        return [_of_desk(desk, wanted, now_ns, until_ns)]
    if wanted:
        return [_of_file(wanted, now_ns, until_ns)]
    if desk is not None:
        return [_of_desk(desk, name, now_ns, until_ns) for name in desk.config.venue]
    return [_of_file(name, now_ns, until_ns) for name in names()]


def _of_file(name: str, now_ns: int, until_ns: int) -> VenueSchedule:
    times = venue_times(name)
    return _schedule(times.name, times.title, True, times.rules, times.notes, now_ns, until_ns)


def _of_desk(desk: DeskConfig, name: str, now_ns: int, until_ns: int) -> VenueSchedule:
    venue, path = desk.config.venue[name], f"{desk.path}: venue.{name}"
    own = venue_times(venue.calendar.of or venue.dialect, f"{path}.calendar.of")
    addresses = [s.address for s in desk.config.session.values() if s.venue == name]
    simulated = bool(addresses) and all(a.startswith("run:") for a in addresses)
    applies = not simulated or venue.calendar.on_simulated
    rules = configured_rules(venue, simulated, path)
    if not applies and not rules:
        rules = configured_rules(venue, False, path)
        return _schedule(name, own.title, False, rules, own.notes, now_ns, until_ns)
    return _schedule(name, own.title, True, rules, own.notes, now_ns, until_ns)


def _schedule(
    name: str, title: str, applies: bool, rules: Iterable[Rule], notes: list[Note], now_ns: int, until_ns: int
) -> VenueSchedule:
    calendar = Calendar(list(rules))
    status, change_ns = calendar.status(now_ns), calendar.next_change(now_ns)
    if not applies:
        said, change_ns = "open (simulated: the venue's calendar is not kept)", None
    elif isinstance(status, Closed):
        until = "for good" if status.until_ns >= FAR_NS else f"until {utc_text(status.until_ns)}"
        said = f"closed {until}: {status.why}"
    else:
        said = f"open; a disconnect is expected: {status.expected}" if status.expected else "open"
    return VenueSchedule(
        venue=name, title=title, applies=applies, status=said,
        next_change=utc_text(change_ns) if change_ns is not None else "",
        events=[_event(name, o, applies) for o in calendar.occurrences(now_ns, until_ns)], notes=notes,
    )  # fmt: skip


def _event(venue: str, occurrence: Occurrence, applies: bool) -> Event:
    start_ns, end_ns, rule = occurrence
    return Event(
        venue=venue, name=rule.name, what=rule.what.value, local=span_text(start_ns, end_ns, rule.zone),
        start=utc_text(start_ns), end="" if end_ns >= FAR_NS else utc_text(end_ns), start_ns=start_ns, end_ns=end_ns,
        happens=_happens(rule), desk=desk_does(rule) if applies else "nothing: simulated", kinds=sorted(rule.kinds),
        site=rule.site, certain=rule.certain, source=rule.source,
    )  # fmt: skip


def _happens(rule: Rule) -> str:
    kinds = f" ({', '.join(sorted(rule.kinds))} only)" if rule.kinds else ""
    return f"{rule.text or rule.name.replace('-', ' ')}{kinds}"


def desk_does(rule: Rule) -> str:
    """What the desk makes of a rule."""
    match rule.what:
        case What.CLOSED:
            leaves = f"logs out {rule.leave_s} s before" if rule.leave_s else "logs out"
            after = f" {rule.return_s} s" if rule.return_s else ""
            comes = f", comes back{after} after" if rule.end_s is not None else ", stays away"
            return f"{leaves}{comes}{_renumbers(rule)}"
        case What.SESSION:
            return f"logs on, logs out {rule.leave_s} s before the end{_renumbers(rule)}"
        case What.EXPECTED:
            return "stays; a disconnect is no surprise"
        case What.ROLLOVER:
            return "logs out and in again with 141=Y"
    return "nothing"


def _renumbers(rule: Rule) -> str:
    return ", with 141=Y" if rule.reset is not Reset.NONE else ""


def utc_text(at_ns: int) -> str:
    """ISO 8601, UTC, whole seconds."""
    return datetime.fromtimestamp(at_ns // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span_text(start_ns: int, end_ns: int, zone: ZoneInfo = _UTC) -> str:
    """'Sun 11-22 17:00 - 17:05 EST'; the end's day and seconds only where they say something."""
    start = datetime.fromtimestamp(start_ns // SECOND_NS, zone)
    text = f"{start:%a %m-%d} {_clock(start)}"
    if end_ns == start_ns:
        return f"{text} {start:%Z}"
    if end_ns >= FAR_NS:
        return f"{text} {start:%Z} on"
    end = datetime.fromtimestamp(end_ns // SECOND_NS, zone)
    day = "" if end.date() == start.date() else f"{end:%a %m-%d} "
    change = f" {start:%Z}" if start.tzname() != end.tzname() else ""
    return f"{text}{change} - {day}{_clock(end)} {end:%Z}"


def _clock(at: datetime) -> str:
    return at.strftime("%H:%M:%S" if at.second else "%H:%M")
