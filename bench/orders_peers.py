"""Processes that bench.orders measures against: our venue with a bare echo beside it, and QuickFIX at both ends.

`python -m bench.orders_peers ROLE FOLDER [PORT | SIZE NAME...]`; says its ports or results as JSON lines, ends when
stdin closes.
"""

import gc
import json
import os
import sys
import time
from pathlib import Path

import quickfix as qf

from base.clock import SystemClock
from base.listener import Listener
from base.reactor import Reactor
from base.tls import server_context
from base.transport import TcpTransport
from base.transport_types import Closed
from base.upkeep import Upkeep
from bench.codec import REPORT_BODY
from fix.codec import MdDecoder, Message, Template
from fix.connection import FixConnection
from fix.file_store import FileStore
from fix.fixlog import FixLog
from fix.session import FixSession
from fix.session_events import FieldDefect, SessionEvent
from fix.settings import Role, SessionSettings

HEARTBEAT_S = 300
REPORT_REST = REPORT_BODY.replace(b"|", b"\x01").split(b"11=1744036325000000\x01")[1]
QUICKFIX = """[DEFAULT]
ConnectionType={kind}
StartTime=00:00:00
EndTime=00:00:00
HeartBtInt=300
UseDataDictionary=N
FileStorePath={folder}/quickfix-{kind}
ReconnectInterval=1
SocketNodelay=Y
SocketReuseAddress=Y
SocketAcceptPort={port}
SocketConnectHost=127.0.0.1
SocketConnectPort={port}
ServerCertificateFile={folder}/cert.pem
ServerCertificateKeyFile={folder}/key.pem
CertificationAuthoritiesFile={folder}/ca.pem
CertificateVerifyLevel={verify}
[SESSION]
BeginString=FIX.4.4
SenderCompID={sender}
TargetCompID={target}
"""


def say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Echo:
    """A bare transport: any bytes are answered with `answer` at once."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.transport: TcpTransport | None = None

    def on_connected(self) -> None: ...

    def on_writable(self) -> None: ...

    def on_data(self, data: memoryview) -> None:
        assert self.transport is not None
        self.transport.write(self._answer)

    def on_closed(self, reason: Closed) -> None: ...


class Venue:
    """Owner of the acceptor's session: each order is answered with one report of about 330 bytes."""

    def __init__(self) -> None:
        self.session: FixSession | None = None
        fields = [(37, "text"), (11, "text"), (17, "int")]
        self._template = Template(
            "FIX.4.4", "8", "VENUE", "DESK", [*fields, *_constants(REPORT_REST)], time_digits=3
        )  # fmt: skip

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        return b""

    def check_logon(self, logon: Message, wall_ns: int) -> str | None:
        return None

    def on_message(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> None:
        assert self.session is not None
        values = ("OQNCZM-NVAVC-AVD2LO", message.need(11), message.seq_num)
        self.session.send_template(self._template, "8", values, time.monotonic_ns(), time.time_ns())

    def on_batch(self, decoder: MdDecoder, messages: int) -> None: ...

    def on_event(self, event: SessionEvent) -> None: ...


def _constants(fields: bytes) -> list[tuple[int, str, bytes]]:
    pairs = [field.split(b"=", 1) for field in fields.split(b"\x01") if field]
    return [(int(tag), "const", value) for tag, value in pairs if tag != b"17"]


class Acceptor:
    """One of our acceptors, with store and log; the desk's sessions differ, this side is always the same."""

    def __init__(self, reactor: Reactor, folder: Path, name: str) -> None:
        venue = Venue()
        settings = SessionSettings("venue", Role.ACCEPTOR, "VENUE", "DESK", heartbeat_s=HEARTBEAT_S)
        log = FixLog(folder, f"venue-{name}")
        store = FileStore(folder / f"store-venue-{name}", time.time_ns())
        self.upkeep = Upkeep(reactor, store, "venue store")  # as processes do
        venue.session = FixSession(settings, store, venue, log)
        self.connection = FixConnection(reactor, venue.session)
        context = server_context(folder / "cert.pem", folder / "key.pem")
        self.port = Listener(reactor, "127.0.0.1", 0, self._accept, f"fix {name}", context).port

    def _accept(self, transport: TcpTransport) -> FixConnection:
        self.connection.attach(transport)
        return self.connection


def serve(folder: Path, report_size: int, names: list[str]) -> None:
    """An acceptor of ours for each name, and the bare echo, on one reactor."""
    reactor = Reactor(SystemClock())
    acceptors = {name: Acceptor(reactor, folder, name) for name in names}

    def accept_echo(transport: TcpTransport) -> Echo:
        echo = Echo(b"x" * report_size)
        echo.transport = transport
        return echo

    context = server_context(folder / "cert.pem", folder / "key.pem")
    bare = Listener(reactor, "127.0.0.1", 0, accept_echo, "bare", context)
    gc.collect()
    gc.freeze()
    say({"bare": bare.port, **{name: acceptor.port for name, acceptor in acceptors.items()}})
    reactor.add_reader(sys.stdin.fileno(), reactor.stop, "stdin")
    reactor.run()
    for acceptor in acceptors.values():
        acceptor.upkeep.stop()


class QuickFixEnd(qf.Application):  # type: ignore[misc]  # the binding has no types
    """Both ends of the QuickFIX session; the desk sends the next order from within the report's callback."""

    def __init__(self, sender: str, target: str) -> None:
        super().__init__()
        self.session_id = qf.SessionID("FIX.4.4", sender, target)
        self.left = self.number = self.sent_ns = 0
        self.times: list[int] = []
        self.report = [field.split("=", 1) for field in REPORT_REST.decode().split("\x01") if field]

    def onCreate(self, session_id: object) -> None: ...  # noqa: N802 - the binding's names

    def onLogon(self, session_id: object) -> None:  # noqa: N802
        say("logon")

    def onLogout(self, session_id: object) -> None: ...  # noqa: N802

    def toAdmin(self, message: object, session_id: object) -> None: ...  # noqa: N802

    def fromAdmin(self, message: object, session_id: object) -> None: ...  # noqa: N802

    def toApp(self, message: object, session_id: object) -> None: ...  # noqa: N802

    def fromApp(self, message: qf.Message, session_id: object) -> None:  # noqa: N802
        if message.getHeader().getField(35) == "D":
            self.answer(message.getField(11))
            return
        self.times.append(time.perf_counter_ns() - self.sent_ns)
        self.left -= 1
        if self.left:
            self.order()
        else:
            say(self.times)
            self.times = []

    def answer(self, cl_ord_id: str) -> None:
        self.number += 1
        report = qf.Message()
        report.getHeader().setField(35, "8")
        report.setField(37, "OQNCZM-NVAVC-AVD2LO")
        report.setField(11, cl_ord_id)
        for tag, value in self.report:
            report.setField(int(tag), value)
        report.setField(17, str(self.number))
        qf.Session.sendToTarget(report, self.session_id)

    def order(self) -> None:
        self.number += 1
        self.sent_ns = time.perf_counter_ns()
        order = qf.Message()
        order.getHeader().setField(35, "D")
        for tag, value in ((55, "BTC/USD"), (54, "1"), (38, "0.75"), (40, "2"), (44, "84000.5"), (59, "1")):
            order.setField(tag, value)
        order.setField(11, f"order-{self.number:07}")
        order.setField(qf.TransactTime())
        qf.Session.sendToTarget(order, self.session_id)


def quickfix(folder: Path, kind: str, port: str) -> None:
    sender, target = ("VENUE", "DESK") if kind == "acceptor" else ("DESK", "VENUE")
    config = folder / f"quickfix-{kind}.cfg"
    text = QUICKFIX.format(kind=kind, folder=folder, port=port, sender=sender, target=target, verify=0)
    config.write_text(text)
    settings = qf.SessionSettings(str(config))
    end = QuickFixEnd(sender, target)
    make = qf.SSLSocketAcceptor if kind == "acceptor" else qf.SSLSocketInitiator
    engine = make(end, qf.FileStoreFactory(settings), settings)
    engine.start()
    say("started")
    for line in sys.stdin:
        end.left = int(line)
        end.order()
    os._exit(0)  # its orderly stop may crash, and nothing here is worth it


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    else:
        quickfix(Path(sys.argv[2]), sys.argv[1], sys.argv[3])
