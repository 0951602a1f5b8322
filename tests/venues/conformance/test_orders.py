"""Order entry of every dialect: what is declared is done, the rest refused by name, refusals reach their order."""

import string
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.config import Kind
from base.errors import SessionError, VenueError
from ipc.events import CancelReject, ExecutionReport, MassCancelReport
from tests.venues.conformance.cases import CASES, Case
from tests.venues.kit import SECOND, WALL, Heard, Venue
from venues.interface import Replace, SessionPhase


@pytest.fixture(params=CASES, ids=lambda c: c.id)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


class Bench:
    def __init__(self, case: Case) -> None:
        self.case = case
        self.heard = Heard()
        self.session: Any = case.dialect.trading(case.context(Kind.TRADING), self.heard)
        self.venue = Venue(self.session, self.heard, case.ours, case.target(Kind.TRADING))
        self.logon = self.venue.logon()
        self.venue.take()

    @property
    def now(self) -> tuple[int, int]:
        return self.venue.mono, self.venue.wall

    def place(self, **changes: Any) -> Any:
        """Send an order; the message that left."""
        self.id = self.session.make_cl_ord_id(self.venue.wall)
        self.session.new_order(self.case.order(**changes), self.case.instrument, self.id, *self.now)
        return self.venue.take()[-1]

    def report(self, exec_type: str, ord_status: str, more: str = "", cl_ord_id: str = "") -> ExecutionReport:
        """Have the venue report on the order; the event that came of it."""
        self.heard.events.clear()
        i = self.case.instrument
        self.venue.send(
            "8",
            f"11={cl_ord_id or self.id}|37=V1|17=E{self.venue.seq}|150={exec_type}|39={ord_status}|54=1|55={i.symbol}|"
            f"40=2|59=1|{more}",
        )
        return self.heard.one(ExecutionReport)  # type: ignore[no-any-return]


@pytest.fixture
def bench(case: Case) -> Iterator[Bench]:
    made = Bench(case)
    yield made
    made.session.close()


def test_phases_and_numbers_of_a_life(bench: Bench) -> None:
    session, venue = bench.session, bench.venue
    assert session.phase is SessionPhase.READY
    assert (session.numbers()[0] >= 2, session.numbers()[1]) == (True, 2)
    assert venue.mono <= session.deadline_ns < venue.mono + 60 * SECOND
    session.logout("bye", *bench.now)
    assert session.phase is SessionPhase.LOGGING_OUT
    venue.send("5")
    assert bench.heard.disconnects
    session.disconnected("closed", *bench.now)
    assert session.phase is SessionPhase.DISCONNECTED
    assert session.deadline_ns > venue.mono + 365 * 86_400 * SECOND
    assert isinstance(session.counters(), dict)
    with pytest.raises(SessionError):
        session.cancel_order(bench.case.working(), "C1", *bench.now)


def test_a_silent_venue_is_asked_and_then_left(bench: Bench) -> None:
    bench.venue.advance(40 * SECOND)
    assert "1" in [m.msg_type for m in bench.venue.take()]
    bench.venue.advance(60 * SECOND)
    assert bench.heard.disconnects


def test_every_declared_type_and_time_in_force_can_be_sent(bench: Bench, case: Case) -> None:
    claims = case.capabilities
    assert claims.new_types
    sent_types, sent_tifs, refusals = set(), set(), []
    stop_px = 101 * 10**case.instrument.px_scale
    for ord_type in sorted(claims.new_types):
        for tif in sorted(claims.times_in_force):
            more = {"expire_ns": WALL + 3600 * SECOND} if tif == "6" else {}
            side = case.sides.get(ord_type, "1")
            try:
                d = bench.place(ord_type=ord_type, time_in_force=tif, stop_px=stop_px, side=side, **more)
            except VenueError as e:
                refusals.append(str(e))
                continue
            assert d.msg_type == "D"
            assert (d.get_str(11), d.get_str(55), d.get_str(54)) == (bench.id, case.instrument.symbol, side)
            assert d.get_scaled(38, case.instrument.qty_scale) == case.order().order_qty
            sent_types.add(ord_type)
            sent_tifs.add(tif)
    assert sent_types == claims.new_types
    assert sent_tifs == claims.times_in_force
    assert all("time_in_force" in r for r in refusals)


def test_what_is_not_declared_is_refused_by_name_and_nothing_leaves(bench: Bench, case: Case) -> None:
    claims, before = case.capabilities, bench.session.numbers()
    for ord_type in set(string.digits[1:] + string.ascii_uppercase) - claims.new_types:
        with pytest.raises(VenueError, match="ord_type"):
            bench.place(ord_type=ord_type)
    for tif in set("012345679") - claims.times_in_force:
        with pytest.raises(VenueError, match="time_in_force"):
            bench.place(time_in_force=tif)
    with pytest.raises(VenueError, match="options"):
        bench.place(options={"no_such_option": "1"})
    with pytest.raises(VenueError, match="exec_inst"):
        bench.place(exec_inst="no_such_instruction")
    assert bench.venue.take() == []
    assert bench.session.numbers() == before


def test_post_only_is_post_only_everywhere(bench: Bench, case: Case) -> None:
    d = bench.place(exec_inst="post_only")  # ExecInst(18), or a TimeInForce(59)
    assert {"6", "P", "A"} & {*(d.get_str(18) or ""), d.get_str(59)}


def test_numbers_are_sent_exactly(bench: Bench, case: Case) -> None:
    i = case.instrument
    d = bench.place(order_qty=10**i.qty_scale + 1, price=10**i.px_scale * 7 + 1)
    assert d.get_str(38) == i.qty_text(10**i.qty_scale + 1)
    assert d.get_str(44) == i.px_text(10**i.px_scale * 7 + 1)


def test_the_life_of_an_order(bench: Bench, case: Case) -> None:
    bench.place()
    i = case.instrument
    qty = case.order().order_qty
    new = bench.report("0", "0", f"38={i.qty_text(qty)}|44=100|14=0|32=0|151={i.qty_text(qty)}|")
    assert (new.cl_ord_id, new.order_id, new.exec_type, new.ord_status) == (bench.id, "V1", "0", "0")
    assert (new.leaves_qty, new.cum_qty, new.price, new.instrument) == (qty, 0, case.order().price, i.name)
    third = i.qty_text(qty // 3)
    part = bench.report("F", "1", f"31=100|32={third}|14={third}|151={i.qty_text(qty - qty // 3)}|1003=T1|")
    assert (part.last_qty, part.last_px, part.cum_qty, part.trade_id) == (qty // 3, case.order().price, qty // 3, "T1")
    full = bench.report("F", "2", f"31=99|32=1|14={i.qty_text(qty)}|151=0|1003=T2|")
    assert (full.ord_status, full.leaves_qty, full.cum_qty, full.origin) == ("2", 0, qty, "8")
    assert (new.defects, part.defects, full.defects) == ((), (), ())


def test_a_cancel_report_is_of_the_order_whatever_11_says(bench: Bench, case: Case) -> None:
    bench.place()
    first = bench.id
    request_id = bench.session.make_cl_ord_id(bench.venue.wall)
    bench.session.cancel_order(case.working(cl_ord_id=first, order_id="V1"), request_id, *bench.now)
    sent = bench.venue.last("F")
    assert sent.get_str(case.request_tag) == (request_id if case.requests_named else None)
    named = bench.report("4", "4", f"41={first}|14=0|32=0|151=0|", cl_ord_id=request_id)
    assert (named.cl_ord_id, named.request_id) == (first, request_id)
    unnamed = bench.report("4", "4", "14=0|32=0|151=0|", cl_ord_id=request_id)
    assert (unnamed.cl_ord_id, unnamed.request_id) == (first, request_id)


def test_replacing_is_as_declared(bench: Bench, case: Case) -> None:
    how = case.capabilities.replace
    order = case.working()
    qty, price = order.order_qty, case.order().price + 1
    if how is Replace.NONE:
        with pytest.raises(VenueError, match="35=G"):
            bench.session.replace_order(order, "R1", qty, price, None, *bench.now)
        return
    assert bench.session.replace_is_new(order, qty, price, None) is (how is Replace.CANCEL_NEW)
    bench.session.replace_order(order, "R1", qty, price, None, *bench.now)
    (sent,) = bench.venue.take()
    named = "R1" if case.requests_named else None
    assert (sent.get_str(case.request_tag), sent.get_scaled(44, case.instrument.px_scale)) == (named, price)
    if how is Replace.IN_PLACE:
        report = bench.report("5", "0", f"41={order.cl_ord_id}|38=3|14=0|32=0|151=3|", cl_ord_id="R1")
        assert (report.cl_ord_id, report.request_id, report.orig_cl_ord_id) == ("R1", "R1", order.cl_ord_id)


def test_status_requests_are_as_declared(bench: Bench, case: Case) -> None:
    claims = case.capabilities
    try:
        bench.session.order_status(case.working(), "S1", *bench.now)
    except VenueError:
        assert (case.dialect.rest(case.venue, "K", case.password) is not None) is claims.status_request
        return
    assert claims.status_request
    asked = bench.venue.last(case.status_by)
    assert asked.get_str(37 if case.status_by == "H" else 584) == "V1"


def test_mass_cancel_is_as_declared(bench: Bench, case: Case) -> None:
    if not case.capabilities.mass_cancel:
        with pytest.raises(VenueError):
            bench.session.mass_cancel(None, "M1", *bench.now)
        return
    if case.capabilities.mass_cancel_by_instrument:
        bench.session.mass_cancel(case.instrument, "M1", *bench.now)
        q = bench.venue.last("q")
        assert (q.get_str(11), q.get_str(55), q.get(530)) == ("M1", case.instrument.symbol, b"1")
    else:
        with pytest.raises(VenueError, match="35=q"):
            bench.session.mass_cancel(case.instrument, "M1", *bench.now)
    per_instrument = {s.per_instrument for s in case.dialect.cancel_plan(case.venue).steps if "35=q" in s.says}
    try:
        bench.session.mass_cancel(None, "M2", *bench.now)
    except VenueError:
        assert per_instrument == {True}
    else:
        assert per_instrument == {False}
        assert bench.venue.last("q").get(530) in (b"6", b"7")
    if case.capabilities.mass_cancel_report:
        bench.venue.send("r", f"11=M1|530=1|531=1|533=4|55={case.instrument.symbol}|")
        report = bench.heard.one(MassCancelReport)
        assert (report.request_id, report.affected, report.instrument) == ("M1", 4, case.instrument.name)


# --- refusals on each channel


def test_a_session_reject_reaches_order_cancel_and_mass_cancel(bench: Bench, case: Case) -> None:
    seq = bench.place().seq_num
    bench.venue.send("3", f"45={seq}|372=D|373=5|371=38|58=no|")
    refused = bench.heard.one(ExecutionReport)
    assert (refused.cl_ord_id, refused.exec_type, refused.ord_status, refused.origin) == (bench.id, "8", "8", "3")
    bench.heard.events.clear()
    bench.session.cancel_order(case.working(), "C1", *bench.now)
    bench.venue.send("3", f"45={bench.venue.last('F').seq_num}|373=1|58=no|")
    reject = bench.heard.one(CancelReject)
    assert (reject.cl_ord_id, reject.request_id, reject.origin, reject.order_id) == ("A1", "C1", "3", "V1")
    if case.capabilities.mass_cancel:
        bench.heard.events.clear()
        bench.session.mass_cancel(case.mass_target, "M1", *bench.now)
        bench.venue.send("3", f"45={bench.venue.last('q').seq_num}|373=1|58=no|")
        assert bench.heard.one(MassCancelReport).response == "0"


def test_a_session_reject_of_nothing_known_is_told_to_people(bench: Bench) -> None:
    bench.venue.send("3", "45=999|373=5|58=what|")
    assert bench.heard.events == []
    assert bench.heard.codes() == ["rejected"]


def test_a_business_reject_reaches_its_order(bench: Bench, case: Case) -> None:
    if "j" not in case.channels:
        pytest.skip(f"{case.id}: Case.channels has no 35=j")
    bench.place()
    bench.venue.send("j", f"45=0|372=D|379={bench.id}|380=0|58=no funds|")
    refused = bench.heard.one(ExecutionReport)
    assert (refused.cl_ord_id, refused.exec_type, refused.text, refused.origin) == (bench.id, "8", "no funds", "j")


def test_a_refused_status_request_never_passes_for_the_order(bench: Bench, case: Case) -> None:
    if "j" not in case.channels:
        pytest.skip(f"{case.id}: Case.channels has no 35=j")
    bench.place()
    bench.venue.send("j", f"45=0|372=H|379={bench.id}|380=0|58=Duplicate ClOrdID|")
    assert bench.heard.events == []
    bench.venue.send("j", f"45=0|372=H|379={bench.id}|380=1|58=Unknown order|")
    reject = bench.heard.one(CancelReject)
    assert (reject.cl_ord_id, reject.response_to, reject.unknown_order) == (bench.id, "", True)


def test_a_cancel_reject_reaches_its_order(bench: Bench, case: Case) -> None:
    if "9" not in case.channels:
        pytest.skip(f"{case.id}: Case.channels has no 35=9")
    bench.session.cancel_order(case.working(), "C1", *bench.now)
    unknown = "102=1|25016=-2011|58=Unknown order sent.|"
    bench.venue.send("9", f"11=C1|37=V1|434=1|39=8|55={case.instrument.symbol}|{unknown}")
    reject = bench.heard.one(CancelReject)
    assert (reject.cl_ord_id, reject.request_id, reject.unknown_order) == ("A1", "C1", True)


# --- liberal in


def test_a_report_with_nothing_but_a_fill_in_it_is_delivered(bench: Bench) -> None:
    bench.venue.send("8", "150=F|32=1|")
    report = bench.heard.one(ExecutionReport)
    assert (report.exec_type, report.instrument) == ("F", "")
    assert report.defects


def test_a_report_of_an_unknown_symbol_is_delivered_exactly(bench: Bench) -> None:
    bench.venue.send("8", "11=Z|37=9|17=E|150=F|39=2|54=1|55=???|40=2|31=0.125|32=7|14=7|151=0|")
    report = bench.heard.one(ExecutionReport)
    assert (report.instrument, report.venue_symbol, report.px_scale, report.last_px) == ("", "???", 3, 125)
    assert any(d.startswith("55") for d in report.defects)


def test_a_number_too_fine_for_the_scale_is_none(bench: Bench, case: Case) -> None:
    i = case.instrument
    fine = "0." + "0" * i.px_scale + "5"
    bench.venue.send("8", f"11=Z|37=9|17=E|150=F|39=1|54=1|55={i.symbol}|40=2|31={fine}|32=1|14=1|151=1|")
    report = bench.heard.one(ExecutionReport)
    assert (report.last_px, report.last_qty) == (None, 10**i.qty_scale)
    assert any(d.startswith("31") for d in report.defects)


def test_what_the_process_cannot_take_in_does_not_count_as_received(bench: Bench) -> None:
    def full(_: object) -> None:
        raise OSError("journal full")

    bench.heard.event = full  # type: ignore[assignment]
    before = bench.session.numbers()
    with pytest.raises(OSError, match="journal full"):
        bench.venue.send("8", "11=Z|37=9|17=E|150=0|39=0|54=1|55=x|40=2|14=0|32=0|")
    assert bench.session.numbers() == before


_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="|"), min_size=1, max_size=24)
_FIELDS = st.lists(
    st.tuples(
        st.sampled_from((6, 11, 14, 17, 31, 32, 37, 38, 39, 40, 41, 44, 54, 55, 58, 59, 60, 99, 111, 136, 137, 138, 150,
                         151, 1003, 1057, 1102, 1138, 5050, 9999)), _TEXT,
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(fields=_FIELDS)
def test_no_report_is_too_odd_to_be_delivered(case: Case, fields: list[tuple[int, str]]) -> None:
    bench = Bench(case)
    bench.venue.send("8", b"".join(f"{tag}={value}\x01".encode() for tag, value in fields))
    assert len([e for e in bench.heard.events if isinstance(e, ExecutionReport)]) == 1


# --- ids


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(st.integers(-3600 * SECOND, 3600 * SECOND), min_size=1, max_size=40))
def test_ids_are_unique_and_owned_whatever_the_clock_does(case: Case, steps: list[int]) -> None:
    session = Bench(case).session
    wall, made = WALL, []
    for step in steps:
        wall = max(wall + step, 10**18)
        made.append(session.make_cl_ord_id(wall))
    assert len(set(made)) == len(made)
    assert all(session.owns(i) for i in made)
    assert not session.owns("someone-elses")


def test_ids_stay_unique_over_a_restart_with_the_clock_behind(case: Case, tmp_path: Any) -> None:
    made: set[str] = set()
    for step in (0, -600 * SECOND, 5):
        context = case.context(Kind.TRADING)
        context.data_dir = tmp_path / "store"
        session = case.dialect.trading(context, Heard())
        fresh = {session.make_cl_ord_id(WALL + step) for _ in range(50)}
        session.close()
        assert not made & fresh
        made |= fresh


# --- sequence numbers, maintenance


def test_a_gap_is_healed_or_ends_the_connection_as_declared(bench: Bench, case: Case) -> None:
    bench.venue.seq += 2
    bench.venue.send("8", "11=Z|37=9|17=E|150=0|39=0|54=1|55=x|40=2|14=0|32=0|")
    asked = [m for m in bench.venue.take() if m.msg_type == "2"]
    if case.capabilities.resend:
        assert (asked[0].get(7), bench.session.phase) == (b"2", SessionPhase.RECOVERING)
        assert bench.heard.disconnects == []
    else:
        assert asked == []
        assert bench.heard.disconnects


def test_an_order_is_never_sent_twice(bench: Bench, case: Case) -> None:
    if not case.capabilities.resend:
        pytest.skip(f"{case.id}: the venue never asks for anything again")
    bench.place()
    bench.venue.send("2", "7=1|16=0|")
    assert [m.msg_type for m in bench.venue.take()] == ["4"]


def test_maintenance_is_announced_where_declared(bench: Bench, case: Case) -> None:
    if not case.capabilities.planned_moves:
        pytest.skip(f"{case.id}: declares no announcements of maintenance")
    bench.venue.send("B", "148=You'll be disconnected in 90 seconds. Please reconnect.|")
    assert [seconds for seconds, _ in bench.heard.moves] == [90]


def test_drop_copy_is_as_declared(case: Case) -> None:
    heard = Heard()
    if Kind.DROPCOPY not in case.capabilities.kinds:
        with pytest.raises(Exception, match="drop copy"):
            case.dialect.dropcopy(case.context(Kind.DROPCOPY), heard)
        return
    session = case.dialect.dropcopy(case.context(Kind.DROPCOPY), heard)
    venue = Venue(session, heard, case.ours, case.target(Kind.DROPCOPY))
    venue.logon()
    venue.send("8", f"11=Z|37=9|17=E|150=F|39=2|54=1|55={case.instrument.symbol}|40=2|31=1|32=1|14=1|151=0|")
    report = heard.one(ExecutionReport)
    assert (report.drop_copy, report.cl_ord_id, report.last_qty) == (True, "Z", 10**case.instrument.qty_scale)
