"""What is wrong with a desk's [[kill.limits]] and [kill.health] beyond their values: what would guard nothing."""

from collections.abc import Iterable

from base.config import DeskConfig, Kind
from base.errors import QuarterdeckError
from base.kill_config import LimitConfig
from base.trigger_check import MONEY
from ipc.book_eyes import BookEyes
from ipc.gate import account_scope
from risk.kill_plan import Owned, Owner, covers
from risk.limits import quote_of
from risk.pretrade_plan import BY_INSTRUMENT, BY_QUOTE
from risk.triggers.books import BookWatch
from risk.triggers.days import Days
from risk.triggers.drop_copy import DropCopyBook
from risk.triggers.losses import LossBook
from risk.triggers.rules import day_zone

HEALTH = ("memory", "cpu", "stuck", "disk", "host_memory", "clock", "journal", "full")


def trigger_problems(desk: DeskConfig) -> list[str]:
    """Each begins with the key's path; empty when all is well."""
    known, owners, found = scopes_of(desk), _owners(desk), []
    for i, limit in enumerate(desk.config.kill.limits):
        path = f"kill.limits[{i}]"
        try:
            _measured(desk, limit, owners)
        except QuarterdeckError as e:
            text = str(e)
            found.append(text.replace("kill.limits[0]", path) if "kill.limits" in text else f"{path}.scope: {text}")
            continue
        if limit.scope not in known and not limit.scope.startswith("strategy:"):
            found.append(f"{path}.scope: nothing is {limit.scope!r}; there are {', '.join(sorted(known))}")
        found += _names(desk, limit, path) + _currencies(desk, limit, path) + _copies(desk, limit, path, owners)
        found += _contracts(desk, limit, path)
    for name in HEALTH:
        scope = getattr(desk.config.kill.health, name).scope
        if scope and scope not in known:
            found.append(f"kill.health.{name}.scope: nothing is {scope!r}; there are {', '.join(sorted(known))}")
    return found


def drop_copy_accounts(desk: DeskConfig) -> dict[str, str]:
    """Account by venue that has a drop-copy session."""
    venues = (desk.config.session[s].venue for s in desk.sessions(Kind.DROPCOPY))
    return {v: desk.config.venue[v].account for v in venues}


def _measured(desk: DeskConfig, limit: LimitConfig, owners: dict[str, Owner]) -> None:
    """ConfigError where a figure cannot be measured in the scope."""
    LossBook([limit])
    BookWatch([limit], owners, BookEyes(desk))
    DropCopyBook([limit], drop_copy_accounts(desk), Days(day_zone(desk.config)))


def _names(desk: DeskConfig, limit: LimitConfig, path: str) -> list[str]:
    """Instruments and currencies that the scope does not have: of a slip of the pen nothing would be counted."""
    names = {name for _, name in traded(desk, limit.scope)}
    quotes = {quote_of(name) for name in names}
    unknown = [
        f"{path}.{key}: {limit.scope} has no {name!r}; there are {_listed(names)}"
        for key in BY_INSTRUMENT
        for name in getattr(limit, key)
        if name not in names
    ]
    return unknown + [
        f"{path}.{key}: nothing of {limit.scope} is quoted in {quote!r}; there are {_listed(quotes)}"
        for key in BY_QUOTE
        for quote in getattr(limit, key)
        if quote not in quotes
    ]


def _contracts(desk: DeskConfig, limit: LimitConfig, path: str) -> list[str]:
    """Figures of money and position that nobody can tell for want of a contract's value. It is never taken for 1."""
    untold = [desk.instruments[at] for at in traded(desk, limit.scope) if desk.instruments[at].contract is None]
    found = []
    for i in sorted(untold, key=lambda i: (i.venue, i.name)):
        keys = [k for k in ("max_position",) if i.name in getattr(limit, k)]
        keys += [k for k in ("max_notional", "max_order_notional", *MONEY) if quote_of(i.name) in getattr(limit, k)]
        found += [f"{path}.{key}: venue.{i.venue} has no contract_value for {i.name}" for key in keys]
    return found


def traded(desk: DeskConfig, scope: str) -> set[tuple[str, str]]:
    """(venue, instrument) of all that trading sessions trade within the scope; a strategy may trade all of it."""
    return {
        (at.venue, name)
        for at in _owners(desk).values()
        for name in at.instruments
        if scope.startswith("strategy:") or covers(scope, Owned(at.venue, at.account, at.session, name, ""))
    }


def _copies(desk: DeskConfig, limit: LimitConfig, path: str, owners: dict[str, Owner]) -> list[str]:
    """A drop copy of another venue shows none of the scope's fills."""
    keys = [k for k in ("max_drop_copy_lag_s", "max_drop_copy_mismatches_per_day") if getattr(limit, k) is not None]
    venues = drop_copy_accounts(desk)
    dealt = (Owned(o.venue, o.account, o.session, i, "") for o in owners.values() for i in o.instruments)
    if limit.scope.startswith("strategy:") or any(covers(limit.scope, d) for d in dealt if d.venue in venues):
        return []
    return [f"{path}.{key}: {limit.scope}: no drop-copy session covers it" for key in keys]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _currencies(desk: DeskConfig, limit: LimitConfig, path: str) -> list[str]:
    quotes = {quote_of(name) for _, name in desk.instruments}
    return [
        f"{path}.{key}: no instrument is quoted in {quote!r}; there are {', '.join(sorted(quotes))}"
        for key in MONEY
        for quote in getattr(limit, key)
        if quote not in quotes
    ]


def _owners(desk: DeskConfig) -> dict[str, Owner]:
    found = {}
    for name in desk.sessions(Kind.TRADING):
        venue = desk.config.session[name].venue
        instruments = tuple(i.name for i in desk.session_instruments(name))
        found[name] = Owner(name, venue, desk.config.venue[venue].account, instruments)
    return found


def scopes_of(desk: DeskConfig) -> set[str]:
    """Every scope that orders of the desk can lie in, strategies left out."""
    found = {"desk"} | {f"instrument:{name}" for _, name in desk.instruments}
    for owner in _owners(desk).values():
        found |= {f"session:{owner.session}", f"venue:{owner.venue}", account_scope(owner.venue, owner.account)}
    return found
