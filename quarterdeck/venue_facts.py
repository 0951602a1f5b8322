"""What each dialect says of its venue, asked of the dialects themselves: the figures behind `qd venues`."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from base.calendar import Reset, Rule
from base.calendar_config import DAYS, Note
from base.calendar_days import Days
from base.config import DeskConfig, Kind, RestConfig, VenueConfig
from base.errors import CommandError
from fix.dictionary import Dictionary
from venues import calendar, registry
from venues.cancel_plan import CancelPlan, CancelStep, DeadMan
from venues.dictionaries import venue_dictionary
from venues.facts import DESK_TYPES
from venues.interface import Capabilities, Dialect
from venues.limits import RateLimits

_NO_NAMES: Mapping[str, str] = MappingProxyType({})
_ORD_TYPE, _TIME_IN_FORCE = 40, 59
_NTH = {1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 5: "5th", -1: "last"}


class SessionFacts(msgspec.Struct, kw_only=True):
    """One kind of session. `numbers`: a value of fix.settings.SequencePolicy, "" where there are none."""

    kind: str
    protocol: str
    levels: list[int]
    numbers: str
    resend: bool
    fills_only: bool = False


class CalendarFacts(msgspec.Struct, kw_only=True):
    """One entry of the venue's calendar."""

    name: str
    what: str
    when: str
    text: str
    renumbers: bool
    kinds: list[str]
    certain: bool
    source: str


class Supported(msgspec.Struct, kw_only=True):
    """One venue in one configuration, REST included. Codes of order types and times in force with their names."""

    venue: str
    variant: str
    options: dict[str, Any]
    title: str
    documented: str
    simulated: bool
    sessions: list[SessionFacts]
    ord_types: dict[str, str]
    times_in_force: dict[str, str]
    replace: str
    order_batch: int
    cancel_batch: int
    mass_cancels: list[CancelStep]
    mass_cancel_by_instrument: bool
    mass_cancel_report: bool
    disconnect: str
    on_disconnect: CancelStep | None
    dead_man: DeadMan | None
    status_session: bool
    status_rest: bool
    mass_status: bool
    open_orders: str
    book_check: str
    reference_data: bool
    trading_status: bool
    account_wide_reports: bool
    planned_moves: bool
    rest: list[str]
    limits: RateLimits
    calendar: list[CalendarFacts]
    notes: list[Note]


def all_facts(wanted: str = "") -> list[Supported]:
    """Every variant of every dialect, or of one; CommandError when there is no such dialect."""
    names = registry.names()
    if wanted and wanted.replace("-", "_") not in names:
        raise CommandError(f"no dialect {wanted!r}; there are {', '.join(names)}")
    chosen = [wanted.replace("-", "_")] if wanted else names
    return [f for name in chosen for f in facts_of(name, registry.dialect(name))]


def without_dialect() -> list[str]:
    """Venues that have a calendar and no dialect of their own."""
    return sorted(set(calendar.names()) - {name.replace("_", "-") for name in registry.names()})


def facts_of(name: str, dialect: Dialect) -> Iterator[Supported]:
    """Each variant that the dialect names."""
    for variant, options in dialect.variants().items():
        rest = RestConfig(address="https://venue.example")
        venue = VenueConfig(dialect=name, instruments=[], options=options, rest=rest)
        yield _facts(name, variant, venue, dialect)


def facts_of_desk(desk: DeskConfig, wanted: str = "") -> list[Supported]:
    """Each venue of a desk, or one of them, as it is configured there. CommandError, ConfigError."""
    venues = desk.config.venue
    if wanted and wanted not in venues:
        raise CommandError(f"no venue {wanted!r} in {desk.path}; there are {', '.join(venues)}")
    found = []
    for name in [wanted] if wanted else venues:
        venue, path = venues[name], f"{desk.path}: venue.{name}"
        dialect = registry.dialect(venue.dialect, f"{path}.dialect")
        shown = _facts(venue.dialect, "" if name == venue.dialect else name, venue, dialect)
        shown.calendar = [_entry(rule) for rule in calendar.configured_rules(venue, False, path)]
        found.append(shown)
    return found


def _facts(name: str, variant: str, venue: VenueConfig, dialect: Dialect) -> Supported:
    claims, plan = dialect.capabilities(venue), dialect.cancel_plan(venue)
    whose = venue.calendar.of or name
    known = whose.replace("_", "-") in calendar.names()
    times = calendar.venue_times(whose) if known else calendar.VenueTimes(name, name, [], [])
    words = _words(venue.dictionary or name, claims)
    return Supported(
        venue=name, variant=variant, options=dict(venue.options), title=times.title, documented=claims.documented,
        simulated=registry.simulated(name), sessions=list(_sessions(claims)),
        ord_types=_named(words, _ORD_TYPE, claims.new_types, DESK_TYPES),
        times_in_force=_named(words, _TIME_IN_FORCE, claims.times_in_force),
        replace=claims.replace.value, order_batch=claims.order_batch, cancel_batch=claims.cancel_batch,
        mass_cancels=_mass_cancels(plan),
        mass_cancel_by_instrument=claims.mass_cancel and claims.mass_cancel_by_instrument,
        mass_cancel_report=claims.mass_cancel_report, disconnect=claims.disconnect.value,
        on_disconnect=next((s for s in plan.steps if s.action == "owner_disconnect"), None), dead_man=plan.dead_man,
        status_session=claims.session_status, status_rest="order" in claims.rest, mass_status=claims.mass_status,
        open_orders=claims.open_orders.value,
        book_check="checksum" if claims.checksum else "update ids" if claims.update_ids else "none",
        reference_data=claims.reference_data, trading_status=claims.trading_status,
        account_wide_reports=claims.account_wide_reports, planned_moves=claims.planned_moves,
        rest=sorted(claims.rest), limits=claims.limits,
        calendar=[_entry(rule) for rule in times.rules], notes=times.notes,
    )  # fmt: skip


def _sessions(claims: Capabilities) -> Iterator[SessionFacts]:
    for kind in Kind:
        if kind in claims.kinds:
            wire = claims.wires[kind]
            yield SessionFacts(
                kind=kind.value, protocol=wire.protocol, resend=wire.resend,
                levels=sorted(claims.levels) if kind is Kind.MARKETDATA else [],
                numbers=wire.numbers.value if wire.numbers is not None else "",
                fills_only=kind is Kind.DROPCOPY and claims.drop_copy_fills_only,
            )  # fmt: skip


def _mass_cancels(plan: CancelPlan) -> list[CancelStep]:
    return [s for s in plan.steps if s.action in ("own_mass_cancel", "owner_mass_cancel")]


def _words(name: str, claims: Capabilities) -> Dictionary:
    """What the venue's own dictionary calls things; the standard's where it speaks no FIX."""
    wire = claims.wires.get(Kind.TRADING)
    begin = wire.begin_string if wire is not None else ""
    return venue_dictionary(name, begin or "FIX.4.4")


def _named(words: Dictionary, tag: int, codes: Iterable[str], more: Mapping[str, str] = _NO_NAMES) -> dict[str, str]:
    """`more`: names where the dictionary has none."""
    return {c: words.value_name(tag, c).lower().replace("_", " ") or more.get(c, "") for c in sorted(codes)}


def _entry(rule: Rule) -> CalendarFacts:
    return CalendarFacts(
        name=rule.name, what=rule.what.value, when=when_text(rule), text=rule.text,
        renumbers=rule.reset is not Reset.NONE, kinds=sorted(rule.kinds), certain=rule.certain, source=rule.source,
    )  # fmt: skip


def when_text(rule: Rule) -> str:
    """A rule's times in words: "sat 13:00 America/New_York", "daily 22:00 to 22:00:30 UTC"."""
    end = ""
    if rule.end_s is not None:
        day = f"{DAYS[rule.end_weekday]} " if rule.end_weekday is not None else ""
        end = f" to {day}{_clock(rule.end_s)}"
    site = f" at {rule.site}" if rule.site else ""
    return f"{days_text(rule.days)} {_clock(rule.start_s)}{end} {rule.zone.key}{site}"


def days_text(days: Days) -> str:
    """Days in words: "daily", "mon, thu not on us-federal", "2nd thu", "every 2 weeks sat"."""
    if days.dates:
        said = ", ".join(d.isoformat() for d in days.dates)
    else:
        named = [DAYS[d] for d in sorted(days.weekdays)] + [f"{_NTH[n]} {DAYS[d]}" for n, d in sorted(days.nth)]
        said = ", ".join(named) or "daily"
    often = f"every {days.every_weeks} weeks " if days.every_weeks > 1 else ""
    bounds = "".join((f" from {days.first}" if days.first else "", f" until {days.last}" if days.last else ""))
    but = f" not on {', '.join(days.not_on)}" if days.not_on else ""
    return f"{often}{said}{bounds}{but}"


def _clock(second: int) -> str:
    minutes, seconds = divmod(second, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}" + (f":{seconds:02d}" if seconds else "")
