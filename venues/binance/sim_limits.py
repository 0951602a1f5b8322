"""Limits of the simulated Binance: connections, messages per session, unfilled orders per account (9.1)."""

from collections import deque

from base.clock import Clock
from sim.gateway import SECOND_NS, Link, Seat
from sim.setup import Setup
from sim.wire import Field
from venues.binance.sim_fields import EngineError, RefusedError

CONNECTIONS = {"trading": 10, "dropcopy": 10, "marketdata": 100}
STREAMS = 1000
LIMIT_OPTIONS = frozenset({"unfilled_10s", "unfilled_day", "oe_messages_10s", "attempts_30s", "weight_1m"})


class Limits:
    """Counts, and refuses what is over."""

    def __init__(self, setup: Setup, clock: Clock) -> None:
        self._clock = clock
        self._unfilled_max = setup.number("unfilled_10s", 1000)
        self._day_max = setup.number("unfilled_day", 200_000)
        self._attempts_max = setup.number("attempts_30s", 0)
        self._weight_max = setup.number("weight_1m", 6_000)
        self._day: dict[str, tuple[int, int]] = {}
        self._attempts: deque[int] = deque()
        self._weight: tuple[int, int] = (0, 0)
        self.refused = 0
        self._messages = {
            "trading": (setup.number("oe_messages_10s", 10_000), 10),
            "dropcopy": (60, 60),
            "marketdata": (2_000, 60),
        }
        self._unfilled: dict[str, deque[int]] = {}

    def connections(self, kind: str, active: int) -> None:
        """One more connection of a kind on an account."""
        if active >= CONNECTIONS[kind]:
            raise RefusedError(-1034, f"Too many concurrent connections; the limit is {CONNECTIONS[kind]}.")
        self._forget(self._attempts, 30)
        self._attempts.append(self._clock.mono_ns())
        if self._attempts_max and len(self._attempts) > self._attempts_max:
            self.refused += 1
            raise RefusedError(-1034, f"Too many connection attempts; the limit is {self._attempts_max} per 30 s.")

    def weight(self, weight: int) -> int:
        """A REST request of that weight; seconds until the minute ends when it is too many, else 0."""
        minute, second = divmod(self._clock.wall_ns() // SECOND_NS, 60)
        used = self._weight[1] if self._weight[0] == minute else 0
        self._weight = minute, used + weight
        if used + weight <= self._weight_max:
            return 0
        self.refused += 1
        return 60 - second

    def message(self, link: Link, kind: str) -> None:
        """One more message of a session. RefusedError means Logout and disconnect."""
        most, seconds = self._messages[kind]
        times: deque[int] = link.state.setdefault("messages", deque())
        self._forget(times, seconds)
        times.append(self._clock.mono_ns())
        if len(times) > most:
            raise RefusedError(-1181, f"Too many messages; the limit is {most} per {seconds} seconds.")

    def order(self, account: str) -> None:
        """One more order that is not filled yet."""
        times = self._unfilled.setdefault(account, deque())
        self._forget(times, 10)
        today = self._clock.wall_ns() // (86_400 * SECOND_NS)
        day, count = self._day.get(account, (today, 0))
        count = count if day == today else 0
        if count >= self._day_max or len(times) >= self._unfilled_max:
            self.refused += 1
            limit = f"{self._day_max} per 1 day" if count >= self._day_max else f"{self._unfilled_max} per 10 seconds"
            raise EngineError(-1015, f"Too many new orders; the limit is {limit}.")
        self._day[account] = today, count + 1
        times.append(self._clock.mono_ns())

    def filled(self, account: str) -> None:
        """An order had its first fill: one less."""
        times = self._unfilled.get(account)
        if times:
            times.popleft()
        day, count = self._day.get(account, (0, 0))
        self._day[account] = day, max(count - 1, 0)

    def _forget(self, times: deque[int], seconds: int) -> None:
        oldest = self._clock.mono_ns() - seconds * SECOND_NS
        while times and times[0] < oldest:
            times.popleft()

    def response(self, link: Link, seat: Seat, req_id: str) -> list[Field]:
        """Body of XLR."""
        most, seconds = self._messages[seat.grant.kind]
        used = len(link.state.get("messages", ()))
        rows: list[tuple[str, int, int, int, str]] = [("2", used, most, seconds, "s")]
        if seat.grant.kind == "marketdata":
            rows.append(("3", len(link.subscriptions), STREAMS, 0, ""))
        else:
            times = self._unfilled.setdefault(seat.grant.account, deque())
            self._forget(times, 10)
            rows.append(("1", len(times), self._unfilled_max, 10, "s"))
            rows.append(("1", self._day.get(seat.grant.account, (0, 0))[1], self._day_max, 1, "d"))
        fields: list[Field] = [(6136, req_id), (25003, str(len(rows)))]
        for kind, count, limit, interval, unit in rows:
            fields += [(25004, kind), (25005, str(count)), (25006, str(limit))]
            if interval:
                fields += [(25007, str(interval)), (25008, unit)]
        return fields
