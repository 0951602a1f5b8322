"""Logs are lines in files of a bounded total size, and losing some is not silent."""

import errno
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.log import BudgetHandler, LineFormatter, close_log, open_log


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    one = logging.getLogger("quarterdeck.test")
    one.propagate = False
    one.setLevel(logging.INFO)
    yield one
    for handler in list(one.handlers):
        one.removeHandler(handler)
        handler.close()


def attach(logger: logging.Logger, handler: BudgetHandler) -> BudgetHandler:
    handler.setFormatter(LineFormatter())
    logger.addHandler(handler)
    return handler


def test_one_record_is_one_line_with_utc_level_and_name(tmp_path: Path, logger: logging.Logger) -> None:
    attach(logger, BudgetHandler(tmp_path / "a.log"))
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logger.exception("it broke\r\nbadly")
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert len(lines) == 1
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ERROR \d+ quarterdeck\.test it broke\\r\\nbadly", lines[0])
    assert "ValueError: first\\nsecond" in lines[0]


def test_all_files_together_stay_within_the_budget(tmp_path: Path, logger: logging.Logger) -> None:
    attach(logger, BudgetHandler(tmp_path / "a.log", budget=8000, files=4))
    for number in range(1000):
        logger.info("record %d %s", number, "x" * (number % 100))
        assert sum(f.stat().st_size for f in tmp_path.iterdir()) <= 8000
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    text = "".join((tmp_path / f"a.log{end}").read_text() for end in (".3", ".2", ".1", ""))
    numbers = [int(n) for n in re.findall(r"record (\d+)", text)]
    assert numbers == list(range(numbers[0], 1000)), "the newest records are there, in order, without a hole"


def test_a_record_larger_than_a_file_is_cut(tmp_path: Path, logger: logging.Logger) -> None:
    attach(logger, BudgetHandler(tmp_path / "a.log", budget=2000, files=2))
    logger.info("y" * 10_000)
    assert (tmp_path / "a.log").stat().st_size == 1000


def test_a_full_disk_loses_records_countably_and_says_so_later(tmp_path: Path, logger: logging.Logger) -> None:
    full = [False]

    def write(fd: int, line: bytes) -> int:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(fd, line)

    handler = attach(logger, BudgetHandler(tmp_path / "a.log", write=write))
    full[0] = True
    logger.info("gone")
    logger.info("gone too")
    assert handler.lost == 2
    full[0] = False
    logger.info("back")
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert lines[0] == "2 log records were lost before this one"
    assert lines[1].endswith("back")


def test_a_bad_format_string_does_not_end_the_process(tmp_path: Path, logger: logging.Logger) -> None:
    handler = attach(logger, BudgetHandler(tmp_path / "a.log"))
    handler.handle(logger.makeRecord(logger.name, logging.INFO, __file__, 1, "%d orders", ("many",), None))
    assert "unprintable log record" in (tmp_path / "a.log").read_text()


def test_standard_output_and_error_land_in_the_log_even_after_rotation(tmp_path: Path) -> None:
    program = """
import logging, os, sys
from base.log import open_log
open_log(sys.argv[1], "p", budget=4000, files=2, take_stdio=True)
for i in range(100): logging.info("filling %d", i)
print("by print", flush=True); os.write(2, b"by descriptor 2\\n")
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, check=True, timeout=30, text=True
    )
    assert (result.stdout, result.stderr) == ("", "")
    text = (tmp_path / "p.log").read_text()
    assert "by print\n" in text
    assert "by descriptor 2\n" in text


def test_open_log_serves_every_logger_until_closed(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = root.level
    handler = open_log(tmp_path, "proc")
    logging.getLogger("reactor").warning("heard")
    close_log(handler)
    root.setLevel(before)
    logging.getLogger("reactor").debug("not heard")
    assert "WARNING" in (tmp_path / "proc.log").read_text()
    assert (tmp_path / "proc.log").stat().st_mode & 0o777 == 0o600


def test_a_venues_text_moves_no_cursor_when_somebody_reads_the_log(tmp_path: Path, logger: logging.Logger) -> None:
    attach(logger, BudgetHandler(tmp_path / "a.log"))
    logger.info("venue says %s", "\x1b]0;owned\x07\x9b2J\x00 a\tb \u20ac")
    line = (tmp_path / "a.log").read_text(encoding="utf-8")
    assert line.endswith("venue says \\x1b]0;owned\\x07\\x9b2J\\x00 a\tb \u20ac\n")


def test_a_disk_that_takes_a_part_of_a_line_spoils_no_other(tmp_path: Path, logger: logging.Logger) -> None:
    room = [60]

    def write(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = os.write(fd, data[: room[0]])
        room[0] -= written
        return written

    handler = attach(logger, BudgetHandler(tmp_path / "a.log", write=write))
    logger.info("fits")
    for _ in range(3):
        logger.info("x" * 40)
    assert (handler.lost, handler.lost_in_all) == (3, 3)
    text = (tmp_path / "a.log").read_text()
    assert text.endswith("fits\n"), "no part of a line is left behind"
    room[0] = 1000
    logger.info("room again")
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert lines[1] == "3 log records were lost before this one"
    assert lines[2].endswith("room again")
    assert (handler.lost, handler.lost_in_all) == (0, 3)


def test_old_files_are_not_pushed_out_while_no_new_one_can_be_made(
    tmp_path: Path, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = attach(logger, BudgetHandler(tmp_path / "a.log", budget=4000, files=4))
    for number in range(60):
        logger.info("record %d %s", number, "x" * 20)
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    assert len(before) == 4
    real = os.open

    def full(path: str | Path, *arguments: int, **more: int) -> int:
        if str(path).endswith(".new"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", full)
        for _ in range(40):
            logger.info("y" * 100)
    assert handler.lost > 20
    after = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    assert all(after[name].startswith(content) for name, content in before.items())
    logger.info("room again")
    assert "log records were lost" in (tmp_path / "a.log").read_text()
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) <= 4000
