"""What a client on another host may do, and how much of it. Pure: commands and times in, commands or refusals out.

Nothing here opens anything: what passes is judged by the process that takes it as if it came from this host, gate,
limits and all.
"""

from typing import Final

import msgspec

from base.errors import CommandError
from base.remote_config import RemoteConfig
from ipc.remote_keys import Allowed, Role
from ipc.requests import (
    AnyCommand,
    CancelOrder,
    ListOrders,
    MassCancel,
    NewOrder,
    NewOrders,
    Ops,
    ReplaceOrder,
    ReplayRequest,
    SnapshotRequest,
    StatusOrder,
)

SELF: Final = "forwarder"
DESK, STATUSES = "desk", "statuses"  # what anybody may ask the forwarder itself, as verbs of Ops
MAX_ID_CHARS: Final = 200
READS_PER_S: Final = 50
READS_BURST: Final = 300  # a client that recovers asks for a snapshot of each of its books at once
TRIPS_PER_S: Final = 5
_READS: Final = (SnapshotRequest, ReplayRequest)
_ORDERS: Final = (NewOrder, NewOrders, ReplaceOrder, StatusOrder)
_CANCELS: Final = (CancelOrder, MassCancel)
_TRADERS: Final = (*_ORDERS, *_CANCELS, ListOrders)
_TIMELESS: Final = (*_READS, *_CANCELS, ListOrders, StatusOrder)
_SAFE_VERBS: Final = frozenset(
    {"trip", "status", "plan", "why", "limits", "list", "certified", "drill_status", "outcome", DESK, STATUSES}
)


def judge(key: Allowed, process: str, command: AnyCommand, wall_ns: int, max_ttl_ns: int) -> AnyCommand:
    """The command as the process is to get it: its client's id bound to the key. CommandError: refused, and why."""
    if not command.client_id or not command.command_id:
        raise CommandError("client_id and command_id must not be empty")
    if len(command.client_id) > MAX_ID_CHARS or len(command.command_id) > MAX_ID_CHARS:
        raise CommandError(f"client_id and command_id may have {MAX_ID_CHARS} characters")
    ids = command.client_id + command.command_id
    if not ids.isascii() or not ids.isprintable():
        raise CommandError("client_id and command_id must be printable ASCII: they stand in logs and on screens")
    _check_role(key, process, command)
    if isinstance(command, NewOrders):
        return _judge_each(key, process, command, wall_ns, max_ttl_ns)
    _check_age(command, wall_ns, max_ttl_ns)
    bound = {"client_id": bound_id(key.name, command.client_id)}
    if isinstance(command, Ops):
        return msgspec.structs.replace(command, **bound, args={**command.args, "by": key.name})
    if isinstance(command, ReplaceOrder) and key.strategies and not command.strategy:
        return msgspec.structs.replace(command, **bound, strategy=_only(key))
    return msgspec.structs.replace(command, **bound)


def _judge_each(key: Allowed, process: str, command: NewOrders, wall_ns: int, max_ttl_ns: int) -> NewOrders:
    """Each order as if it had come alone; one that may not pass holds back all of them."""
    if any(order.client_id != command.client_id for order in command.orders):
        raise CommandError("client_id: one of the orders has another than the command")
    judged = [judge(key, process, order, wall_ns, max_ttl_ns) for order in command.orders]
    orders = tuple(order for order in judged if isinstance(order, NewOrder))
    return msgspec.structs.replace(command, client_id=bound_id(key.name, command.client_id), orders=orders)


def bound_id(name: str, client_id: str) -> str:
    """A client's id within the desk: no key can have that of another's client, whatever it writes."""
    return client_id if client_id.startswith(f"{name}/") else f"{name}/{client_id}"


def _check_role(key: Allowed, process: str, command: AnyCommand) -> None:
    what = type(command).__name__
    if isinstance(command, _READS):
        return
    if process == SELF:
        if isinstance(command, Ops) and command.verb in (DESK, STATUSES):
            return
        raise CommandError(f"the forwarder takes no {what} of its own; it answers {DESK} and {STATUSES}")
    if isinstance(command, Ops):
        if key.role is not Role.OPERATOR and not _arms_own(key, process, command):
            raise CommandError(f"key {key.name} has role {key.role}: {command.verb or what} needs an operator's")
        return
    if not isinstance(command, _TRADERS):
        raise CommandError(f"{what} is not taken from other hosts")
    if key.role is Role.READER:
        raise CommandError(f"key {key.name} has role {key.role}: {what} needs a trader's")
    if isinstance(command, NewOrder) and key.strategies and command.strategy not in key.strategies:
        raise CommandError(f"key {key.name} may trade for {', '.join(key.strategies)}, not for {command.strategy!r}")
    if isinstance(command, ReplaceOrder) and key.strategies and (command.strategy or _only(key)) not in key.strategies:
        raise CommandError(f"key {key.name} may trade for {', '.join(key.strategies)}, not for {command.strategy!r}")


def _arms_own(key: Allowed, process: str, command: Ops) -> bool:
    """A strategy arms itself after a reset: with a key that names it."""
    scope = command.args.get("scope", "")
    named = scope.startswith("strategy:") and scope.removeprefix("strategy:") in key.strategies
    return key.role is Role.TRADER and process == "killswitch" and command.verb == "arm" and named


def _only(key: Allowed) -> str:
    if len(key.strategies) != 1:
        raise CommandError(f"key {key.name} trades for {', '.join(key.strategies)}: strategy: say whose order it is")
    return key.strategies[0]


def _check_age(command: AnyCommand, wall_ns: int, max_ttl_ns: int) -> None:
    """What adds risk says until when it may. Cancels, trips and reads are never too late, unless they say so."""
    if command.deadline_ns and command.deadline_ns <= wall_ns:
        late_ms = (wall_ns - command.deadline_ns) / 1e6
        raise CommandError(f"deadline passed {late_ms:.1f} ms before it was read here; are both clocks right?")
    if isinstance(command, _TIMELESS) or (isinstance(command, Ops) and command.verb in _SAFE_VERBS):
        return
    if not command.deadline_ns:
        raise CommandError("deadline_ns: from another host it has to be given: who knows how long it was under way")
    if command.deadline_ns > wall_ns + max_ttl_ns:
        ahead_ms = (command.deadline_ns - wall_ns) / 1e6
        raise CommandError(
            f"deadline_ns: {ahead_ms:.0f} ms ahead, more than remote.max_ttl_ms, {max_ttl_ns // 1_000_000}; "
            "are both clocks right?"
        )


class Allowance:
    """A bucket of tokens."""

    def __init__(self, per_s: int, burst: int) -> None:
        self._per_ns, self._burst, self._left = per_s / 1e9, float(burst), float(burst)
        self._then_ns = 0

    def take(self, mono_ns: int, count: int = 1) -> bool:
        """So many; False when there are not as many left."""
        earned = (mono_ns - self._then_ns) * self._per_ns if self._then_ns else 0.0
        self._then_ns = mono_ns
        self._left = min(self._burst, self._left + earned)
        if self._left < count:
            return False
        self._left -= count
        return True


class Allowances:
    """One key's. What cancels has a bucket of its own, and a trip another: no flood of the same key uses it up."""

    def __init__(self, config: RemoteConfig) -> None:
        self._orders = Allowance(config.commands_per_s, config.commands_per_s)
        self._cancels = Allowance(config.cancels_per_s, config.cancels_per_s)
        self._reads = Allowance(READS_PER_S, READS_BURST)
        self._trips = Allowance(TRIPS_PER_S, 4 * TRIPS_PER_S)

    def take(self, command: AnyCommand | None, mono_ns: int) -> bool:
        """Whether one more may pass now; None is something that could not be read."""
        if isinstance(command, NewOrders):
            return self._orders.take(mono_ns, max(1, len(command.orders)))
        if isinstance(command, _ORDERS):
            return self._orders.take(mono_ns)
        if isinstance(command, _CANCELS):
            return self._cancels.take(mono_ns)
        if isinstance(command, Ops) and command.verb == "trip":
            return self._trips.take(mono_ns)
        return self._reads.take(mono_ns)
