"""After a reset strategies arm themselves."""

import pytest

from base.errors import CommandError
from ipc.gate import GateState
from risk.kill_latch import decode
from tests.risk.test_kill import Desk, fenced


def reset_desk(**config: object) -> Desk:
    """Strategy mm traded on session a; the desk was tripped, proven, reset, and is open again."""
    desk, _ = fenced("1", reset_cool_off_s=1, **config)
    desk.cancelled("a", "1")
    desk.empty_lists()
    desk.switch.reset("desk", "looked at it", "me")
    return desk


def test_a_reset_disarms_the_strategies_of_its_scope_until_they_arm_themselves() -> None:
    desk = reset_desk()
    assert desk.gate.get("strategy:mm").state == GateState.DISARMED
    with pytest.raises(CommandError, match="desk is RESETTING"):
        desk.switch.arm_strategy("strategy:mm", "ready", "mm")
    desk.pass_ms(1_001)
    assert desk.gate.get("desk").state == GateState.ARMED
    assert desk.gate.get("strategy:mm").state == GateState.DISARMED
    with pytest.raises(CommandError, match="needs a reason"):
        desk.switch.arm_strategy("strategy:mm", " ", "mm")
    desk.switch.arm_strategy("strategy:mm", "ready", "mm")
    assert desk.gate.get("strategy:mm").state == GateState.ARMED
    assert "strategy:mm" not in desk.switch.records
    assert desk.switch.arm_strategy("strategy:mm", "ready", "mm") == "strategy:mm is ARMED already"


def test_strategies_of_other_sessions_go_on() -> None:
    desk = Desk(reset_cool_off_s=0)
    desk.order("a", "1", strategy="mm")
    desk.order("c", "2", venue="y", strategy="arb")
    desk.trip("session:a")
    desk.switch.reset("session:a", "why", "me", ["UNKNOWN", "1"])
    assert {s for s, r in desk.switch.records.items() if r.state == GateState.DISARMED} == {"strategy:mm"}


def test_a_strategy_that_is_tripped_is_not_armed_and_after_its_own_reset_arms_itself() -> None:
    desk = Desk(reset_cool_off_s=0)
    desk.order("a", "1")
    desk.trip("strategy:mm")
    with pytest.raises(CommandError, match="it is reset, not armed"):
        desk.switch.arm_strategy("strategy:mm", "ready", "mm")
    desk.switch.reset("strategy:mm", "why", "me", ["1"])
    desk.pass_ms(1)
    assert desk.gate.get("strategy:mm").state == GateState.DISARMED
    desk.switch.arm_strategy("strategy:mm", "ready", "mm")
    assert desk.gate.get("strategy:mm").state == GateState.ARMED


@pytest.mark.parametrize("latched", [True, False])
def test_a_disarmed_strategy_stays_so_over_a_restart_whether_or_not_the_disk_took_the_latch(latched: bool) -> None:
    desk, _ = fenced("1", reset_cool_off_s=0)
    desk.cancelled("a", "1")
    desk.empty_lists()
    before = desk.latch()
    desk.switch.reset("desk", "why", "me")
    desk.pass_ms(1)
    again = desk.restart(desk.latch() if latched else before)
    assert again.gate.get("strategy:mm").state == GateState.DISARMED
    if latched:
        again.switch.arm_strategy("strategy:mm", "ready", "mm")
        assert again.gate.get("strategy:mm").state == GateState.ARMED


def test_a_disarmed_strategy_stays_so_over_a_reboot() -> None:
    desk = reset_desk()
    desk.pass_ms(1_001)
    again = Desk(reading=decode(desk.latch(), "next boot"), arm_at_start=False, reset_cool_off_s=0)
    again.switch.reset("desk", "rebooted", "me", ["UNKNOWN"])
    again.pass_ms(1)
    assert again.gate.get("desk").state == GateState.ARMED
    assert again.gate.get("strategy:mm").state == GateState.DISARMED


def test_a_desk_may_do_without() -> None:
    desk = reset_desk(strategies_arm_again=False)
    assert "strategy:mm" not in desk.gate.words
