"""The kill switch on a disk that is really full; run by test_killswitch_full_disk.py in a mount namespace of its own.

`python -m tests.procs.full_kill_disk FOLDER SHM`: latch and audit lie on a small tmpfs below FOLDER. Exit status 0 when
all held; else what did not is said.
"""

import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

import quarterdeck as qd
from ipc.alert_spool import SpoolReader
from ipc.audit_check import audit_lines, verify_audit
from ipc.gate import GateReader, session_scopes
from tests.procs.kill_venue import KillDesk

ORDERS = 3
SIZE_KIB = 512


class FullDisk:
    """The folder of latch and audit, the file that takes its room away, and what people are told meanwhile."""

    def __init__(self, desk: KillDesk) -> None:
        self.desk, self.folder = desk, desk.desk.data_dir / "kill"
        self.folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_KIB}k", "none", str(self.folder)], check=True)
        self.alerts = SpoolReader(desk.desk.shm_dir)

    def fill(self) -> None:
        self.alerts.read()
        with open(self.folder / "filler", "ab", buffering=0) as file:
            for size in (1 << 12, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue
        assert os.statvfs(self.folder).f_bavail == 0

    def make_room(self) -> None:
        (self.folder / "filler").unlink()

    def latch(self) -> str:
        return (self.folder / "latch.json").read_text()

    def events(self) -> list[str]:
        return [line.event for line in audit_lines(self.folder)]

    def told(self, severity: str) -> bool:
        return any((a.source, a.code, a.severity) == ("killswitch", "disk", severity) for a in self.alerts.read())

    def reason(self) -> str:
        """Why the owner's gate is closed; "" when it is open."""
        desk = self.desk.desk
        reader = GateReader(desk.shm_dir / "gate", desk.shm_dir / "operator", session_scopes("x", "main", "a"))
        return reader.closed_reason(time.monotonic_ns())

    def faults(self) -> list[str]:
        return [f for f in self.desk.status()["faults"] if "No space left" in f]


def a_trip_on_a_full_disk_closes_cancels_and_proves_and_people_are_told(disk: FullDisk) -> None:
    desk = disk.desk
    disk.fill()
    desk.trip()
    assert "desk is TRIP" in disk.reason()
    trip = desk.wait_proven()
    assert (trip["proven"], desk.venue.alive) == (ORDERS, 0), trip
    desk.wait(disk.faults, "status names the full disk")
    desk.wait(lambda: disk.told("critical"), "an alarm")
    assert '"state":"ARMED"' in disk.latch(), "nothing of the new latch may take the old one's place"
    assert '"state":"TRIP' not in disk.latch()


def with_room_again_latch_and_trail_are_kept(disk: FullDisk) -> None:
    disk.make_room()
    disk.desk.wait(lambda: '"state":"TRIPPED"' in disk.latch(), "latch written")
    disk.desk.wait(lambda: {"trip", "sent", "PROVEN", "proofs"} <= set(disk.events()), "trail written")
    disk.desk.wait(lambda: not disk.faults(), "no fault any more")
    disk.desk.wait(lambda: disk.told("info"), "the end told")
    lines, wrong = verify_audit(disk.folder)
    assert (lines > ORDERS, wrong) == (True, ""), (lines, wrong)


def a_person_opens_it_again(disk: FullDisk) -> None:
    desk = disk.desk
    answer = desk.ask("reset", scope="desk", reason="room again")
    assert answer.accepted, answer.reason
    desk.wait(lambda: disk.reason() == "" and '"state":"ARMED"' in disk.latch(), "open, and on the disk")
    with qd.connect(desk.desk.path, strategy="mm", timeout=5.0) as client:
        client.arm("room again")
    desk.place("a", 2 * ORDERS)  # those from before among them
    desk.wait(lambda: desk.venue.alive == ORDERS, "orders working again")
    desk.wait(lambda: desk.status()["venues"]["x"]["working"] == ORDERS, "orders known again")


def a_restart_on_the_full_disk_stays_shut_though_the_latch_there_says_armed(disk: FullDisk) -> None:
    desk = disk.desk
    disk.fill()
    desk.trip()
    desk.wait_proven()
    assert desk.venue.alive == 0
    desk.kill("killswitch")
    assert '"state":"ARMED"' in disk.latch()
    desk.spawn("killswitch")
    desk.wait(lambda: (desk.status()["last_trip"] or {}).get("cause") == "restart", "taken up from the gate's words")
    desk.wait_proven()
    assert "desk is TRIPPED" in disk.reason()
    desk.wait(disk.faults, "status names the full disk")
    desk.wait(lambda: disk.told("critical"), "an alarm again")
    answer = desk.ask("arm", reason="never mind")
    assert not answer.accepted, "what was tripped is reset, never armed"


def main() -> int:
    desk = KillDesk(Path(sys.argv[1]) / "d", Path(sys.argv[2]), owners=("a",))
    try:
        disk = FullDisk(desk)
        desk.start(orders=ORDERS)
        desk.wait((disk.folder / "latch.json").exists, "armed on the disk")
        a_trip_on_a_full_disk_closes_cancels_and_proves_and_people_are_told(disk)
        with_room_again_latch_and_trail_are_kept(disk)
        a_person_opens_it_again(disk)
        a_restart_on_the_full_disk_stays_shut_though_the_latch_there_says_armed(disk)
        with_room_again_latch_and_trail_are_kept(disk)
    except AssertionError:
        traceback.print_exc()
        sys.stderr.write(desk.logs())
        return 1
    finally:
        desk.close()
    print("all held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
