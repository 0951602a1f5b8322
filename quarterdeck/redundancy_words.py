"""What `qd check` says of sessions that stand in for each other, and of those that should say that they do."""

from base.config import DeskConfig, Kind
from venues.cancel_plan import step_of
from venues.context import dialect_of
from venues.kill_topology import plan_of

_REACH = {
    "connection": "the connection that placed the order",
    "session": "the session that placed the order",
    "comp_id": "the comp id that placed the order",
    "account": "every order of the account",
}


def redundancy_words(desk: DeskConfig) -> list[str]:
    """A line for each group: what counts once, and by what."""
    return [f"{', '.join(group)}: {_words(desk, group)}" for group in desk.redundancy.values()]


def redundancy_problems(desk: DeskConfig) -> list[str]:
    """Sessions that tell the same and do not say so."""
    found, sessions = [], desk.config.session
    named = [n for kind in (Kind.MARKETDATA, Kind.DROPCOPY) for n in desk.sessions(kind)]
    for i, name in enumerate(named):
        mine = sessions[name]
        for other in named[:i]:
            its = sessions[other]
            if (mine.venue, mine.kind, mine.level) != (its.venue, its.kind, its.level):
                continue
            if other in desk.redundant(name) or not _shared(desk, name, other):
                continue
            why = "two would publish one topic" if mine.kind == Kind.MARKETDATA else "the loss of one would be no alarm"
            first = its.redundant_with or other
            found.append(
                f'session.{name}.redundant_with: "": session.{other} tells the same of {_shared(desk, name, other)},'
                f' and {why}; expected "{first}"'
            )
    return found


def _shared(desk: DeskConfig, name: str, other: str) -> str:
    mine, its = ({i.name for i in desk.session_instruments(s)} for s in (name, other))
    return ", ".join(sorted(mine & its))


def _words(desk: DeskConfig, group: tuple[str, ...]) -> str:
    venue, kind = desk.config.session[group[0]].venue, desk.config.session[group[0]].kind
    if kind == Kind.MARKETDATA:
        return f"the books of {venue} are taken from one of them at a time; the standby's topics begin with md@"
    claims = dialect_of(desk, venue).capabilities(desk.config.venue[venue])
    by = "its ExecID" if claims.exec_ids == "account" else "the trade's id: each session numbers its ExecIDs itself"
    if kind == Kind.DROPCOPY:
        return f"drop copies of {venue} that tell the same; each report counts once, by {by}"
    where = "on every trading session" if claims.account_wide_reports else "on the session that placed the order"
    step = step_of(plan_of(desk, venue).steps, "owner_cancel_each")
    reach = _REACH[step.reaches] if step is not None else "nothing: the venue has none"
    return f"reports arrive {where}, each counts once, by {by}; a single cancel reaches {reach}"
