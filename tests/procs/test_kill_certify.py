"""`qd kill certify` against venues whose mass cancel reaches this or that, by a running kill switch."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.procs.sim_desk import ROOT, SimDesk
from venues.certified import read_finding
from venues.kill_topology import kill_venue

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
PRICES = {"fix44": ("10", "10"), "kraken": ("10.0", "10.00"), "binance": ("10.00", "10.00")}
QTYS = {"fix44": ("0.01", "0.01"), "kraken": ("0.01", "0.01"), "binance": ("0.01", "0.01")}


def running(dialect: str, sim: str = "") -> Iterator[SimDesk]:
    desk = SimDesk(dialect, own=True, sim=sim)
    try:
        desk.start()
        desk.wait(lambda: desk.status()["sessions"]["own"]["phase"] == "READY", "the kill session is logged on")
        yield desk
    finally:
        desk.close()


@pytest.fixture(scope="module")
def fix44() -> Iterator[SimDesk]:
    yield from running("fix44", 'mass_cancel_reaches = "account"')


@pytest.fixture(scope="module")
def kraken() -> Iterator[SimDesk]:
    yield from running("kraken")


@pytest.fixture(scope="module")
def binance() -> Iterator[SimDesk]:
    yield from running("binance")


def certify(desk: SimDesk, *words: str) -> tuple[int, Any, str]:
    """`qd kill certify x`: exit status, JSON, what went to stderr."""
    dialect = desk.desk.config.venue["x"].dialect
    names = [i.name for i in desk.instruments]
    command = [
        sys.executable, "-m", "quarterdeck.cli", "kill", "certify", "x", "--instrument", *names, "--qty",
        *QTYS[dialect], "--price", *PRICES[dialect], "--json", "--config", str(desk.desk.path), *words,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
                          timeout=90, check=False)  # fmt: skip
    text = done.stdout.decode()
    return done.returncode, json.loads(text) if text else None, done.stderr.decode()


def plan_says(desk: SimDesk) -> str:
    """What the running kill switch holds to be unproven or certified."""
    plan = desk.ask("plan", scope="desk")
    return " ".join([*plan["unproven"], *plan["certified"]])


def test_an_account_wide_mass_cancel_is_certified_kept_and_shown(fix44: SimDesk) -> None:
    assert "was never certified here" in plan_says(fix44)
    code, found, said = certify(fix44)
    assert code == 0, (said, found)
    finding = found["finding"]
    assert (finding["reaches"], finding["path"], finding["action"]) == ("account", "own", "own_mass_cancel")
    assert finding["when_empty"].startswith("35=r 531=7 533=0")
    assert any(a.startswith("35=r 531=7 533=3") for a in finding["answers"])
    assert (len(finding["ended"]), finding["left"], fix44.working()) == (3, [], set())
    kept, why = read_finding(fix44.desk, "x")
    assert (json.loads(msgspec.json.encode(kept)), why) == (finding, "")
    fix44.wait(lambda: "certified 2" in plan_says(fix44), "the plan knows")
    assert "reaches the account" in plan_says(fix44)
    assert "was never certified" not in plan_says(fix44)


def test_one_that_reaches_its_own_session_only_is_found_out(fix44: SimDesk) -> None:
    fix44.venue.venue.reaches = "connection"  # type: ignore[attr-defined]
    code, found, said = certify(fix44)
    assert code == 0, (said, found)
    assert found["finding"]["reaches"] == "own session"
    assert len(found["finding"]["left"]) == 2
    assert fix44.working() == set()
    fix44.wait(lambda: "nothing may count on it" in plan_says(fix44), "the plan knows")


def test_one_that_answers_and_does_nothing_is_found_out(fix44: SimDesk) -> None:
    fix44.venue.venue.reaches = "account"  # type: ignore[attr-defined]
    fix44.venue.fault("mass_cancel_fake", n=2)
    code, found, said = certify(fix44)
    assert code == 0, (said, found)
    assert found["finding"]["reaches"] == "nothing"
    assert any("533=3" in a for a in found["finding"]["answers"]), "it said that it had cancelled three"
    assert fix44.working() == set()
    venue = kill_venue(fix44.desk, "x", fix44.venue.clock.wall_ns())
    assert any("reaches nothing, though it may answer" in u for u in venue.unproven)


def test_orders_that_are_open_are_not_put_at_risk(fix44: SimDesk) -> None:
    fix44.venue.venue.reaches = "account"  # type: ignore[attr-defined]
    (order,) = fix44.place_working(1)
    code, found, said = certify(fix44)
    assert (code, found["finding"]) == (1, None), said
    assert order in found["why"]
    assert fix44.working() == {order}
    code, found, said = certify(fix44, "--others-may-die")
    assert (code, found["finding"]["reaches"]) == (0, "account"), said
    fix44.wait(lambda: not fix44.working(), "it did die")


def test_over_rest_it_is_certified_too(fix44: SimDesk) -> None:
    """And a venue that takes its time with the answer is waited for, though nothing is tripped."""
    fix44.venue.fault("rest_lag", ms=300, n=50)
    code, found, said = certify(fix44, "--path", "rest")
    fix44.venue.control("DELETE", "/faults")
    assert code == 0, (said, found)
    assert (found["finding"]["path"], found["finding"]["reaches"]) == ("rest", "account")
    assert found["finding"]["when_empty"] in ("a count of 0", "silence")  # silence: a busy machine took over a second


def test_a_desk_that_is_not_armed_or_a_wrong_word_begins_nothing(fix44: SimDesk) -> None:
    fix44.trip()
    fix44.proven()
    code, found, said = certify(fix44)
    assert (code, found) == (1, None)
    assert "not ARMED" in said
    fix44.reset()
    assert "x has no 'NO-SUCH'" in certify(fix44, "--instrument", "NO-SUCH")[2]


def test_silence_and_both_readings_of_530_7_are_told_apart(kraken: SimDesk) -> None:
    code, found, said = certify(kraken)
    assert code == 0, (said, found)
    assert (found["finding"]["reaches"], found["finding"]["when_empty"]) == ("own session", "silence")
    kraken.venue.venue.mass_cancel_7 = "account"  # type: ignore[attr-defined]
    code, found, said = certify(kraken)
    assert code == 0, (said, found)
    assert (found["finding"]["reaches"], found["finding"]["answers"]) == ("account", ["silence"])
    assert kraken.working() == set()


def test_a_mass_cancel_by_symbol_is_told_from_one_of_the_account(binance: SimDesk) -> None:
    code, found, said = certify(binance)
    assert code == 0, (said, found)
    finding = found["finding"]
    assert (finding["reaches"], len(finding["ended"]), len(finding["left"])) == ("symbol", 2, 1)
    assert "-2011" in finding["when_empty"]
    assert binance.working() == set()
    binance.wait(lambda: "reaches the account's orders on the symbol" in plan_says(binance), "the plan knows")
