"""What a process hands to a dialect to make a session."""

from base.config import DeskConfig
from base.secrets import resolve
from venues.interface import Dialect, SessionContext
from venues.registry import dialect


def session_context(desk: DeskConfig, session: str, epoch: int, sender_comp_id: str = "") -> SessionContext:
    """The context of a configured session. SecretError when a secret cannot be had."""
    config = desk.config.session[session]
    own = sender_comp_id or config.sender_comp_id
    return SessionContext(
        name=session,
        config=config,
        venue=desk.config.venue[config.venue],
        instruments=desk.session_instruments(session),
        epoch=epoch,
        username=resolve(config.username, desk.run_dir) if config.username else "",
        password=resolve(config.password, desk.run_dir) if config.password else "",
        passphrase=resolve(config.passphrase, desk.run_dir) if config.passphrase else "",
        # Each SenderCompID has numbers of its own: a session that moved must not share a store with the old one.
        data_dir=desk.data_dir / session / own,
        log_dir=desk.log_dir / "fix",
        log_bytes=desk.fix_log_bytes,
        sender_comp_id=own,
    )


def dialect_of(desk: DeskConfig, venue: str) -> Dialect:
    """The dialect of a configured venue."""
    return dialect(desk.config.venue[venue].dialect, f"{desk.path}: venue.{venue}.dialect")
