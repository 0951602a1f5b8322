"""A QuickFIX acceptor (Python binding) that echoes, in a process of its own: the peer of the acceptor scenarios.

It answers as `qd fix acceptor` does: orders, security definitions and Emails come back, an order sent again with
PossResend is dropped, anything else is an unsupported message type.
"""

import os
import subprocess
import sys
from pathlib import Path

import quickfix as qf

CONFIG = """[DEFAULT]
ConnectionType=acceptor
StartTime=00:00:00
EndTime=00:00:00
SocketAcceptPort={port}
SocketReuseAddress=Y
SocketNodelay=Y
CheckLatency=Y
MaxLatency=120
UseDataDictionary=Y
LogonTimeout=5
LogoutTimeout=2
{extra}
"""
SESSION = """[SESSION]
BeginString={begin}
SenderCompID=ENGINE
TargetCompID={peer}
{dictionary}
{extra}
"""


class Echo(qf.Application):
    """All calls come from QuickFIX's own threads, one session at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, str]] = set()

    def onCreate(self, session_id):
        pass

    def onLogon(self, session_id):
        pass

    def onLogout(self, session_id):
        pass

    def toAdmin(self, message, session_id):
        pass

    def fromAdmin(self, message, session_id):
        pass

    def toApp(self, message, session_id):
        pass

    def fromApp(self, message, session_id):
        header = message.getHeader()
        kind = header.getField(35)
        if kind not in ("D", "d", "C"):
            raise qf.UnsupportedMessageType
        if kind == "D":
            resent = header.isSetField(97) and header.getField(97) == "Y"
            order = session_id.toString(), message.getField(11)
            known = order in self.seen
            self.seen.add(order)
            if resent and known:
                return
        qf.Session.sendToTarget(qf.Message(message), session_id)


def main(config: str) -> None:
    settings = qf.SessionSettings(config)
    log = qf.ScreenLogFactory(settings) if os.environ.get("QF_LOG") else None
    args = (Echo(), qf.MemoryStoreFactory(), settings) + ((log,) if log else ())
    acceptor = qf.SocketAcceptor(*args)
    acceptor.start()
    print("started", flush=True)
    sys.stdin.read()  # until the other end of the pipe is closed
    os._exit(0)  # its orderly stop may crash, and nothing here is worth it


def start(
    folder: Path, version: str, port: int, dictionaries: Path, extra: str = "", peers: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """The process; its stdin closed ends it. `peers` are CompIDs with settings of their own sessions."""
    begin = {"4.2": "FIX.4.2", "4.4": "FIX.4.4", "5.0sp2": "FIXT.1.1"}[version]
    files = {"4.2": "FIX42", "4.4": "FIX44"}
    if version == "5.0sp2":
        dictionary = (
            f"DefaultApplVerID=9\nTransportDataDictionary={dictionaries}/FIXT11.xml\n"
            f"AppDataDictionary={dictionaries}/FIX50SP2.xml"
        )
    else:
        dictionary = f"DataDictionary={dictionaries}/{files[version]}.xml"
    config = folder / "echo.cfg"
    sessions = [
        SESSION.format(begin=begin, dictionary=dictionary, peer=peer, extra=own)
        for peer, own in (peers or {"PEER": ""}).items()
    ]
    config.write_text(CONFIG.format(port=port, extra=extra) + "".join(sessions))
    return subprocess.Popen(
        [sys.executable, __file__, str(config)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
