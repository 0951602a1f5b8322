"""What the venue tells again after a kill is told once, however many of the journal's files lie between."""

from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from base.segments import SegmentReader, SegmentSettings
from ipc import frames
from ipc.events import AnyEvent, ExecutionReport
from ipc.journal import NAME, Journal, read_events
from ipc.told import Told
from risk.orders import OrderTable
from tests.venues.fakes import Bench, FakePort
from venues.carry_over import Carrier, restore
from venues.order_entry import OrderEntry

SMALL = SegmentSettings(segment_bytes=4 * 1024, retain_bytes=1 << 20, recycle=True)


class Life(FakePort):
    """A trading process's order entry and journal, from its start to the instant at which it is gone."""

    def __init__(self, folder: Path, epoch: int, settings: SegmentSettings = SMALL) -> None:
        super().__init__()
        self.folder, self.epoch = folder, epoch
        self.journal = Journal(folder, epoch, settings=settings)
        self.head, self.seq = frames.prefix(b"exec.s", epoch), 1
        self.told = Told()
        self.carrier = Carrier(self.journal, self.write_again, self.told)
        self.bench = Bench()
        self.table, self.bench.port = OrderTable(), self
        restore(folder, self.table, {}, told=self.told)
        old = self.bench.entry
        self.bench.table = self.table
        self.bench.entry = OrderEntry(
            "s", "main", old.capabilities, list(old.instruments.values()), self.table, self, self.bench.clock,
            told=self.told,
        )  # fmt: skip
        self.bench.entry.session, self.bench.entry.ready_reason = self.bench.session, ""
        self.bench.session._n = 1000 * epoch
        self.carrier.begin()

    def record(self, *events: AnyEvent) -> None:
        packed = b"".join(map(frames.encode_event, events))
        self.journal.frame(frames.frame(self.head, self.seq, 0, len(events), packed))
        self.seq += len(events)
        self.carrier.recorded()

    def write_again(self) -> None:
        for order in self.table.open():
            self.record(order.snapshot(whole=True))

    def die(self) -> None:
        """What is in the kernel's hands stays; the lock goes."""
        self.journal._reader.close()
        self.journal._writer.abandon()

    def rests(self, orders: int) -> None:
        """So many orders work at the venue."""
        for _ in range(orders):
            order = self.bench.place()
            self.bench.report(order, "0", "0", exec_id=f"E-{order.cl_ord_id}", order_qty=100, cum_qty=0, leaves_qty=100)

    def next_life(self) -> "Life":
        self.die()
        return Life(self.folder, self.epoch + 1, self.journal._writer.settings)


def reports(folder: Path) -> list[str]:
    return [d.event.exec_id for d in read_events(folder) if isinstance(d.event, ExecutionReport)]


FILL = {"exec_id": "FILL", "last_qty": 100, "last_px": 500, "cum_qty": 100, "leaves_qty": 0}


@pytest.mark.parametrize("ended", [True, False], ids=["an order that ended", "an order that works"])
@pytest.mark.parametrize("deaths", [1, 3, 5])
def test_a_report_not_counted_at_a_death_is_not_journalled_again_after_writings_longer_than_a_file(
    tmp_path: Path, deaths: int, ended: bool
) -> None:
    life = Life(tmp_path, 1)
    life.rests(80)
    order = life.table.open()[7]
    last = ("F", "2") if ended else ("F", "1")
    said = FILL if ended else FILL | {"last_qty": 40, "cum_qty": 40, "leaves_qty": 60}
    life.bench.report(order, *last, **said)
    for _ in range(deaths):
        before = life.journal.segment
        life = life.next_life()
        assert life.journal.segment > before + 1  # a writing is longer than a file
    life.bench.report(order, *last, **said)
    assert reports(tmp_path).count("FILL") == 1
    assert life.bench.entry.counters["duplicates"] == 1
    assert life.alerts == []
    life.journal.close()


def test_the_names_take_no_more_than_their_share_of_a_file(tmp_path: Path) -> None:
    """So a restart reads as few files as before, and a full disk has room for the writing."""
    life = Life(tmp_path, 1)
    for _ in range(300):
        life.rests(1)
        order = life.table.open()[0]
        life.bench.report(order, "4", "4", exec_id=f"C-{order.cl_ord_id}", cum_qty=0, leaves_qty=0)
    assert 0 < len(msgspec.msgpack.encode(life.told.latest(SMALL.segment_bytes // 8))) <= SMALL.segment_bytes // 8
    life = life.next_life()
    with closing(SegmentReader(tmp_path, NAME)) as reader:
        files = reader.last_number() - life.journal.carry() + 1
    assert files == 1
    life.journal.close()


def test_a_journal_without_names_is_read_as_before(tmp_path: Path) -> None:
    """An earlier build wrote it: what lies in the files that are read is known again."""
    life = Life(tmp_path, 1)
    life.carrier._told = None
    life.rests(3)
    order = life.table.open()[1]
    life.bench.report(order, "F", "2", **FILL)
    life = life.next_life()
    life.bench.report(order, "F", "2", **FILL)
    assert reports(tmp_path).count("FILL") == 1
    assert life.bench.entry.counters["duplicates"] == 1
    life.journal.close()


def test_a_fill_once_thought_a_stranger_s_counts_when_it_is_known_whose_it_is(tmp_path: Path) -> None:
    """Told before its order's OrderID was known, and told again after a restart."""
    life = Life(tmp_path, 1)
    life.bench.place()
    unknown = {"cl_ord_id": "", "order_id": "V-LATER"}
    life.bench.report(life.table.open()[0], "F", "1", **(FILL | unknown))
    life = life.next_life()
    [order] = life.table.open()
    life.table.name(order, "V-LATER")
    life.bench.report(order, "F", "2", **(FILL | unknown))
    assert order.cum_qty == 100
    life.journal.close()
