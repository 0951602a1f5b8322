"""The desk as the kill switch plans for it: owners of orders and venues with their cancel plans. From configuration."""

from base.config import DeskConfig, Kind
from base.errors import ConfigError
from risk.kill_plan import KillVenue, Owner, Topology
from venues.cancel_plan import CancelPlan, OpenOrders, step_of
from venues.certified import read_finding, stale
from venues.context import dialect_of

MS = 1_000_000


def topology_of(desk: DeskConfig, wall_ns: int) -> Topology:
    """Owners and venues of a desk. `wall_ns`: the time at which findings of `qd kill certify` must still be fresh."""
    owners = {}
    for name in desk.sessions(Kind.TRADING):
        venue = desk.config.session[name].venue
        instruments = tuple(i.name for i in desk.session_instruments(name))
        keeps = desk.config.session[name].on_stop == "keep"
        owners[name] = Owner(name, venue, desk.config.venue[venue].account, instruments, keeps)
    return Topology(owners, {name: kill_venue(desk, name, wall_ns) for name in desk.config.venue})


def plan_of(desk: DeskConfig, venue: str) -> CancelPlan:
    """What the venue's dialect states."""
    return dialect_of(desk, venue).cancel_plan(desk.config.venue[venue])


def kill_venue(desk: DeskConfig, name: str, wall_ns: int) -> KillVenue:
    """One venue and account, with what was found out about it."""
    config, plan = desk.config.venue[name], plan_of(desk, name)
    check_dead_man(desk, name, plan)
    own = kill_sessions(desk, name)
    certified, doubts = _findings(desk, name, plan, own, wall_ns)
    return KillVenue(
        name=name,
        account=config.account,
        instruments=tuple(i.name for i in desk.venue_instruments(name)),
        steps=plan.steps,
        lists=config.rest is not None and plan.proof_list == OpenOrders.REST,
        lag_ns=max(plan.list_lag_ms, config.rest.lag_ms if config.rest else 0) * MS,
        kill_sessions=own,
        unproven=(*plan.unproven, *doubts),
        certified=certified,
    )


def check_dead_man(desk: DeskConfig, name: str, plan: CancelPlan) -> None:
    """ConfigError when a timer is configured that the venue has not, or a span that it does not take."""
    seconds, timer = desk.config.venue[name].dead_man_s, plan.dead_man
    path = f"{desk.path}: venue.{name}.dead_man_s"
    if seconds and timer is None:
        raise ConfigError(
            f"{path}: {seconds}: the venue has no cancel-all-after timer, as it is configured; expected 0"
        )
    if seconds and timer is not None and not timer.least_s <= seconds <= timer.most_s:
        raise ConfigError(f"{path}: {seconds} is not within {timer.least_s} to {timer.most_s}")


def kill_sessions(desk: DeskConfig, venue: str) -> tuple[str, ...]:
    """Sessions of the kill switch's own at a venue."""
    return tuple(s for s in desk.config.kill.sessions if desk.config.session[s].venue == venue)


def _findings(
    desk: DeskConfig, name: str, plan: CancelPlan, own: tuple[str, ...], wall_ns: int
) -> tuple[dict[str, str], list[str]]:
    """(action -> what was found, doubts) about the one step that the kill switch takes by itself."""
    step = (step_of(plan.steps, "own_mass_cancel") if own else None) or step_of(plan.steps, "rest_cancel_all")
    finding, why = read_finding(desk, name)
    if own and step_of(plan.steps, "own_mass_cancel") is None and finding and finding.action == "own_mass_cancel":
        return {}, [f"{finding.says} by the kill switch: {finding.words}; not used: the venue is configured otherwise"]
    if step is None:
        return {}, []
    again = f"qd kill certify {name}"
    if finding is None or finding.action != step.action:
        return {}, [f"{step.says} by the kill switch was never certified here{f' ({why})' if why else ''}: {again}"]
    old = stale(desk, finding, wall_ns)
    if old:
        return {}, [f"{step.says}: {finding.words}; that is stale: {old}: {again}"]
    wanted = ("account", "symbol") if step.per_instrument else ("account",)
    if finding.reaches not in wanted:
        return {}, [f"{step.says}: {finding.words}; it is sent all the same, and nothing may count on it"]
    return {step.action: finding.words}, []
