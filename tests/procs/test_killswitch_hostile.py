"""`qd kill trip` when nearly everything is wrong: it closes the desk, or says that it could not and what is left."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from base.locks import RoleLock
from ipc._words import Words
from ipc.gate import OPERATOR_KIND, OPERATOR_WORDS
from ipc.operator_client import line_path
from tests.base.own_mounts import OWN_MOUNTS, may_mount
from tests.ipc.test_operator_line import Switch
from tests.procs.kill_venue import ROOT
from tests.procs.test_killswitch import Make, closed, desk_of  # noqa: F401 - the fixture

pytestmark = pytest.mark.e2e

CODE = "import sys; from quarterdeck.cli import main; sys.exit(main())"
TRIP = [sys.executable, "-c", CODE, "kill", "trip", "--reason", "hostile", "--json", "--config"]


def trip(config: Path) -> tuple[int, Any]:
    """Exit status and what was said."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*TRIP, str(config)], cwd=ROOT, env=env, capture_output=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr.decode()


class Bare:
    """A desk of which only the places are there; nobody runs."""

    def __init__(self, root: Path, shm: Path) -> None:
        self.root, self.shm, self.run_dir = root, shm, root / "r"
        self.config = root / "c" / "desk.toml"
        self.config.parent.mkdir()
        self.config.write_text(f'[desk]\nname = "t"\nrun_dir = "r"\nshm_dir = "{shm}"\n[venue]\n[session]\n')
        self.run_dir.mkdir(mode=0o700)
        self.operator = shm / "operator"
        Words.create(self.operator, OPERATOR_KIND, OPERATOR_WORDS)

    def word(self) -> int:
        return Words.open(self.operator, OPERATOR_KIND).load(0)


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Bare]:
    shm = Path("/dev/shm") / f"qh{os.getpid()}"
    shm.mkdir()
    yield Bare(tmp_path, shm)
    shutil.rmtree(shm)


def no_run_dir(desk: Bare) -> None:
    desk.run_dir.rmdir()


def broken_configuration(desk: Bare) -> None:
    with desk.config.open("a") as file:
        file.write("[kill]\nlease_ms = = soon\n")


def foreign_word(desk: Bare) -> None:
    desk.operator.write_bytes(b"not ours")


def no_word(desk: Bare) -> None:
    desk.operator.unlink()


def as_it_is(desk: Bare) -> None:
    assert desk.word() == 0


@pytest.mark.parametrize(
    "harm", [as_it_is, no_run_dir, broken_configuration, foreign_word, no_word], ids=lambda f: str(f.__name__)
)
def test_the_word_is_set_whatever_else_is_gone(bare: Bare, harm: Callable[[Bare], None]) -> None:
    harm(bare)
    code, said = trip(bare.config)
    assert (code, said["by"]) == (2, "operator word"), said
    assert bare.word() > 0


def test_where_no_word_can_be_set_that_is_said_and_what_to_do(bare: Bare) -> None:
    shutil.rmtree(bare.shm)
    code, said = trip(bare.config)
    assert (code, said["by"]) == (1, "nothing")
    assert "NOTHING IS KNOWN TO BE CLOSED" in said["said"]
    assert "end the trading processes" in said["said"]
    bare.shm.mkdir()


def test_then_a_kill_switch_that_runs_is_sent_the_signal(bare: Bare) -> None:
    lock = bare.run_dir / "lock" / "killswitch"
    code = (
        "import signal; from base.locks import RoleLock; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]);"
        f"lock = RoleLock({str(lock)!r}); lock.acquire(1); print('held', flush=True);"
        "print(signal.sigwait([signal.SIGUSR1]).name)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            assert RoleLock(lock).holder().pid == process.pid
            shutil.rmtree(bare.shm)
            status, said = trip(bare.config)
            assert (status, said["by"]) == (1, "signal")
            assert f"kill -9 {process.pid}" in said["said"]
            assert process.stdout.readline() == "SIGUSR1\n"
        finally:
            process.kill()
    bare.shm.mkdir()


# A tmpfs of the test's own in place of the desk's shared memory, then the harm, then the trip; the word is read there.
MOUNTED = """
set -e
mount -t tmpfs -o size=64k none "$SHM"
"$PYTHON" - <<'END'
import os
from ipc._words import Words
from ipc.gate import OPERATOR_KIND, OPERATOR_WORDS
if os.environ["WORD"] == "there":
    Words.create(os.environ["SHM"] + "/operator", OPERATOR_KIND, OPERATOR_WORDS)
END
{harm}
set +e
"$@"
echo " exit $?"
"""
FULL = 'dd if=/dev/zero of="$SHM/filler" bs=4k 2>/dev/null || true'
READ_ONLY = 'mount -o remount,ro "$SHM"'


@pytest.mark.parametrize(
    ("harm", "word", "code", "by"),
    [(FULL, "there", 2, "operator word"), (FULL, "missing", 1, "nothing"), (READ_ONLY, "there", 1, "nothing")],
    ids=["full", "full and no word", "read-only"],
)
def test_on_a_full_or_read_only_shared_memory(bare: Bare, harm: str, word: str, code: int, by: str) -> None:
    if not may_mount(bare.shm):
        pytest.skip("no mount namespace here")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SHM": str(bare.shm), "WORD": word, "PYTHON": sys.executable}
    command = [*OWN_MOUNTS, "sh", "-c", MOUNTED.format(harm=harm), "sh", *TRIP, str(bare.config)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    said, _, status = done.stdout.rpartition(" exit ")
    assert status.strip() == str(code), done
    assert json.loads(said)["by"] == by


def test_a_socket_that_nobody_serves_and_one_whose_owner_is_stopped_cost_200_ms_and_no_more(bare: Bare) -> None:
    silent = Switch(bare.run_dir)  # its loop never turns
    try:
        code, said = trip(bare.config)
        assert (code, said["by"]) == (2, "operator word")
        assert "within 200 ms" in said["said"]
    finally:
        silent.line.close()
        silent.reactor.close()
    line_path(bare.run_dir).touch()
    assert trip(bare.config)[0] == 2


@pytest.mark.parametrize("way", ["cli", "words", "signal"])
def test_with_the_event_bus_dead_a_trip_closes_cancels_and_proves(desk_of: Make, way: str) -> None:  # noqa: F811
    """No publisher, no command socket: what is left is shared memory, bells, journals and the operators' line."""
    desk = desk_of(owners=("a",))
    desk.start(orders=2)
    for path in (*desk.desk.run_dir.glob("*.pub"), *desk.desk.run_dir.glob("*.cmd")):
        path.unlink()
    if way == "cli":
        assert trip(desk.desk.path)[0] in (0, 2)  # it was answered in time, or the operator word says it
    elif way == "words":
        desk.line("trip desk by hand")
    else:
        desk.signal("killswitch", signal.SIGUSR1)
    desk.wait(lambda: "desk is TRIP" in closed(desk, "a"), "closed")
    desk.wait(lambda: desk.venue.alive == 0, "cancelled")
    desk.wait(lambda: (desk.line("status")["last_trip"] or {}).get("phase") == "PROVEN", "proven")


def test_stopping_a_desk_loads_nothing_that_it_does_not_need() -> None:
    """Each module is time for who trips, and one more that may be broken; ZeroMQ would be a library that may hang."""
    code = "import sys; import quarterdeck.cli, quarterdeck.commands.kill; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {
        m for m in loaded if m.partition(".")[0] in ("zmq", "msgspec", "venues", "risk", "fix", "sim", "procs", "rich")
    }


def test_the_kill_switch_loads_no_strategy_code_and_no_other_process() -> None:
    code = "import sys; import procs.killswitch; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "risk.kill" in loaded
    assert not {m for m in loaded if m.partition(".")[0] in ("quarterdeck", "examples", "bench", "sim")}
    assert not loaded & {"procs.trading", "procs.marketdata", "procs.dropcopy", "procs.book", "procs.ledger"}
