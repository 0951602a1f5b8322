"""Calendars as they are written in TOML, and the rules they make. docs/schedules.md describes each key."""

from datetime import date, time
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from base.calendar import Reset, Rule, What
from base.calendar_days import HOLIDAYS, Days
from base.errors import ConfigError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WHICH = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "last": -1}
_LEAVE_S = 5
"""How long before a window the desk logs out unless told: its Logout wants an answer."""
_MOST_MARGIN_S = 3600


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    pass


class Entry(_Strict, frozen=True, kw_only=True):
    """[[entry]]: one thing that happens, by local time."""

    name: str
    what: What
    zone: str  # IANA: "UTC", "America/New_York"
    start: time
    end: time | None = None  # not after `start`: on the next day, or on `end_day`
    end_day: str = ""
    days: list[str] = []  # days of the start: "sat", "2nd thu", "last fri"; [] = every day
    on: list[date] = []  # announced days; these alone
    every_weeks: int = 1  # counted from the week of `first`
    first: date | None = None
    last: date | None = None
    not_on: list[str] = []  # holidays: "us-federal"
    leave_s: int | None = None  # the desk logs out so long before; None = 5 for closed and session, otherwise 0
    return_s: int = 0  # and comes back so long after
    reset: Reset = Reset.NONE  # sequence numbers begin anew at the "start" or "end"
    kinds: list[Literal["trading", "marketdata", "dropcopy"]] = []  # sessions that it concerns; [] = all
    site: str = ""  # data centre, where a venue has several
    certain: bool = True  # false: inferred, or documented in two ways
    source: str = ""  # which page says so
    text: str = ""  # what happens, in words


class Note(_Strict, frozen=True, kw_only=True):
    """[[note]]: what is known of times and cannot be put on a calendar."""

    text: str
    source: str


class CalendarFile(_Strict, frozen=True, kw_only=True):
    """A venue's calendar.toml."""

    title: str
    entry: list[Entry] = []
    note: list[Note] = []


class CalendarConfig(_Strict, frozen=True, kw_only=True):
    """[venue.X.calendar]: what a desk changes in its venue's calendar."""

    of: str = ""  # whose calendar; "" = the dialect's own
    site: str = ""  # entries of other sites are left out; "" = all are kept
    off: list[str] = []  # names of entries that do not count
    on_simulated: bool = False  # the venue's own entries count for simulated venues too
    entry: list[Entry] = []  # more entries; one with the name of the venue's own replaces it


def rule_of(entry: Entry, path: str) -> Rule:
    """The rule that an entry makes. ConfigError names `path`, the key and what was expected."""
    at = f"{path} {entry.name!r}"
    _check(entry, at)
    margins = entry.what in (What.CLOSED, What.SESSION)
    leave_s = entry.leave_s if entry.leave_s is not None else _LEAVE_S if margins else 0
    return Rule(
        name=entry.name,
        what=entry.what,
        zone=zone_of(entry.zone, f"{at}.zone"),
        days=_days(entry, at),
        start_s=_second(entry.start, f"{at}.start"),
        end_s=None if entry.end is None else _second(entry.end, f"{at}.end"),
        end_weekday=_weekday(entry.end_day, f"{at}.end_day") if entry.end_day else None,
        leave_s=leave_s,
        return_s=entry.return_s,
        reset=Reset.START if entry.what is What.ROLLOVER else entry.reset,
        certain=entry.certain,
        source=entry.source,
        text=entry.text,
        kinds=frozenset(entry.kinds),
        site=entry.site,
    )


def zone_of(name: str, path: str) -> ZoneInfo:
    """A time zone by its IANA name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f"{path}: no time zone {name!r}; expected an IANA name such as 'UTC' or 'America/New_York', "
            "known to the system's zoneinfo or to the tzdata package"
        ) from None


def _check(entry: Entry, at: str) -> None:
    ends = entry.end is not None
    endless = entry.what is What.CLOSED and bool(entry.on)
    instant = entry.what is What.ROLLOVER
    wrong = {
        "name": (not entry.name, "a name"),
        "end": (instant and ends, "none: a rollover is a moment"),
        "end ": (not (ends or instant or endless or entry.what is What.EVENT), "a local time"),
        "end_day": (bool(entry.end_day) and not ends, "`end` with it"),
        "reset": (entry.reset is Reset.END and not ends, "'start': there is no end"),
        "every_weeks": (entry.every_weeks < 1 or (entry.every_weeks > 1 and entry.first is None), "`first` with it"),
        "last": (bool(entry.first and entry.last and entry.last < entry.first), "not before `first`"),
        "leave_s": (not 0 <= (entry.leave_s or 0) <= _MOST_MARGIN_S, f"0 to {_MOST_MARGIN_S}"),
        "return_s": (not 0 <= entry.return_s <= _MOST_MARGIN_S, f"0 to {_MOST_MARGIN_S}"),
    }
    for key, (is_wrong, expected) in wrong.items():
        if is_wrong:
            value = getattr(entry, key.strip())
            raise ConfigError(f"{at}: {key.strip()} = {value!r}; expected {expected}")
    for name in entry.not_on:
        if name not in HOLIDAYS:
            raise ConfigError(f"{at}.not_on: no holidays {name!r}; there are {sorted(HOLIDAYS)}")


def _days(entry: Entry, at: str) -> Days:
    weekdays, nth = set(), set()
    for text in entry.days:
        which, _, day = text.rpartition(" ")
        if which and which not in _WHICH:
            raise ConfigError(f"{at}.days: {text!r}; expected a weekday such as 'sat', '2nd thu' or 'last fri'")
        weekday = _weekday(day, f"{at}.days")
        if which:
            nth.add((_WHICH[which], weekday))
        else:
            weekdays.add(weekday)
    return Days(
        weekdays=frozenset(weekdays), nth=frozenset(nth), dates=tuple(sorted(set(entry.on))),
        every_weeks=entry.every_weeks, first=entry.first, last=entry.last, not_on=tuple(entry.not_on),
    )  # fmt: skip


def _weekday(text: str, path: str) -> int:
    if text not in DAYS:
        raise ConfigError(f"{path}: {text!r} is not a weekday; expected one of {list(DAYS)}")
    return DAYS.index(text)


def _second(at: time, path: str) -> int:
    if at.tzinfo is not None or at.microsecond:
        raise ConfigError(f"{path}: {at} is not a local time of whole seconds, HH:MM:SS")
    return at.hour * 3600 + at.minute * 60 + at.second
