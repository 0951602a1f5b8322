"""The kill switch as another user than the owners of orders: what it needs, and what it says when it has not got it."""

import os
import shutil
import signal
import stat
import sys
from pathlib import Path

import pytest

from quarterdeck.supervise import as_kill_user
from tests.procs.kill_venue import ROOT, KillDesk
from tests.procs.test_killswitch import Make, closed, desk_of  # noqa: F401 - the fixture

UID, KILL_UID = 65534, 65533
AS_OTHER = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")
AS_KILL = tuple(as_kill_user(str(KILL_UID), UID))  # as supervisord is told to
TO_READ = "+dac_override,+dac_read_search"
WITHOUT_KILL = ("setpriv", f"--regid={UID}", "--clear-groups", "--inh-caps=-kill", "--bounding-set=-kill")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may begin processes as another user"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv here"),
]


def found_by_others(path: Path) -> bool:
    """Whether other users may go down to `path`."""
    return all(p.stat().st_mode & stat.S_IXOTH for p in (path.resolve(), *path.resolve().parents))


def handed_over(desk: KillDesk) -> None:
    """The desk belongs to the owner's user, as an installation makes it; the kill switch is another's, in its group."""
    reachable = found_by_others(Path(sys.executable)) and found_by_others(ROOT)
    caps = () if reachable else (f"--inh-caps={TO_READ}", f"--ambient-caps={TO_READ}")
    desk.prefix = {"a": (*AS_OTHER, *caps), "killswitch": AS_KILL}
    home = desk.desk.path.parent.parent
    d = desk.desk
    for folder in (
        home.parent,
        home,
        d.run_dir,
        d.run_dir / "lock",
        d.data_dir,
        d.log_dir,
        d.shm_dir,
        d.shm_dir / "proc",
    ):
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        os.chown(folder, UID, UID)


def test_with_the_right_to_it_another_users_owner_is_killed_and_its_orders_are_proven(desk_of: Make) -> None:  # noqa: F811
    desk = desk_of(owners=("a",), fence_ms=500)
    handed_over(desk)
    desk.start(orders=2)
    assert desk.status()["out_of_reach"] == []
    desk.signal("a", signal.SIGSTOP)
    desk.trip()
    trip = desk.wait_proven()
    assert trip["killed"] == ["a"]
    assert desk.ended("a") == -signal.SIGKILL
    assert trip["proven"] == 2


def test_without_it_people_are_told_before_and_cancels_go_on_without_a_proof(desk_of: Make) -> None:  # noqa: F811
    desk = desk_of(owners=("a",), proof_s=2, fence_ms=500)
    handed_over(desk)
    desk.prefix["killswitch"] = WITHOUT_KILL
    desk.start(orders=2, killswitch="DEGRADED")
    [blind] = desk.status()["out_of_reach"]
    assert "Operation not permitted" in blind
    assert "CAP_KILL" in blind
    assert closed(desk, "a") == ""  # it is an alarm, not a trip
    desk.signal("a", signal.SIGSTOP)
    desk.trip()
    desk.logged("kill_failed")  # a person is told what to do
    desk.wait(lambda: desk.venue.alive == 0, "what can be reached is cancelled")
    times = len(desk.venue.cancelled_all_at)
    desk.wait(lambda: len(desk.venue.cancelled_all_at) >= times + 2, "again and again")
    desk.logged("not_proven")  # a person is called
    trip = desk.status()["last_trip"]
    assert trip["phase"] == "FENCING"
    assert trip["proven"] == 0
    assert any("owner a has not answered the gate" in q for q in trip["open_questions"])
    desk.kill("a")  # as the alarm says
    assert desk.wait_proven()["proven"] == 2
