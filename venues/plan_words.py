"""A cancel plan in words, for the person who decides whether to arm: what is sent, what it reaches, what proves it.

Made of the plan's data alone (venues/cancel_plan.py, risk/kill_plan.py). Pure: text out, nothing sent.
"""

import textwrap
from collections.abc import Iterable, Mapping

import msgspec

from base.kill_config import KillConfig
from risk.kill_plan import KillVenue, Owner, Plan, RestCancelAll, Topology, held_back, takes_strangers
from risk.kill_singles import AFTER_NS, AFTER_WIDE_NS
from venues.cancel_plan import PROVES, CancelPlan, CancelStep, DeadMan, OpenOrders

WIDTH = 110
LABEL = 12
_REACHES = {
    "connection": "orders placed on this connection",
    "session": "orders of this session",
    "comp_id": "orders of this SenderCompID",
    "account": "every order of the account, whoever placed it",
}
_DEAD = {
    "yes": "a dead owner's, too",
    "restart": "a dead owner's once its process runs again",
    "no": "not a dead owner's",
    "unproven": "a dead owner's: UNPROVEN",
}
_OPEN = "the venue's documentation leaves its effect open"
_LISTS = {
    OpenOrders.REST: "the venue's list of open orders",
    OpenOrders.MASS_STATUS: "35=AF on the owner's session; the kill switch has no list of its own",
    OpenOrders.STATUS_EACH: "nothing but the owner's 35=H for each order: one unknown here stays unseen",
    OpenOrders.REPLAY: "nothing but what the session replays to its owner after a logon",
    OpenOrders.NONE: "nothing",
}


class VenueFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the words need of one venue beside its plan."""

    plan: CancelPlan
    venue: KillVenue
    dead_man_s: int = 0  # 0: not armed
    sessions: Mapping[str, str] = {}  # the kill switch's own sessions and how they stand now, "" when nobody knows


def plan_text(
    topology: Topology, plan: Plan, facts: Mapping[str, VenueFacts], kill: KillConfig, told: Iterable[str] = ()
) -> str:
    """The page. `told`: lines about where this comes from."""
    title = f"What a trip of {plan.scope} does"
    lines = [title, "=" * len(title), *told, "", *_first(plan, kill)]
    for name in _venues(topology, plan):
        lines += ["", *_venue(topology, plan, facts[name])]
    lines += ["", *_last(plan)]
    return "\n".join(lines)


def _venues(topology: Topology, plan: Plan) -> list[str]:
    mine = {topology.owners[s].venue for s in plan.owners}
    return [n for n, v in topology.venues.items() if n in mine or takes_strangers(plan.scope, v)]


def _first(plan: Plan, kill: KillConfig) -> list[str]:
    owners = ", ".join(plan.owners) or "nobody"
    half_s = kill.proof_deadline_s / 2
    texts = [
        "The gate is closed for the scope: words in shared memory. No new order leaves; cancels do.",
        f"Owners are woken ({owners}): each drops what is unsent, answers the gate, cancels its own.",
        "Every mass cancel below leaves, quickest first, without waiting for 2.",
        f"The fence: an owner that has not answered in {kill.fence_deadline_ms} ms is killed. Then all goes out again.",
        "Cancels are repeated each second, and orders asked about, until every one is proven dead.",
    ]
    if plan.disconnects:
        texts.append(f"After {half_s:g} s with orders unproven, connections are cut, which cancels: {_all(plan)}.")
    called = f"After {kill.proof_deadline_s} s, and again each time, a person is called with the list."
    texts.append(f"{called} It never gives up, and never reports success while a venue takes no cancels.")
    lines = ["In this order, at all venues at once:"]
    for number, text in enumerate(texts, 1):
        lines += _item(f"{number}.", text)
    lines += ["", "Without the kill switch:"]
    lines += _item("-", f"after {kill.lease_ms} ms no new order leaves; after {kill.lease_lost_cancel_s} s each owner "
                   "cancels its own; nobody proves anything until the kill switch runs again")  # fmt: skip
    return [*lines, "", *_listed("touches", plan.touches, "nothing"), *_listed("leaves", plan.leaves, "nothing")]


def _all(plan: Plan) -> str:
    return ", ".join(plan.disconnects)


def _venue(topology: Topology, plan: Plan, facts: VenueFacts) -> list[str]:
    venue = facts.venue
    owners = [topology.owners[s] for s in plan.owners if topology.owners[s].venue == venue.name]
    count = f"{len(venue.instruments)} instrument{'' if len(venue.instruments) == 1 else 's'}"
    title = f"{venue.name}, account {venue.account}, {count}"
    lines = [title, "-" * len(title)]
    for number, step in enumerate(_ordered(facts.plan.steps), 1):
        why = ""
        if step.action not in ("owner_cancel_each", "rest_cancel_each", "owner_disconnect"):
            why = held_back(topology, plan.scope, venue, step)
        lines += _step(number, step, facts, owners, why)
        if step.action == "rest_cancel_each":
            lines += _fact("when", _singles_when(plan, venue))
    lines += _proof(facts)
    lines += _dead_owner(facts.plan.steps)
    lines += _dead_man(facts)
    if facts.plan.refused_when:
        lines += _listed("no cancels", facts.plan.refused_when)
    doubts = [t.removeprefix(f"{venue.name}: ") for t in plan.unproven if t.startswith(f"{venue.name}: ")]
    doubts = [t for t in doubts if not t.endswith(_OPEN)]  # said with their step
    lines += _listed("UNPROVEN", doubts)
    lines += _listed("by hand", facts.plan.by_hand)
    return lines


def _ordered(steps: Iterable[CancelStep]) -> list[CancelStep]:
    """As they leave: the kill switch's own, the owners', REST; disconnecting is the last resort."""
    order = [
        "own_mass_cancel", "owner_mass_cancel", "owner_cancel_each", "rest_cancel_all", "rest_cancel_each",
        "owner_disconnect",
    ]  # fmt: skip
    return sorted(steps, key=lambda s: order.index(s.action))


def _step(number: int, step: CancelStep, facts: VenueFacts, owners: list[Owner], why: str) -> list[str]:
    each = ", one for each instrument" if step.per_instrument else ""
    lines = _item(f"{number}.", f"{step.says}{each}, {_by_whom(step, facts, owners)}")
    if why:
        return [*lines, *_fact("NOT USED", f"in this scope: {why}")]
    lines += _fact("reaches", _reach(step, facts))
    if step.answered_by == step.when_empty:
        lines += _fact("answers", step.answered_by)
    else:
        lines += _fact("answers", f"{step.answered_by}; with nothing to cancel: {step.when_empty}")
    if step.proves != PROVES:
        lines += _fact("proves", step.proves)
    if step.timing:
        lines += _fact("timing", step.timing)
    for note in step.notes:
        lines += _fact("note", note)
    found = facts.venue.certified.get(step.action, "")
    if found:
        lines += _fact("CERTIFIED", found.removeprefix("certified "))
    elif not step.certain:
        lines += _fact("UNPROVEN", _OPEN)
    return lines


def _by_whom(step: CancelStep, facts: VenueFacts, owners: list[Owner]) -> str:
    mine = ", ".join(o.session for o in owners) or "no session in this scope"
    if step.action == "own_mass_cancel":
        stand = ", ".join(f"{s} ({now})" if now else s for s, now in facts.sessions.items())
        return f"by the kill switch on {stand}" if stand else "by the kill switch"
    if step.action == "rest_cancel_all":
        return "over REST, by the kill switch itself"
    if step.action == "rest_cancel_each":
        return "for each order that is left, over REST, by the kill switch itself"
    if step.action == "owner_disconnect":
        return f"of {mine}: SIGKILL by the kill switch, half way to the deadline"
    what = "for each order, " if step.action == "owner_cancel_each" else ""
    return f"{what}on {mine}, by its own process: at the gate, and whenever the kill switch asks"


def _singles_when(plan: Plan, venue: KillVenue) -> str:
    if any(isinstance(s, RestCancelAll) and s.venue == venue.name for s in plan.sends):
        return f"for what the cancel-all has not ended after {AFTER_WIDE_NS / 1e9:g} s, again each second"
    return (
        f"at once for orders of a dead owner or of nobody here, else {AFTER_NS / 1e9:g} s after the owner was told; "
        "again each second, as far as the venue's limits allow"
    )


def _reach(step: CancelStep, facts: VenueFacts) -> str:
    text = _REACHES[step.reaches]
    if step.action in ("owner_cancel_each", "rest_cancel_each"):
        of = "the account" if step.reaches == "account" else f"this {step.reaches}"
        text = f"the one order that it names, of {of}"
    if step.per_instrument:
        text += f", on {', '.join(facts.venue.instruments)}"
    return f"{text}; {_DEAD[step.dead_owner]}"


def _proof(facts: VenueFacts) -> list[str]:
    plan, venue = facts.plan, facts.venue
    lines = _fact("proof", "each order's own final report (39 = 2, 4, 8, C), or the venue's answer about that order", 2)
    if venue.lists:
        lag = venue.lag_ns / 1e9
        said = f" ({plan.list_says})" if plan.list_says else ""
        text = f"or its absence from two lists{said} after the fence, more than {lag:g} s apart"
        lines += _fact("", f"{text}; not while the venue takes no cancels", 2)
    else:
        lines += _fact("", f"there is no list to prove absence: {_LISTS[plan.proof_list]}", 2)
    if plan.drop_copy_lag_ms is None:
        text = "there is no drop copy"
    else:
        worth = "it can refute a proof," if plan.drop_copy_refutes else "it tells trades alone, refutes nothing"
        text = f"drop copy comes {plan.drop_copy_lag_ms / 1000:g} s late: {worth} and proves nothing"
    return [*lines, *_fact("", text, 2), *_fact("", f"of an answer: {PROVES}", 2)]


def _dead_owner(steps: Iterable[CancelStep]) -> list[str]:
    by: dict[str, list[str]] = {}
    for step in _ordered(steps):
        by.setdefault(step.dead_owner, []).append(_short(step))
    parts = []
    for key, words in (
        ("yes", "at once by"),
        ("restart", "once it runs again, cancel-only behind the closed gate, by"),
        ("unproven", "perhaps by"),
    ):
        if key in by:
            parts.append(f"{words} {', '.join(by[key])}")
    return _fact("dead owner", "; ".join(parts) or "no path reaches its orders: a person must", 2)


def _short(step: CancelStep) -> str:
    who = {"own_mass_cancel": " (kill switch)", "owner_disconnect": ""}.get(step.action, "")
    says = "the loss of its connection" if step.action == "owner_disconnect" else step.says
    return f"{says}{who}"


def _dead_man(facts: VenueFacts) -> list[str]:
    timer = facts.plan.dead_man
    if timer is None:
        return _fact("dead man", "the venue has no cancel-all-after timer, or it is not known here", 2)
    if not facts.dead_man_s:
        text = f"NOT ARMED: the venue has a timer ({timer.says}); dead_man_s of [venue.{facts.venue.name}] arms it"
        return _fact("dead man", text, 2)
    text = f"armed with {facts.dead_man_s} s ({timer.says}), renewed by a health check that passed"
    return [*_fact("dead man", text, 2), *_timer_notes(timer)]


def _timer_notes(timer: DeadMan) -> list[str]:
    lines: list[str] = []
    if timer.after_downtime:
        lines += _fact("", "fires as well when the engine comes back from downtime: disabled before known windows", 2)
    if not timer.certain:
        lines += _fact("", "UNPROVEN: never tried against the venue", 2)
    for note in timer.notes:
        lines += _fact("", note, 2)
    return lines


def _last(plan: Plan) -> list[str]:
    lines = []
    if plan.certified:
        lines += _listed("CERTIFIED", plan.certified)
    if not plan.sends:
        also = f", the kill switch over REST at {', '.join(plan.rest_each)}" if plan.rest_each else ""
        lines += _fact("NOTE", f"no mass cancel is used in this scope: each owner cancels order by order{also}", 0)
    return lines


def _listed(label: str, items: Iterable[str], empty: str = "") -> list[str]:
    found = list(items) or ([empty] if empty else [])
    lines: list[str] = []
    for n, item in enumerate(found):
        lines += _fact(label if n == 0 else "", item, 2)
    return lines


def _item(mark: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"  {mark} ", subsequent_indent="     ")


def _fact(label: str, text: str, indent: int = 5) -> list[str]:
    start = " " * indent + f"{label:<{LABEL}}"
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
