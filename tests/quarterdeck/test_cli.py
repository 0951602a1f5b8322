"""The `qd` command: errors are one line that says what is wrong, never a traceback; exit statuses are as documented."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from base.config import Kind, load
from ipc.readiness import Readiness, StatusPage
from ipc.view.status import BookView, DeskView, read_desk
from quarterdeck import cli
from quarterdeck.screen import desk_screen

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default desk's configuration in a place where nothing ever ran."""
    monkeypatch.delenv("QD_STATE_DIR", raising=False)
    path = tmp_path / "config" / "desk.toml"
    path.parent.mkdir()
    text = (ROOT / "config" / "desk.toml").read_text()
    path.write_text(text.replace('name = "default"', f'name = "default"\nshm_dir = "{tmp_path}/shm"'))
    return path


def qd(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Exit status, output and errors of a `qd` command."""
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as e:
        status = int(e.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


def test_an_unknown_verb_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = qd(capsys, "frobnicate")
    assert status == 2
    assert "invalid choice: 'frobnicate'" in err
    assert all(verb in err for verb in cli.COMMANDS)


@pytest.mark.parametrize("verb", cli.COMMANDS)
def test_each_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = qd(capsys, verb, "--help")
    assert status == 0
    assert out.startswith(f"usage: qd {verb}")
    assert cli.COMMANDS[verb] in " ".join(out.split())


def test_help_lists_every_verb_without_importing_any(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; from quarterdeck import cli; cli.main(['--help'])"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [verb for verb in cli.COMMANDS if not re.search(rf"^    {verb}\b", done.stdout, re.MULTILINE)] == []
    assert not [line for line in done.stderr.splitlines() if "quarterdeck.commands." in line or line.endswith(" zmq")]


COMMANDS = [
    ("status",), ("check",), ("up",), ("down",), ("run", "--seconds", "1"), ("supervisor",),
    ("orders", "--config"), ("order", "kraken", "BTC-USD", "buy", "1", "--config"), ("cancel", "1", "--config"),
    ("book", "kraken", "BTC-USD", "--config"), ("kill", "status", "--config"), ("kill", "trip", "--config"),
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_configuration_that_is_not_there_is_one_line(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = qd(capsys, *words, tmp_path / "none.toml")
    assert (status, out) == (1, "")
    assert err == f"qd {words[0]}: {tmp_path}/none.toml: cannot be read: No such file or directory\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("order", "kraken", "BTC-EUR", "buy", "1"), "no instrument kraken BTC-EUR; there are: binance BTC-USDT"),
        (("order", "kracken", "BTC-USD", "buy", "1"), "no instrument kracken BTC-USD"),
        (("order", "kraken", "BTC-USD", "buy", "one"), "BTC-USD: not a decimal number: 'one'"),
        (("order", "kraken", "BTC-USD", "buy", "1", "--price", "50000.05"), "50000.05 has more than 1 decimals"),
        (("order", "kraken", "BTC-USD", "buy", "1e30"), "does not fit 64 bits"),
        (("book", "kraken", "BTC-EUR"), "no level 2 book of kraken BTC-EUR"),
        (("book", "binance", "BTC-USDT", "--level", "3"), "no level 3 book of binance BTC-USDT"),
        (("kill", "trip", "--scope", "everything"), "'everything' is no scope; expected desk or one of"),
    ],
)
def test_a_wrong_word_is_named(
    words: tuple[str, ...], says: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = qd(capsys, *words, "--config", config)
    assert (status, out) == (1, "")
    assert says in err
    assert err.count("\n") == 1
    assert not (config.parent.parent / "shm").exists()  # a wrong trip closes nothing


@pytest.mark.parametrize(
    "words",
    [
        ("order", "kraken", "BTC-USD", "buy", "1", "--config"), ("book", "kraken", "BTC-USD", "--config"),
        ("kill", "status", "--config"), ("kill", "reset", "--reason", "x", "--config"), ("kill", "limits", "--config"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_desk_that_does_not_run_is_said_so_in_one_line(
    words: tuple[str, ...], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = qd(capsys, *words, config)
    assert (status, out) == (1, "")
    assert err.startswith(f"qd {words[0]}: ")
    assert err.count("\n") == 1


def test_the_plan_needs_no_kill_switch_and_says_that_none_answers(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = qd(capsys, "kill", "plan", "--venue", "binance", "--config", config)
    assert (status, err) == (0, "")
    assert "No kill switch answers: this is what the configuration says." in out
    assert "binance, account" in out
    assert "kraken, account" not in out
    for wrong in (("--venue", "nosuch"), ("--scope", "session:nobody")):
        status, out, err = qd(capsys, "kill", "plan", *wrong, "--config", config)
        assert (status, out) == (1, "")
        assert wrong[1] in err


def test_cancel_and_orders_name_each_process_that_does_not_answer(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = qd(capsys, "cancel", "1", "--config", config)
    assert status == 1
    traders = load(config).sessions(Kind.TRADING)
    assert err.count("-trd: ") == len(traders) > 2
    status, out, err = qd(capsys, "orders", "--json", "--config", config)
    assert status == 3
    assert [line.partition(":")[0] for line in json.loads(out)["unanswered"]] == traders


def test_a_desk_that_never_ran_is_dead_and_its_gate_missing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = load(config)
    view = read_desk(desk)
    processes = [s for s in desk.config.session if s not in desk.config.kill.sessions]
    assert (view.gate, view.sessions_ready, view.sessions_total) == ("MISSING", 0, len(processes))
    assert (view.books_live, view.books_total, view.books) == (0, 2 * len(desk.sessions(Kind.MARKETDATA)), ())
    assert {(p.readiness, p.reason, p.pid) for p in view.processes} == {("DEAD", "never started", 0)}
    assert not view.ready
    status, out, _ = qd(capsys, "status", config, "--json")
    assert status == 3
    assert json.loads(out)["gate"] == "MISSING"
    assert qd(capsys, "down", config) == (0, "desk default does not run\n", "")


def test_a_page_that_nobody_writes_any_more_is_dead_and_keeps_its_last_word(config: Path) -> None:
    desk = load(config)
    (desk.shm_dir / "proc").mkdir(parents=True)
    page = StatusPage(desk.shm_dir / "proc" / "kraken-trd", "kraken-trd", kind="trading")
    page.set(Readiness.READY, "")
    page.beat(1)
    (found,) = [p for p in read_desk(desk).processes if p.name == "kraken-trd"]
    assert (found.readiness, found.reason, found.pid) == ("DEAD", "silent; last said READY", os.getpid())


def test_files_that_are_no_shared_memory_of_ours_are_not_believed(config: Path) -> None:
    desk = load(config)
    (desk.shm_dir / "proc").mkdir(parents=True)
    for name in ("gate", "book-l2", "proc/kraken-trd", "proc/killswitch"):
        (desk.shm_dir / name).write_bytes(b"\xff" * 8192)
    view = read_desk(desk)
    assert (view.gate, view.books, view.sessions_ready) == ("MISSING", (), 0)


def test_the_screen_fits_a_terminal_and_cuts_no_number(config: Path) -> None:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=80).print(desk_screen(read_desk(load(config))))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in out.getvalue()


def test_a_small_terminal_names_together_what_has_nothing_to_say(config: Path) -> None:
    from rich.console import Console

    def shown(view: DeskView, lines: int) -> list[str]:
        out = io.StringIO()
        Console(file=out, width=80).print(desk_screen(view, "note", lines))
        return out.getvalue().splitlines()

    desk = load(config)
    books = tuple(
        BookView(session, f"X{n}", 2, "LIVE", "OK", "1", "2", "3", "4", 5)
        for session in desk.sessions(Kind.MARKETDATA)
        for n in (1, 2)
    )
    dead = read_desk(desk)
    ready = [msgspec.structs.replace(p, readiness="READY", reason="") for p in dead.processes]
    well = msgspec.structs.replace(dead, processes=tuple(ready), books=books)
    assert len(shown(well, 24)) <= 24
    assert all(p.name in "".join(shown(well, 24)) for p in ready)
    ready[3] = msgspec.structs.replace(ready[3], readiness="DEGRADED", reason="the feed is late")
    one = shown(msgspec.structs.replace(well, processes=tuple(ready)), 24)
    assert len(one) <= 24
    assert [
        line for line in one if "DEGRADED" in line and "the feed is late" in line and line.startswith(ready[3].name)
    ]
    assert len(shown(well, 60)) == len(shown(well, 0)) == len(ready) + len(books) + 6


# -- qd check ----------------------------------------------------------------------------------------------------


def check(config: Path, old: str, new: str) -> None:
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, 1))


def test_nothing_is_wrong_with_the_default_desk(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = qd(capsys, "check", config)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "nothing wrong"
    assert "kraken-md: 8=FIX.4.4|" in out
    assert "kraken-trd: no logon to show: " in out  # its secrets are made when the simulated venue starts


TRADING = 'address = "run:sim-kraken#trading"'
POSITION = '"BTC-USD" = "25"'
QTY = '"BTC-USD" = "5", "ETH-USD" = "100"'
COLLAR = '"BTC-USD" = "5", "ETH-USD" = "5"'


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ('dialect = "kraken"', 'dialect = "krakn"', "venue.kraken.dialect", "there are ['binance', "),
        ("depth = 1000", "depth = 999", "session.kraken-md.depth", "999 is not one of"),
        ('sender_comp_id = "QDTRD1"', 'sender_comp_id = "TOOLONGNAME"', "session.binance-trd.sender_comp_id", "1 to 8"),
        (TRADING, 'address = "kraken"', "session.kraken-trd.address", "neither host:port nor run:sim-NAME#KEY"),
        (TRADING, 'address = "kraken:70000"', "session.kraken-trd.address", "neither host:port"),
        (TRADING, 'address = "run:sim-krakn#trading"', "session.kraken-trd.address", "there is no [sim.krakn]"),
        (TRADING, 'address = "a.example:1"\ntls = false', "session.kraken-trd.tls", "only a loopback address"),
        ('address = "run:sim-kraken#rest"', 'address = "ftp://x"', "venue.kraken.rest.address", "https://host[:port]"),
        ('"run:secrets/kraken-fix.key"', '"env:QD_NO_SUCH"', "session.kraken-trd.username", "QD_NO_SUCH is not set"),
        ('"run:secrets/kraken-fix.key"', '"hunter2"', "session.kraken-trd.username", "env:NAME, file:PATH or run:PATH"),
        ('key = "run:secrets/kraken-rest.key"', 'key = "file:/no/such"', "venue.kraken.rest.key", "No such file"),
        ("kill_secret = ", "lag_ms = 1 # ", "venue.kraken.rest", "kill_key and kill_secret go together"),
        ('["kraken-l3", ', "[", "session.kraken-l3", "nobody would keep its books"),
        ("levels = 20000", "max_instruments = 3", "book.l2.max_instruments", "have 6 instruments"),
        ('"QDKILL1"', '"QDTRD1"', "session.binance-kill.sender_comp_id", "logs on at"),
        ("seed = 1", 'replay = "/no/such"', "sim.kraken.replay", "does not exist"),
        ('scope = "venue:kraken"', 'scope = "venue:x"', "kill.limits[1].scope", "nothing is 'venue:x'; there are"),
        ('scope = "venue:kraken"', 'scope = "all"', "kill.limits[1].scope", "'all' is no scope"),
        ('scope = "venue:kraken"', 'scope = "strategy:s"', "kill.limits[1].max_position", "limit its session"),
        (
            'scope = "venue:kraken"',
            'scope = "session:kraken-trd"\nmax_drop_copy_lag_s = 5',
            "kill.limits[1].max_drop_copy_lag_s",
            "no drop-copy session covers it",
        ),
        (POSITION, '"BTC-USD" = "much"', "kill.limits[1].max_position.BTC-USD", "not a decimal number: 'much'"),
        (POSITION, '"BTC-USD" = "-1"', "kill.limits[1].max_position.BTC-USD", "expected a number from 0 up"),
        (POSITION, '"XRP-USD" = "1"', "kill.limits[1].max_position", "venue:kraken has no 'XRP-USD'; there are"),
        (POSITION, '"BTC-USDT" = "1"', "kill.limits[1].max_position", "venue:kraken has no 'BTC-USDT'"),
        ('USD = "5000000"', 'EUR = "5000000"', "kill.limits[0].max_notional", "quoted in 'EUR'"),
        (QTY, '"BTC-USD" = "1,5"', "kill.limits[1].max_order_qty.BTC-USD", "not a decimal number: '1,5'"),
        (QTY, '"BTC-USDT" = "1"', "kill.limits[1].max_order_qty", "venue:kraken has no 'BTC-USDT'"),
        (COLLAR, '"BTC-USD" = "0"', "kill.limits[1].price_collar_pct.BTC-USD", "expected more than 0"),
        (COLLAR, '"BTC-USD" = "Infinity"', "kill.limits[1].price_collar_pct.BTC-USD", "Infinity is not a limit"),
        ("max_order_notional = { USD", "max_order_notional = { CHF", "kill.limits[0].max_order_notional", "'CHF'"),
        ("duplicate_window_ms = 20", "duplicate_window_ms = 0", "kill.limits[0].duplicate_window_ms", "0 is below 1"),
        ("max_open_orders = 400", "max_open_orders = -1", "kill.limits[0].max_open_orders", "-1 is negative"),
    ],
)
def test_each_kind_of_problem_is_named_with_its_place(
    old: str, new: str, where: str, says: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(config, old, new)
    status, out, err = qd(capsys, "check", config)
    assert status == 1
    assert out.splitlines()[-1] == f"{err.count(chr(10))} problem(s)"
    assert [line for line in err.splitlines() if line.startswith(f"{config}: {where}") and says in line], err
    assert "hunter2" not in out + err


def test_a_production_desk_without_limits_is_a_problem(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = config.read_text().replace('environment = "sim"', "").replace("arm_at_start = true", "")
    limits = text.index("[[kill.limits]]")
    config.write_text(text[:limits] + text[text.index("# ----") :])
    status, _, err = qd(capsys, "check", config)
    assert status == 1
    assert f"{config}: kill.limits: none is set" in err


def test_a_production_desk_without_alarms_or_drills_is_a_problem(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = config.read_text().replace("arm_at_start = true", "")
    _, _, err = qd(capsys, "check", config)
    assert "alarms: none" not in err
    assert "drill_max_age_days" not in err
    alarms, venues = text.index("[alarms]"), text.index("[sim.kraken]")
    config.write_text(text[:alarms].replace('environment = "sim"', "") + text[venues:])
    _, _, err = qd(capsys, "check", config)
    assert f"{config}: alarms: none are configured" in err
    assert f"{config}: kill.drill_max_age_days: 0" in err


@pytest.mark.parametrize(("without_book", "problems"), [("refuse", 2), ("pass", 0)])
def test_a_price_collar_needs_a_book_unless_it_lets_pass(
    without_book: str, problems: int, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = config.read_text().replace('["kraken-md", ', "[").replace('["kraken-l3", ', "[")
    config.write_text(text.replace(QTY + " }", QTY + f' }}\nwithout_book = "{without_book}"'))
    _, _, err = qd(capsys, "check", config)
    said = [line for line in err.splitlines() if "keeps a book of it at kraken" in line]
    assert len(said) == problems
    assert all(f"{config}: kill.limits[1].price_collar_pct." in line for line in said)


def test_a_production_desk_that_puts_up_with_any_silence_is_a_problem(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = config.read_text().replace("stale_after_s = 10\n", "")
    config.write_text(text)
    assert "stale_after_s" not in qd(capsys, "check", config)[2]
    config.write_text(text.replace('environment = "sim"', "").replace("arm_at_start = true", ""))
    status, _, err = qd(capsys, "check", config)
    assert status == 1
    assert f"{config}: session.kraken-md.stale_after_s: 0" in err


def test_the_preview_masks_what_is_secret(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = load(config).run_dir / "secrets"
    folder.mkdir(parents=True)
    for name, value in (("kraken-fix.key", "the-name"), ("kraken-fix.secret", "c2VjcmV0LW9mLXRoZS1kZXNr")):
        (folder / name).write_text(value)
        (folder / name).chmod(0o600)
    status, out, err = qd(capsys, "check", config)
    assert (status, err) == (0, "")
    (logon,) = [line for line in out.splitlines() if line.startswith("kraken-trd: ")]
    assert "|35=A|" in logon
    assert "|49=QDDESK1|56=KRAKEN-TRD|" in logon
    assert "|553=the-name|" in logon
    assert "|554=***|" in logon
    assert "c2VjcmV0" not in out


def test_a_secret_that_others_may_read_is_a_problem(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = load(config).run_dir / "secrets"
    folder.mkdir(parents=True)
    (folder / "kraken-fix.key").write_text("name")
    (folder / "kraken-fix.key").chmod(0o644)
    status, _, err = qd(capsys, "check", config)
    assert status == 1
    assert "session.kraken-trd.username: " in err
    assert "chmod 600" in err
