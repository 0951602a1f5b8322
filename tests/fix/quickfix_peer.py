"""QuickFIX (Python binding) as the other end, in a process of its own: its threads and ours share nothing.

Run as a script it takes a configuration file and a role, obeys lines on stdin (`order ID`, `report ID STATUS`)
and tells what happens as JSON lines on stdout. An acceptor answers each order with two reports.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import quickfix as qf

HEAD = """[DEFAULT]
ConnectionType={role}
StartTime=00:00:00
EndTime=00:00:00
HeartBtInt=30
UseDataDictionary=N
FileStorePath={folder}/store
ReconnectInterval=1
SocketNodelay=Y
SocketReuseAddress=Y
{extra}
[SESSION]
BeginString=FIX.4.4
SenderCompID={sender}
TargetCompID={target}
"""
ENGINES = {
    "acceptor": qf.SocketAcceptor,
    "initiator": qf.SocketInitiator,
    "tls-acceptor": qf.SSLSocketAcceptor,
}


class Application(qf.Application):
    """Says what happens; all calls come from QuickFIX's own threads."""

    def __init__(self, session_id: qf.SessionID) -> None:
        super().__init__()
        self.session_id = session_id
        self.exec_id = 0

    def onCreate(self, session_id):
        pass

    def onLogon(self, session_id):
        say(event="logon")

    def onLogout(self, session_id):
        say(event="logout")

    def toAdmin(self, message, session_id):
        pass

    def fromAdmin(self, message, session_id):
        pass

    def toApp(self, message, session_id):
        pass

    def fromApp(self, message, session_id):
        header = message.getHeader()
        dup = header.isSetField(43) and header.getField(43) == "Y"
        if header.getField(35) == "D":
            cl_ord_id = message.getField(11)
            say(event="order", id=cl_ord_id, dup=dup)
            for status in ("0", "2"):
                self.report(cl_ord_id, status)
        else:
            say(event="report", id=message.getField(17), dup=dup)

    def report(self, cl_ord_id: str, status: str) -> None:
        self.exec_id += 1
        values = ((37, "O" + cl_ord_id), (17, str(self.exec_id)), (150, status), (39, status), (11, cl_ord_id))
        self.send("8", values)

    def order(self, cl_ord_id: str) -> None:
        self.send("D", ((11, cl_ord_id), (55, "BTC/USD"), (54, "1"), (38, "1"), (40, "2"), (44, "50000")))

    def send(self, kind: str, values: tuple[tuple[int, str], ...]) -> None:
        message = qf.Message()
        message.getHeader().setField(35, kind)
        for tag, value in values:
            message.setField(tag, value)
        qf.Session.sendToTarget(message, self.session_id)


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def serve(config: str, role: str, sender: str, target: str) -> None:
    application = Application(qf.SessionID("FIX.4.4", sender, target))
    settings = qf.SessionSettings(config)
    store = qf.FileStoreFactory(settings)
    engine = ENGINES[role](application, store, settings)
    engine.start()
    say(event="started")
    for line in sys.stdin:
        command, *arguments = line.split()
        getattr(application, command)(*arguments)
        say(event="done")
    os._exit(0)  # its orderly stop may crash, and nothing here is worth it


class QuickFix:
    """The engine's process as the test sees it; `events` grow as the reactor reads them."""

    def __init__(self, reactor, folder: Path, role: str, extra: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sender, target = ("DESK", "VENUE") if role == "initiator" else ("VENUE", "DESK")
        config = folder / f"{role}.cfg"
        kind = role.removeprefix("tls-")
        config.write_text(HEAD.format(role=kind, folder=folder, extra=extra, sender=sender, target=target))
        self.events: list[dict] = []
        self._reactor = reactor
        self._rest = b""
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(config), role, sender, target],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        reactor.add_reader(self._out, self._read, "quickfix")

    def __enter__(self) -> "QuickFix":
        return self

    def __exit__(self, *exc: object) -> None:
        self._reactor.remove(self._out)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _read(self) -> None:
        data = os.read(self._out, 1 << 16)
        if not data:
            self._reactor.remove(self._out)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.events += [json.loads(line) for line in lines if line.startswith(b'{"event"')]

    def do(self, *command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(command).encode() + b"\n")
        self._process.stdin.flush()

    def count(self, event: str) -> int:
        return sum(e["event"] == event for e in self.events)

    def seen(self, event: str) -> list[tuple[str, bool]]:
        return [(e["id"], e["dup"]) for e in self.events if e["event"] == event]


if __name__ == "__main__":
    serve(*sys.argv[1:])
