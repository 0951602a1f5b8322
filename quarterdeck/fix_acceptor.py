"""`qd fix acceptor`: an acceptor on this engine that echoes, for acceptance suites and for trying a session out."""

import re
import signal
import ssl
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from base.clock import SystemClock
from base.errors import ConfigError
from base.reactor import Reactor
from base.tls import server_context
from base.upkeep import Upkeep
from fix.acceptor import FixAcceptor
from fix.dictionary import Dictionary
from fix.echo import EchoApp
from fix.file_store import FileStore
from fix.session import FixSession
from fix.settings import Role, SequencePolicy, SessionSettings, Validation
from fix.store import MemoryStore, MessageStore
from sim.tls import authority
from sim.tls import server_context as throwaway_context

BEGIN_STRINGS = {"4.2": "FIX.4.2", "4.4": "FIX.4.4", "5.0sp2": "FIXT.1.1"}
FIX_50_SP2 = "9"
"""DefaultApplVerID(1137)."""
GOODBYE_NS = 2_000_000_000
DAY_S = 86_400

_FIELD = re.compile(rb"(\d+)=[^\x01]*\x01")


@dataclass(frozen=True)
class AcceptorOptions:
    """What the command line says."""

    version: str
    host: str
    port: int
    sender: str
    target: str
    plain: bool = False
    cert: str = ""
    key: str = ""
    reset_on_logon: bool = False
    dictionary: str = ""
    transport_dictionary: str = ""
    validation: str = Validation.REJECT.value
    store: str = ""


def dictionary_of(options: AcceptorOptions) -> Dictionary:
    """The dictionary to validate with: the user's files, or our own for the version. ConfigError."""
    begin = BEGIN_STRINGS[options.version]
    if not options.dictionary:
        return Dictionary.standard(options.version)
    transport = options.transport_dictionary
    if begin == "FIXT.1.1" and not transport:
        transport = Dictionary.standard("t1.1").paths[0]
    found = Dictionary.load(options.dictionary, transport or None)
    if found.begin_string != begin:
        raise ConfigError(f"{options.dictionary}: it is for {found.begin_string}, the session speaks {begin}")
    return found


def settings_of(options: AcceptorOptions) -> SessionSettings:
    """The acceptor's session."""
    begin = BEGIN_STRINGS[options.version]
    policy = SequencePolicy.RESET_QUIETLY if options.reset_on_logon else SequencePolicy.CONTINUE
    return SessionSettings(
        "acceptor", Role.ACCEPTOR, options.sender, options.target,
        begin_string=begin,
        default_appl_ver_id=FIX_50_SP2 if begin == "FIXT.1.1" else "",
        heartbeat_range_s=(0, DAY_S),
        sequence_policy=policy,
        validation=Validation(options.validation),
        resend_repeats=1_000_000,  # a suite may ask for the same as often as it likes
    )  # fmt: skip


def ascending_header(raw: bytes) -> bytes:
    """The header behind 35 in ascending order of tags, as most engines write it: traces can be laid side by side.

    Neither BodyLength nor CheckSum changes by that.
    """
    start = end = raw.index(b"\x0135=") + 1
    fields = []
    while (match := _FIELD.match(raw, end)) and int(match[1]) in _PLAIN_HEADER:
        fields.append((int(match[1]), match[0]))
        end = match.end()
    ordered = [field for _, field in fields[:1]] + [field for _, field in sorted(fields[1:])]
    return raw[:start] + b"".join(ordered) + raw[end:]


_PLAIN_HEADER = frozenset({
    35, 34, 43, 49, 50, 52, 56, 57, 97, 115, 116, 122, 128, 129, 142, 143, 144, 145, 347, 369, 370, 1128, 1129, 1156,
})  # fmt: skip


class Acceptor:
    """The process: one session, its store, its listener, until a signal."""

    def __init__(self, options: AcceptorOptions) -> None:
        self.clock = SystemClock()
        self.reactor = Reactor(self.clock, self._failed)
        self._ca_file = ""
        dictionary = dictionary_of(options)
        store = self._store(options)
        app = EchoApp(self.clock)
        held_against = None if options.validation == Validation.OFF.value else dictionary  # off: echo odd things too
        self._session = app.session = FixSession(
            settings_of(options), store, app, rules=dictionary.rules(), dictionary=held_against
        )
        tls = None if options.plain else self._tls(options)
        self.acceptor = FixAcceptor(
            self.reactor, options.host, options.port, [self._session], tls, dress=ascending_header
        )
        self._options = options

    @property
    def line(self) -> dict[str, Any]:
        """What is printed once it listens."""
        options = self._options
        return {
            "port": self.acceptor.port, "host": options.host, "version": options.version,
            "begin_string": BEGIN_STRINGS[options.version], "sender": options.sender, "target": options.target,
            "tls": not options.plain, "ca_file": self._ca_file,
        }  # fmt: skip

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then log out in order."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            self.reactor.on_signal(signum, self.reactor.stop)
        sys.stdout.write(msgspec.json.encode(self.line).decode() + "\n")
        sys.stdout.flush()
        self.reactor.run()
        self.acceptor.logout("closing")
        self.reactor.run_until(lambda: not self.acceptor.busy, GOODBYE_NS)
        self.acceptor.close()
        self.reactor.run_once()
        self.reactor.close()

    def _failed(self, name: str, error: Exception) -> None:
        """An error that nobody expected costs the connection it happened on, not the others that come."""
        sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
        self.acceptor.hang_up("internal error")

    def _store(self, options: AcceptorOptions) -> MessageStore:
        if not options.store:
            return MemoryStore(self.clock.wall_ns())
        store = FileStore(options.store, self.clock.wall_ns())
        Upkeep(self.reactor, store, "store")
        return store

    def _tls(self, options: AcceptorOptions) -> ssl.SSLContext:
        if options.cert or options.key:
            return server_context(options.cert, options.key or options.cert)
        folder = Path(tempfile.mkdtemp(prefix="qd-fix-"))
        ca, path = authority(folder, "acceptor")
        self._ca_file = str(path)
        return throwaway_context(ca, only_13=False, names=(options.host,))
