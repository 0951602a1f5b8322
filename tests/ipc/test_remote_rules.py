"""What a client on another host may do: roles, whose id it is, time to live, shares. Without sockets."""

from typing import Any, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import CommandError
from base.remote_config import RemoteConfig
from ipc.remote_keys import Allowed, Role
from ipc.remote_rules import DESK, SELF, STATUSES, Allowance, Allowances, bound_id, judge
from ipc.requests import (
    AnyCommand,
    CancelOrder,
    Command,
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

NOW, TTL, SECOND = 1_000_000_000_000, 10_000_000_000, 1_000_000_000
PUBLIC = "a" * 40
READER, TRADER, OPERATOR = (Allowed(str(r), r, PUBLIC) for r in Role)
LIMITED = Allowed("ann", Role.TRADER, PUBLIC, ("demo",))
TWO = Allowed("two", Role.TRADER, PUBLIC, ("demo", "other"))
SOON = NOW + SECOND


def new(strategy: str = "", deadline_ns: int = SOON) -> NewOrder:
    return NewOrder("c", "1", deadline_ns, "v", "BTC-USD", "1", "2", 1, 1, strategy=strategy)


def ops(verb: str, deadline_ns: int = SOON, **args: str) -> Ops:
    return Ops("c", "1", deadline_ns, verb, args)


def judged(key: Allowed, command: AnyCommand, process: str = "v-trd") -> Any:
    return judge(key, process, command, NOW, TTL)


READS = (SnapshotRequest("c", "1", 0, "md.v.BTC-USD"), ReplayRequest("c", "1", 0, "exec.v-trd"))
TRADES = (
    new(), NewOrders("c", "1", 0, (new(),)),
    ReplaceOrder("c", "1", SOON, "o", 1), CancelOrder("c", "1", 0, "o"), MassCancel("c", "1", 0),
    StatusOrder("c", "1", 0, "o"), ListOrders("c", "1", 0),
)  # fmt: skip
OPERATIONS = (ops("trip", 0), ops("reset"), ops("arm"), ops("drill"), ops("status", 0))
NAMES = {"ids": lambda c: f"{type(c).__name__}{'-' + c.verb if isinstance(c, Ops) else ''}"}


@pytest.mark.parametrize("command", READS, **NAMES)
def test_everybody_may_read(command: AnyCommand) -> None:
    for key in (READER, TRADER, OPERATOR):
        assert judged(key, command).client_id == f"{key.name}/c"


@pytest.mark.parametrize("command", TRADES, **NAMES)
def test_traders_and_operators_trade_and_readers_do_not(command: AnyCommand) -> None:
    assert judged(TRADER, command).client_id == "trader/c"
    assert judged(OPERATOR, command).client_id == "operator/c"
    with pytest.raises(CommandError, match=f"key reader has role reader: {type(command).__name__} needs a trader's"):
        judged(READER, command)


@pytest.mark.parametrize("command", OPERATIONS, **NAMES)
@pytest.mark.parametrize("process", ["killswitch", "alarms", "v-trd"])
def test_operators_alone_say_an_operators_words(command: Ops, process: str) -> None:
    assert judged(OPERATOR, command, process).verb == command.verb
    for key in (READER, TRADER, LIMITED):
        with pytest.raises(CommandError, match=rf"has role \w+: {command.verb} needs an operator's"):
            judged(key, command, process)


def test_the_audit_trail_has_the_keys_name_whatever_the_command_says() -> None:
    assert judged(OPERATOR, ops("trip", by="the boss", scope="desk"), "killswitch").args == {
        "by": "operator", "scope": "desk",
    }  # fmt: skip


def test_a_strategy_arms_itself_with_a_key_that_names_it_and_nothing_else() -> None:
    assert judged(LIMITED, ops("arm", scope="strategy:demo"), "killswitch").args["by"] == "ann"
    for key, args in ((LIMITED, "strategy:other"), (LIMITED, "desk"), (TRADER, "strategy:demo"), (READER, "desk")):
        with pytest.raises(CommandError, match="arm needs an operator's"):
            judged(key, ops("arm", scope=args), "killswitch")


def test_a_key_for_some_strategies_places_orders_of_no_other() -> None:
    assert judged(LIMITED, new("demo")).strategy == "demo"
    for strategy in ("other", ""):
        with pytest.raises(CommandError, match="key ann may trade for demo, not for"):
            judged(LIMITED, new(strategy))


def test_it_replaces_orders_of_no_other() -> None:
    plain = ReplaceOrder("c", "1", SOON, "o", 1)
    assert judged(LIMITED, plain).strategy == "demo"  # the process then refuses it for an order of another one
    assert judged(TRADER, plain).strategy == ""
    with pytest.raises(CommandError, match="say whose order it is"):
        judged(TWO, plain)
    assert judged(TWO, ReplaceOrder("c", "1", SOON, "o", 1, strategy="other")).strategy == "other"
    with pytest.raises(CommandError, match="not for 'third'"):
        judged(TWO, ReplaceOrder("c", "1", SOON, "o", 1, strategy="third"))


def test_several_orders_are_judged_each_and_pass_together_or_not_at_all() -> None:
    several = NewOrders("c", "1", 0, (new("demo"), new("demo")))
    found = judged(LIMITED, several)
    assert (found.client_id, [o.client_id for o in found.orders]) == ("ann/c", ["ann/c", "ann/c"])
    for wrong, says in (
        (new("other"), "may trade for demo"), (new("demo", 0), "has to be given"), (new("demo", NOW - 1), "passed"),
    ):  # fmt: skip
        with pytest.raises(CommandError, match=says):
            judged(LIMITED, NewOrders("c", "1", 0, (new("demo"), wrong)))
    forged = NewOrder("somebody else", "1", SOON, "v", "BTC-USD", "1", "2", 1, 1, strategy="demo")
    with pytest.raises(CommandError, match="one of the orders has another"):
        judged(LIMITED, NewOrders("c", "1", 0, (forged,)))


def test_a_command_that_nobody_thought_of_here_is_refused() -> None:
    class Unheard(Command, tag="unheard", frozen=True):
        pass

    with pytest.raises(CommandError, match="Unheard is not taken from other hosts"):
        judged(OPERATOR, cast(AnyCommand, Unheard("c", "1", SOON)))


def test_every_command_that_there_is_was_thought_of() -> None:
    taken = {type(c) for c in (*READS, *TRADES, *OPERATIONS)}
    assert taken == set(get_args(AnyCommand))


def test_and_cancels_any() -> None:
    assert judged(LIMITED, CancelOrder("c", "1", 0, "somebody else's"))
    assert judged(LIMITED, MassCancel("c", "1", 0))


# -- whose id it is ----------------------------------------------------------------------------------------------------


@given(st.sampled_from([LIMITED, TWO, TRADER]), st.text(min_size=1, max_size=60))
def test_no_key_has_the_client_id_of_anothers_client(key: Allowed, client_id: str) -> None:
    bound = bound_id(key.name, client_id)
    assert bound.partition("/")[0] == key.name
    assert bound_id(key.name, bound) == bound  # said again it is the same client


@pytest.mark.parametrize(
    ("client_id", "command_id"),
    [("", "1"), ("c", ""), ("c" * 201, "1"), ("c", "1" * 201), ("\x1b[2J", "1"), ("c", "ä")],
)
def test_ids_have_to_be_there_and_of_a_size(client_id: str, command_id: str) -> None:
    with pytest.raises(CommandError, match="client_id and command_id"):
        judged(TRADER, CancelOrder(client_id, command_id, 0, "o"))


# -- time to live ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [new(deadline_ns=0), ReplaceOrder("c", "1", 0, "o", 1), ops("reset", 0)], **NAMES)
def test_what_adds_risk_says_until_when_it_may(command: AnyCommand) -> None:
    with pytest.raises(CommandError, match="from another host it has to be given"):
        judged(OPERATOR, command, "killswitch")


def test_a_deadline_is_neither_past_nor_far_ahead() -> None:
    with pytest.raises(CommandError, match=r"deadline passed 0\.5 ms before it was read here"):
        judged(TRADER, new(deadline_ns=NOW - 500_000))
    with pytest.raises(CommandError, match=r"11000 ms ahead, more than remote\.max_ttl_ms, 10000"):
        judged(TRADER, new(deadline_ns=NOW + 11 * SECOND))
    assert judged(TRADER, new(deadline_ns=NOW + TTL))


@pytest.mark.parametrize("command", [*TRADES[3:], *READS, ops("trip", 0), ops("status", 0)], **NAMES)
def test_cancels_trips_and_reads_are_never_too_late(command: AnyCommand) -> None:
    assert judged(OPERATOR, command, "killswitch")


# -- the forwarder itself ----------------------------------------------------------------------------------------------


def test_anybody_may_ask_the_forwarder_what_the_desk_has_and_nothing_else() -> None:
    for verb in (DESK, STATUSES):
        assert judged(READER, ops(verb, 0), SELF)
    for command in (new(), ops("trip"), CancelOrder("c", "1", 0, "o")):
        with pytest.raises(CommandError, match="the forwarder takes no"):
            judged(OPERATOR, command, SELF)


# -- shares ------------------------------------------------------------------------------------------------------------


def test_an_allowance_is_a_burst_and_then_a_rate() -> None:
    allowance = Allowance(10, 3)
    assert [allowance.take(NOW) for _ in range(4)] == [True, True, True, False]
    assert not allowance.take(NOW + SECOND // 20)
    assert allowance.take(NOW + SECOND // 10)
    assert [allowance.take(NOW + 100 * SECOND) for _ in range(4)] == [True, True, True, False]


def test_no_flood_of_a_key_uses_up_what_it_has_for_cancels_and_trips() -> None:
    allowances = Allowances(RemoteConfig(host="127.0.0.1", commands_per_s=5, cancels_per_s=7))

    def passed(command: AnyCommand | None) -> int:
        return sum(allowances.take(command, NOW) for _ in range(1000))

    assert passed(new()) == 5
    assert passed(READS[0]) == 300
    together = Allowances(RemoteConfig(host="127.0.0.1", commands_per_s=5))
    assert [together.take(NewOrders("c", "1", 0, (new(),) * n), NOW) for n in (6, 3, 3, 2)] == [
        False,
        True,
        False,
        True,
    ]
    assert passed(None) == 0  # what cannot be read counts as reads do
    assert passed(CancelOrder("c", "1", 0, "o")) == 7
    assert passed(ops("trip", 0)) == 20
