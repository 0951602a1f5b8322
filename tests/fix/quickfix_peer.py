"""QuickFIX (Python binding) as the other end, in a process of its own: its threads and ours share nothing.

Run as a script it obeys lines on stdin and tells what happens as JSON lines on stdout. An acceptor answers each order
with two reports, a MarketDataRequest with a snapshot and updates. Reports it has handed to QuickFIX, whose file store
then holds them, are also written to `sent.log`: they survive a SIGKILL, and each of them must arrive once.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path

import quickfix as qf

ROOT = Path(__file__).resolve().parents[2]
DICTIONARIES = ROOT / "fix" / "dictionaries"
HEAD = """[DEFAULT]
ConnectionType={kind}
StartTime=00:00:00
EndTime=00:00:00
HeartBtInt={heartbeat}
{dictionary}
FileStorePath={folder}/store
ReconnectInterval=1
SocketNodelay=Y
SocketReuseAddress=Y
{extra}
[SESSION]
BeginString={begin}
SenderCompID={sender}
TargetCompID={target}
"""
ENGINES = {
    "acceptor": qf.SocketAcceptor,
    "initiator": qf.SocketInitiator,
    "tls-acceptor": qf.SSLSocketAcceptor,
    "tls-initiator": qf.SSLSocketInitiator,
}
# BeginString, DefaultApplVerID, and the dictionary's settings.
VERSIONS = {
    "4.2": ("FIX.4.2", "", f"UseDataDictionary=Y\nDataDictionary={DICTIONARIES}/FIX42.xml"),
    "4.4": ("FIX.4.4", "", f"UseDataDictionary=Y\nDataDictionary={DICTIONARIES}/FIX44.xml"),
    "5.0sp2": (
        "FIXT.1.1", "9",
        f"UseDataDictionary=Y\nTransportDataDictionary={DICTIONARIES}/FIXT11.xml\n"
        f"AppDataDictionary={DICTIONARIES}/FIX50SP2.xml\nDefaultApplVerID=9",
    ),
    "any": ("FIX.4.4", "", "UseDataDictionary=N"),
}  # fmt: skip


class Application(qf.Application):
    """Says what happens; all calls but `serve`'s come from QuickFIX's own threads."""

    def __init__(self, session_id: qf.SessionID, folder: Path, version: str) -> None:
        super().__init__()
        self.session_id = session_id
        self.version = version
        self.exec_id = 0
        self.lock = threading.Lock()
        self.sent = os.open(folder / "sent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        lives = folder / "lives"
        self.life = int(lives.read_text()) + 1 if lives.exists() else 1
        lives.write_text(str(self.life))

    def onCreate(self, session_id):
        pass

    def onLogon(self, session_id):
        say(event="logon")

    def onLogout(self, session_id):
        say(event="logout")

    def toAdmin(self, message, session_id):
        if message.getHeader().getField(35) == "3":
            say(event="rejected", raw=message.toString())

    def fromAdmin(self, message, session_id):
        if message.getHeader().getField(35) == "3":
            say(event="reject", raw=message.toString())

    def toApp(self, message, session_id):
        if message.getHeader().getField(35) == "j":
            say(event="rejected", raw=message.toString())

    def fromApp(self, message, session_id):
        header = message.getHeader()
        dup = header.isSetField(43) and header.getField(43) == "Y"
        kind = header.getField(35)
        if kind == "D":
            cl_ord_id = message.getField(11)
            say(event="order", id=cl_ord_id, dup=dup)
            for status in ("0", "2"):
                self.report(cl_ord_id, status)
        elif kind == "8":
            say(event="report", id=message.getField(17), dup=dup)
        elif kind == "V":
            say(event="md_request", id=message.getField(262), dup=dup)
            self.market_data(message.getField(262), 5)
        elif kind in {"W", "X"}:
            say(event="md", id=message.getField(262), kind=kind, dup=dup, entries=int(message.getField(268)))
        else:
            say(event="app", kind=kind, raw=message.toString())

    # -- commands --------------------------------------------------------------------------------------------

    def report(self, cl_ord_id: str, status: str) -> None:
        """Fill or acknowledge; written down once QuickFIX has stored it."""
        with self.lock:
            self.exec_id += 1
            exec_id = f"{self.life}.{self.exec_id}"
            filled = status == "2"
            exec_type = "F" if filled and self.version != "4.2" else status
            values = [
                (37, "O" + cl_ord_id), (17, exec_id), (150, exec_type), (39, status), (11, cl_ord_id), (55, "BTC/USD"),
                (54, "1"), (38, "1"), (40, "2"), (44, "50000"), (151, "0" if filled else "1"),
                (14, "1" if filled else "0"), (6, "50000" if filled else "0"), (60, now()),
            ]  # fmt: skip
            values += [(32, "1"), (31, "50000")] if filled else []
            values += [(20, "0")] if self.version == "4.2" else []
            self.send("8", values)
            os.write(self.sent, exec_id.encode() + b"\n")

    def order(self, cl_ord_id: str) -> None:
        values = [(11, cl_ord_id), (55, "BTC/USD"), (54, "1"), (38, "1"), (40, "2"), (44, "50000"), (60, now())]
        values += [(21, "1")] if self.version == "4.2" else []
        self.send("D", values)
        os.write(self.sent, cl_ord_id.encode() + b"\n")

    def orders(self, prefix: str, count: str) -> None:
        for n in range(int(count)):
            self.order(f"{prefix}{n}")

    def market_data(self, req_id: str, updates: int) -> None:
        """A snapshot and updates of one entry each."""
        snapshot = self.message("W", [(262, req_id), (55, "BTC/USD")])
        for entry, px in (("0", "49999"), ("1", "50001")):
            group = group_of(268, 269, 270, 271)
            self.fill(group, ((269, entry), (270, px), (271, "1")))
            snapshot.addGroup(group)
        qf.Session.sendToTarget(snapshot, self.session_id)
        for n in range(updates):
            update = self.message("X", [(262, req_id)])
            group = group_of(268, 279, 269, 55, 270, 271)
            self.fill(group, ((279, "1"), (269, "0"), (55, "BTC/USD"), (270, "49999"), (271, str(n + 1))))
            update.addGroup(group)
            qf.Session.sendToTarget(update, self.session_id)

    def subscribe(self, req_id: str) -> None:
        message = self.message("V", [(262, req_id), (263, "1"), (264, "0"), (265, "1")])
        for entry in ("0", "1"):
            group = group_of(267, 269)
            self.fill(group, ((269, entry),))
            message.addGroup(group)
        related = group_of(146, 55)
        self.fill(related, ((55, "BTC/USD"),))
        message.addGroup(related)
        qf.Session.sendToTarget(message, self.session_id)

    def numbers(self) -> None:
        session = qf.Session.lookupSession(self.session_id)
        say(event="numbers", out=session.getExpectedSenderNum(), into=session.getExpectedTargetNum())

    def logout(self) -> None:
        qf.Session.lookupSession(self.session_id).logout()

    def send(self, kind: str, values) -> None:
        """Stored first, whether or not there is a connection."""
        qf.Session.sendToTarget(self.message(kind, values), self.session_id)

    def message(self, kind: str, values) -> qf.Message:
        message = qf.Message()
        message.getHeader().setField(35, kind)
        self.fill(message, values)
        return message

    @staticmethod
    def fill(fields, values) -> None:
        for tag, value in values:
            fields.setField(tag, value)


def group_of(count: int, *fields: int) -> qf.Group:
    """An entry of a repeating group, its fields in this order: by itself QuickFIX would sort them by tag."""
    order = qf.IntArray(len(fields) + 1)  # ends with 0
    for n, tag in enumerate((*fields, 0)):
        order[n] = tag
    return qf.Group(count, fields[0], order)


def now() -> str:
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime())


def say(**what: object) -> None:
    """One write: lines of several threads do not mix, nor with what the library may print."""
    os.write(1, b"\n" + json.dumps(what).encode() + b"\n")


def serve(config: str, role: str, version: str, begin: str, sender: str, target: str) -> None:
    application = Application(qf.SessionID(begin, sender, target), Path(config).parent, version)
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


class Told(ABC):
    """A child process that obeys lines and tells JSON lines; `events` grow as the reactor reads them, over all its
    lives.
    """

    def __init__(self, reactor, folder: Path) -> None:
        self.folder = folder
        self.events: list[dict] = []
        self.noise: list[bytes] = []  # what a library printed itself
        self._reactor = reactor

    @abstractmethod
    def command(self) -> list[str]:
        """What to start."""

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> None:
        """Begin a life; the files of the one before are found."""
        self._rest = b""
        self._process = subprocess.Popen(
            self.command(), env=self.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._reading = True
        self._reactor.add_reader(self._out, self._read, "child")

    def kill(self) -> None:
        """SIGKILL, in whatever it is doing; what it had said is read."""
        self._process.kill()
        self._end()

    def __enter__(self):
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._end()

    def _end(self) -> None:
        self._process.wait()
        while self._reading:
            self._read()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()

    def _read(self) -> None:
        data = os.read(self._out, 1 << 16)
        if not data and self._reading:
            self._reading = False
            self._reactor.remove(self._out)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.events += [json.loads(line) for line in lines if line.startswith(b'{"event"')]
        self.noise += [line for line in lines if line and not line.startswith(b'{"event"')]

    def do(self, *command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(command).encode() + b"\n")
        self._process.stdin.flush()

    def count(self, event: str) -> int:
        return sum(e["event"] == event for e in self.events)

    def seen(self, event: str) -> list[tuple[str, bool]]:
        return [(e["id"], e["dup"]) for e in self.events if e["event"] == event]

    def last(self, event: str) -> dict:
        return next((e for e in reversed(self.events) if e["event"] == event), {})

    def sent(self) -> list[str]:
        """Ids of what was handed over and stored, over all lives."""
        return (self.folder / "sent.log").read_text().split()


class QuickFix(Told):
    """QuickFIX's process as the test sees it."""

    def __init__(
        self, reactor, folder: Path, role: str, extra: str, version: str = "any", heartbeat: int = 30
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(reactor, folder)
        kind = role.removeprefix("tls-")
        sender, target = ("DESK", "VENUE") if kind == "initiator" else ("VENUE", "DESK")
        begin, _, dictionary = VERSIONS[version]
        config = folder / f"{role}.cfg"
        config.write_text(
            HEAD.format(
                kind=kind, folder=folder, extra=extra, sender=sender, target=target, begin=begin,
                dictionary=dictionary, heartbeat=heartbeat,
            )
        )  # fmt: skip
        self._arguments = [str(config), role, version, begin, sender, target]
        self.start()

    def command(self) -> list[str]:
        return [sys.executable, __file__, *self._arguments]


if __name__ == "__main__":
    serve(*sys.argv[1:])
