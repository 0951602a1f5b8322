"""The alarms process: alerts of real processes, with and without a bus, to real receivers, over restarts and damage."""

import contextlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.clock import SystemClock
from ipc.alert_spool import AlertSpool
from ipc.audit_check import check_trail
from ipc.bus import Publisher
from ipc.events import Alert
from ipc.roster import publisher_endpoint
from quarterdeck.cli import main
from tests.base.receivers import Certificates, Hook, Mail
from tests.procs.kill_venue import KillDesk

pytestmark = pytest.mark.e2e
HEAD = """
[alarms]
repeat_s = 3600
silent_after_ms = 500
"""


def command(name: str, *argv: str, **more: Any) -> str:
    lines = [f"{k} = {json.dumps(v)}" for k, v in {"name": name, "kind": "command", "command": argv, **more}.items()]
    return "\n[[alarms.notifiers]]\n" + "\n".join(lines) + "\n"


class AlarmDesk(KillDesk):
    """A desk whose notifier `file` writes each message as a line."""

    def __init__(self, root: Path, shm: Path, extra: str = "", head: str = HEAD, **options: Any) -> None:
        self.file = root / "told"
        log = command(
            "file", sys.executable, "-c", f"import sys; open({str(self.file)!r}, 'a').write(sys.stdin.read())"
        )
        super().__init__(root, shm, limits=head + log + extra, **options)

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(x) for x in self.file.read_text().splitlines()] if self.file.exists() else []

    def codes(self) -> list[tuple[str, str]]:
        return [(a["code"], a["said"]) for message in self.told() for a in message["shown"]]

    def begin(self, name: str = "alarms") -> None:
        self.spawn(name)
        self.wait(lambda: self.readiness(name) in ("READY", "DEGRADED"), f"{name} runs")

    def alert(self, code: str, text: str, source: str = "a", severity: str = "critical") -> None:
        AlertSpool(self.desk.shm_dir, source).put(Alert(source, severity, code, text, time.time_ns()))

    def qd(self, *args: str) -> tuple[int, Any]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(["alarms", *args, "--config", str(self.desk.path), "--json"])
        return status, json.loads(out.getvalue()) if out.getvalue() else err.getvalue()


@pytest.fixture
def places() -> Iterator[tuple[Path, Path]]:
    root = Path(tempfile.mkdtemp(prefix="qa", dir="/tmp"))
    shm = Path(tempfile.mkdtemp(prefix="qa", dir="/dev/shm"))
    yield root / "d", shm
    shutil.rmtree(root)
    shutil.rmtree(shm)


def test_every_kind_of_notifier_is_told_and_a_person_has_it_over_a_restart(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path)
    hook, mail = Hook(certificates.context), Mail(certificates.context)
    ca = str(certificates.ca_file)
    extra = (
        f'\n[[alarms.notifiers]]\nname = "hook"\nkind = "webhook"\nurl = "https://localhost:{hook.port}/"\n'
        f'ca_file = "{ca}"\n\n[[alarms.notifiers]]\nname = "mail"\nkind = "email"\nsmtp = "localhost:{mail.port}"\n'
        f'ca_file = "{ca}"\nsender = "desk@example.net"\nrecipients = ["kim@example.net"]\n'
    )
    desk = AlarmDesk(*places, extra=extra, owners=("a",))
    try:
        desk.alert("before", "a: nobody listened yet")  # kept beside the bus
        desk.begin()
        desk.alert("tripped", "desk: operator: looked wrong", "killswitch")
        for receiver in (desk.told, lambda: hook.got, lambda: mail.got):
            desk.wait(lambda r=receiver: len(r()) >= 2, "told")  # type: ignore[misc]
        assert {("before", "raised"), ("tripped", "raised")} <= set(desk.codes())
        assert {json.loads(body)["shown"][0]["code"] for _, body in hook.got} == {"before", "tripped"}
        assert all("CRITICAL" in str(m["Subject"]) for _, _, m in mail.got)
        code, found = desk.qd()
        assert (code, len(found["notifiers"])) == (3, 3)
        assert desk.qd("ack", "1")[0] == 1  # without a note nobody has it
        acknowledged = desk.qd("ack", "1", "--note", "seen", "--by", "kim")[1]
        assert acknowledged["acknowledged"] == [1]
        desk.wait(lambda: desk.qd()[1]["stored"], "stored")
        desk.kill("alarms")
        assert desk.qd()[0] == 1  # it does not answer; what it stored is shown
        desk.begin()
        standing = {a["number"]: a["acked_by"] for a in desk.qd()[1]["standing"]}
        assert (standing[1], standing[2]) == ("kim", "")
        assert desk.qd("ack", "all", "--note", "seen")[0] == 0
        desk.wait(lambda: desk.qd()[1]["stored"], "stored")
        events = [x["event"] for x in desk.qd("history")[1]["history"]]
        assert {"started", "raised", "delivered", "acknowledged"} <= set(events)
        assert check_trail(desk.desk.data_dir / "alarms", "history").wrong == []
    finally:
        desk.close()
        hook.close()
        mail.close()


def test_a_hung_notifier_delays_no_other_and_a_failing_one_is_shown_and_passed_over(
    places: tuple[Path, Path],
) -> None:
    extra = command("hung", "sleep", "60", timeout_ms=60_000) + command("broken", "false")
    extra += command("boss", "cat", level=1)
    desk = AlarmDesk(*places, extra=extra, owners=("a",))
    try:
        desk.begin()
        for i in range(3):
            desk.alert("late", f"s{i}: late")
        desk.wait(lambda: {("late", "raised")} <= set(desk.codes()) and len(desk.codes()) >= 3, "told beside the hung")
        desk.wait(lambda: desk.qd()[1]["notifiers"][2]["failing"], "failure seen")
        notifiers = {n["name"]: n for n in desk.qd()[1]["notifiers"]}
        assert notifiers["broken"]["error"] == "false: ended with status 1"
        assert notifiers["hung"]["under_way_ms"] > 0
        desk.wait(lambda: ("notifier", "raised") in desk.codes(), "its failure is an alarm")
        desk.wait(lambda: desk.readiness("alarms") == "DEGRADED", "degraded")
    finally:
        desk.close()


def test_a_test_says_which_notifiers_deliver_and_alerts_on_the_bus_alone_arrive(places: tuple[Path, Path]) -> None:
    desk = AlarmDesk(*places, extra=command("broken", "false", level=2), owners=("a",))
    try:
        desk.begin()
        code, found = desk.qd("test")
        assert (code, found["arrived"]) == (3, ["file"])
        assert found["outcomes"]["broken"] == "failed: false: ended with status 1"
        assert desk.told()[0]["kind"] == "test"
        publisher = Publisher(desk.context, publisher_endpoint(desk.desk, "informer"), SystemClock())

        def heard() -> bool:  # on the bus alone, again and again: it takes a moment to connect
            alert = Alert("supervisord", "warning", "PROCESS_STATE_EXITED", "process died", time.time_ns())
            publisher.publish("alert.informer", alert)
            return ("PROCESS_STATE_EXITED", "raised") in desk.codes()

        desk.wait(heard, "told")
        publisher.close()
    finally:
        desk.close()


def test_a_trip_reaches_people_without_a_bus_and_so_does_a_kill_switch_that_is_stuck(
    places: tuple[Path, Path],
) -> None:
    desk = AlarmDesk(*places, owners=("a",))
    try:
        desk.start(orders=1)
        os.unlink(desk.desk.run_dir / "killswitch.pub")  # nobody can connect to its publisher any more
        desk.begin()
        desk.trip()
        desk.wait_proven()
        desk.wait(lambda: ("tripped", "raised") in desk.codes(), "told of the trip")
        desk.signal("killswitch", signal.SIGSTOP)
        desk.wait(lambda: ("process", "raised") in desk.codes(), "told of the stuck kill switch")
        text = next(a["text"] for m in desk.told() for a in m["shown"] if a["code"] == "process")
        assert text.startswith("killswitch (pid ")
        assert "new orders: refused" in text
        desk.signal("killswitch", signal.SIGCONT)
        desk.wait(lambda: ("process", "over") in desk.codes(), "told that it is back")
    finally:
        desk.close()


def test_a_store_that_is_gone_is_an_alarm_not_an_empty_list(places: tuple[Path, Path]) -> None:
    desk = AlarmDesk(*places, owners=("a",))
    try:
        desk.begin()
        desk.alert("tripped", "desk: x")
        desk.wait(lambda: desk.qd()[1].get("critical") == 1, "raised")
        desk.wait(lambda: desk.qd()[1]["stored"], "stored")
        desk.kill("alarms")
        (desk.desk.data_dir / "alarms" / "standing.json").unlink()
        desk.begin()
        desk.wait(lambda: ("state", "raised") in desk.codes(), "told")
        assert any("which alarms stood is unknown" in m["text"] for m in desk.told())
    finally:
        desk.close()


def test_what_was_shown_before_it_was_stored_is_read_again_and_was_never_a_store_that_is_gone(
    places: tuple[Path, Path],
) -> None:
    desk = AlarmDesk(*places, owners=("a",))
    try:
        folder = desk.desk.data_dir / "alarms"
        blocked = folder / "standing.json.new"
        blocked.mkdir(parents=True)  # nothing can be stored, and everything else goes its way
        desk.begin()
        desk.alert("tripped", "desk: x")
        desk.wait(lambda: ("tripped", "raised") in desk.codes(), "told")
        desk.wait(lambda: desk.qd()[1]["critical"] == 2, "the alarm, and that it cannot be stored")
        code, shown = desk.qd()
        assert (code, bool(shown["faults"]), shown["stored"]) == (3, True, False)
        number = next(str(a["number"]) for a in shown["standing"] if a["code"] == "tripped")
        acknowledged = desk.qd("ack", number, "--note", "seen")[1]
        assert (acknowledged["acknowledged"], acknowledged["stored"]) == ([int(number)], False)
        assert not list(folder.glob("history-*"))  # no history without a store
        desk.kill("alarms")
        blocked.rmdir()
        desk.file.unlink()
        desk.begin()
        desk.wait(lambda: ("tripped", "raised") in desk.codes(), "told again: it was read again")
        desk.wait(lambda: desk.qd()[1]["stored"], "stored")
        standing = {a["code"]: a["acked_by"] for a in desk.qd()[1]["standing"]}
        assert standing["tripped"] == ""  # an acknowledgement that was not stored said so
        assert "state" not in standing
    finally:
        desk.close()


def test_a_life_without_any_alarm_leaves_a_store(places: tuple[Path, Path]) -> None:
    desk = AlarmDesk(*places, head=HEAD.replace("[alarms]", "drill_max_age_days = 0\n[alarms]"), owners=("a",))
    try:
        for _ in range(2):
            desk.begin()
            desk.wait(lambda: desk.qd()[1]["stored"], "stored")
            assert desk.qd()[1]["alarms"] == 0
            desk.kill("alarms")
    finally:
        desk.close()


def test_a_disk_that_takes_nothing_stops_no_delivery_and_is_an_alarm(places: tuple[Path, Path]) -> None:
    desk = AlarmDesk(*places, owners=("a",))
    try:
        desk.begin()
        folder = desk.desk.data_dir / "alarms"
        shutil.rmtree(folder)
        folder.write_text("no directory any more")
        desk.alert("tripped", "desk: x")
        desk.wait(lambda: {("tripped", "raised"), ("storage", "raised")} <= set(desk.codes()), "told all the same")
        folder.unlink()
        folder.mkdir()
        desk.alert("late", "a: x")
        desk.wait(lambda: (folder / "standing.json").exists(), "stored again")
    finally:
        desk.close()
