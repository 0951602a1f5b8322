"""What a session's logon will look like, without connecting and without touching its store."""

from pathlib import Path

import msgspec

from base.clock import SystemClock
from base.config import DeskConfig, Kind
from base.errors import QuarterdeckError
from fix.fixlog import Masker
from ipc.events import AnyEvent
from venues.context import dialect_of, session_context
from venues.fix_session import FixVenueSession
from venues.interface import BookRule, SessionContext, SessionPhase, VenueSession


class Deaf:
    """A sink that nobody listens to."""

    def event(self, event: AnyEvent) -> None: ...
    def phase(self, phase: SessionPhase, reason: str) -> None: ...
    def disconnect(self, reason: str) -> None: ...
    def planned_move(self, seconds_left: int, text: str) -> None: ...
    def alert(self, severity: str, code: str, text: str) -> None: ...
    def subscribed(self, instrument: int, req_key: int, rule: BookRule) -> None: ...
    def records(self, words: memoryview, n_words: int) -> None: ...


def preview(desk: DeskConfig, session: str) -> str:
    """The Logon with SOH as '|' and secrets masked, its numbers as on a first day. SecretError, ConfigError."""
    config = desk.config.session[session]
    clock = SystemClock()
    context = session_context(desk, session, clock.wall_ns())
    context = msgspec.structs.replace(context, data_dir=Path(), log_dir=Path())
    made = make_session(desk, config.kind, config.venue, context)
    written: list[bytes] = []
    made.connected(written.append, clock.mono_ns(), clock.wall_ns())
    made.close()
    if not written:
        raise QuarterdeckError("the session sends nothing when it is connected")
    own = made.secret_tags if isinstance(made, FixVenueSession) else ()
    return Masker(own)(written[0]).replace(b"\x01", b"|").decode(errors="replace")


def make_session(desk: DeskConfig, kind: Kind, venue: str, context: SessionContext) -> VenueSession:
    """A session that nobody listens to."""
    dialect, sink = dialect_of(desk, venue), Deaf()
    match kind:
        case Kind.TRADING:
            return dialect.trading(context, sink)
        case Kind.MARKETDATA:
            return dialect.marketdata(context, sink, sink)
        case _:
            return dialect.dropcopy(context, sink)
