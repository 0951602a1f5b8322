"""What a trip sends, at once and by every path that reaches, and what it leaves alone. Pure data in, data out."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from ipc.gate import account_scope


class PlanStep(Protocol):
    """One way to cancel that a venue has (venues.interface.CancelStep)."""

    @property
    def action(self) -> str: ...
    @property
    def reaches(self) -> str: ...
    @property
    def per_instrument(self) -> bool: ...
    @property
    def says(self) -> str: ...
    @property
    def certain(self) -> bool: ...


class Owner(msgspec.Struct, frozen=True):
    """A process that owns the orders of one session."""

    session: str
    venue: str
    account: str
    instruments: tuple[str, ...]
    keeps: bool = False  # an orderly stop leaves its orders working on purpose

    def scopes(self) -> tuple[str, ...]:
        """Scopes that cover the whole of this session."""
        return (
            "desk",
            f"venue:{self.venue}",
            account_scope(self.venue, self.account),
            f"session:{self.session}",
        )


class KillVenue(msgspec.Struct, frozen=True, kw_only=True):
    """What the kill switch knows of one venue and account."""

    name: str
    account: str
    instruments: tuple[str, ...]
    steps: Sequence[PlanStep]
    lists: bool  # an open-orders list can be had
    lag_ns: int  # how far that list may be behind
    kill_sessions: tuple[str, ...] = ()  # sessions of the kill switch's own
    unproven: tuple[str, ...] = ()
    certified: Mapping[str, str] = {}  # a step's action -> what a probe found that it reaches, in words


class Topology(msgspec.Struct, frozen=True):
    """The desk as the kill switch sees it."""

    owners: dict[str, Owner]
    venues: dict[str, KillVenue]

    def scopes(self) -> list[str]:
        """Every scope that the configuration names."""
        found = ["desk", *(f"venue:{v}" for v in self.venues)]
        found += [account_scope(v.name, v.account) for v in self.venues.values()]
        found += [f"session:{s}" for s in self.owners]
        return found + sorted({f"instrument:{i}" for v in self.venues.values() for i in v.instruments})


class Owned(msgspec.Struct, frozen=True):
    """Whose an order is."""

    venue: str
    account: str
    session: str
    instrument: str
    strategy: str


class OwnMassCancel(msgspec.Struct, frozen=True, tag=True):
    """Mass cancel on a session of the kill switch's own; instrument "" = one request for all."""

    session: str
    venue: str
    instrument: str


class OwnerMassCancel(msgspec.Struct, frozen=True, tag=True):
    """MassCancel command to the process that owns the session."""

    session: str
    instrument: str


class RestCancelAll(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Cancel-all over the venue's REST side, by the kill switch itself.

    `symbols`: the venue's own names of what its list showed and the desk has no instrument for.
    """

    venue: str
    instruments: tuple[str, ...]
    symbols: tuple[str, ...] = ()


Send: TypeAlias = OwnMassCancel | OwnerMassCancel | RestCancelAll


class Plan(msgspec.Struct, frozen=True):
    """What a trip of `scope` does."""

    scope: str
    owners: tuple[str, ...]
    sends: tuple[Send, ...]
    touches: tuple[str, ...]
    leaves: tuple[str, ...]
    held_back: tuple[str, ...]  # steps not used, with why: they would reach beyond the scope, or reach nothing
    disconnects: tuple[str, ...]  # owners whose disconnection cancels, the last resort
    unproven: tuple[str, ...]
    certified: tuple[str, ...] = ()  # what a probe has found out
    rest_each: tuple[str, ...] = ()  # venues where what is left is cancelled order by order over REST


def covers(scope: str, order: Owned) -> bool:
    """Whether the order lies within the scope."""
    kind, _, name = scope.partition(":")
    if kind == "account":
        return account_scope(order.venue, order.account) == scope
    return (
        kind == "desk"
        or {
            "venue": order.venue,
            "session": order.session,
            "strategy": order.strategy,
            "instrument": order.instrument,
        }.get(kind)
        == name
    )


def owners_in(topology: Topology, scope: str) -> list[Owner]:
    """Owners that may have orders in the scope: those whose fence a trip waits for."""
    kind, _, name = scope.partition(":")
    if kind == "strategy":
        return list(topology.owners.values())
    if kind == "instrument":
        return [o for o in topology.owners.values() if name in o.instruments]
    return [o for o in topology.owners.values() if scope in o.scopes()]


def make_plan(topology: Topology, scope: str) -> Plan:
    """The plan of a trip. Steps that would cancel orders outside the scope are held back and named."""
    owners = owners_in(topology, scope)
    sends: list[Send] = []
    held: list[str] = []
    disconnects: list[str] = []
    unproven: list[str] = []
    certified: list[str] = []
    rest_each: list[str] = []
    whole = [o.session for o in owners if scope in o.scopes()]
    for venue in topology.venues.values():
        mine = [o for o in owners if o.venue == venue.name]
        if not mine and not takes_strangers(scope, venue):
            continue
        unproven += [f"{venue.name}: {text}" for text in venue.unproven]
        for step in venue.steps:
            found = venue.certified.get(step.action, "")
            if found:
                certified.append(f"{venue.name}: {step.says}: {found}")
            elif not step.certain:
                unproven.append(f"{venue.name}: {step.says}: the venue's documentation leaves its effect open")
            if step.action == "owner_disconnect":
                disconnects += [o.session for o in mine if o.session in whole]
                continue
            if step.action == "owner_cancel_each":
                continue  # owners do it by themselves at the gate, and again by command in each further round
            if step.action == "rest_cancel_each":
                rest_each.append(venue.name)  # one order at a time never reaches beyond the scope
                continue
            why = held_back(topology, scope, venue, step)
            if why:
                held.append(f"{venue.name}: {step.says}: {why}")
            else:
                sends += _sends(scope, venue, step, mine)
    return Plan(
        scope=scope,
        owners=tuple(o.session for o in owners),
        sends=tuple(sorted(dict.fromkeys(sends), key=_quickest_first)),
        touches=tuple(_touches(topology, scope, owners)),
        leaves=tuple(_leaves(topology, scope, owners)),
        held_back=tuple(held),
        disconnects=tuple(dict.fromkeys(disconnects)),
        unproven=tuple(dict.fromkeys(unproven)),
        certified=tuple(certified),
        rest_each=tuple(rest_each),
    )


def _quickest_first(send: Send) -> int:
    return 0 if isinstance(send, OwnMassCancel) else 1 if isinstance(send, OwnerMassCancel) else 2


def is_whole_account(scope: str, venue: KillVenue) -> bool:
    return scope in ("desk", f"venue:{venue.name}", account_scope(venue.name, venue.account))


def takes_strangers(scope: str, venue: KillVenue) -> bool:
    """Whether orders that the venue's list shows, and that nobody here knows, may belong to the scope: wholly in it is
    the account, or an instrument of the venue.
    """
    kind, _, name = scope.partition(":")
    return is_whole_account(scope, venue) or (kind == "instrument" and name in venue.instruments)


def held_back(topology: Topology, scope: str, venue: KillVenue, step: PlanStep) -> str:
    """Why a step is not used in this scope, "" when it is."""
    if step.action == "own_mass_cancel":
        if not venue.kill_sessions:
            return "the kill switch has no session of its own here"
        if step.reaches not in ("account", "comp_id"):
            return f"reaches its own {step.reaches} only"
    kind, _, name = scope.partition(":")
    if kind == "strategy":
        return "reaches orders of other strategies"
    if kind == "instrument" and not step.per_instrument:
        return "reaches other instruments"
    if kind == "session" and step.reaches in ("account", "comp_id"):
        account = account_scope(venue.name, venue.account)
        others = [o.session for o in topology.owners.values() if account in o.scopes() and o.session != name]
        if others:
            return f"reaches orders of {', '.join(others)}"
    return ""


def _sends(scope: str, venue: KillVenue, step: PlanStep, owners: list[Owner]) -> list[Send]:
    kind, _, name = scope.partition(":")
    names = (name,) if kind == "instrument" else venue.instruments
    each = names if step.per_instrument else ("",)
    if step.action == "own_mass_cancel":
        return [OwnMassCancel(s, venue.name, i) for s in venue.kill_sessions for i in each]
    if step.action == "owner_mass_cancel":
        return [OwnerMassCancel(o.session, i) for o in owners for i in each if not i or i in o.instruments]
    return [RestCancelAll(venue.name, tuple(names))]


def _touches(topology: Topology, scope: str, owners: list[Owner]) -> list[str]:
    kind, _, name = scope.partition(":")
    which = {"strategy": f"orders of strategy {name}", "instrument": f"orders in {name}"}.get(kind, "all orders")
    found = [f"{which} of session {o.session} ({o.venue}/{o.account})" for o in owners]
    among = f" in {name}" if kind == "instrument" else ""
    found += [
        f"orders{among} that others placed on {v.name}/{v.account}"
        for v in topology.venues.values()
        if takes_strangers(scope, v) and any(_reaches_strangers(s, kind) for s in v.steps)
    ]
    return found


def _reaches_strangers(step: PlanStep, kind: str) -> bool:
    narrow = step.per_instrument or step.action == "rest_cancel_each"
    return step.reaches == "account" and (kind != "instrument" or narrow)


def _leaves(topology: Topology, scope: str, owners: list[Owner]) -> list[str]:
    kind, _, name = scope.partition(":")
    inside = {o.session for o in owners}
    left = [f"session {o.session} ({o.venue}/{o.account})" for o in topology.owners.values() if o.session not in inside]
    if kind in ("strategy", "instrument"):
        left += [f"other orders than {kind} {name} of session {s}" for s in sorted(inside)]
    return left


def closed_at(venue: str, instrument: str = "") -> str:
    """Names a venue that takes no cancels, or an instrument in which it takes none."""
    return f"{venue} {instrument}" if instrument else venue


def closed_parts(at: str) -> tuple[str, str]:
    """(venue, instrument or "") of what `closed_at` names."""
    venue, _, instrument = at.partition(" ")
    return venue, instrument
