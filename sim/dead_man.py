"""Cancel-all-after timers of a simulated venue: each cancels every order of its account unless set anew in time."""

from collections.abc import Callable

from sim.gateway import SECOND_NS, Venue
from sim.orders import Order


class DeadManTimers:
    """One timer for each account, or for each market of it."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._set: dict[tuple[str, str], int] = {}  # (account, market) -> how often it was set

    def arm(
        self, account: str, seconds: int, market: str = "", covers: Callable[[Order], bool] = lambda _: True
    ) -> None:
        """Start the timer anew; 0 seconds disables it."""
        key = account, market
        turn = self._set[key] = self._set.get(key, 0) + 1

        def fire() -> None:
            if self._set[key] != turn:
                return
            counters = self._venue.counters
            counters["dead_man_fired"] = counters.get("dead_man_fired", 0) + 1
            for order in self._venue.exchange.working(account=account):
                if covers(order):
                    self._venue.exchange.cancel(order, reason="dead man's switch")

        if seconds:
            self._venue.after(seconds * SECOND_NS, fire)
