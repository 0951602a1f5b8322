"""The FIX log: everything, in order, without secrets, within its budget, never in the way."""

import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from fix._fixlog import LogQueue
from fix.codec import encode, format_utc
from fix.fixlog import FixLog, Masker
from tests.fix.session_kit import INITIATOR, Rig, settings

WALL = 1_750_000_000_123_456_789
LINE = re.compile(rb"^\d{8}-\d\d:\d\d:\d\d\.\d{9} [<>] 8=FIX[^\n]*\x01$")


def message(body: bytes) -> bytes:
    return encode("FIX.4.4", "A", "DESK", "VENUE", 1, WALL, body)


def written(log: FixLog) -> list[bytes]:
    log.close()
    return log.path.read_bytes().splitlines()


def test_every_message_in_and_out_is_logged_with_time_and_direction(tmp_path):
    log = FixLog(tmp_path, "venue")
    rig = Rig(INITIATOR, log=log)
    rig.logon()
    rig.send()
    rig.say("8")
    lines = written(log)
    assert all(LINE.match(line) for line in lines)
    assert [(line[28:29], re.search(rb"\x0135=(\w)", line)[1]) for line in lines] == [
        (b">", b"A"), (b"<", b"A"), (b">", b"D"), (b"<", b"8"),
    ]  # fmt: skip
    assert lines[0].startswith(b"20250615-15:06:40.000000000 ")


def test_a_message_that_its_owner_could_not_take_is_logged(tmp_path):
    log = FixLog(tmp_path, "venue")
    rig = Rig(INITIATOR, log=log)
    rig.logon()
    rig.app.fail = ValueError("no")
    try:
        rig.say("8", b"37=here\x01")
    except ValueError:
        rig.drop()
    assert b"37=here" in written(log)[-1]


def test_secrets_are_masked_and_nothing_else():
    mask = Masker((8000,))
    raw = message(b"553=key\x01554=open sesame\x0195=5\x0196=ab\x01cd\x01925=new\x018000=sig\x0158=554=x\x01")
    assert mask(raw)[raw.index(b"553=") :].startswith(
        b"553=key\x01554=***\x0195=5\x0196=***\x01925=***\x018000=***\x0158=554=x\x01"
    )


@given(st.binary(min_size=4, max_size=40), st.sampled_from([554, 925, 96, 5025]))
def test_no_secret_survives_masking(secret, tag):
    if tag == 96:
        body = b"95=%d\x0196=%s\x01" % (len(secret), secret)
    else:
        secret = secret.replace(b"\x01", b"-")
        body = b"%d=%s\x01" % (tag, secret)
    raw = b"8=FIX.4.4\x019=1\x0135=A\x01" + body + b"10=000\x01"
    masked = Masker((5025,))(raw)
    assert masked == raw.replace(b"%d=%s\x01" % (tag, secret), b"%d=***\x01" % tag, 1)


def test_a_lying_data_length_still_masks_up_to_the_next_field():
    raw = b"8=FIX.4.4\x0135=A\x0195=999\x0196=secret\x0158=x\x0110=000\x01"
    assert b"secret" not in Masker()(raw)


def test_the_sessions_log_masks_the_dialects_signature(tmp_path):
    given_settings = settings(secret_tags=(5025,))
    log = FixLog(tmp_path, "venue", given_settings.secret_tags)
    rig = Rig(given_settings, log=log)
    rig.app.body = b"554=hush\x015025=12345\x01"
    rig.logon()
    text = b"".join(written(log))
    assert b"hush" not in text
    assert b"12345" not in text


def test_line_feeds_inside_fields_do_not_break_lines(tmp_path):
    log = FixLog(tmp_path, "venue")
    log.put(WALL, True, message(b"58=two\nlines\x01"))
    assert len(written(log)) == 1


def test_files_rotate_within_the_budget(tmp_path):
    log = FixLog(tmp_path, "venue", budget_bytes=40_000, files=4)
    for number in range(2000):
        log.put(WALL, False, message(b"58=%d\x01" % number))
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [f.name for f in files] == ["venue.fix.log", *(f"venue.fix.log.{n}" for n in (1, 2, 3))]
    assert all(f.stat().st_size <= 10_000 for f in files)
    assert b"58=1999\x01" in log.path.read_bytes()


def test_parts_left_by_a_larger_setting_are_removed(tmp_path):
    (tmp_path / "venue.fix.log.9").write_bytes(b"old")
    (tmp_path / "venue.fix.log.1").write_bytes(b"x" * 5000)
    FixLog(tmp_path, "venue", budget_bytes=4000, files=4).close()
    assert [f.name for f in tmp_path.iterdir()] == ["venue.fix.log"]


def test_the_log_goes_on_where_it_stopped_and_is_private(tmp_path):
    for _ in range(2):
        log = FixLog(tmp_path, "venue")
        log.put(WALL, False, message(b""))
        log.close()
    assert len(log.path.read_bytes().splitlines()) == 2
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_a_disk_that_refuses_costs_lines_which_are_counted(tmp_path, monkeypatch):
    log = FixLog(tmp_path, "venue")

    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    log.put(WALL, False, message(b""))
    log.close()
    monkeypatch.undo()
    assert log.lost == 1
    assert log.last_error is not None


def test_a_disk_that_takes_a_part_of_a_line_spoils_no_other(tmp_path, monkeypatch):
    log = FixLog(tmp_path, "venue")
    room, real = [100], os.write

    def filling(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        written = real(fd, bytes(data[: room[0]]))
        room[0] -= written
        return written

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", filling)
        for _ in range(5):
            log.put(WALL, False, message(b""))
        log.close()
    assert log.lost == 5
    assert log.path.read_bytes() == b""
    log = FixLog(tmp_path, "venue")
    log.put(WALL, True, message(b""))
    log.close()
    assert len(log.path.read_bytes().splitlines()) == 1


def test_a_disk_that_hangs_costs_lines_and_no_time(tmp_path, monkeypatch):
    log = FixLog(tmp_path, "venue", queue_bytes=2000)
    hanging, go_on = [], []

    def hang(fd: int, data: bytes) -> int:
        hanging.append(1)
        deadline = time.monotonic() + 20
        while not go_on and time.monotonic() < deadline:
            os.sched_yield()
        return len(data)

    monkeypatch.setattr(os, "write", hang)
    log.put(WALL, False, message(b""))
    deadline = time.monotonic() + 20
    while not hanging and time.monotonic() < deadline:
        os.sched_yield()
    for _ in range(1000):
        log.put(WALL, False, message(b""))
    assert log.lost > 900
    go_on.append(1)
    log.close()


def naive_line(wall_ns: int, incoming: bool, raw: bytes) -> bytes:
    """A line by the plainest means there are, for messages without data fields."""
    fields = raw.split(b"\x01")
    for number, field in enumerate(fields):
        tag, equals, _ = field.partition(b"=")
        if number and equals and tag in (b"554", b"925", b"7"):
            fields[number] = tag + b"=***"
    text = b"\x01".join(fields).replace(b"\n", b"\\n")
    return b"%s.%09d %s %s" % (format_utc(wall_ns, 0), wall_ns % 10**9, b"<" if incoming else b">", text)


PIECES = st.sampled_from([b"8=FIX", b"\x01", b"\x01554=", b"\x01925=", b"\x017=", b"55", b"=", b"\n", b"x", b"\\n"])
MESSAGES = st.lists(PIECES, max_size=30).map(b"".join)


@settings_of(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**62), st.booleans(), MESSAGES), max_size=30), st.integers(1, 3000))
def test_lines_are_those_of_the_plainest_formatter_whatever_the_bytes(entries, limit):
    queue = LogQueue()
    queue._begin(Masker((7,)), 1 << 20)
    for entry in entries:
        queue.put(*entry)
    queue.turn()
    lines = []
    while (chunk := queue.take(limit))[1]:
        text, count, size = chunk
        assert len(text) <= limit or count == 1
        assert count == text.count(b"\n")
        lines += text[:-1].split(b"\n")
        queue.done(size)
    assert queue.waiting == 0
    assert lines == [naive_line(*entry) for entry in entries]


def test_messages_put_while_others_are_taken_come_after_them():
    queue = LogQueue()
    queue._begin(Masker(), 1 << 20)
    for number in range(50):
        queue.put(WALL + number, True, b"8=FIX\x0158=%d\x01" % number)
        if number % 7 == 0:
            queue.turn()
    found = []
    for _ in range(3):
        queue.turn()
        while (chunk := queue.take(200))[1]:
            found += re.findall(rb"\x0158=(\d+)\x01", chunk[0])
    assert [int(text) for text in found] == list(range(50))


def test_too_many_secret_tags_are_refused_not_forgotten():
    with pytest.raises(ValueError, match="32 tags"):
        Masker(range(5000, 5040))
