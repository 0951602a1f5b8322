"""Processes and host: steps of the clock, journals that stall, and what each figure trips."""

from hypothesis import given
from hypothesis import strategies as st

from base.kill_config import ClockLimit, CpuLimit, HealthConfig, MemoryLimit, StuckLimit
from ipc.health import HostHealth, ProcessHealth
from risk.triggers.health import APART_NS, MINUTE_NS, ClockSteps, HealthRules, JournalStall, Lasting
from risk.triggers.watch import Reading
from tests.risk.triggers.kit import MS, NOW, SECOND, WALL


def test_a_step_of_the_wall_clock_is_the_figure_for_a_minute_either_way() -> None:
    for far in (700 * MS, -700 * MS):
        steps = ClockSteps()
        assert steps.feed(NOW, WALL, NOW) == 0
        assert steps.feed(NOW + SECOND, WALL + SECOND, NOW + SECOND) == 0
        after = NOW + 2 * SECOND
        assert steps.feed(after, WALL + 2 * SECOND + far, after) == abs(far)
        for s in (10, 59):
            assert steps.feed(after + s * SECOND, WALL + (2 + s) * SECOND + far, after + s * SECOND) == abs(far)
        assert steps.feed(after + MINUTE_NS, WALL + 2 * SECOND + MINUTE_NS + far, after + MINUTE_NS) == 0


def test_a_process_held_up_between_its_two_clocks_saw_no_step() -> None:
    steps = ClockSteps()
    steps.feed(NOW, WALL, NOW)
    late = 300 * MS
    assert steps.feed(NOW + SECOND, WALL + SECOND, NOW + SECOND + late) == 0
    assert steps.feed(NOW + 2 * SECOND, WALL + 2 * SECOND, NOW + 2 * SECOND) == 0


@given(st.lists(st.integers(-500, 500), min_size=1, max_size=50))
def test_what_a_time_server_slews_never_adds_up_to_a_step(ppm: list[int]) -> None:
    steps, wall = ClockSteps(), WALL
    for n, rate in enumerate(ppm):
        mono = NOW + n * 100 * MS
        wall += 100 * MS + rate * 100  # 500 ppm are 50 us in 100 ms
        assert steps.feed(mono - APART_NS, wall, mono) <= 2 * 50_000 + 1 or n == 0


def test_a_journal_stalls_when_orders_are_sent_and_no_record_comes() -> None:
    stall = JournalStall()
    assert stall.look(5, 1, 0, 3, NOW) == 0
    assert stall.look(6, 1, 1, 1, NOW + 1) == 0
    quiet = NOW + 2 * SECOND
    assert stall.look(7, 1, 0, 0, quiet) == 0  # one may have been written before, and counted late
    assert stall.look(8, 1, 0, 0, quiet + 1) == 0  # begins
    assert stall.look(8, 1, 0, 0, quiet + 1 + SECOND) == SECOND
    assert stall.look(9, 1, 0, 0, quiet + 1 + 2 * SECOND) == 2 * SECOND
    assert stall.look(9, 1, 0, 1, quiet + 3 * SECOND) == 0


def test_a_quiet_owner_and_a_new_life_of_one_stall_nothing() -> None:
    stall = JournalStall()
    for n in range(20):
        assert stall.look(7, 1, 0, 0, NOW + n * SECOND) == 0
    assert stall.look(9, 2, 0, 0, NOW + 21 * SECOND) == 0
    assert stall.look(9, 2, 0, 0, NOW + 22 * SECOND) == 0


@given(st.lists(st.tuples(st.sampled_from(["write", "count", "report", ""]), st.booleans(), st.integers(0, 3_000))))
def test_an_owner_that_journals_before_it_counts_never_stalls(steps: list[tuple[str, bool, int]]) -> None:
    """Whatever time lies between record and count, and whether it happens before the page was read or after."""
    stall, now = JournalStall(), NOW
    written = counted = 0
    for what, between, wait_ms in steps:
        now += wait_ms * MS
        orders = read = 0
        page = counted
        if what == "write" and written == counted:  # its one thread does one order at a time
            written, orders, read = written + 1, 1, 1
        elif what == "count":
            counted = written
            page = page if between else counted
        elif what == "report":
            read = 1
        assert stall.look(page, 1, orders, read, now) == 0


def test_what_lasts_is_counted_from_when_it_began() -> None:
    lasting = Lasting()
    found = [lasting.look("x", so, NOW + n) for n, so in enumerate((False, True, True, True, False, True))]
    assert found == [0, 0, 1, 2, 0, 0]


def rules(**tables: object) -> HealthRules:
    return HealthRules(HealthConfig(**tables), ["a"])  # type: ignore[arg-type]


def one(readings: list[Reading], figure: str) -> Reading:
    (found,) = [r for r in readings if r.figure == figure]
    return found


def test_a_trading_process_trips_its_own_session_others_only_raise_an_alarm() -> None:
    found = rules().stuck({"a": 6 * SECOND, "md": 6 * SECOND, "gone": None})
    own, other, gone = (one(found, f"no heartbeat of {n}") for n in ("a", "md", "gone"))
    assert (own.scope, own.trips, own.over, own.unit) == ("session:a", True, True, "ms")
    assert (other.scope, other.trips, other.over) == ("host", False, True)
    assert gone.value is None


def test_a_configured_scope_is_tripped_for_every_process() -> None:
    found = rules(stuck=StuckLimit(scope="desk")).stuck({"md": 6 * SECOND})
    assert (found[0].scope, found[0].trips) == ("desk", True)
    alarm = rules(stuck=StuckLimit(action="warn")).stuck({"a": 6 * SECOND})
    assert (alarm[0].scope, alarm[0].trips) == ("session:a", False)


def test_memory_and_processor_are_of_each_process() -> None:
    config = {"memory": MemoryLimit(max_mb=100, action="trip"), "cpu": CpuLimit(max_pct=90)}
    found = rules(**config).processes([ProcessHealth("a", 1, 101, 91), ProcessHealth("md", 2, 50, None)])
    assert [(r.figure, r.over, r.trips) for r in found] == [
        ("memory of a", True, True), ("CPU of a", True, False),
        ("memory of md", False, False), ("CPU of md", False, False),
    ]  # fmt: skip
    assert found[3].value is None
    assert (found[1].rule.n, found[1].rule.m) == (20, 30)


def test_what_is_left_is_a_floor() -> None:
    found = rules().host(HostHealth({"data": 400, "log": 600}, 5_000))
    assert [(r.figure, r.over, r.floor) for r in found] == [
        ("free space, data", True, True), ("free space, log", False, True), ("free memory", False, True),
    ]  # fmt: skip
    assert one(rules().host(HostHealth({})), "free memory").value is None


def test_confirmation_is_that_of_the_figure_or_of_the_table() -> None:
    found = rules(every_ms=500, confirm_n=4, confirm_m=7, clock=ClockLimit(max_step_ms=9))
    (memory, _) = found.processes([ProcessHealth("a", 1, 1, 1)])
    assert (memory.rule.n, memory.rule.m, memory.rule.every_ns) == (4, 7, 500 * MS)
    (clock,) = found.clock(10 * MS)
    assert (clock.rule.hard, clock.over, clock.trips) == (True, True, False)


def test_a_bystander_raises_alarms_and_trips_nothing_whatever_scope_a_limit_has() -> None:
    trip = HealthConfig(
        memory=MemoryLimit(max_mb=1, action="trip", scope="desk"),
        cpu=CpuLimit(max_pct=1, action="trip", scope="desk"),
        stuck=StuckLimit(max_ms=1, scope="desk"),
    )
    rules = HealthRules(trip, ["trd"], ["monitor"])
    for name, trips in (("monitor", False), ("ledger", True), ("trd", True)):
        readings = [*rules.processes([ProcessHealth(name, 1, 9, 99)]), *rules.stuck({name: 9 * SECOND})]
        assert {r.trips for r in readings} == {trips}
        assert {r.scope for r in readings} == {"desk" if trips else "host"}
