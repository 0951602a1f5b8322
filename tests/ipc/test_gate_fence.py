"""An owner answers every generation: unsent orders go first, then the fence stands, then orders are cancelled."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import BusError
from ipc.bell import Bell, Ringer, bell_path
from ipc.fence import FenceKeeper, lease_duty
from ipc.gate import DRILL_SCOPE, GateReader, GateState, GateWriter, set_operator_word
from ipc.readiness import StatusPage, read_status

NOW = 1_000_000_000_000


class Owner:
    """A keeper whose steps are written down in order."""

    def __init__(self, tmp_path: Path) -> None:
        self.writer = GateWriter(tmp_path / "gate", tmp_path / "operator")
        self.writer.set("desk", GateState.ARMED)
        self.writer.renew(NOW, 10**18)
        self.gate = GateReader(tmp_path / "gate", tmp_path / "operator", ["session:a"])
        self.page = tmp_path / "page"
        self.steps: list[str] = []
        self.keeper = FenceKeeper(
            self.gate,
            StatusPage(self.page, "a"),
            drop_unsent=lambda: self.note("drop"),
            cancel_working=lambda: self.note("cancel"),
            ring_back=lambda: self.note("ring"),
        )

    def note(self, step: str) -> None:
        self.steps.append(f"{step}@{read_status(self.page).fence}")


def test_the_fence_stands_only_after_unsent_orders_were_dropped(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    assert owner.keeper.look()  # a start answers the generation it finds
    owner.steps.clear()
    generation = owner.writer.close(["session:a"])
    assert owner.keeper.look()
    assert owner.steps == [f"drop@{generation - 1}", f"ring@{generation}", f"cancel@{generation}"]
    assert not owner.keeper.look()


def test_a_drill_is_answered_and_costs_no_connection(tmp_path: Path) -> None:
    """Dropping what is unsent cuts the connection where bytes of orders are on their way: a drill must not."""
    owner = Owner(tmp_path)
    owner.keeper.look()
    owner.steps.clear()
    generation = owner.writer.close([DRILL_SCOPE])
    assert owner.keeper.look()
    assert owner.steps == [f"ring@{generation}", f"cancel@{generation}"]
    assert owner.gate.closed_reason(NOW) == ""
    owner.writer.set(DRILL_SCOPE, GateState.ARMED)
    owner.steps.clear()
    owner.writer.close(["desk"])
    assert owner.keeper.look()
    assert owner.steps[0] == f"drop@{generation}"


def test_a_trip_that_was_not_answered_before_a_drill_is_answered_with_it(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.keeper.look()
    owner.steps.clear()
    owner.writer.close(["session:a"])
    owner.writer.close([DRILL_SCOPE])
    assert owner.keeper.look()
    assert owner.steps[0].startswith("drop@")


def test_an_operator_word_with_a_drill_drops_what_is_unsent(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.keeper.look()
    owner.steps.clear()
    owner.writer.close([DRILL_SCOPE])
    set_operator_word(tmp_path / "operator", "now", 1)
    assert owner.keeper.look()
    assert owner.steps[0].startswith("drop@")


def test_an_owner_that_started_before_the_kill_switch_answers_it(tmp_path: Path) -> None:
    gate = GateReader(tmp_path / "gate", tmp_path / "operator", ["session:a"])
    page = StatusPage(tmp_path / "page", "a")
    nothing = lambda: None  # noqa: E731
    keeper = FenceKeeper(gate, page, drop_unsent=nothing, cancel_working=nothing, ring_back=nothing)
    keeper.look()
    writer = GateWriter(tmp_path / "gate", tmp_path / "operator")
    generation = writer.close(["desk"])
    assert keeper.look()
    assert read_status(tmp_path / "page").fence == generation


def test_the_operator_word_is_answered_without_a_generation(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.keeper.look()
    owner.steps.clear()
    set_operator_word(tmp_path / "operator", "now", 1)
    assert owner.keeper.look()
    assert [s.partition("@")[0] for s in owner.steps] == ["drop", "ring", "cancel"]
    assert not owner.keeper.look()
    owner.writer.clear_operator()
    assert not owner.keeper.look()
    set_operator_word(tmp_path / "operator", "again", 2)
    assert owner.keeper.look()


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.sampled_from(["close", "look", "reset"]), max_size=12))
def test_the_fence_never_runs_ahead_and_ends_up_level(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    owner = Owner(tmp_path_factory.mktemp("o"))
    for step in [*steps, "look"]:
        if step == "close":
            owner.writer.close(["desk"])
        elif step == "reset":
            owner.writer.set("desk", GateState.ARMED)
        else:
            owner.keeper.look()
        assert read_status(owner.page).fence <= owner.writer.generation
    assert read_status(owner.page).fence == owner.writer.generation


def test_lease_duty_pauses_then_cancels(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.writer.renew(NOW, 500_000_000)
    assert lease_duty(owner.gate, NOW, 10) == "fresh"
    assert lease_duty(owner.gate, NOW + 600_000_000, 10) == "paused"
    assert lease_duty(owner.gate, NOW + 10_600_000_000, 10) == "cancel"
    owner.writer.renew(NOW + 10_700_000_000, 500_000_000)
    assert lease_duty(owner.gate, NOW + 10_700_000_000, 10) == "fresh"


def test_a_bell_is_heard_by_who_hangs_it_now(tmp_path: Path) -> None:
    path = bell_path(tmp_path, "a")
    ringer = Ringer()
    assert not ringer.ring(path)
    bell = Bell(path)
    assert bell.drain() == 0
    assert ringer.ring(path)
    assert ringer.ring(path)
    assert bell.drain() == 2
    bell.close()
    assert not ringer.ring(path)
    again = Bell(path)  # a restarted process
    assert ringer.ring(path)
    assert again.drain() == 1
    again.close()
    ringer.close()


def test_ringing_a_full_bell_does_not_block(tmp_path: Path) -> None:
    bell, ringer = Bell(tmp_path / "b"), Ringer()
    for _ in range(5000):
        assert ringer.ring(tmp_path / "b")
    assert 0 < bell.drain() < 5000
    bell.close()
    ringer.close()


def test_a_path_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(BusError, match="107 bytes"):
        Bell(tmp_path / ("x" * 120))
