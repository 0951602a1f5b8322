"""`qd schedule`: what comes, in local time and UTC, and what the desk does."""

import json
from pathlib import Path

import pytest

from quarterdeck import cli

DESK = """
[desk]
name = "t"
[venue.prime]
dialect = "fix44"
instruments = [{ name = "BTC-USD", symbol = "BTC-USD", px_scale = 2, qty_scale = 8 }]
[venue.prime.calendar]
of = "coinbase-prime"
off = ["expiry-limit"]
[[venue.prime.calendar.entry]]
name = "announced"
what = "closed"
zone = "Europe/London"
start = 23:30:00
end = 00:30:00
on = [2026-10-31]
text = "announced maintenance"
source = "notice of 20 October"
[session.trd]
venue = "prime"
kind = "trading"
address = "prime.example:4198"
sender_comp_id = "A"
target_comp_id = "B"
"""


def qd(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.main(["schedule", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def rows(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> str:
    path = tmp_path / "desk.toml"
    path.write_text(DESK)
    return str(path)


def test_a_desk_is_shown_its_venues_with_its_own_windows(desk, capsys):
    status, out, _ = qd(capsys, "--config", desk, "--from", "2026-10-31", "--next", "2d")
    assert status == 0
    shown = rows(out)
    assert any(r.startswith("prime Sat 10-31 17:00 - 17:05 EDT 21:00 - 21:05 forced logout") for r in shown)
    assert any(r.startswith("prime Sun 11-01 17:00 - 17:05 EST 22:00 - 22:05 forced logout") for r in shown)
    assert any(r.startswith("prime Sat 10-31 23:30 - Sun 11-01 00:30 GMT 23:30 - Sun 11-01 00:30") for r in shown)
    assert "GTD" not in out
    assert "notice of 20 October" in out
    assert max(map(len, out.splitlines())) <= 120


def test_json_has_times_in_utc_and_what_the_desk_does(desk, capsys):
    _, out, _ = qd(capsys, "prime", "--config", desk, "--from", "2026-11-01", "--next", "24h", "--json")
    (venue,) = json.loads(out)["venues"]
    announced, window = venue["events"]
    assert (announced["start"], announced["end"]) == ("2026-10-31T23:30:00Z", "2026-11-01T00:30:00Z")
    assert (window["start"], window["end"]) == ("2026-11-01T22:00:00Z", "2026-11-01T22:05:00Z")
    assert window["desk"] == "logs out, comes back 5 s after, with 141=Y"
    assert venue["status"].startswith("closed until 2026-11-01T00:30:00Z: announced")


def test_a_venue_that_no_desk_has_is_shown_as_documented(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, out, _ = qd(capsys, "coinbase-exchange", "--from", "2026-11-23", "--next", "6d")
    shown = rows(out)
    assert any("Mon 11-23 13:45 - 15:45 EST 18:45 - 20:45" in r for r in shown)
    assert not any("Thu 11-26" in r for r in shown)  # a holiday
    assert "? inferred" in out


def test_without_a_desk_every_venue_is_listed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, out, _ = qd(capsys, "--next", "1d")
    assert {"kraken", "okx", "coinbase-prime"} <= {line.split(" ")[0] for line in out.splitlines() if line}


def test_a_simulated_venue_says_that_it_does_not_keep_the_calendar(capsys, desk):
    path = Path(desk)
    path.write_text(DESK.replace("prime.example:4198", "run:sim-prime#trading").replace("[[venue", "[[xvenue", 0))
    text = path.read_text()
    path.write_text(text[: text.index("[[venue")] + text[text.index("[session") :])
    _, out, _ = qd(capsys, "--config", desk, "--next", "2d")
    assert "simulated" in out
    assert "logs out" not in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["kraken", "--next", "3y"], "3y"), (["kraken", "--next", "401d"], "401d"), (["nowhere"], "nowhere"),
     (["kraken", "--from", "yesterday"], "yesterday")],
)  # fmt: skip
def test_what_is_wrong_is_named(capsys, arguments, named):
    status, _, err = qd(capsys, *arguments)
    assert status == 1
    assert named in err
    assert len(err.splitlines()) == 1
