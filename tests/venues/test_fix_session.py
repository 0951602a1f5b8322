"""A FIX venue session and its store: numbers proven before orders leave, a power cut, a full disk."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from base.clock import ManualClock
from base.config import Kind
from base.errors import SessionError, TransportError
from base.instruments import Instrument
from base.segment_file import BOOT_WORD, Segment, segment_numbers, segment_path
from base.segments import SegmentSettings
from fix.file_store import FileStore, StoreSettings
from ipc.events import ExecutionReport
from ipc.requests import CancelOrder, NewOrder, ReplaceOrder
from risk.orders import OrderTable
from tests.venues.fakes import FakePort
from tests.venues.kit import SECOND, WALL, Heard, Venue, context
from venues.fix44 import dialect as fix44
from venues.fix_session import PROVING
from venues.fix_trading import FixTradingSession
from venues.interface import SessionPhase, WorkingOrder
from venues.order_entry import OrderEntry

INST = Instrument("v", "BTC-USD", "BTC/USD", 2, 4)
SMALL = StoreSettings(segments=SegmentSettings(segment_bytes=4096, retain_bytes=4 * 4096, recycle=True))


def order(**changes: Any) -> NewOrder:
    fields = {
        "client_id": "c", "command_id": "1", "deadline_ns": 0, "venue": "v", "instrument": "BTC-USD", "side": "1",
        "ord_type": "2", "order_qty": 12_500, "price": 1_000_050,
    }  # fmt: skip
    return NewOrder(**{**fields, **changes})


WORKING = WorkingOrder(
    instrument=INST, cl_ord_id="A1", order_id="X9", side="1", ord_type="2", time_in_force="1", order_qty=12_500,
    price=1_000_050, stop_px=None, leaves_qty=12_500,
)  # fmt: skip


class Bench:
    """A fix44 order-entry session on a store of the test's, and the venue played by hand."""

    def __init__(self, folder: Path) -> None:
        self.heard = Heard()
        given = context("fix44", Kind.TRADING, [INST], "DESK", "VENUE")
        given = msgspec.structs.replace(given, data_dir=folder)
        self.session: FixTradingSession = fix44.DIALECT.trading(given, self.heard)
        self.store: Any = self.session._store
        self.venue = Venue(self.session, self.heard, "DESK", "VENUE")

    def reconnect(self, seq: int = 1) -> None:
        """A new connection that goes on with the numbers: Logon and its answer, numbered `seq`."""
        if self.session.phase is not SessionPhase.DISCONNECTED:
            self.session.disconnected("gone", self.venue.mono, self.venue.wall)
        self.venue.connect()
        self.venue.seq = seq
        self.venue.send("A", "98=0|108=30|")

    def place(self, cl_ord_id: str = "A1") -> None:
        self.session.new_order(order(), INST, cl_ord_id, self.venue.mono, self.venue.wall)

    def answer_test(self) -> None:
        self.venue.send("0", b"112=%s\x01" % self.venue.last("1").get(112))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[[], Bench]]:
    made: list[Bench] = []

    def begin() -> Bench:
        for old in made:
            old.session.close()
        made.append(Bench(tmp_path))
        return made[-1]

    yield begin
    for each in made:
        each.session.close()


def host_went_down(folder: Path) -> None:
    """Make a store that was abandoned look like one that an earlier boot wrote."""
    for number in segment_numbers(folder, "store"):
        segment = Segment.open(segment_path(folder, "store", number), writable=True)
        if segment.begun:
            segment.words[BOOT_WORD] = 12345
        segment.close()


def after_a_power_cut(bench: Callable[[], Bench], folder: Path) -> Bench:
    before = bench()
    before.venue.logon()
    before.place()
    before.store._log.abandon()
    host_went_down(folder)
    after = bench()
    assert after.store.may_be_behind
    return after


# -- numbers that go on --------------------------------------------------------------------------------------


def test_no_order_leaves_after_a_reconnect_before_the_venue_asked_for_what_it_misses(
    bench: Callable[[], Bench],
) -> None:
    b = bench()
    b.venue.logon()
    b.place()
    b.venue.take()
    b.reconnect(seq=2)
    assert b.session.phase is SessionPhase.RECOVERING
    assert b.heard.phases[-1] == (SessionPhase.RECOVERING, PROVING)
    with pytest.raises(SessionError, match="not confirmed"):
        b.place("A2")
    test = b.venue.last("1")
    b.venue.send("2", "7=2|16=0|")  # our order had not arrived
    fill, again = b.venue.take()
    assert (fill.msg_type, fill.seq_num, fill.get(36), test.seq_num) == ("4", 2, b"5", 4)
    assert b.session.phase is SessionPhase.RECOVERING
    # The first TestRequest was filled away with the rest, and need not be answered.
    assert (again.msg_type, again.seq_num) == ("1", 5)
    b.venue.send("0", b"112=%s\x01" % again.get(112))
    assert b.session.phase is SessionPhase.READY
    b.place("A2")
    assert b.venue.last("D").seq_num == 6


def test_cancels_pass_while_the_numbers_are_being_confirmed(bench: Callable[[], Bench]) -> None:
    b = bench()
    b.venue.logon()
    b.place()
    b.reconnect(seq=2)
    b.venue.take()
    b.session.cancel_order(WORKING, "C1", b.venue.mono, b.venue.wall)
    assert b.venue.last("F").get(11) == b"C1"
    with pytest.raises(SessionError, match="35=G refused"):
        b.session.replace_order(WORKING, "R1", 10_000, 1_000_000, None, b.venue.mono, b.venue.wall)


def test_a_venue_that_does_not_confirm_the_numbers_is_left(bench: Callable[[], Bench]) -> None:
    b = bench()
    b.venue.logon()
    b.place()
    b.reconnect(seq=2)
    b.venue.advance(80 * SECOND)
    assert b.session.phase is SessionPhase.LOGGING_OUT
    assert SessionPhase.READY not in [phase for phase, _ in b.heard.phases[2:]]


def test_a_fresh_numbering_needs_no_proof(bench: Callable[[], Bench]) -> None:
    b = bench()
    b.venue.logon()
    assert b.session.phase is SessionPhase.READY
    assert [m.msg_type for m in b.venue.take()] == []


# -- a power cut ---------------------------------------------------------------------------------------------


def test_after_a_power_cut_a_session_is_ready_only_when_the_venue_confirmed_its_numbers(
    bench: Callable[[], Bench], tmp_path: Path
) -> None:
    b = after_a_power_cut(bench, tmp_path)
    b.reconnect(seq=2)
    assert b.session.phase is SessionPhase.RECOVERING
    assert b.store.may_be_behind
    with pytest.raises(SessionError, match="not confirmed"):
        b.place("A2")
    b.answer_test()
    assert b.session.phase is SessionPhase.READY
    assert not b.store.may_be_behind
    b.place("A2")


def test_after_a_power_cut_what_the_venue_sent_meanwhile_is_had_first(
    bench: Callable[[], Bench], tmp_path: Path
) -> None:
    b = after_a_power_cut(bench, tmp_path)
    b.reconnect(seq=4)  # 2 and 3 were read, and the power cut took that back
    assert b.venue.last("2").get(7) == b"2"
    b.session.tick(b.venue.mono, b.venue.wall)
    b.venue.seq = 5
    b.venue.send("0", "112=QD-1|")
    assert b.session.phase is SessionPhase.RECOVERING
    assert b.store.may_be_behind
    b.venue.seq = 2
    b.venue.send("4", "123=Y|36=6|", header=b"43=Y\x01122=20260407-14:32:05.000\x01")
    assert b.session.phase is SessionPhase.READY
    assert not b.store.may_be_behind


def test_after_a_power_cut_a_number_that_is_too_low_leads_to_a_fresh_numbering(
    bench: Callable[[], Bench], tmp_path: Path
) -> None:
    b = after_a_power_cut(bench, tmp_path)
    b.venue.connect()
    b.venue.seq = 2
    b.venue.send("5", "58=MsgSeqNum too low, expecting 9 but received 3|")
    assert b.heard.disconnects
    assert SessionPhase.READY not in [phase for phase, _ in b.heard.phases]
    b.session.disconnected("gone", b.venue.mono, b.venue.wall)
    assert b.store.may_be_behind
    logon = b.venue.logon()
    assert (logon.get(141), logon.seq_num) == (b"Y", 1)
    assert b.session.phase is SessionPhase.READY
    assert not b.store.may_be_behind


# -- a full disk, a connection that is gone ------------------------------------------------------------------


@pytest.fixture
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A logged-on session whose store has only the space left that was set aside."""
    room = [True]

    def reserve(fd: int, size: int) -> None:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")

    store = FileStore(tmp_path, WALL, SMALL, reserve=reserve)
    monkeypatch.setattr(fix44, "open_store", lambda _: store)
    b = Bench(tmp_path)
    b.venue.logon()
    b.place("A0")
    room[0] = False
    while not store.full:
        b.venue.send("0")
    b.venue.take()
    yield b
    b.session.close()


def test_a_full_store_stops_new_orders_and_replaces(full_disk: Bench) -> None:
    b = full_disk
    with pytest.raises(SessionError, match="store is full"):
        b.place()
    with pytest.raises(SessionError, match="store is full"):
        b.session.replace_order(WORKING, "R1", 10_000, 1_000_000, None, b.venue.mono, b.venue.wall)
    assert b.venue.take() == []


def test_a_full_store_lets_cancels_and_reports_pass_for_as_long_as_it_takes(full_disk: Bench) -> None:
    b = full_disk
    for n in range(200):  # several times what was set aside: the oldest segment makes room
        b.session.cancel_order(WORKING, f"C{n}", b.venue.mono, b.venue.wall)
        assert b.venue.last("F").get_str(11) == f"C{n}"
        b.venue.send("8", f"11=C{n}|41=A1|37=X9|17=E{n}|150=6|39=6|54=1|55=BTC/USD|14=0|151=1|38=1|")
    reports = [e.exec_id for e in b.heard.events if isinstance(e, ExecutionReport)]
    assert reports == [f"E{n}" for n in range(200)]
    assert b.session.phase is SessionPhase.READY
    assert b.store.full


def test_order_entry_on_a_full_store_refuses_new_orders_with_the_reason_and_goes_on_cancelling(
    full_disk: Bench,
) -> None:
    b = full_disk
    clock, table, port = ManualClock(), OrderTable(), FakePort()
    capabilities = fix44.DIALECT.capabilities(context("fix44", Kind.TRADING, [INST], "DESK", "VENUE").venue)
    entry = OrderEntry("s", "main", capabilities, [INST], table, port, clock)
    entry.session, entry.ready_reason = b.session, ""
    refused = entry.handle(order())
    assert not refused.accepted
    assert "store is full" in refused.reason
    assert [o.state for o in table] == ["REJECTED"]
    old = next(iter(table))
    working = msgspec.structs.replace(old, cl_ord_id="A0", ids=["A0"], state="NEW", order_id="X9", leaves_qty=12_500)
    table.add(working)
    assert "store is full" in entry.handle(ReplaceOrder("c", "2", 0, "A0", 10_000, price=1_000_000)).reason
    assert working.state == "NEW"
    assert entry.handle(CancelOrder("c", "3", 0, "A0")).accepted
    assert b.venue.last("F").get(41) == b"A0"


def test_what_cannot_be_written_is_refused_and_its_number_is_filled_later(bench: Callable[[], Bench]) -> None:
    b = bench()
    b.venue.logon()

    def gone(_: bytes) -> None:
        raise TransportError("write while closing")

    b.session._fix._write = gone
    with pytest.raises(SessionError, match="not sent: write while closing"):
        b.place()
    assert b.session.numbers()[0] == 3


def test_upkeep_makes_the_next_segment_before_it_is_needed(bench: Callable[[], Bench], tmp_path: Path) -> None:
    b = bench()
    while b.session.upkeep():
        pass
    assert len(segment_numbers(tmp_path, "store")) == 2
    b.session.sync()
