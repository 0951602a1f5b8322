"""`qd fixlog`: what an operator sees of a desk's FIX logs."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from base.config import load
from fix.codec import encode
from fix.fixlog import FixLog
from quarterdeck import cli

ROOT = Path(__file__).resolve().parents[2]
T0 = 1_795_300_000_000_000_000  # 2026-11-21 22:26:40 UTC
MS = 1_000_000


def put(log: FixLog, at_ms: int, arrow: str, msg_type: str, text: str, number: int = 1) -> None:
    body = text.replace("|", "\x01").encode()
    log.put(T0 + at_ms * MS, arrow == "<", encode("FIX.4.4", msg_type, "A", "B", number, T0 + at_ms * MS, body))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default desk's configuration, with logs of two of its venues."""
    monkeypatch.setenv("QD_STATE_DIR", str(tmp_path))
    path = tmp_path / "config" / "desk.toml"
    path.parent.mkdir()
    text = (ROOT / "config" / "desk.toml").read_text()
    path.write_text(text.replace('name = "default"', f'name = "default"\nshm_dir = "{tmp_path}/shm"'))
    desk = load(path)
    ids = {name: s.sender_comp_id for name, s in desk.config.session.items()}
    trd = FixLog(desk.log_dir / "fix", f"binance-trd-{ids['binance-trd']}")
    put(trd, 0, ">", "A", "98=0|108=30|554=***|")
    put(trd, 5, ">", "D", "11=A1|55=BTCUSDT|54=1|38=2|40=2|44=10|", 2)
    put(trd, 7, "<", "8", "11=A1|37=7|17=E1|150=0|39=0|14=0|151=2|", 2)
    put(trd, 1000, "<", "8", "11=A1|37=7|17=E2|150=F|39=2|14=2|151=0|32=2|31=10|25018=20261121-22:26:40|", 3)
    trd.close()
    dc = FixLog(desk.log_dir / "fix", f"binance-dc-{ids['binance-dc']}")
    put(dc, 1004, "<", "8", "11=A1|37=7|17=E2|150=F|39=2|14=2|151=0|32=2|31=10|", 9)
    dc.close()
    other = FixLog(desk.log_dir / "fix", f"kraken-trd-{ids['kraken-trd']}")
    put(other, 6, "<", "8", "11=K1|37=7|17=E1|150=0|39=0|", 4)
    put(other, 2000, "<", "3", "45=9|371=44|373=5|58=Value is incorrect|", 5)
    other.close()
    return path


def qd(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> tuple[int, str, str]:
    status = cli.main(["fixlog", "--config", str(config), *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def heads(text: str) -> list[str]:
    """Log and message of each heading."""
    return [" ".join(m) for m in re.findall(r"^\d\d:\S+ (.) (\S+) +(\w+)", text, re.MULTILINE)]


def test_all_sessions_by_time_with_names(config, capsys):
    status, out, err = qd(capsys, config)
    assert (status, err) == (0, "")
    assert [h.split(" ")[2] for h in heads(out)] == [
        "Logon", "NewOrderSingle", "ExecutionReport", "ExecutionReport", "ExecutionReport", "ExecutionReport", "Reject",
    ]  # fmt: skip
    assert out.startswith("-- 2026-11-21 UTC\n22:26:40.000000 → binance-trd")
    assert "Side(54)=1 BUY" in out
    assert "+2.000 ms" not in out.splitlines()[1]
    assert max(map(len, out.splitlines())) <= 120


def test_the_venues_own_fields_have_their_names(config, capsys):
    _, out, _ = qd(capsys, config, "--session", "binance-trd", "--since", "2026-11-21T22:26:41")
    assert "OrderCreationTime(25018)=" in out


@pytest.mark.parametrize(
    ("arguments", "count"),
    [(["--session", "kraken-trd"], 2), (["--session", "kraken-trd", "--session", "binance-dc"], 3),
     (["--type", "3,A"], 2), (["--order", "A1"], 4), (["--order", "7", "--session", "kraken-trd"], 1),
     (["--since", "2026-11-21T22:26:41"], 3), (["--until", "20261121-22:26:40.006"], 2),
     (["--since", "2026-11-22"], 0), (["--since", "15m", "--until", "0s"], 0)],
)  # fmt: skip
def test_filters(config, capsys, arguments, count):
    _, out, _ = qd(capsys, config, *arguments)
    assert len(heads(out)) == count


def test_raw_messages_are_whole_lines_without_secrets(config, capsys):
    _, out, _ = qd(capsys, config, "--raw", "--type", "A")
    assert re.fullmatch(
        r"20261121-22:26:40\.000000000 → binance-trd-\S+ 8=FIX\.4\.4\|9=\d+\|35=A\|.*554=\*\*\*\|.*\n", out
    )


def test_an_orders_life_stays_at_its_venue_and_has_its_times(config, capsys):
    status, out, _ = qd(capsys, config, "--life", "A1")
    assert status == 0
    assert "order A1 at binance: 4 messages in 999.000 ms" in out
    assert "ClOrdID A1   OrderID 7" in out
    assert "kraken" not in out
    assert re.search(r"22:26:41\.004000 +999\.000 ms +4\.000 ms +← binance-dc", out)
    assert "TRADE/FILLED  2 @ 10  cum 2  leaves 0" in out
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize("arguments", [[], ["--raw"], ["--full"], ["--life", "A1"]])
def test_nothing_that_a_venue_sends_moves_the_cursor(config, capsys, tmp_path, arguments):
    """Escape sequences, C1 controls and bidirectional overrides, in each field that is shown anywhere."""
    bad = "\x1b]0;x\x07\x9b2J\u202e\r"
    evil = FixLog(tmp_path / "evil", "evil")
    every = "".join(f"{tag}={bad}{tag}|" for tag in (41, 37, 17, 150, 39, 14, 151, 32, 31, 103, 102, 378, 97, 55, 58))
    for number, msg_type in enumerate(["8", "9", "D", "F", "3", f"8{bad}"], 1):
        head = f"11=A1|45={number}|{every}"
        raw = f"8=FIX.4.4|9=1|35={msg_type}|34={bad}{number}|49=A|56=B|52={bad}|{head}10=000|"
        evil.put(T0 + number * MS, True, raw.replace("|", "\x01").encode("utf-8"))
    evil.close()
    status, out, _ = qd(capsys, config, "--folder", str(tmp_path / "evil"), *arguments)
    assert status == 0
    assert out.count("A1") > 3
    assert all(c.isprintable() or c == "\n" for c in out), [c for c in out if not c.isprintable()]


def test_an_order_that_is_nowhere_is_an_exit_status(config, capsys):
    status, out, err = qd(capsys, config, "--life", "nope")
    assert (status, out) == (3, "")
    assert "nope" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--session", "nobody"], "nobody"), (["--since", "noon"], "noon"), (["--life", "A1", "--raw"], "--life"),
     (["--folder", "/nonexistent"], "no FIX log")],
)  # fmt: skip
def test_what_is_wrong_is_named_in_a_line(config, capsys, arguments, named):
    status, _, err = qd(capsys, config, *arguments)
    assert status == 1
    assert named in err
    assert len(err.splitlines()) == 1


def test_damage_is_named_with_file_and_line_and_the_rest_is_shown(config, capsys, tmp_path):
    (path,) = (tmp_path / "log" / "fix").glob("kraken-trd-*.fix.log")
    path.write_bytes(b"rubbish\n" + path.read_bytes())
    status, out, err = qd(capsys, config, "--session", "kraken-trd")
    assert status == 0
    assert len(heads(out)) == 2
    assert f"{path}:1: not a line" in err


def test_a_line_whose_time_is_damaged_is_named_and_not_shown(config, capsys):
    (path,) = (load(config).log_dir / "fix").glob("kraken-trd-*.fix.log")
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first.replace(b"20261121", b"2026x121") + first.replace(b"20261121", b"20261921") + second)
    status, out, err = qd(capsys, config, "--session", "kraken-trd")
    assert (status, heads(out)) == (0, [heads(out)[0]])
    assert f"{path}:1: not a line of a FIX log" in err
    assert f"{path}:2: not a line of a FIX log" in err


def test_a_folder_of_logs_needs_no_configuration(config, capsys, tmp_path):
    status = cli.main(["fixlog", "--folder", str(tmp_path / "log" / "fix"), "--type", "D", "--stats"])
    out, err = capsys.readouterr()
    assert status == 0
    assert len(heads(out)) == 1
    assert re.search(r"7 lines, .* lines/s", err)


def test_following_shows_what_comes_from_a_session_that_starts_later_too(config, tmp_path):
    folder = tmp_path / "log" / "fix"
    command = [sys.executable, "-m", "quarterdeck.cli", "fixlog", "--config", str(config), "--follow"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    shown = tmp_path / "shown"
    with shown.open("w") as out:
        process = subprocess.Popen(command, stdout=out, env=environment, cwd=ROOT)
    log = FixLog(folder, "gateway-X")
    try:
        number, deadline = 0, time.monotonic() + 60
        while shown.read_text().count("News (B)") < 3 and time.monotonic() < deadline:
            number, now_ns = number + 1, time.time_ns()
            log.put(now_ns, True, encode("FIX.4.4", "B", "A", "B", number, now_ns, b"148=number %d\x01" % number))
            time.sleep(0.05)
    finally:
        process.terminate()
        process.wait(20)
        log.close()
    seen = [int(n) for n in re.findall(r"Headline\(148\)=number (\d+)", shown.read_text())]
    assert len(seen) >= 3
    assert seen == list(range(seen[0], seen[-1] + 1))
    assert "NewOrderSingle" not in shown.read_text()  # that was before
