"""Orders and positions outlive the journal's files, and a restart reads a bounded part of it."""

from pathlib import Path

import pytest

from base.segments import EVERYTHING, HELD_TIMES, SegmentReader, SegmentSettings
from ipc import frames
from ipc._bus import Outlet
from ipc.events import AnyEvent, Position
from ipc.journal import NAME, Journal, OrderId, read_events
from ipc.journal_restart import read_restart
from ipc.sequence import Gap
from risk.order import Order
from risk.orders import OrderTable
from tests.stress.killing import no_room
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

    def rotate_bare(self, files: int) -> None:
        """The same, and nobody writes anything again."""
        until = self.journal.segment + files
        while self.journal.segment < until:
            event = self.bench.place().snapshot()
            self.journal.frame(self.outlet.frame(0, 1, frames.encode_event(event)))
            self.outlet.next_seq += 1
            self.journal.prepare()

    def reopen(self) -> None:
        """The next life of the process, as far as the journal goes."""
        self.journal = Journal(self.folder, 1, settings=SMALL)
        self.outlet = Outlet(frames.prefix(b"exec.s", self.outlet.next_seq + 1), self.journal)

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


@pytest.mark.parametrize("lives", [3, 15])
def test_lives_that_die_while_writing_again_never_push_the_last_complete_writing_out(owner: Owner, lives: int) -> None:
    """Each of them fills files with a part of a writing; retention would have dropped the complete one long ago."""
    owner.carrier.begin()
    rests = owner.work()
    owner.rotate(1)
    owner.carrier.look()
    held = owner.journal.carry()
    owner.rotate_bare(1)
    for _ in range(lives):

        def dies() -> None:
            owner.rotate_bare(1)
            raise KeyboardInterrupt

        carrier = Carrier(owner.journal, dies)
        with pytest.raises(KeyboardInterrupt):
            carrier.begin()
        owner.journal.close()
        owner.reopen()
        assert owner.journal.carry() == held
        assert SegmentReader(owner.folder, NAME).first_number() <= held
    table, positions, _ = owner.restored()
    assert table.find(rests.cl_ord_id) is not None
    assert positions == {"ETH-USD": (12345, 77_000)}
    owner.carrier = Carrier(owner.journal, owner._write)
    owner.carrier.begin()
    owner.rotate(12)
    size = sum(f.stat().st_size for f in owner.folder.glob("journal-*.seg"))
    assert size <= SMALL.retain_bytes, "what was held is given up once a newer writing is complete"
    assert owner.restored()[0].find(rests.cl_ord_id) is not None
    owner.journal.close()


def test_even_what_is_held_is_bounded(owner: Owner, caplog: pytest.LogCaptureFixture) -> None:
    owner.carrier.begin()
    owner.carrier = Carrier(owner.journal, lambda: None)  # nobody writes again
    owner.rotate_bare(40)
    size = sum(f.stat().st_size for f in owner.folder.glob("journal-*.seg"))
    assert size <= HELD_TIMES * SMALL.retain_bytes
    assert "dropped though it was held" in caplog.text
    owner.journal.close()


def test_an_older_build_s_journal_is_read_whole_and_nothing_of_it_is_dropped_before_it_is_written_again(
    owner: Owner,
) -> None:
    owner.journal._writer.hold = EVERYTHING  # no writing was ever marked, nothing is held
    owner.rotate_bare(12)
    assert SegmentReader(owner.folder, NAME).first_number() > 1
    rests = owner.work()
    owner.journal.close()
    owner.reopen()
    assert owner.journal.carry() == 0
    oldest = SegmentReader(owner.folder, NAME).first_number()
    carrier = owner.carrier = Carrier(owner.journal, owner._write)
    owner.rotate_bare(6)
    assert SegmentReader(owner.folder, NAME).first_number() == oldest
    events = [d.event for d in read_events(owner.folder) if not isinstance(d.event, Gap)]
    assert list(read_restart(owner.folder, NAME)) == events
    carrier.begin()
    assert owner.journal.carry() == owner.journal.segment
    owner.rotate(1)
    assert SegmentReader(owner.folder, NAME).first_number() > oldest
    assert owner.restored()[0].find(rests.cl_ord_id) is not None
    owner.journal.close()


def test_on_a_full_disk_the_writing_comes_before_its_forerunner_has_to_make_room(tmp_path: Path) -> None:
    """Two files are all there is: each new one takes the place of the one before, which holds the newest writing."""
    owner = Owner(tmp_path)
    owner.carrier.begin()
    rests = owner.work()
    owner.journal._writer._reserve = no_room
    for _ in range(5):
        owner.rotate(1)  # the timer is late
        assert owner.restored()[0].find(rests.cl_ord_id) is not None
        assert owner.restored()[1] == {"ETH-USD": (12345, 77_000)}
    assert owner.journal.full
    assert len(list(tmp_path.glob("journal-*.seg"))) <= 3
    owner.journal.close()


def test_a_restart_reads_no_more_than_the_latest_files_however_long_the_journal_is(owner: Owner) -> None:
    owner.carrier.begin()
    owner.work()
    owner.rotate(3)
    bounded = sum(1 for _ in read_restart(owner.folder, NAME))
    owner.rotate(20)
    everything = sum(1 for _ in read_events(owner.folder))
    assert sum(1 for _ in read_restart(owner.folder, NAME)) <= bounded + bounded // 3
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
