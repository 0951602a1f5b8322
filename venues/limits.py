"""A venue's rate limits as data: what is counted, over what, for whom, and what passing it leads to.

A dialect declares them in its `Capabilities`; `venues.rate` keeps them, the docs print them (docs/reconnects.md).
"""

import re
from typing import Literal, TypeAlias

import msgspec

from base.config import Kind
from base.errors import ConfigError

DAY_S = 86_400
_WRITTEN = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,5})(s|m|h|d)(?: (session|account|instrument))?(?: (\d{1,8}))?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": DAY_S}

Scope: TypeAlias = Literal["session", "account", "instrument", "key", "address"]
"""Who shares a limit: one connection; all of an account; an account on one instrument; users of one API key; everybody
at our address."""

REQUESTS = ("new", "amend", "swap", "cancel", "mass", "status")
"""Requests of order entry: `amend` changes in place, `swap` cancels and places anew, `mass` is a mass cancel.

Beside them `swept`: an order that a mass cancel reaches, where a venue may count it as a cancel; and `joined`: a new
order in the message of another. Messages are not."""


class Cost(msgspec.Struct, frozen=True):
    """What a request counts: `fixed`, and more the younger its order is: ((below this age in s, that much), ...)."""

    fixed: int = 1
    by_age: tuple[tuple[int, int], ...] = ()

    def at(self, age_ns: int) -> int:
        """The cost for an order of that age."""
        for below_s, extra in self.by_age:
            if age_ns < below_s * 1_000_000_000:
                return self.fixed + extra
        return self.fixed


FREE = Cost(0)
ONE = Cost(1)


class Refusal(msgspec.Struct, frozen=True):
    """An answer by which the venue says that a limit was passed: its code, or words within its text."""

    code: str = ""
    text: str = ""
    by_symbol: bool = False  # of a state of the market: it is about the symbol that was asked about

    def matches(self, code: str, text: str) -> bool:
        """Whether an answer is this one."""
        return bool((self.code and code == self.code) or (self.text and self.text in text))


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit: `most` in any `per_s` seconds (DAY_S: in a UTC day), or a counter that falls by `decay` a second."""

    name: str
    most: int
    per_s: int = 0
    decay: str = ""
    scope: Scope = "session"
    costs: dict[str, Cost] = {}  # by request (REST: by "METHOD path"); what is not named costs `otherwise`
    otherwise: Cost = ONE
    reserve: int = 0  # kept for cancels
    spare: int = 0  # kept for what leaves unasked (heartbeats) and for times that differ at the venue
    breach: Literal["refused", "logout", "ban"] = "refused"
    ban_s: int = 0  # silence that passing it costs, where the venue says so in its pages and not in its answer
    cancels_wait: bool = False  # though it only refuses: what is refused may count, so that trying on would starve us
    fill_gives_back: bool = False  # the first fill of an order takes one off
    told_as: str = ""  # name under which the venue tells its own figures (ipc.events.VenueLimit)
    refusals: tuple[Refusal, ...] = ()
    source: str = ""  # where it is documented

    def cost(self, request: str) -> Cost:
        """What a request counts here."""
        return self.costs.get(request, self.otherwise)

    def __str__(self) -> str:
        how = f"falls by {self.decay} a second" if self.decay else f"in {span(self.per_s)}"
        return f"{self.name}: {self.most} {how}"


class ConnectLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How often this machine may try to connect for sessions of these kinds, `reserve` of it for the kill path."""

    kinds: frozenset[Kind]
    most: int
    per_s: int
    reserve: int
    spacing_ms: int = 200
    source: str = "not documented: a careful guess"


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """All limits of a venue that count what we send."""

    orders: tuple[Limit, ...] = ()
    market_data: tuple[Limit, ...] = ()
    rest: tuple[Limit, ...] = ()
    connects: tuple[ConnectLimit, ...] = ()

    def connect(self, kind: Kind) -> ConnectLimit:
        """The limit on connects of such sessions; a careful one where the venue says nothing."""
        return next((limit for limit in self.connects if kind in limit.kinds), CAREFUL)


CAREFUL = ConnectLimit(kinds=frozenset(Kind), most=15, per_s=60, reserve=3)


def span(seconds: int) -> str:
    """A length of time for people: 10 s, 5 min, a day."""
    if seconds == DAY_S:
        return "a UTC day"
    return f"{seconds // 60} min" if seconds >= 60 and seconds % 60 == 0 else f"{seconds} s"


def written(text: str, path: str) -> Limit:
    """A limit as configurations write it, MOST/LENGTH [session|account|instrument] [RESERVE]: "300/10s account 50".

    ConfigError naming `path` when it is something else.
    """
    found = _WRITTEN.fullmatch(text)
    if not found:
        expected = "MOST/LENGTH(s|m|h|d) [session|account|instrument] [RESERVE]"
        raise ConfigError(f"{path}: {text!r} is not a rate limit; expected {expected}, as in '300/10s account 50'")
    most, seconds, reserve = int(found[1]), int(found[2]) * _UNITS[found[3]], int(found[5] or 0)
    if seconds > DAY_S or reserve >= most:
        raise ConfigError(f"{path}: {text!r}: at most one day, and a reserve below {most}")
    scope: Scope = msgspec.convert(found[4] or "session", Scope)
    name = f"{scope}_{found[2]}{found[3]}"
    return Limit(
        name=name, most=most, per_s=seconds, scope=scope, reserve=reserve, breach="logout", costs={"swept": FREE},
        source="configuration",
    )  # fmt: skip
