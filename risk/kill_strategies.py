"""Strategies after a reset: a person opens the scope, each strategy says by itself that it is ready.

A reset disarms every strategy that is known to have traded in the sessions of its scope: `strategy:T` is DISARMED until
T arms, whatever else is open. Words and latch keep that over restarts. Pure but for the words.
"""

from typing import TYPE_CHECKING

from base.errors import CommandError
from ipc.gate import GateState
from risk.kill_actions import Audit
from risk.kill_plan import owners_in

if TYPE_CHECKING:
    from risk.kill import KillSwitch

CAUSE = "reset"


def disarm(switch: "KillSwitch", scope: str, reason: str) -> None:
    """The strategies of a scope that is being reset. One that is closed for a reason of its own stays so."""
    names = {s for o in owners_in(switch.topology, scope) for s in switch.ledger.strategies(o.session)}
    for name in [] if scope.startswith("strategy:") else sorted(names):
        if f"strategy:{name}" not in switch.records:
            disarm_one(switch, f"strategy:{name}", f"{scope} was reset: {reason}")


def disarm_one(switch: "KillSwitch", scope: str, reason: str) -> None:
    """Shut until the strategy arms."""
    switch.gate.add_scope(scope)
    switch.table.put(scope, GateState.DISARMED, switch.gate.get(scope).generation, CAUSE, reason)


def arm(switch: "KillSwitch", scope: str, reason: str, by: str) -> str:
    """The strategy is ready again; what was done. CommandError while the desk or the strategy itself is tripped."""
    if not reason.strip():
        raise CommandError("arming needs a reason")
    desk, record = switch.records.get("desk"), switch.records.get(scope)
    if desk is None or desk.state != GateState.ARMED:
        raise CommandError(f"{scope} is not armed: desk is {desk.state.name if desk else 'unknown'}")
    if record is None:
        return f"{scope} is ARMED already"
    if record.state != GateState.DISARMED or record.cause != CAUSE:
        raise CommandError(f"{scope} is {record.state.name}: it is reset, not armed")
    switch.table.put(scope, GateState.ARMED, record.generation, "operator", reason)
    switch._do(Audit("arm", {"scope": scope, "reason": reason, "by": by}))
    switch.persist()
    return f"{scope} is ARMED"
