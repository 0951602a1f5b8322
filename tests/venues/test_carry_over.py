"""Orders and positions outlive the journal's files, and a restart reads a bounded part of it."""

from pathlib import Path

import pytest

from base.segments import SegmentSettings
from ipc import frames
from ipc._bus import Outlet
from ipc.events import AnyEvent, Position
from ipc.journal import RECENT_SEGMENTS, Journal, OrderId, read_events, read_recent
from risk.orders import Order, OrderTable
from tests.venues.fakes import Bench
from venues.carry_over import Carrier, restore

SMALL = SegmentSettings(segment_bytes=64 * 1024, retain_bytes=512 * 1024, recycle=True)


class Owner:
    """Orders, positions and their journal, as a trading process keeps them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bench = Bench()
        self.positions = {"ETH-USD": Position("s", "v", "main", "ETH-USD", 12345, 3, 0, 77_000, 2)}
        self.working: list[Order] = []
        self.writings: list[int] = []
        self.journal = Journal(folder, 1, settings=SMALL)
        self.journal.declare("exec.s", 1)
        self.outlet = Outlet(frames.prefix(b"exec.s", 1), self.journal)
        self.carrier = Carrier(self.journal, self._write)

    def record(self, *events: AnyEvent) -> None:
        packed = b"".join(map(frames.encode_event, events))
        self.journal.frame(self.outlet.frame(0, len(events), packed))
        self.outlet.next_seq += len(events)
        self.journal.prepare()
        self.carrier.recorded()

    def _write(self) -> None:
        self.writings.append(self.journal.segment)
        for order in self.working:
            self.record(order.snapshot())
        for position in self.positions.values():
            self.record(position)

    def work(self) -> Order:
        """An order that rests."""
        order = self.bench.place()
        self.bench.report(order, "0", "0", order_qty=100, cum_qty=0, leaves_qty=100)
        self.working.append(order)
        self.record(order.snapshot())
        return order

    def rotate(self, files: int) -> None:
        """A busy time in other orders."""
        until = self.journal.segment + files
        while self.journal.segment < until:
            self.record(self.bench.place().snapshot())

    def restored(self) -> tuple[OrderTable, dict[str, tuple[int, int]], list[OrderId]]:
        table, positions = OrderTable(), {}
        unsaid = restore(self.folder, table, positions)
        return table, positions, unsaid


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path)


@pytest.mark.parametrize("timer", [True, False], ids=["timer in time", "timer late"])
@pytest.mark.parametrize("files", [1, 2, 3, 7, 20])
def test_a_resting_order_and_a_position_outlive_any_number_of_files(owner: Owner, files: int, timer: bool) -> None:
    owner.carrier.begin()
    rests = owner.work()
    for _ in range(files):
        owner.rotate(1)
        if timer:
            owner.carrier.look()
        table, positions, _ = owner.restored()  # as if it died here
        found = table.find(rests.cl_ord_id)
        assert found is not None
        assert (found.state, found.leaves_qty, found.order_id) == (rests.state, 100, rests.order_id)
        assert positions == {"ETH-USD": (12345, 77_000)}
    owner.journal.close()


def test_a_death_inside_a_writing_loses_nothing(owner: Owner) -> None:
    owner.carrier.begin()
    first, last = owner.work(), owner.work()
    owner.rotate(1)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    owner._write = dies  # type: ignore[method-assign]
    owner.carrier = Carrier(owner.journal, dies)
    with pytest.raises(KeyboardInterrupt):
        owner.carrier.begin()
    table, positions, _ = owner.restored()
    assert [o.cl_ord_id for o in table.open()][:2] == [first.cl_ord_id, last.cl_ord_id]
    assert positions == {"ETH-USD": (12345, 77_000)}
    owner.journal.close()


def test_a_restart_reads_no_more_than_the_latest_files_however_long_the_journal_is(owner: Owner) -> None:
    owner.carrier.begin()
    owner.work()
    owner.rotate(RECENT_SEGMENTS - 1)
    bounded = sum(1 for _ in read_recent(owner.folder))
    owner.rotate(20)
    everything = sum(1 for _ in read_events(owner.folder))
    assert sum(1 for _ in read_recent(owner.folder)) <= bounded + bounded // RECENT_SEGMENTS
    assert everything > 2 * bounded
    owner.journal.close()


def test_a_file_is_written_into_once(owner: Owner) -> None:
    owner.carrier.begin()
    owner.work()
    for _ in range(5):
        owner.rotate(1)
        owner.carrier.look()
        owner.carrier.look()
    assert owner.writings == sorted(set(owner.writings))
    assert len(owner.writings) == 6
    owner.journal.close()


def test_what_does_not_fit_a_file_is_not_written_without_end(owner: Owner) -> None:
    for _ in range(1_200):  # more than four files full
        owner.work()
    owner.carrier.begin()
    owner.rotate(1)
    owner.carrier.look()
    assert len(owner.writings) <= 3
    owner.journal.close()


def test_a_command_is_unsaid_until_its_order_is_written(owner: Owner) -> None:
    owner.carrier.begin()
    order = owner.bench.place()
    owner.journal.order_id("client", "1", order.cl_ord_id, 1)
    owner.journal.order_id("client", "2", "X2", 1)
    owner.record(order.snapshot())
    assert [u.cl_ord_id for u in owner.restored()[2]] == ["X2"]
    owner.journal.close()


def test_nothing_is_written_before_what_was_restored_is_in_place(owner: Owner) -> None:
    owner.rotate(5)
    assert owner.writings == []
    owner.carrier.begin()
    assert owner.writings == [owner.journal.segment]
    owner.journal.close()
