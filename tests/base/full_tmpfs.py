"""Run by test_full_tmpfs.py in a mount namespace of its own: a store and a journal on a tmpfs without a free byte.

`python -m tests.base.full_tmpfs FOLDER`; exit status 0 when all held.
"""

import os
import sys
from pathlib import Path

from base.errors import StoreError
from base.segment_check import inspect
from base.segments import SegmentSettings
from fix.file_store import FileStore, StoreSettings
from ipc import frames
from ipc.events import Alert
from ipc.journal import NAME, Journal, read_events
from ipc.sequence import Gap

SEGMENT = 256 * 1024
SETTINGS = SegmentSettings(segment_bytes=SEGMENT, retain_bytes=64 * SEGMENT, recycle=True)


def fill_up(folder: Path) -> None:
    """Take every free block."""
    with open(folder / "filler", "ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    assert os.statvfs(folder).f_bavail == 0


class Logs:
    """A session's store and its process's journal, used as a desk uses them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FileStore(folder / "s", 1, StoreSettings(segments=SETTINGS))
        self.journal = Journal(folder, 1, settings=SETTINGS)
        self.head = frames.prefix(b"exec.s", self.journal.next_epoch(10))
        self.seq = 0

    def use(self, times: int) -> None:
        for _ in range(times):
            self.seq += 1
            packed = frames.encode_event(Alert("s", "info", "n", "x" * 300, self.seq))
            self.journal.frame(frames.frame(self.head, self.seq, 1, 1, packed))
            self.store.advance_in(self.store.next_in)
            self.store.sent(self.store.next_out, b"c" * 300)

    def prepare(self) -> None:
        """As the timers of a process do, until nothing is left to do."""
        for kept in (self.store, self.journal):
            for _ in range(1000):
                if not kept.prepare():
                    break

    def full(self) -> tuple[bool, bool]:
        return self.store.full, self.journal.full

    def close(self) -> None:
        self.store.close()
        self.journal.close()


def main() -> int:
    folder = Path(sys.argv[1])
    logs = Logs(folder)
    logs.use(10)
    logs.prepare()
    assert logs.full() == (False, False)
    fill_up(folder)
    logs.prepare()
    assert logs.full() == (True, True), "told while a segment still stands ready"
    before = logs.journal.segment
    logs.use(4 * SEGMENT // 350)
    assert logs.journal.segment >= before + 3, "beyond what was set aside: the oldest made room"
    assert os.statvfs(folder).f_bavail == 0
    numbers = logs.store.next_out, logs.store.next_in
    logs.close()
    logs = Logs(folder)  # a restart on the full disk
    assert (logs.store.next_out, logs.store.next_in) == numbers
    assert logs.full() == (True, True)
    events = [d for d in read_events(folder) if not isinstance(d.event, Gap)]
    assert [d.seq for d in events] == list(range(events[0].seq, numbers[0]))
    try:
        Logs(folder / "new")
    except (StoreError, OSError) as refused:
        print(f"a new one: {refused}")
    else:
        raise AssertionError("a store was begun without room")
    (folder / "filler").unlink()
    logs.prepare()
    assert logs.full() == (False, False), "over by itself"
    logs.use(1000)
    logs.close()
    assert inspect(folder / "s", "store").damage == inspect(folder, NAME).damage == []
    print("all held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
