"""The view of a desk: what it says of every part, and what it says when it does not know."""

import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from base.config import DeskConfig
from ipc import events as e
from ipc import frames
from ipc.alarm_files import STATE, Alarm, Stored, alarm_folder, encode_stored
from ipc.alert_spool import AlertSpool
from ipc.gate import GateState, GateWord, GateWriter
from ipc.journal import Journal
from ipc.readiness import Readiness, StatusPage
from ipc.sequence import Gap
from ipc.view.eyes import Eyes
from ipc.view.model import DeskModel
from ipc.view.orders import FINISHED_KEPT, FIRST_KEPT, LAST_KEPT
from ipc.view.sessions import Rate
from ipc.view.structs import View
from tests.ipc.view_kit import MONO, TRD, WALL, S, dead, hear, order, report, session, view_desk, well


@pytest.fixture
def desk(tmp_path: Path) -> DeskConfig:
    return view_desk(tmp_path)


@pytest.fixture
def model(desk: DeskConfig) -> DeskModel:
    """Of a desk that is well."""
    made = DeskModel(desk)
    made.see(well(desk))
    hear(made, *(session(n) for n in desk.config.session), topic="state.x")
    return made


def seen(model: DeskModel) -> View:
    return model.view(MONO, WALL)


# -- the state in one word -----------------------------------------------------------------------------------------


def test_a_desk_that_is_well_is_ready_and_has_no_problem(model: DeskModel) -> None:
    view = seen(model)
    assert (view.desk.state, view.desk.severity, view.desk.problems, view.desk.armed) == ("READY", "ok", (), True)
    assert (view.desk.sessions_ready, view.desk.books_live) == (view.desk.sessions_total, view.desk.books_total)
    assert view.desk.lease_ms == 200


def test_a_view_goes_through_json_and_back(model: DeskModel) -> None:
    hear(model, order("1"), report("1"), order("2", "FILLED"))
    view = seen(model)
    assert msgspec.json.decode(msgspec.json.encode(view), type=View) == view


def test_nothing_that_runs_is_down_whatever_else_is_wrong(desk: DeskConfig) -> None:
    view = seen(DeskModel(desk))
    assert (view.desk.state, view.desk.severity, view.desk.armed) == ("DOWN", "critical", False)
    assert view.desk.reason == "no process of this desk runs"


@pytest.mark.parametrize(
    ("gate", "state", "says"),
    [
        ({"lease_mono_ns": MONO - S}, "LAPSED", "lapsed 1.0 s ago"),
        ({"lease_mono_ns": 0}, "LAPSED", "no kill switch ever held the lease"),
        ({"operator_word": "stop it"}, "TRIPPED", "operator's word closes the desk: stop it"),
        ({"state": "TRIPPED", "scopes": {"desk": GateWord(4, GateState.TRIPPED)}}, "TRIPPED", "desk is TRIPPED"),
        ({"scopes": {"venue:kraken": GateWord(4, GateState.TRIPPING)}}, "TRIPPING", "venue:kraken is TRIPPING"),
        ({"state": "DISARMED", "scopes": {"desk": GateWord(4, GateState.DISARMED)}}, "DISARMED", "desk is DISARMED"),
        ({"state": "MISSING", "lease_mono_ns": 0, "fault": "gone"}, "LAPSED", "the gate cannot be read"),
    ],
    ids=["lapsed", "never", "word", "desk", "venue", "disarmed", "missing"],
)
def test_what_closes_the_gate_is_the_state(desk: DeskConfig, gate: dict[str, object], state: str, says: str) -> None:
    model, sight = DeskModel(desk), well(desk)
    model.see(replace(sight, gate=replace(sight.gate, **gate)))
    view = seen(model)
    assert (view.desk.state, view.desk.severity) == (state, "critical")
    assert says in view.desk.reason


def test_the_worst_problem_comes_first_and_all_are_said(model: DeskModel, desk: DeskConfig) -> None:
    sight = dead(dead(well(desk), "kraken-md"), TRD)
    books = (replace(sight.books[0], status="STALE", reason="GAP"), *sight.books[1:])
    model.see(replace(sight, books=books))
    view = seen(model)
    assert view.desk.state == "DEGRADED"
    assert view.desk.severity == "critical"  # a process that owns orders is gone
    assert view.desk.reason.startswith(f"{TRD} DEAD: silent")
    assert [p.split(" ")[0] for p in view.desk.problems] == [TRD, "kraken-md", "book"]


def test_processes_of_two_builds_are_named(model: DeskModel, desk: DeskConfig) -> None:
    sight = well(desk)
    odd = replace(sight.processes[3], build="b2")
    model.see(replace(sight, processes=(*sight.processes[:3], odd, *sight.processes[4:])))
    view = seen(model)
    assert [p.name for p in view.processes if p.disagrees] == [odd.name]
    assert view.desk.builds == ("b1", "b2")
    assert f"{odd.name} runs another build" in view.desk.reason


def test_a_warning_that_waits_is_said_beside_ready_and_a_critical_one_is_a_state(model: DeskModel) -> None:
    alarm = Alarm(1, "book-l2", "late", "", "warning", "slow", WALL, WALL)
    model.alarms([alarm])
    assert (seen(model).desk.state, seen(model).desk.severity) == ("READY", "warning")
    model.alarms([msgspec.structs.replace(alarm, severity="critical")])
    assert (seen(model).desk.state, seen(model).desk.alarms_critical) == ("DEGRADED", 1)
    model.alarms([msgspec.structs.replace(alarm, severity="critical", acked_ns=WALL, acked_by="x")])
    assert (seen(model).desk.state, seen(model).desk.alarms_waiting) == ("READY", 0)


# -- parts -----------------------------------------------------------------------------------------------------------


def test_a_session_has_its_numbers_rates_and_round_trips(model: DeskModel) -> None:
    hear(model, session(out=10, into=20), topic="state.x", mono_ns=MONO)
    hear(model, session(out=30, into=120, orders=7, refused=2, rejects=1, test_round_trips=1, test_last_us=850),
         topic="state.x", mono_ns=MONO + 2 * S)  # fmt: skip
    hear(model, order("1", "PENDING_NEW"), report("1"), report("9", "8"))
    part = next(s for s in model.view(MONO + 2 * S, WALL).sessions if s.name == TRD)
    assert (part.next_out, part.next_in, part.out_per_s, part.in_per_s) == (30, 120, "10.0", "50.0")
    assert (part.orders_sent, part.refused, part.rejects, part.order_rejects) == (7, 2, 1, 1)
    assert (part.test.count, part.test.last_us) == (1, 850)
    assert (part.order.count, part.order.last_us) == (1, 2_000)


def test_a_dead_process_leaves_its_session_down_and_its_orders_unknown(model: DeskModel, desk: DeskConfig) -> None:
    hear(model, order("1"))
    model.see(dead(well(desk), TRD))
    view = seen(model)
    part = next(s for s in view.sessions if s.name == TRD)
    assert (part.state, part.known, part.unknown_ns) == ("DOWN", False, WALL - 3 * S)
    assert "last said READY" in part.reason
    assert [o.known for o in view.open_orders] == [False]
    assert any(x.source == TRD and x.severity == "critical" and "DEAD" in x.text for x in view.events)


def test_a_session_that_nothing_was_heard_of_is_unknown_not_ready(desk: DeskConfig) -> None:
    model = DeskModel(desk)
    model.see(well(desk))
    assert {s.state for s in seen(model).sessions} == {"UNKNOWN"}
    assert not model.heard_all()


def test_a_rate_begins_anew_when_its_count_falls_and_ends_when_nothing_comes() -> None:
    rate = Rate()
    for at, count in ((1, 100), (2, 110), (3, 5), (4, 25)):
        rate.add(at * S, count)
    assert rate.text(4 * S) == "20.0"
    assert rate.text(60 * S) == ""


def test_a_book_has_spread_and_age_and_no_price_unless_it_is_live(model: DeskModel, desk: DeskConfig) -> None:
    sight = well(desk)
    part = seen(model).books[0]
    assert (part.bid_px, part.ask_px, part.spread_ticks, part.age_ms) == ("60000", "60000.3", 3, 12)
    assert part.spread_bps == "0.05"
    model.see(replace(sight, books=(replace(sight.books[0], status="STALE", reason="GAP"), *sight.books[1:])))
    part = seen(model).books[0]
    assert (part.status, part.reason, part.bid_px, part.ask_qty, part.spread_ticks) == ("STALE", "GAP", "", "", None)


def test_a_book_is_taken_from_where_its_source_event_says(model: DeskModel) -> None:
    first = seen(model).books[0]
    hear(model, e.BookSource(first.venue, first.instrument, first.level, "other-md", first.source, "GAP", WALL),
         topic="state.book-l2")  # fmt: skip
    assert seen(model).books[0].source == "other-md"


def test_an_orders_life_has_its_events_in_order_each_once(model: DeskModel) -> None:
    states = [order("1", "PENDING_NEW"), order("1", since_ns=WALL + 1), order("1", since_ns=WALL + 1)]
    fill = report("1", "F", last_qty=1_000_000, last_px=600_005, recv_ns=WALL + 3, liquidity="M")
    refused = e.CancelReject(TRD, "kraken", "BTC-USD", "1", "2", "V1", "1", "", "too late", "9", WALL + 4)
    hear(model, states[0], fill, *states[1:], refused)
    life = model.life("kraken", "1", WALL)
    assert life is not None
    assert [m.text.split(" ")[0] for m in life.events] == ["PENDING_NEW", "NEW", "trade", "cancel"]
    assert "0.01 BTC-USD at 60000.5 (maker)" in life.events[2].text
    assert (life.order.side, life.order.price, life.order.order_qty) == ("buy", "60000.5", "0.5")


def test_orders_that_ended_and_moments_of_a_life_are_bounded(model: DeskModel) -> None:
    hear(model, order("open"))
    for i in range(FINISHED_KEPT + 20):
        hear(model, order(f"f{i}"), order(f"f{i}", "FILLED", since_ns=WALL + i))
    for i in range(FIRST_KEPT + LAST_KEPT + 30):
        hear(model, order("open", cum_qty=i, since_ns=WALL + i))
    view, life = model.view(MONO, WALL, orders=10_000), model.life("kraken", "open", WALL)
    assert len(view.finished_orders) == FINISHED_KEPT
    assert view.finished_orders[0].cl_ord_id == f"f{FINISHED_KEPT + 19}"
    assert model.life("kraken", "f0", WALL) is None
    assert life is not None
    assert (len(life.events), life.dropped) == (FIRST_KEPT + LAST_KEPT, 30)
    assert view.desk.orders_open == 1


def test_an_uncertain_order_is_first_and_a_problem(model: DeskModel) -> None:
    hear(model, order("1", "UNCERTAIN", since_ns=WALL - S), order("2"))
    view = seen(model)
    assert [o.cl_ord_id for o in view.open_orders] == ["1", "2"]
    assert view.desk.reason == "1 order is UNCERTAIN"


def test_why_a_scope_is_shut_is_told_by_an_event_of_the_same_generation(model: DeskModel, desk: DeskConfig) -> None:
    sight = well(desk)
    words = {**sight.gate.scopes, "venue:kraken": GateWord(5, GateState.TRIPPED)}
    model.see(replace(sight, gate=replace(sight.gate, scopes=words)))
    told = e.KillState("venue:kraken", "TRIPPED", 4, "an old reason", "operator", WALL, 0, 0, 0)
    hear(model, told, topic="kill")
    assert seen(model).kill.scopes[1].reason == ""
    hear(model, replace(told, generation=5, reason="too many rejects", working=2), topic="kill")
    scope = seen(model).kill.scopes[1]
    assert (scope.scope, scope.reason, scope.working) == ("venue:kraken", "too many rejects", 2)
    assert "too many rejects, 2 orders not proven dead" in seen(model).desk.reason
    model.kill_status({"scopes": [{"scope": "venue:kraken", "generation": 4, "reason": "asked before the trip"}]})
    assert seen(model).kill.scopes[1].reason == "too many rejects"


def test_without_an_answer_the_latch_tells_why(model: DeskModel, desk: DeskConfig) -> None:
    sight = well(desk)
    model.see(replace(sight, gate=replace(sight.gate, scopes={"desk": GateWord(9, GateState.TRIPPED)})))
    model.kill_status("nobody listens")
    model.kill_latch({"scopes": {"desk": {"generation": 9, "reason": "by hand", "cause": "operator", "since_ns": WALL}},
                      "last_trip": {"trip_id": "t1", "scopes": ["desk"], "proven": 3, "orders": 4}})  # fmt: skip
    kill = seen(model).kill
    assert (kill.answers, kill.fault, kill.scopes[0].reason) == (False, "nobody listens", "by hand")
    assert kill.trip is not None
    assert (kill.trip.trip_id, kill.trip.proven, kill.trip.orders) == ("t1", 3, 4)


def test_limits_that_trip_or_are_near_come_first_and_stay_with_their_time_when_nobody_answers(model: DeskModel) -> None:
    row = {"figure": "x", "unit": "", "value": "1", "limit": "2", "limit_is": "most", "state": "ok", "when": ""}
    model.limits({"limits": [
        {**row, "scope": "host", "percent": 40, "does": "alarms"}, {**row, "scope": "a", "percent": 3, "does": "trips"},
        {**row, "scope": "b", "percent": 20, "does": "trips"}, {**row, "scope": "c", "percent": 80, "does": "alarms"},
    ]}, WALL)  # fmt: skip
    assert [x.scope for x in seen(model).limits] == ["c", "b", "a", "host"]
    model.limits("no answer", WALL + S)
    view = seen(model)
    assert (len(view.limits), view.limits_ns, view.limits_fault) == (4, WALL, "no answer")


def test_a_position_that_is_told_by_nobody_any_more_says_so(model: DeskModel, desk: DeskConfig) -> None:
    hear(model, e.Position(TRD, "kraken", "main", "BTC-USD", -250_000_000, 8, WALL, 600_000, 1, 100_000_000))
    hear(model, e.Balance(TRD, "kraken", "main", "USD", "10.5", "9", "1.5", "", WALL))
    model.see(dead(well(desk), TRD))
    part = seen(model).positions[0]
    assert (part.position, part.opening, part.mark_px, part.known) == ("-2.5", "1", "60000", False)
    assert seen(model).balances[0].total == "10.5"


# -- what happened -------------------------------------------------------------------------------------------------


def test_events_stand_by_their_time_and_repeats_are_none(model: DeskModel) -> None:
    before = len(seen(model).events)
    alert = e.Alert(TRD, "warning", "late", "slow", WALL + 5)
    hear(model, session(), session(), alert, e.Alert(TRD, "info", "late", "over", WALL + 2), topic="x")
    found = seen(model).events
    assert len(found) == before + 2
    assert [x.ts_ns for x in found] == sorted(x.ts_ns for x in found)
    assert (found[-1].text, found[-1].severity) == ("late: slow", "warning")


def test_the_flow_of_orders_does_not_push_out_what_matters(model: DeskModel) -> None:
    hear(model, e.Alert(TRD, "critical", "odd", "look here", WALL - S), topic="alert.x")
    for i in range(1_000):
        hear(model, report("1", "F", last_qty=1, last_px=1, recv_ns=WALL + i))
    found = seen(model).events
    assert len([x for x in found if x.kind == "ExecutionReport"]) == 200
    assert any(x.text == "odd: look here" for x in found)


def test_what_the_bus_lost_is_said(model: DeskModel) -> None:
    hear(model, Gap("hole", 4, 9), Gap("start", 1, 4), topic="kill")
    assert "5 events of the bus were lost here" in seen(model).reading


# -- eyes: real files ------------------------------------------------------------------------------------------------


def test_eyes_see_a_desk_that_never_ran(desk: DeskConfig) -> None:
    with Eyes(desk) as eyes:
        eyes.settle(2.0, time.sleep)
        view = eyes.view()
    assert view.desk.state == "DOWN"
    assert {p.readiness for p in view.processes} == {"DEAD"}
    assert not view.kill.answers
    assert not desk.shm_dir.exists()  # who looks on makes nothing


def test_eyes_see_orders_of_dead_processes_and_what_was_written_down(desk: DeskConfig) -> None:
    journal, topic = Journal(desk.data_dir / TRD, WALL), f"exec.{TRD}"
    journal.declare(topic, 1)
    for i, event in enumerate((order("1", "PENDING_NEW"), report("1"), order("1"), order("2", "REJECTED"))):
        journal.frame(frames.frame(frames.prefix(topic.encode(), 1), i + 1, WALL, 1, frames.encode_event(event)))
    journal.close()
    (desk.shm_dir / "proc").mkdir(parents=True)
    page = StatusPage(desk.shm_dir / "proc" / TRD, TRD, kind="trading", build="b", config="c", wall_ns=WALL)
    page.set(Readiness.READY, "", WALL)
    page.beat(1)  # long ago
    gate = GateWriter(desk.shm_dir / "gate", desk.shm_dir / "operator")
    gate.close(["desk"], GateState.TRIPPED)
    AlertSpool(desk.shm_dir, "kraken-md").put(e.Alert("kraken-md", "critical", "gap", "a hole", WALL))
    alarm_folder(desk.data_dir).mkdir(parents=True)
    stored = Stored(1, 2, [Alarm(1, "kraken-md", "gap", "", "critical", "a hole", WALL, WALL)], {})
    (alarm_folder(desk.data_dir) / STATE).write_bytes(encode_stored(stored))
    with Eyes(desk, metered=False) as eyes:
        eyes.settle(2.0, time.sleep)
        view, life = eyes.view(), eyes.life("kraken", "1")
    assert [(o.cl_ord_id, o.state, o.known) for o in view.open_orders] == [("1", "NEW", False)]
    assert [o.cl_ord_id for o in view.finished_orders] == ["2"]
    assert life is not None
    assert [m.what for m in life.events] == ["OrderState", "OrderState", "ExecutionReport"]
    assert view.kill.scopes[0].state == "TRIPPED"
    assert view.alarms[0].number == 1
    assert any(x.text == "gap: a hole" for x in view.events)
    assert view.reading == ()
