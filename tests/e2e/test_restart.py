"""`qd restart`: one process after the other, in order, without a trip."""

import os
import re
import signal

import pytest

from tests.e2e.conftest import RunningDesk, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_sessions_are_restarted_one_after_the_other_and_nothing_trips(desk: RunningDesk) -> None:
    desk.wait_ready()
    names = ("kraken-md", "binance-trd", "killswitch")
    before = {n: desk.pid(n) for n in names}
    desk.order("binance", "BTC-USDT", "buy", "0.01", "30000")
    done = desk.qd("restart", *names, "--config", str(desk.desk.path), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in said] == list(names)
    assert re.search(r"[1-9]\d* working orders are cancelled first; stopped in .* READY after", said[1])
    assert not desk.working("binance")
    desk.wait_ready()
    assert all(desk.pid(n) != before[n] for n in names)
    assert desk.view().gate == "ARMED"
    assert {s["state"] for s in desk.ask("kill", "status")["scopes"]} == {"ARMED"}


def test_a_process_that_is_in_trouble_is_left_for_a_person_to_look_at(desk: RunningDesk) -> None:
    desk.wait_ready()
    pid = desk.pid("kraken-md")
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: desk.readiness("kraken-md") == "DEAD", 30, "it is silent")
        refused = desk.qd("restart", "kraken-md", "--config", str(desk.desk.path))
        assert (refused.returncode, "kraken-md is DEAD silent" in refused.stderr) == (1, True)
        assert desk.pid("kraken-md") == pid
    finally:
        os.kill(pid, signal.SIGCONT)
    desk.wait_ready()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name processes, or say --all"),
        (("nobody",), "no process nobody"),
        (("kraken-md", "--all"), "name processes"),
    ],
)
def test_what_cannot_be_meant_is_said(desk: RunningDesk, words: tuple[str, ...], said: str) -> None:
    done = desk.qd("restart", *words, "--config", str(desk.desk.path))
    assert (done.returncode, said in done.stderr) == (1, True)
