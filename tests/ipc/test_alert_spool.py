"""Alerts beside the bus: none is lost over rotation, restarts and writers that die; a full memory harms nobody."""

from pathlib import Path

import pytest

import ipc.alert_spool as spool
from ipc.alert_spool import AlertSpool, SpoolReader
from ipc.events import Alert


def alert(n: int, source: str = "a") -> Alert:
    return Alert(source, "critical", "code", f"text {n}\nsecond line", n)


def numbers(alerts: list[Alert]) -> list[int]:
    return [a.ts_ns for a in alerts]


def test_what_several_processes_wrote_is_read_once_and_a_new_reader_goes_on(tmp_path: Path) -> None:
    reader = SpoolReader(tmp_path)
    assert reader.read() == []
    for n in range(5):
        AlertSpool(tmp_path, "a").put(alert(n))
        AlertSpool(tmp_path, "b").put(alert(100 + n, "b"))
    assert sorted(numbers(reader.read())) == [0, 1, 2, 3, 4, 100, 101, 102, 103, 104]
    assert reader.read() == []
    AlertSpool(tmp_path, "a").put(alert(5))
    assert SpoolReader(tmp_path, reader.places).read() == [alert(5)]
    assert len(SpoolReader(tmp_path).read()) == 11


def test_a_file_that_moved_aside_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SPOOL_BYTES", 300)
    reader, found = SpoolReader(tmp_path), []
    writer = AlertSpool(tmp_path, "a")
    for n in range(100):
        writer.put(alert(n))
        if n % 3 == 0:
            found += numbers(reader.read())
    found += numbers(reader.read())
    assert found == list(range(100))
    assert sum(p.stat().st_size for p in (tmp_path / "alerts").iterdir()) < 1000


def test_half_a_line_is_not_read_before_it_is_whole_and_rubbish_is_counted(tmp_path: Path) -> None:
    AlertSpool(tmp_path, "a").put(alert(1))
    path = tmp_path / "alerts" / "a"
    whole = path.read_bytes()
    path.write_bytes(whole + b"no alert\n" + whole[:10])
    reader = SpoolReader(tmp_path)
    assert numbers(reader.read()) == [1]
    assert reader.unreadable == 1
    with path.open("ab") as file:
        file.write(whole[10:])
    assert numbers(reader.read()) == [1]


def test_a_desk_that_was_wiped_is_read_from_its_new_beginning(tmp_path: Path) -> None:
    writer, reader = AlertSpool(tmp_path, "a"), SpoolReader(tmp_path)
    for n in range(3):
        writer.put(alert(n))
    reader.read()
    writer.path.unlink()
    writer.put(alert(9))
    assert numbers(reader.read()) == [9]


def test_a_place_that_cannot_be_written_is_said_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "alerts").write_text("no directory")
    writer = AlertSpool(tmp_path, "a")
    writer.put(alert(1))
    assert "alerts/a" in writer.fault
    (tmp_path / "alerts").unlink()
    writer.put(alert(2))
    assert writer.fault == ""
