"""Coinbase Derivatives: what is sent, what is made of what comes back, and the replay by ExecID (F1 to F5)."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.config import Kind, RestConfig, SessionConfig, VenueConfig
from base.errors import ConfigError, SessionError, VenueError
from base.instruments import Contract, Instrument
from fix.codec import parse_utc_ns
from fix.dictionary import Checks
from ipc.events import CancelReject, ExecutionReport
from ipc.requests import NewOrder
from tests.venues.conformance.cases import CASES
from tests.venues.conformance.recovery_live import AtVenue, LiveDesk
from tests.venues.conformance.test_live import Bench
from tests.venues.kit import SECOND, WALL, Heard, Venue, context
from venues.coinbase_derivatives.replay import ANSWER_NS, TRIES
from venues.dictionaries import venue_dictionary
from venues.interface import Disconnect, OpenOrders, SessionPhase, WorkingOrder
from venues.registry import dialect

NAME = "coinbase_derivatives"
D = dialect(NAME)
EUM = Instrument("cde", "EUR-USD-20260619", "EUM20", 5, 0, contract=Contract(10_000, 0))
OPTIONS: dict[str, Any] = {"account": "C123", "trader": "smithj", "cti_code": "4"}
DATA = Path(os.environ.get("QUARTERDECK_DATA", Path(__file__).parents[3] / "shared" / "data"))
SAMPLES = DATA / "fix" / "coinbase-derivatives.fix"
TAGS = {
    "Account": 1, "ClOrdID": 11, "Symbol": 55, "SecurityType": 167, "OrderQty": 38, "OrdType": 40, "Price": 44,
    "Side": 54, "TimeInForce": 59, "TransactTime": 60, "PositionEffect": 77, "CustomerOrFirm": 204,
    "OrderCapacity": 528, "ManualOrderIndicator": 1028, "CustOrderHandlingInst": 1031, "SelfMatchPreventionID": 7928,
    "SelfMatchPreventionStrategy": 8000, "CTICode": 582, "OrderID": 37, "OrigClOrdID": 41, "SenderSubID": 50,
    "TargetSubID": 57, "SenderCompID": 49, "TargetCompID": 56,
}  # fmt: skip


class Played:
    def __init__(self, kind: Kind = Kind.TRADING, data_dir: Path = Path(), **options: Any) -> None:
        self.heard = Heard()
        ctx = context(
            NAME, kind, [EUM], "EBR123", "COIND", venue_options=OPTIONS | options, username="joe", password="pw"
        )
        ctx.data_dir = data_dir
        maker = D.trading if kind is Kind.TRADING else D.dropcopy
        self.session: Any = maker(ctx, self.heard)
        self.venue = Venue(self.session, self.heard, "EBR123", "COIND")

    @property
    def now(self) -> tuple[int, int]:
        return self.venue.mono, self.venue.wall

    def report(self, exec_id: str, body: str = "", header: bytes = b"") -> None:
        fields = f"17={exec_id}|37=5038|11=A1|150=0|39=0|54=1|55=EUM20|40=2|38=3|14=0|151=3|{body}"
        self.venue.send("8", fields, header=header)

    def reconnect(self) -> list[str]:
        """Lose the connection and log on again, numbers beginning anew; MsgTypes that left."""
        self.session.disconnected("gone", *self.now)
        self.session.reset_numbers(1, 1, "test", self.venue.wall)
        self.venue.connect()
        self.venue.send("A", "98=0|108=30|")
        return [m.msg_type for m in self.venue.take()]


@pytest.fixture
def played() -> Played:
    made = Played()
    made.venue.logon()
    made.venue.take()
    return made


def order(**changes: Any) -> NewOrder:
    fields = {
        "client_id": "c", "command_id": "1", "deadline_ns": 0, "venue": "cde", "instrument": EUM.name, "side": "1",
        "ord_type": "2", "order_qty": 100, "price": 110_317, "time_in_force": "0",
    }  # fmt: skip
    return NewOrder(**{**fields, **changes})


def working(**changes: Any) -> WorkingOrder:
    fields = {
        "instrument": EUM, "cl_ord_id": "A1", "order_id": "5038", "side": "1", "ord_type": "2", "time_in_force": "0",
        "order_qty": 100, "price": 110_317, "stop_px": None, "leaves_qty": 100,
    }  # fmt: skip
    return WorkingOrder(**{**fields, **changes})


def printed(msg_type: str) -> dict[int, str]:
    """A sample of the venue's pages, which print names in place of numbers."""
    if not SAMPLES.exists():
        pytest.skip(f"no wire samples at {SAMPLES}")
    line = next(x for x in SAMPLES.read_text().splitlines() if x.startswith("#~") and f"MsgType={msg_type} " in x)
    pairs = (p.partition("=") for p in line.removeprefix("#~ ").split(" | "))
    return {TAGS[name]: value for name, _, value in pairs if name in TAGS and value}


def sent(p: Played, msg_type: str) -> dict[int, str]:
    message = p.venue.last(msg_type)
    assert venue_dictionary(NAME, "FIX.4.4").faults(message.raw, Checks()) == []
    skipped = (8, 9, 35, 34, 52, 10)
    fields = {t: v.decode() for t, v in message.fields() if t not in skipped}
    assert re.fullmatch(r"\d{8}-\d\d:\d\d:\d\d\.\d{6}", fields[60])
    return fields


def test_orders_and_cancels_are_those_of_the_documentation() -> None:
    want_d, want_f = printed("D"), printed("F")
    p = Played(
        environment="TEST", order_capacity="A", manual=True, customer_or_firm="0", smp_id="12347565", smp_mode="N"
    )
    p.venue.logon()
    p.venue.take()
    wanted = order(options={"position_effect": "O"})
    p.session.new_order(wanted, EUM, want_d[11], p.venue.mono, parse_utc_ns(want_d[60].encode()))
    assert sent(p, "D") == want_d | {60: want_d[60] + "000"}
    target = working(cl_ord_id=want_f[41], order_id=want_f[37])
    p.session.cancel_order(target, want_f[11], p.venue.mono, parse_utc_ns(want_f[60].encode()))
    assert sent(p, "F") == want_f | {60: want_f[60] + "000"}


def test_the_logon_has_plain_credentials_and_sub_ids_and_micros() -> None:
    logon = Played(on_behalf_of="ann").venue.connect()
    assert [logon.get_str(t) for t in (553, 554, 50, 57, 116, 108)] == ["joe", "pw", "smithj", "PROD", "ann", "30"]
    assert len(logon.get_str(52) or "") == len("20260407-14:32:05.000000")


def test_a_replace_says_every_term_again(played: Played) -> None:
    target = working(ord_type="4", stop_px=110_400, time_in_force="6", expire_ns=WALL + 86_400 * SECOND)
    played.session.replace_order(target, "R1", 50, 110_318, 110_401, *played.now)
    g = sent(played, "G")
    want = {37: "5038", 41: "A1", 11: "R1", 38: "50", 44: "1.10318", 99: "1.10401", 59: "6", 432: "20260408", 40: "4"}
    assert {t: g[t] for t in want} == want


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ord_type": "P"}, "ord_type"),
        ({"time_in_force": "7"}, "time_in_force"),
        ({"time_in_force": "6"}, "expire_ns"),
        ({"display_qty": 1}, "display_qty"),
        ({"options": {"leverage": "1"}}, "options"),
        ({"options": {"min_qty": "1"}}, "min_qty"),
        ({"options": {"stop_limit_px": "1"}}, "stop_limit_px"),
        ({"options": {"position_effect": "X"}}, "position_effect"),
        ({"ord_type": "O", "stop_px": 110_000}, "price < stop_px"),
        ({"ord_type": "O", "stop_px": 110_400, "time_in_force": "3"}, "time_in_force"),
        ({"ord_type": "O", "stop_px": 110_400, "exec_inst": "post_only"}, "post-only"),
        ({"ord_type": "3"}, "stop_px"),
    ],
)
def test_what_the_venue_cannot_do_is_named_and_nothing_is_sent(
    played: Played, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(VenueError, match=named):
        played.session.new_order(order(**changes), EUM, "A1", *played.now)
    assert played.venue.take() == []


def test_cancels_and_replaces_need_the_order_id_and_a_replace_something_left(played: Played) -> None:
    nameless = working(order_id="")
    with pytest.raises(VenueError, match="OrderID"):
        played.session.cancel_order(nameless, "C1", *played.now)
    with pytest.raises(VenueError, match="OrderID"):
        played.session.replace_order(nameless, "R1", 1, 1, None, *played.now)
    with pytest.raises(VenueError, match="not above what is filled"):
        played.session.replace_order(working(cum_qty=5), "R1", 5, 1, None, *played.now)
    for asks in (played.session.order_status, lambda *a: played.session.mass_cancel(None, *a[1:])):
        with pytest.raises(VenueError, match="has no"):
            asks(working(), "S1", *played.now)
    tenths = Instrument("cde", "X-USD-20260619", "XM26", 2, 1)
    with pytest.raises(VenueError, match="whole number"):
        played.session.new_order(order(order_qty=15), tenths, "A1", *played.now)


@pytest.mark.parametrize(
    ("said", "exec_type", "ord_status"),
    [
        ("150=5|39=5|14=0|151=3|", "5", "0"), ("150=5|39=5|14=1|151=2|", "5", "1"),
        ("150=L|39=0|14=0|151=3|", "L", "0"), ("150=3|39=3|14=0|151=3|", "3", "0"),
        ("150=C|39=C|14=0|151=0|", "C", "C"), ("150=4|39=4|378=100|14=0|151=0|", "4", "4"),
        ("150=8|39=8|103=6|58=dup|14=0|151=0|", "8", "8"), ("150=H|39=1|880=T1|14=1|151=2|", "H", "1"),
        ("150=F|39=1|880=T1|1057=Y|31=1.1|32=1|14=1|151=2|", "F", "1"),
    ],
)  # fmt: skip
def test_every_exec_type_is_read(played: Played, said: str, exec_type: str, ord_status: str) -> None:
    played.venue.send("8", f"17=9|37=5038|11=A1|54=1|55=EUM20|40=2|38=3|{said}")
    report = played.heard.one(ExecutionReport)
    assert (report.exec_type, report.ord_status, report.defects) == (exec_type, ord_status, ())
    reason = {"378=100": "100", "103=6": "6"}
    assert report.reason_code == next((v for k, v in reason.items() if k in said), "")
    assert report.trade_id == ("T1" if "880" in said else "")
    assert report.liquidity == ("T" if "1057=Y" in said else "")


def test_a_cancel_reject_that_names_nothing_is_of_the_order_that_was_asked_about(played: Played) -> None:
    played.session.cancel_order(working(), "C1", *played.now)
    played.venue.send("9", "1=C123|11=C1|37=0|39=U|41=0|55=EUM20|58=unknown|102=1|434=1|")
    reject = played.heard.one(CancelReject)
    assert (reject.cl_ord_id, reject.order_id, reject.unknown_order) == ("A1", "5038", True)


def test_a_business_reject_reaches_its_order(played: Played) -> None:
    played.session.new_order(order(), EUM, "A1", *played.now)
    played.venue.send("j", "45=0|372=D|379=A1|380=0|58=no funds|")
    report = played.heard.one(ExecutionReport)
    assert (report.cl_ord_id, report.exec_type, report.origin, report.text) == ("A1", "8", "j", "no funds")


# --- F1 to F5, by hand


def test_a_first_logon_takes_the_venues_last_id_for_its_mark_and_is_ready_meanwhile() -> None:
    p = Played()
    p.venue.logon()
    assert (p.session.phase, [m.msg_type for m in p.venue.take()]) == (SessionPhase.READY, ["F1"])
    p.venue.send("F2", "45=2|17=900|")
    assert p.session.counters()["breaks"] == 1  # what was before is not known
    assert p.reconnect() == ["F1"]
    assert p.session.phase is SessionPhase.RECOVERING
    p.venue.send("F2", "45=2|17=900|")
    assert (p.session.phase, p.session.counters()["breaks"]) == (SessionPhase.READY, 1)


def test_what_came_since_is_replayed_before_orders_may_leave(played: Played) -> None:
    played.report("E1")
    assert "F1" in played.reconnect()
    with pytest.raises(SessionError, match="F1 to F5"):
        played.session.new_order(order(), EUM, "A2", *played.now)
    played.session.cancel_order(working(), "C1", *played.now)  # a cancel never waits
    played.venue.take()
    played.venue.send("F2", "45=2|17=E3|")
    assert played.venue.last("F3").get_str(22003) == "E1"
    played.heard.events.clear()
    played.report("E4")  # live, between those that are had again
    for exec_id in ("E1", "E2", "E3"):
        played.report(exec_id, header=b"97=Y\x01")
        assert played.session.phase is SessionPhase.RECOVERING
    played.venue.send("F4", "45=3|22005=3|")
    assert played.session.phase is SessionPhase.READY
    assert [(e.exec_id, e.poss_resend) for e in played.heard.events] == [
        ("E4", False), ("E1", True), ("E2", True), ("E3", True),
    ]  # fmt: skip
    assert (played.session.counters()["replayed"], played.session.counters()["breaks"]) == (3, 1)
    played.reconnect()
    played.venue.send("F2", "45=2|17=E4|")
    assert played.session.phase is SessionPhase.READY  # E4 is the mark now


def test_a_connection_lost_in_the_replay_begins_again_from_the_old_mark(played: Played) -> None:
    played.report("E1")
    played.reconnect()
    played.venue.send("F2", "45=2|17=E3|")
    played.report("E4")
    played.report("E2", header=b"97=Y\x01")
    played.reconnect()
    played.venue.send("F2", "45=2|17=E4|")
    assert played.venue.last("F3").get_str(22003) == "E1"


@pytest.mark.parametrize("reason", ["3", "4", "5"])
def test_a_refusal_that_may_pass_is_asked_again_and_given_up_in_the_end(played: Played, reason: str) -> None:
    played.report("E1")
    played.reconnect()
    for n in range(TRIES):
        played.venue.send("F2", "45=2|17=E3|")
        assert [m.msg_type for m in played.venue.take() if m.msg_type[0] == "F"] == ["F3"]
        assert played.session.phase is SessionPhase.RECOVERING
        played.venue.send("F5", f"45=3|22006={reason}|58=later|")
        if n < TRIES - 1:
            played.venue.advance(2 * SECOND)
            assert "F1" in [m.msg_type for m in played.venue.take()]
    assert played.session.phase is SessionPhase.READY
    assert played.heard.codes() == ["replay"] * TRIES
    assert played.heard.alerts[-1][0] == "critical"
    assert played.session.counters()["breaks"] == 2


def test_one_that_will_not_pass_and_silence_are_critical_at_once(played: Played) -> None:
    played.report("E1")
    played.reconnect()
    played.venue.send("F2", "45=2|17=E3|")
    played.venue.send("F5", "45=3|22006=1|58=too small|")
    assert (played.session.phase, played.heard.alerts[-1][:2]) == (SessionPhase.READY, ("critical", "replay"))
    assert "E1" in played.heard.alerts[-1][2]
    played.report("E5")
    played.reconnect()
    for _ in range(int(ANSWER_NS // (20 * SECOND)) + 1):
        played.venue.advance(20 * SECOND)
        played.venue.send("0")
    assert (played.session.phase, played.heard.alerts[-1][:2]) == (SessionPhase.READY, ("critical", "replay"))


def test_the_mark_outlives_the_process(tmp_path: Path) -> None:
    first = Played(data_dir=tmp_path)
    first.venue.logon()
    first.report("E1")
    first.session.disconnected("gone", *first.now)
    first.session.close()
    second = Played(data_dir=tmp_path)
    second.venue.connect()
    second.venue.seq = 3
    second.venue.send("A", "98=0|108=30|")
    second.venue.send("F2", "45=2|17=E2|")
    assert second.venue.last("F3").get_str(22003) == "E1"
    second.session.close()


def test_drop_copy_is_replayed_too_and_replays_can_be_left_out() -> None:
    copy = Played(Kind.DROPCOPY)
    copy.venue.logon()
    assert "F1" in [m.msg_type for m in copy.venue.take()]
    copy.report("E1")
    assert copy.heard.one(ExecutionReport).drop_copy
    plain = Played(replay=False)
    plain.venue.logon()
    assert [m.msg_type for m in plain.venue.take()] == []
    assert "breaks" not in plain.session.counters()


# --- claims and configuration


def test_claims_and_plan() -> None:
    for said, means in (("unknown", Disconnect.UNKNOWN), ("none", Disconnect.KEEPS), ("day_orders", "unknown")):
        venue = VenueConfig(dialect=NAME, instruments=[], options={**OPTIONS, "cancel_on_disconnect": said})
        claims, plan = D.capabilities(venue), D.cancel_plan(venue)
        assert (claims.disconnect, claims.open_orders, claims.levels) == (means, OpenOrders.REPLAY, frozenset())
        assert ("owner_disconnect" in [s.action for s in plan.steps]) is (said == "day_orders")


@pytest.mark.parametrize(
    ("options", "session", "named"),
    [
        ({"cti_code": ""}, {}, "cti_code"),
        ({"account": "X" * 17}, {}, "account"),
        ({"smp_id": "123"}, {}, "smp_id"),
        ({"no_such": "1"}, {}, "no_such"),
        ({}, {"sender_comp_id": "DESK"}, "sender_comp_id"),
        ({}, {"target_comp_id": "CB"}, "target_comp_id"),
        ({}, {"heartbeat_s": 90}, "heartbeat_s"),
        ({}, {"kind": Kind.MARKETDATA}, "market data"),
    ],
)
def test_a_wrong_setting_is_named(options: dict[str, Any], session: dict[str, Any], named: str) -> None:
    good: dict[str, Any] = {
        "venue": "v", "kind": Kind.TRADING, "address": "x:1", "sender_comp_id": "EBR123", "target_comp_id": "COIND",
    }  # fmt: skip
    venue = VenueConfig(dialect=NAME, instruments=[], options=OPTIONS)
    D.check(venue, {"s": SessionConfig(**good)}, "venue.v")
    changed = VenueConfig(dialect=NAME, instruments=[], options=OPTIONS | options)
    with pytest.raises(ConfigError, match=named):
        D.check(changed, {"s": SessionConfig(**good | session)}, "venue.v")
    with_rest = VenueConfig(dialect=NAME, instruments=[], options=OPTIONS, rest=RestConfig(address="https://x"))
    with pytest.raises(ConfigError, match="rest"):
        D.check(with_rest, {}, "venue.v")


# --- against the simulated venue


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    case = next(c for c in CASES if c.name == NAME)
    made = Bench(case, tmp_path, **getattr(request, "param", {}))
    yield made
    made.close()


@pytest.mark.e2e
@pytest.mark.parametrize("anew", [False, True], ids=["numbers-go-on", "numbers-begin-anew"])
def test_what_became_of_orders_while_away_is_replayed_each_fill_once(bench: Bench, anew: bool) -> None:
    desk, venue = LiveDesk(bench, rest=False), AtVenue(bench)
    desk.connect()
    kept, filled, partly, cancelled, expired, shrunk = (desk.place() for _ in range(6))
    desk.drop()
    venue.fill(filled, 1)
    venue.fill(filled, 2)
    venue.fill(partly, 1)
    venue.cancel(cancelled)
    venue.expire(expired)
    venue.shrink(shrunk, 2)
    if anew:
        venue.do(lambda: bench.running.venue.rollover(0))
        desk.session.reset_numbers(1, 1, "weekly reset", desk.clock.wall_ns())
    desk.connect()
    assert [o.state for o in (kept, filled, partly, cancelled, expired, shrunk)] == [
        "NEW", "FILLED", "PARTIALLY_FILLED", "CANCELED", "EXPIRED", "NEW",
    ]  # fmt: skip
    assert [qty for _, qty in desk.fills(filled)] == [1, 2]
    assert [qty for _, qty in desk.fills(partly)] == [1]
    assert (shrunk.order_qty, sum(desk.port.fills), desk.alerts) == (2, 4, [])
    assert desk.entry.handle(desk.case.order()).accepted


@pytest.mark.e2e
@pytest.mark.parametrize("bench", [{"replay_answer": "too_small"}], indirect=True)
def test_where_the_replay_is_refused_orders_in_doubt_stay_so(bench: Bench) -> None:
    desk, venue = LiveDesk(bench, rest=False), AtVenue(bench)
    desk.connect()
    kept, filled = desk.place(), desk.place()
    desk.drop()
    bench.running.fault("lost_report", n=10)
    venue.fill(filled, 3)
    desk.connect()
    assert [kept.state, filled.state] == ["UNCERTAIN", "UNCERTAIN"]
    assert any("stay UNCERTAIN" in text for text in desk.alerts)


@pytest.mark.e2e
@pytest.mark.parametrize("bench", [{"cancel_on_disconnect": True}], indirect=True)
def test_a_lost_connection_cancels_day_orders_alone_where_it_is_set_up(bench: Bench) -> None:
    desk = LiveDesk(bench, rest=False)
    desk.connect()
    day, lasting = desk.place(time_in_force="0"), desk.place(time_in_force="1")
    desk.drop()
    desk.connect()
    assert (day.state, lasting.state) == ("CANCELED", "NEW")


@pytest.mark.e2e
def test_busts_come_on_drop_copy_alone(bench: Bench) -> None:
    _, copy = bench.dropcopy()
    desk, venue = LiveDesk(bench, rest=False), AtVenue(bench)
    desk.connect()
    order = desk.place()
    venue.fill(order, 1)
    fill = copy.report(order.cl_ord_id, "F")
    told = int(fill.trade_id)
    venue.do(lambda: bench.running.venue.bust(venue.order(order), fill.exec_id, 1, fill.last_px, told))
    bust = copy.report(order.cl_ord_id, "H")
    assert (bust.exec_ref_id, bust.trade_id, bust.cum_qty) == (fill.exec_id, fill.trade_id, 0)
    desk.until(lambda: order.cum_qty == 1, "filled")
    assert not [e for e in desk.heard.events if getattr(e, "exec_type", "") == "H"]
