"""Every command that a page shows in a block is run as it stands there, on one desk, and does what it is shown for."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.config import DeskConfig
from quarterdeck import supervisord
from tests.docs.shown import Shown, in_blocks
from tests.e2e.conftest import ROOT, RunningDesk, end_desk, lenient, make_desk, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# Not here: each with what runs it.
ELSEWHERE = {
    r"make (run|test|docs|check)\b.*": "test_main_job.py runs what `make run` does; the others are what runs this",
    r"qd restart PROCESS.*": "test_restart.py",
    r"qd (up|down)\b.*": "the desk of this file is started and stopped with them",
    r"qd keys\b.*": "tests/ipc/test_remote_keys.py: the default desk has no [remote]",
    r"qd soak\b.*": "test_soak.py, for less long",
    r"qd kill campaign\b.*": "test_kill_campaign.py, for less long",
    r"qd fixlog --folder .*": "tests/quarterdeck/test_fixlog.py: copies of logs without a configuration",
}
ENDLESS = re.compile(r"--watch|--follow|qd top( --page \w+)? *(#|$)")
QUIET = re.compile(r"--until 08:05")  # of a time before this desk was
STATUS = {
    r"qd doctor.*": {0, 1},
    r"qd kill status.*": {0, 3},
    r"qd top.*": {0, 3},
    r"qd alarms.*": {0, 1, 3},
}


class Reader:
    """Somebody who types what the pages show, in the folder that they speak of."""

    def __init__(self, desk: DeskConfig, folder: Path) -> None:
        self.desk = RunningDesk(desk)
        self.folder = folder
        self.last_order = ""

    def command(self, shown: Shown) -> list[str]:
        words = [self.last_order if w in ("CLORDID", "A1", "ID") else w for w in shown.words if not w.startswith("[")]
        if words[0] == "qd":
            return [sys.executable, "-m", "quarterdeck.cli", *words[1:]]
        assert words[0] == "supervisorctl", f"{shown}: nothing here knows how to run it"
        conf = str(self.desk.desk.run_dir / "supervisord.conf")
        return [sys.executable, "-m", "supervisor.supervisorctl", "-c", conf, *words[1:]]

    def type(self, shown: Shown) -> None:
        command = self.command(shown)
        if ENDLESS.search(shown.line):
            self._watch(shown, command)
            return
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=supervisord.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        wanted = next((s for pattern, s in STATUS.items() if re.match(pattern, " ".join(shown.words))), {0})
        assert done.returncode in wanted, f"{shown.page}: {shown.line}\n{done.stdout}{done.stderr}"
        assert done.stdout.strip() or QUIET.search(shown.line), f"{shown.page}: {shown.line} says nothing"
        if shown.words[1:2] == ["order"]:
            self.last_order = done.stdout.split()[-1]
        if shown.words[1:3] == ["kill", "trip"]:
            wait_for(self._proven, 120, lambda: f"the trip is over: {self.desk.ask('kill', 'status')}")

    def settle(self) -> None:
        """As a page leaves it: armed."""
        if self.desk.view().gate != "ARMED":
            self.desk.reset("the page is read")

    def _proven(self) -> bool:
        return all(s["state"] != "TRIPPING" for s in self.desk.ask("kill", "status")["scopes"])

    def _says(self, terminal: int) -> bool:
        if select.select([terminal], [], [], 1.0)[0]:
            return True
        self.desk.order("binance", "BTC-USDT", "buy", "0.01", "30000")  # something to be seen
        return False

    def _watch(self, shown: Shown, command: list[str]) -> None:
        """On a terminal: it says something, goes on, and ends quietly at ^C."""
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            command, cwd=self.folder, env=supervisord.environment(), stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        try:
            wait_for(lambda: self._says(ours), 60, f"{shown.line} says something")
            assert os.read(ours, 65536).strip()
            assert process.poll() is None, f"{shown.line} ended"
            process.send_signal(signal.SIGINT)
            assert process.wait(30) in (0, 130), shown.line
        finally:
            process.kill()
            process.wait(10)
            os.close(ours)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    folder = Path(tempfile.mkdtemp(prefix="qd-"))
    desk = make_desk(folder, lenient)
    shutil.copytree(ROOT / "config" / "examples", folder / "config" / "examples")
    try:
        up = RunningDesk(desk).qd("up", str(desk.path), "--wait", "240", timeout=300)
        assert up.returncode == 0, up.stdout + up.stderr
        yield Reader(desk, folder)
        down = RunningDesk(desk).qd("down", str(desk.path))
        assert down.returncode == 0, down.stdout + down.stderr
    finally:
        end_desk(desk)
        shutil.rmtree(folder, ignore_errors=True)


def elsewhere(shown: Shown) -> bool:
    return any(re.fullmatch(pattern, " ".join(shown.words)) for pattern in ELSEWHERE)


HERE = [s for s in dict.fromkeys(in_blocks()) if not elsewhere(s)]


@pytest.mark.parametrize("page", list(dict.fromkeys(s.page for s in HERE)))
def test_what_the_page_shows_can_be_done(reader: Reader, page: str) -> None:
    if not reader.last_order:
        reader.last_order = reader.desk.order("kraken", "BTC-USD", "buy", "0.01", "30000")
    for shown in (s for s in HERE if s.page == page):
        reader.type(shown)
    reader.settle()


def test_no_exception_stands_for_nothing() -> None:
    """What is run elsewhere is shown somewhere."""
    lines = [" ".join(s.words) for s in in_blocks()]
    assert [p for p in ELSEWHERE if not any(re.fullmatch(p, line) for line in lines)] == []


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_the_program_on_the_page_runs(reader: Reader, tmp_path: Path, page: str) -> None:
    """Until it has printed its first event."""
    (program,) = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "first.py").write_text(program)
    command = [sys.executable, "-u", str(tmp_path / "first.py")]
    process = subprocess.Popen(
        command,
        cwd=reader.folder,
        env=supervisord.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("exec.kraken-trd ")
    finally:
        process.kill()
        process.communicate()
