"""Progress is watched, not only liveness: states end in time, and what is late is told once, again, or cut."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.transport_types import Limits
from fix.settings import Role, SessionSettings
from ipc.events import CancelReject
from ipc.requests import CancelOrder, ReplaceOrder, StatusOrder
from tests.venues.conformance.test_marketdata import LEVELS, Bench, Case
from tests.venues.fakes import Bench as Entry
from tests.venues.kit import SECOND
from venues.fix_marketdata import REFERENCE_NS, STARVED_NS
from venues.recovery import ANSWER_AFTER_NS
from venues.subscriptions import SNAPSHOT_NS
from venues.watch import DEADLINES, Act, Deadline, Watch

PAGE = (Path(__file__).parents[2] / "docs" / "reconnects.md").read_text()
T = 10**15


def test_a_state_that_ends_in_time_is_not_late() -> None:
    watch = Watch()
    watch.only("logging on", T)
    assert watch.deadline_ns == T + 30 * SECOND
    watch.only("recovering", T + 29 * SECOND)
    assert watch.late(T + 31 * SECOND) == []
    watch.only("", T + 40 * SECOND)
    assert watch.late(T + 10**12) == []


def test_what_is_cut_is_said_once_and_what_is_told_is_told_again() -> None:
    watch = Watch({"a": Deadline(10, Act.CUT, "a"), "b": Deadline(10, Act.TELL, "b")})
    watch.hold("a", T)
    watch.hold("b", T)
    found = [late.state for now in range(T, T + 45) for late in watch.late(now)]
    assert found == ["a", "b", "b", "b", "b"]


def test_a_state_that_is_said_again_with_the_same_time_does_not_begin_anew() -> None:
    watch = Watch({"a": Deadline(10, Act.CUT, "a")})
    for now in range(T, T + 20):
        watch.hold("a", T)
        assert bool(watch.late(now)) is (now == T + 10)
    watch.hold("a", T + 20)
    assert watch.deadline_ns == T + 30


@given(st.lists(st.tuples(st.sampled_from(["", *DEADLINES]), st.integers(0, 50 * SECOND)), max_size=40))
def test_no_state_outlasts_its_deadline_unsaid(history: list[tuple[str, int]]) -> None:
    watch, now, state, since, said = Watch(), T, "", T, T
    for entered, lasts in history:
        if entered != state:
            state, since, said = entered, now, now
        watch.only(state, now)
        now += lasts
        late = watch.late(now)
        assert all(found.state == state for found in late)
        if late:
            said = now
        elif state and DEADLINES[state].act is Act.TELL:
            assert now - said < DEADLINES[state].after_ns
        elif state and said == since:
            assert now - since < DEADLINES[state].after_ns


# -- orders that nobody answers --------------------------------------------------------------------------------------


def test_the_first_order_request_that_no_answer_followed_is_remembered() -> None:
    bench = Entry()
    assert bench.entry.asked_ns == 0
    first = bench.clock.mono_ns()
    order = bench.place()
    bench.clock.advance(SECOND)
    bench.place()
    assert bench.entry.asked_ns == first
    bench.report(order, "0", "0")
    assert bench.entry.asked_ns == 0
    bench.clock.advance(SECOND)
    bench.entry.handle(StatusOrder("c", "q", 0, order.cl_ord_id))
    assert bench.entry.asked_ns == 0, "a status request may be answered with nothing"
    assert bench.entry.handle(ReplaceOrder("c", "r", 0, order.cl_ord_id, 200)).accepted
    assert bench.entry.asked_ns == bench.clock.mono_ns()
    bench.entry.event(CancelReject("s", "v", "BTC-USD", order.cl_ord_id, "id3", "", "2", "3", "no", "9", 0))
    assert bench.entry.asked_ns == 0
    bench.entry.handle(CancelOrder("c", "x", 0, order.cl_ord_id))
    assert bench.entry.asked_ns
    bench.entry.lost_session("gone")
    assert bench.entry.asked_ns == 0


def test_orders_that_nobody_answers_are_told_after_ten_seconds_and_end_the_connection_after_thirty() -> None:
    bench, watch = Entry(), Watch()
    bench.place()
    seen = []
    for second in range(60):
        for state in ("unanswered", "silent"):
            watch.hold(state, bench.entry.asked_ns)
        seen += [(second, late.act) for late in watch.late(bench.clock.mono_ns())]
        bench.clock.advance(SECOND)
    assert [s for s, act in seen if act is Act.TELL] == [10, 20, 30, 40, 50]
    assert [s for s, act in seen if act is Act.CUT] == [30]


# -- subscriptions without a snapshot --------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "level"), LEVELS[:3], ids=lambda x: str(getattr(x, "id", x)))
def test_a_session_that_heartbeats_and_sends_no_snapshot_is_asked_again_and_then_left(case: Case, level: int) -> None:
    bench = Bench(case, level)
    bench.venue.take()
    asked = 0
    for _ in range(14):
        bench.venue.advance(10 * SECOND)
        bench.venue.send("0")
        asked += sum(m.msg_type == "V" for m in bench.venue.take())
        if bench.heard.disconnects:
            break
    assert bench.heard.disconnects == ["no snapshot for 120 s, though the session lives"]
    assert asked >= 5
    assert bench.heard.codes().count("no_snapshot") >= 5


@pytest.mark.parametrize(("case", "level"), LEVELS[:3], ids=lambda x: str(getattr(x, "id", x)))
def test_a_session_that_sent_its_snapshot_may_be_silent(case: Case, level: int) -> None:
    bench = Bench(case, level)
    bench.snapshot(bench.subscription.get_str(262))
    for _ in range(20):
        bench.venue.advance(10 * SECOND)
        bench.venue.send("0")
    assert bench.heard.disconnects == []


# -- the page --------------------------------------------------------------------------------------------------------


def test_the_page_has_every_deadline() -> None:
    limits = Limits()
    settings = SessionSettings(name="s", role=Role.INITIATOR, sender_comp_id="A", target_comp_id="B")
    wanted = {state: deadline.after_ns for state, deadline in DEADLINES.items()} | {
        "resolving": limits.resolve_ns,
        "connecting": limits.connect_ns,
        "TLS handshake": limits.handshake_ns,
        "LOGON_SENT": settings.logon_timeout_ns,
        "LOGOUT_SENT": settings.logout_timeout_ns,
        "DISCONNECTING": settings.logout_timeout_ns,
        "gap open": settings.gap_timeout_ns,
        "reference data awaited": REFERENCE_NS,
        "snapshot awaited": SNAPSHOT_NS,
        "starved": STARVED_NS,
        "order unanswered": ANSWER_AFTER_NS,
    }
    rows = [line.split("|")[1:3] for line in PAGE.splitlines() if line.startswith("| ")]
    said = {state.strip(): after.strip() for state, after in (row for row in rows if len(row) == 2)}
    for state, after_ns in wanted.items():
        assert said.get(state) == f"{after_ns // SECOND} s", state
