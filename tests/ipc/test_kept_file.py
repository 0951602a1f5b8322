"""A file for the next life: whole or not at all, and nobody waits for its disk."""

import os
from pathlib import Path

import pytest

from base.errors import CorruptError
from ipc.kept_file import KeptFile


def read(path: Path) -> bytes | None:
    file = KeptFile(path)
    try:
        return file.read()
    finally:
        file.close()


def test_the_newest_content_is_what_the_next_life_reads(tmp_path: Path) -> None:
    file = KeptFile(tmp_path / "k" / "figures.json")
    assert file.read() is None
    for n in range(50):
        file.write(b"body %d\nwith lines" % n)
    assert file.close()
    assert read(tmp_path / "k" / "figures.json") == b"body 49\nwith lines"


@pytest.mark.parametrize("damage", [b"", b"torn", b"body\nnot its hash"])
def test_what_is_not_what_was_written_is_an_error(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "figures.json"
    path.write_bytes(damage)
    with pytest.raises(CorruptError, match=r"figures.json"):
        read(path)


def test_a_disk_that_takes_nothing_is_a_fault_until_it_does(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    file = KeptFile(path)
    (tmp_path / "figures.json.new").mkdir()  # nothing can be written there
    file.write(b"one")
    while not file.fault():
        os.sched_yield()
    assert "figures.json" in file.fault()
    (tmp_path / "figures.json.new").rmdir()
    while file.fault():
        os.sched_yield()
    assert file.close()
    assert read(path) == b"one"


def test_what_hangs_keeps_nobody(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    os.mkfifo(tmp_path / "figures.json.new")  # opening it for writing waits for a reader
    file = KeptFile(path)
    file.write(b"one")
    file.write(b"two")
    assert not file.close(0.05)
    reader = os.open(tmp_path / "figures.json.new", os.O_RDONLY)  # lets the thread go
    os.close(reader)
    file.close(5)
