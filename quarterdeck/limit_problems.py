"""Wrong entries of [[kill.limits]] that can be read: names that their scope does not have, books that nobody keeps."""

from collections.abc import Iterable

from base.config import DeskConfig
from base.kill_config import LimitConfig
from ipc.book_tops import book_places
from risk.kill_plan import Owned, covers
from risk.limits import quote_of
from risk.pretrade_plan import BY_INSTRUMENT, BY_QUOTE
from venues.order_checks import trading_accounts


def limit_problems(desk: DeskConfig, limit: LimitConfig, path: str) -> list[str]:
    """Each with the key's path."""
    names = {name for _, name in _traded(desk, limit.scope)}
    quotes = {quote_of(name) for name in names}
    found = []
    for key in BY_INSTRUMENT:
        found += [
            f"{path}.{key}: {limit.scope} has no {name!r}; there are {_listed(names)}"
            for name in getattr(limit, key)
            if name not in names
        ]
    for key in BY_QUOTE:
        found += [
            f"{path}.{key}: nothing of {limit.scope} is quoted in {quote!r}; there are {_listed(quotes)}"
            for quote in getattr(limit, key)
            if quote not in quotes
        ]
    if limit.without_book == "refuse":
        found += [
            f"{path}.price_collar_pct.{name}: no [book.*] keeps a book of it at {venue}, and without_book is 'refuse': "
            "no order of it would leave"
            for venue, name in sorted(_traded(desk, limit.scope))
            if name in limit.price_collar_pct and not book_places(desk, venue, name)
        ]
    return found


def _traded(desk: DeskConfig, scope: str) -> set[tuple[str, str]]:
    """(venue, instrument) of all that trading sessions trade within the scope; a strategy may trade all of it."""
    return {
        (at.venue, name)
        for session, at in trading_accounts(desk).items()
        for name in at.instruments
        if scope.startswith("strategy:") or covers(scope, Owned(at.venue, at.account, session, name, ""))
    }


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
