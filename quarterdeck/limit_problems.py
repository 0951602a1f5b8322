"""Entries of [[kill.limits]] that would refuse every order: a collar where nobody keeps a book."""

from base.config import DeskConfig
from base.kill_config import LimitConfig
from ipc.book_tops import book_places
from venues.kill_limits import traded


def limit_problems(desk: DeskConfig, limit: LimitConfig, path: str) -> list[str]:
    """Each with the key's path."""
    if limit.without_book != "refuse":
        return []
    return [
        f"{path}.price_collar_pct.{name}: no [book.*] keeps a book of it at {venue}, and without_book is 'refuse': "
        "no order of it would leave"
        for venue, name in sorted(traded(desk, limit.scope))
        if name in limit.price_collar_pct and not book_places(desk, venue, name)
    ]
