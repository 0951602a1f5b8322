"""Our end as a process of its own, to be killed: a session with its file store, and a journal of what it was given.

    python interop_process.py FOLDER ROLE VERSION PORT

An initiator connects to PORT, an acceptor listens there (0: any, told by an event). Lines on stdin: `order PREFIX N`,
`report PREFIX N`, `numbers`. What it is given is journalled before its number advances, and what its journal has is
not taken again: as a trading process does it. `sent.log` names what was stored.
"""

import json
import os
import sys
from pathlib import Path

from base.clock import SystemClock
from base.reactor import Reactor
from fix.codec import Message
from fix.session_events import FieldDefect, LoggedOn
from fix.settings import Role
from tests.fix.interop_kit import Desk, of_version
from tests.fix.session_kit import Recorder


class Journal(Recorder):
    """Takes each ExecID or ClOrdID once, over all its lives."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        path = folder / "journal.log"
        self.known = set(path.read_text().split()) if path.exists() else set()
        self.again = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def on_message(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> None:
        key = message.get_str(17) or message.get_str(11) or ""
        if key in self.known:
            self.again += 1  # its life ended between the journal and the number
            say(event="again", id=key)
            return
        if self.during is not None:
            self.during(message)  # an acceptor stores its answers first: an order without them comes again
        self.known.add(key)
        os.write(self._fd, key.encode() + b"\n")

    def on_event(self, event) -> None:
        if isinstance(event, LoggedOn):
            say(event="logon")


class Process:
    """One life."""

    def __init__(self, folder: Path, role: str, version: str, port: int) -> None:
        self.reactor = Reactor(SystemClock())
        self.desk = Desk(self.reactor, of_version(Role(role), version, 1), version=version, folder=folder / "store")
        self.desk.app = self.desk.session._app = Journal(folder)
        self.sent = os.open(folder / "sent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.lines = b""
        os.set_blocking(0, False)
        self.reactor.add_reader(0, self.read, "stdin")
        if role == "acceptor":
            self.desk.app.during = self.answer
            say(event="listening", port=self.desk.listen(port))
        else:
            self.desk.keep_connected(port)

    def read(self) -> None:
        data = os.read(0, 65_536)
        if not data:
            os._exit(0)
        *lines, self.lines = (self.lines + data).split(b"\n")
        for line in lines:
            command, *arguments = line.decode().split()
            getattr(self, command)(*arguments)
            say(event="done")

    def orders(self, prefix: str, count: str) -> None:
        for n in range(int(count)):
            if self.desk.session.is_logged_on:
                self.desk.order(f"{prefix}{n}")
                os.write(self.sent, f"{prefix}{n}\n".encode())

    def answer(self, message: Message) -> None:
        """Reports named after the order, so that one given twice shows."""
        cl_ord_id = message.get_str(11) or ""
        for n, filled in enumerate((False, True)):
            exec_id = f"{cl_ord_id}/{n}/{os.getpid()}"
            self.desk.report(exec_id, filled=filled)
            os.write(self.sent, exec_id.encode() + b"\n")

    def numbers(self) -> None:
        say(event="numbers", out=self.desk.store.next_out, into=self.desk.store.next_in)
        if self.desk.session.is_logged_on:
            self.desk.ask()


def say(**what: object) -> None:
    os.write(1, b"\n" + json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    process = Process(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
    process.reactor.run()
