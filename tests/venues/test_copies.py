"""What a venue copies again after a kill is told once, however many of the journal's files lie between."""

from pathlib import Path
from typing import Any

import pytest

from base.errors import StoreError
from base.segments import SegmentSettings
from ipc import frames
from ipc.events import AnyEvent, Balance, ExecutionReport
from ipc.journal import Journal, read_events
from venues.copies import Copies

SMALL = SegmentSettings(segment_bytes=4 * 1024, retain_bytes=1 << 20, recycle=True)


class Life:
    """A drop copy's journal and what it tells, from its start to the instant at which it is gone."""

    def __init__(self, folder: Path, epoch: int = 1, kept: int = 1_000, *, writes: bool = True) -> None:
        self.folder, self.epoch = folder, epoch
        self.journal = Journal(folder, epoch, settings=SMALL)
        self.head, self.seq = frames.prefix(b"exec.dc", epoch), 1
        self.full = False
        self.copies = Copies(folder, self.journal, self.publish, kept)
        if writes:
            self.copies.carrier.begin()

    def publish(self, event: AnyEvent) -> None:
        if self.full:
            raise StoreError("no room")
        self.journal.frame(frames.frame(self.head, self.seq, 0, 1, frames.encode_event(event)))
        self.seq += 1

    def copied(self, exec_id: str, **more: Any) -> None:
        """The venue copies a report."""
        fields: dict[str, Any] = {
            "session": "dc", "venue": "v", "account": "main", "instrument": "BTC-USD", "cl_ord_id": "",
            "order_id": "O1", "exec_id": exec_id, "exec_type": "F", "ord_status": "1", "side": "1", "ord_type": "2",
            "time_in_force": "1", "px_scale": 2, "qty_scale": 4, "order_qty": 10, "price": 5, "stop_px": None,
            "last_qty": 1, "last_px": 5, "cum_qty": 1, "leaves_qty": 9, "transact_ns": 0, "sending_ns": 0, "recv_ns": 0,
        }  # fmt: skip
        self.copies.event(ExecutionReport(**(fields | more)))

    def next_life(self) -> "Life":
        """What is in the kernel's hands stays; the lock goes."""
        self.journal._reader.close()
        self.journal._writer.abandon()
        return Life(self.folder, self.epoch + 1)


def told(folder: Path) -> list[str]:
    events = (d.event for d in read_events(folder))
    return [e.exec_id for e in events if isinstance(e, ExecutionReport) and e.drop_copy]


def other_traffic(life: Life, files: int) -> None:
    """So many files without a report, written as the process writes them: its timer looks once a second."""
    end = life.journal.segment + files
    while life.journal.segment < end:
        life.copies.event(Balance("dc", "v", "main", "USD", "1", "1", "0", "1", 0))
        life.copies.carrier.look()


@pytest.mark.parametrize("files", [0, 1, 4], ids=["in the same file", "in the file before", "files ago"])
@pytest.mark.parametrize("deaths", [1, 3])
def test_a_copy_not_counted_at_a_death_is_told_once(tmp_path: Path, deaths: int, files: int) -> None:
    life = Life(tmp_path)
    life.copied("A")
    life.copied("B")
    other_traffic(life, files)
    for _ in range(deaths):
        life = life.next_life()
    life.copied("B")
    life.copied("C")
    assert told(tmp_path) == ["A", "B", "C"]
    assert life.copies.counters == {"reports": 2, "duplicates": 1}
    life.journal.close()


def test_each_report_is_told_once_in_one_life_and_other_events_pass(tmp_path: Path) -> None:
    life = Life(tmp_path, kept=2)
    for exec_id in ("A", "A", "B", "C", "A"):  # the first is no longer known at the end
        life.copied(exec_id)
    life.copied("")  # without a name it is news each time
    life.copied("")
    life.copied("S", exec_type="I")  # the answer to another session's question is a copy like any other
    life.copied("S", exec_type="I")
    other_traffic(life, 0)
    life.copies.event(Balance("dc", "v", "main", "USD", "1", "1", "0", "1", 0))
    assert told(tmp_path) == ["A", "B", "C", "A", "", "", "S"]
    assert life.copies.counters == {"reports": 9, "duplicates": 2}
    assert [type(d.event) for d in read_events(tmp_path)][-1] is Balance
    life.journal.close()


def test_what_could_not_be_journalled_is_news_when_it_comes_again(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.full = True
    with pytest.raises(StoreError):
        life.copied("A")
    life.full = False
    life.copied("A")
    assert told(tmp_path) == ["A"]
    life.journal.close()


def test_a_journal_of_an_earlier_build_is_read_as_far_as_it_tells(tmp_path: Path) -> None:
    """It has no writings at all."""
    life = Life(tmp_path, writes=False)
    life.copied("A")
    life = life.next_life()
    life.copied("A")
    assert told(tmp_path) == ["A"]
    life.journal.close()
