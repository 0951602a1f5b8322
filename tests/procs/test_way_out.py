"""A power cut tore a store's sealed file: it is named, nothing is guessed, and the documented way out leads out."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.segment_file import BOOT_WORD, Segment, segment_path
from fix.file_store import FileStore
from ipc.journal import NAME, Journal
from ipc.readiness import Readiness
from tests.procs.test_start_errors import DEADLINE_S, ROOT, Place, place, wait_for

__all__ = ["place"]
pytestmark = pytest.mark.e2e

MESSAGE = b"x" * 1000
SENT = 5_000  # more than a file of four MiB holds


def qd(place: Place, *arguments: str) -> tuple[int, str]:
    """Exit status, and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "quarterdeck.cli", *arguments], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "QD_STATE_DIR": str(place.root)}, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def torn_store(folder: Path) -> str:
    """A store whose first file lost a page on the way to the disk after it was sealed; what names it."""
    store = FileStore(folder, 1)
    for seq in range(1, SENT + 1):
        store.sent(seq, MESSAGE)
        if seq % 5 == 0:
            store.advance_in(seq // 5)
    store._reader.close()
    store._log.abandon()
    first, second = segment_path(folder, "store", 1), segment_path(folder, "store", 2)
    for path in (first, second):
        segment = Segment.open(path, writable=True)
        segment.words[BOOT_WORD] = 12345  # the host went down since
        if path == first:
            assert segment.sealed
            segment.map[409_600:413_696] = bytes(4096)
        segment.close()
    return f"{first.name}: offset 40"  # 409,600 lies inside a record


@pytest.fixture
def venue(place: Place) -> Iterator[socket.socket]:
    """Where the session connects to, without TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(DEADLINE_S)
    (place.root / "run").mkdir(mode=0o700, exist_ok=True)
    address = {"endpoints": {"trading": f"127.0.0.1:{listener.getsockname()[1]}"}}
    (place.root / "run" / "sim-v.json").write_text(json.dumps(address))
    text = place.config.read_text()
    place.config.write_text(text.replace('kind = "trading"', 'kind = "trading"\ntls = false'))
    yield listener
    listener.close()


def first_message(venue: socket.socket) -> dict[bytes, bytes]:
    """The fields of what the session sends first."""
    connection, _ = venue.accept()
    connection.settimeout(DEADLINE_S)
    got = b""
    while b"\x0110=" not in got or not got.endswith(b"\x01"):
        got += connection.recv(4096)
    connection.close()
    return dict(part.partition(b"=")[::2] for part in got.split(b"\x01") if part)


def test_a_torn_store_is_named_and_the_documented_way_out_leads_to_a_logon(place: Place, venue: socket.socket) -> None:
    folder = place.root / "data" / "trd" / "A"
    named = torn_store(folder)
    before = {path.name: path.read_bytes() for path in folder.glob("store-*.seg")}
    assert place.run("trading", "trd")[0] == 1
    assert named in place.status("trd").reason
    assert before == {name: (folder / name).read_bytes() for name in before}, "nothing was touched"

    status, said = qd(place, "store", "check", str(place.root / "data"))
    assert status == 4
    assert named in said
    assert f"next out {SENT + 1}, next in {SENT // 5 + 1}" in said, "the last numbers are found behind the damage"
    away = next(line for line in said.splitlines() if "to do 1" in line)
    subprocess.run(["sh", "-c", away.partition("then: ")[2]], check=True)

    reset = ("session", "reset", "trd", "--next-out", str(SENT + 51), "--next-in", str(SENT // 5 + 1))
    assert qd(place, *reset, "--config", str(place.config))[0] == 1, "a reset wants its reason"
    status, said = qd(place, *reset, "--reason", "torn by a power cut", "--config", str(place.config))
    assert (status, said) == (0, f"trd (A): next out {SENT + 51}, next in {SENT // 5 + 1}\n")
    assert qd(place, "store", "check", str(place.root / "data"))[0] == 0, "what was moved away is not looked into"

    process = place.start("trading", "trd")
    logon = first_message(venue)
    assert (logon[b"35"], logon[b"34"], logon.get(b"141")) == (b"A", b"%d" % (SENT + 51), None)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0
    status, said = qd(place, "session", "show", "trd", "--config", str(place.config))
    assert f"next out {SENT + 52}" in said


def test_a_damaged_journal_is_moved_away_and_the_process_begins_another(place: Place, venue: socket.socket) -> None:
    folder = place.root / "data" / "trd"
    journal = Journal(folder, 1)
    journal.order_id("c", "1", "X", 1)
    journal._reader.close()
    journal._writer.abandon()
    place.damage(folder, NAME)
    assert place.run("trading", "trd")[0] == 1
    status, said = qd(place, "store", "show", str(folder))
    assert status == 4
    assert "compare them with the ledger and the venue first" in said
    away = next(line for line in said.splitlines() if "to do 1" in line)
    subprocess.run(["sh", "-c", away.partition("then: ")[2]], check=True)
    process = place.start("trading", "trd")
    assert first_message(venue)[b"35"] == b"A"
    wait_for(lambda: place.status("trd").readiness == Readiness.RECOVERING)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0
    wait_for(lambda: segment_path(folder, NAME, 1).exists())


def test_the_check_reads_beside_a_living_owner_and_says_who_it_is(place: Place, venue: socket.socket) -> None:
    process = place.start("trading", "trd")
    first_message(venue)
    status, said = qd(place, "store", "show", str(place.root / "data"))
    assert status == 0
    assert said.count(f"written by pid {process.pid}") == 2, said
    assert re.search(r"next out [2-9]\d*, next in 1;", said), said  # it connects again meanwhile
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0
