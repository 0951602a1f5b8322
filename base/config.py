"""The desk's configuration: TOML into msgspec structs that forbid unknown keys.

One file describes a desk: its venues with their instruments, its sessions (each becomes a process), its book
shards, its kill switch and, for a simulated desk, its simulated venues. `load` gives a checked `Config`.
"""

import hashlib
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import msgspec

from base.alarm_config import AlarmsConfig
from base.calendar_config import CalendarConfig
from base.config_check import check_values
from base.errors import ConfigError
from base.instruments import ONE, Contract, Instrument, check_name, scaled_setting
from base.kill_config import KillConfig
from base.monitor_config import MonitorConfig
from base.places import DATA_DIR, LOG_DIR, RUN_DIR, places_of
from base.redundancy import check_redundancy, groups_of
from base.remote_config import RemoteConfig


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    pass


class Kind(StrEnum):
    """What a session is for."""

    TRADING = "trading"
    MARKETDATA = "marketdata"
    DROPCOPY = "dropcopy"


class Desk(_Strict, frozen=True, kw_only=True):
    """[desk]: where the desk lives. Relative directories are below the configuration file's directory's parent."""

    name: str
    run_dir: str = RUN_DIR  # sockets, locks, address files (mode 0700)
    data_dir: str = DATA_DIR  # stores, journals, latch: survives restarts
    log_dir: str = LOG_DIR
    shm_dir: str = ""  # books, gate and readiness words; tmpfs. "" = /dev/shm/quarterdeck-<name>-<hash of run_dir>
    environment: Literal["sim", "test", "production"] = "production"
    log_budget_mb: int = 200
    gate_dir: str = ""  # connect gates, for every desk and user of the machine; "" = /dev/shm/quarterdeck-gate
    user: str = ""  # whom supervisord, started by root, runs the processes as; "" = whoever starts it
    cert_warn_days: int = 14  # a venue's certificate that ends sooner is an alert


class InstrumentConfig(_Strict, frozen=True, kw_only=True):
    """[[venue.X.instruments]]: scales and limits; the venue's reference data must agree where it sends any."""

    name: str
    symbol: str
    px_scale: int
    qty_scale: int
    tick_size: str = ""  # decimal; "" = one unit of the scale
    lot_size: str = ""
    min_qty: str = "0"
    max_qty: str = "0"
    min_notional: str = ""
    contract_value: str = ""  # derivatives: what one contract is of, in base currency; of an inverse one in quote
    inverse: bool = False  # derivatives: settled in the base currency


class RestConfig(_Strict, frozen=True, kw_only=True):
    """[venue.X.rest]: base address and credentials by reference."""

    address: str  # https://host[:port], or run:NAME for a simulated venue's address file
    key: str = ""  # secret reference
    secret: str = ""  # secret reference
    passphrase: str = ""  # secret reference, where the venue gives a third one with each key
    kill_key: str = ""  # the kill switch's own: where nonces must rise, two users of one key refuse each other
    kill_secret: str = ""
    kill_passphrase: str = ""
    ca_file: str = ""
    lag_ms: int = 1000  # how far the venue's open-orders list may be behind (proof of cancel waits longer)
    balances_every_s: int = 60  # balances are asked for after each logon and then so often; 0 = never

    @property
    def references(self) -> tuple[str, str, str]:
        """Key, secret, passphrase."""
        return self.key, self.secret, self.passphrase

    @property
    def kill_references(self) -> tuple[str, str, str]:
        """The kill switch's own; all "" where it has none."""
        return self.kill_key, self.kill_secret, self.kill_passphrase


class VenueConfig(_Strict, frozen=True, kw_only=True):
    """[venue.X]: one venue and account."""

    dialect: str
    account: str = "main"
    instruments: list[InstrumentConfig]
    rest: RestConfig | None = None
    dead_man_s: int = 0  # the venue cancels everything after so long without a renewal, where it has such a timer
    opening_positions: Literal["", "hold", "zero", "none"] = ""  # what positions begin with (docs/limits.md)
    limit_share_pct: int = 100  # this desk's part of the account's rate limits, where other systems use it too
    dictionary: str = ""  # whose FIX dictionary, a folder of venues/; "" = the dialect's
    calendar: CalendarConfig = CalendarConfig()  # changes to the venue's own calendar (docs/schedules.md)
    options: dict[str, str | int | bool | list[str]] = {}  # checked by the dialect


class ReconnectConfig(_Strict, frozen=True, kw_only=True):
    """[session.X.reconnect]: how long to wait between attempts, in seconds (docs/reconnects.md)."""

    stable_s: int = 30  # READY for so long, and the failures before are forgotten
    cap_s: int = 30  # the most after a lost connection or one that never stood
    refused_s: int = 15  # the first after a refused logon; doubles
    refused_cap_s: int = 600


class SessionConfig(_Strict, frozen=True, kw_only=True):
    """[session.X]: one venue session, owned by one process."""

    venue: str
    kind: Kind
    address: str  # host:port, or run:NAME#KEY for a simulated venue's address file
    sender_comp_id: str
    target_comp_id: str
    heartbeat_s: int = 30
    tls: bool = True
    ca_file: str = ""  # "" = the system's; run:FILE = below run_dir
    server_name: str = ""  # SNI and name to verify; "" = the host of `address`
    username: str = ""  # secret reference
    password: str = ""  # secret reference (password, API secret or private key, as the dialect says)
    passphrase: str = ""  # secret reference, where the venue gives a third one with each key
    level: Literal[2, 3] = 2  # marketdata only
    depth: int = 0  # marketdata only: 0 = the venue's full depth
    stale_after_s: int = 0  # marketdata only: silence that makes a book STALE; 0 = silence is normal
    instruments: list[str] = []  # [] = all of the venue
    on_stop: Literal["cancel", "keep"] = "cancel"
    validate: Literal["off", "defects", "reject"] = "off"  # received messages, against the dictionary
    dictionary: str = ""  # FIX only: QuickFIX XML file; "" = the venue's own (docs/fix-dictionary.md)
    transport_dictionary: str = ""  # beside it for FIX 5.0 and later
    sync: Literal["none", "interval", "every"] = "none"  # of store and journal, against a power cut (docs/store.md)
    journal_mb: int = 256  # what the journal keeps for the ledger and replays: about 5,000 events a MiB
    reconnect: ReconnectConfig = ReconnectConfig()
    fix_log: Literal["all", "no_marketdata"] = "no_marketdata"  # whether batches of market data are logged, too
    alternate_sender_comp_id: str = ""  # for a planned move to a new session while the old one lives
    redundant_with: str = ""  # the session that this one stands beside (docs/redundancy.md)
    options: dict[str, str | int | bool | list[str]] = {}  # checked by the dialect


class BookConfig(_Strict, frozen=True, kw_only=True):
    """[book.X]: one shard of shared-memory books."""

    sessions: list[str]  # market-data sessions whose books it keeps
    max_instruments: int = 64
    levels: int = 10_000  # extent of each side of an L2 book
    orders: int = 200_000  # extent of an L3 book


class SimConfig(_Strict, frozen=True, kw_only=True):
    """[sim.X]: a simulated venue X for this desk."""

    seed: int = 1
    replay: str = ""  # recording to replay in place of seeded flow
    messages_per_s: int = 200
    plain: bool = False
    options: dict[str, str | int | bool | list[str]] = {}


class LedgerConfig(_Strict, frozen=True, kw_only=True):
    """[ledger]: orders, fills and positions of record; without this section the desk keeps none."""

    path: str = "ledger/ledger.db"  # the SQLite file, below data_dir
    break_after_ms: int = 10_000  # so long may one view of a fill lag the other before that is a break
    keep_orders_days: int = 30  # of orders that ended without a fill; everything else is kept for ever. 0: all of it
    day_zone: str = "UTC"  # whose days the export writes (an IANA name)


class Config(_Strict, frozen=True, kw_only=True):
    """A whole configuration, as written."""

    desk: Desk
    venue: dict[str, VenueConfig]
    session: dict[str, SessionConfig]
    book: dict[str, BookConfig] = {}
    kill: KillConfig = KillConfig()
    sim: dict[str, SimConfig] = {}
    ledger: LedgerConfig | None = None
    alarms: AlarmsConfig | None = None
    monitor: MonitorConfig | None = None
    remote: RemoteConfig | None = None


class DeskConfig:
    """A checked configuration with what follows from it: absolute paths, instruments, fingerprint."""

    def __init__(self, config: Config, path: Path, text: bytes) -> None:
        self.config = config
        self.path = path
        self.fingerprint = hashlib.sha256(text).hexdigest()[:16]
        desk = config.desk
        places = places_of(path, desk.name, desk.run_dir, desk.data_dir, desk.log_dir, desk.shm_dir)
        self.run_dir, self.data_dir, self.log_dir = places.run_dir, places.data_dir, places.log_dir
        self.shm_dir = places.shm_dir
        self.instruments: dict[tuple[str, str], Instrument] = {}
        for name, venue in config.venue.items():
            for i, item in enumerate(venue.instruments):
                instrument = _instrument(name, item, f"{path}: venue.{name}.instruments[{i}]")
                self.instruments[name, instrument.name] = instrument
        self.redundancy = groups_of(config.session)  # by the first session of each group
        self._check()

    @property
    def run_mode(self) -> int:
        """Mode of the run directory: closed to others, and to the group unless the kill switch is a user of it."""
        return 0o750 if self.config.kill.user else 0o700

    def venue_instruments(self, venue: str) -> list[Instrument]:
        """The venue's instruments in the order of the file."""
        return [i for (v, _), i in self.instruments.items() if v == venue]

    def session_instruments(self, session: str) -> list[Instrument]:
        """The instruments a session deals with."""
        s = self.config.session[session]
        names = s.instruments or [i.name for i in self.venue_instruments(s.venue)]
        return [self.instruments[s.venue, n] for n in names]

    @property
    def process_log_bytes(self) -> int:
        """Share of one process's log in [desk].log_budget_mb, of which processes have half and FIX logs half."""
        c = self.config
        processes = len(c.session) + len(c.book) + len(c.sim) + 7  # the others there can be, and one to spare
        return self._log_budget // 2 // processes

    @property
    def fix_log_bytes(self) -> int:
        """Share of one FIX log: each SenderCompID of each session has one, and one for market data where it is kept."""
        logs = 0
        for session in self.config.session.values():
            files = 2 if logs_marketdata(session) else 1
            logs += files * (2 if session.alternate_sender_comp_id else 1)
        return self._log_budget // 2 // max(logs, 1)

    @property
    def _log_budget(self) -> int:
        return self.config.desk.log_budget_mb << 20

    def sessions(self, kind: Kind) -> list[str]:
        """Names of the sessions of one kind that have a process of their own (the kill switch's own are left out)."""
        own = set(self.config.kill.sessions)
        return [n for n, s in self.config.session.items() if s.kind == kind and n not in own]

    def shard_books(self, shard: str) -> list[tuple[str, Instrument, int]]:
        """(session, instrument, level) of each book of a shard; of redundant sessions the first stands for all."""
        sessions = [(s, self.config.session[s]) for s in self.config.book[shard].sessions]
        return [(n, i, s.level) for n, s in sessions if not s.redundant_with for i in self.session_instruments(n)]

    def redundant(self, session: str) -> tuple[str, ...]:
        """The sessions that tell the same as this one, itself among them; the first comes first. () without any."""
        first = self.config.session[session].redundant_with or session
        return self.redundancy.get(first, ())

    def _check(self) -> None:
        c, at = self.config, self.path
        check_values(c, str(at))
        for name, session in c.session.items():
            if session.venue not in c.venue:
                raise ConfigError(
                    f"{at}: session.{name}.venue: no venue {session.venue!r}; there are {sorted(c.venue)}"
                )
            for inst in session.instruments:
                if (session.venue, inst) not in self.instruments:
                    raise ConfigError(f"{at}: session.{name}.instruments: venue {session.venue} has no {inst!r}")
            if not 1 <= session.heartbeat_s <= 3600:
                raise ConfigError(f"{at}: session.{name}.heartbeat_s: {session.heartbeat_s} is not within 1 to 3600")
        for name, book in c.book.items():
            for s in book.sessions:
                if s not in c.session or c.session[s].kind != Kind.MARKETDATA:
                    raise ConfigError(f"{at}: book.{name}.sessions: {s!r} is not a marketdata session")
        check_redundancy(c, lambda s: [i.name for i in self.session_instruments(s)], str(at))
        for s in c.kill.sessions:
            if s not in c.session or c.session[s].kind != Kind.TRADING:
                raise ConfigError(f"{at}: kill.sessions: {s!r} is not a trading session")
        if c.kill.arm_at_start and c.desk.environment == "production":
            raise ConfigError(f"{at}: kill.arm_at_start: a production desk is armed by a person, not at start")
        for name in c.sim:
            if name not in c.venue:
                raise ConfigError(f"{at}: sim.{name}: no venue of that name")


def logs_marketdata(session: SessionConfig) -> bool:
    """Whether a session keeps a log of its market data."""
    return session.kind == Kind.MARKETDATA and session.fix_log == "all"


def _instrument(venue: str, item: InstrumentConfig, path: str) -> Instrument:
    check_name(item.name, f"{path}.name")
    for key, scale in (("px_scale", item.px_scale), ("qty_scale", item.qty_scale)):
        if not 0 <= scale <= 18:
            raise ConfigError(f"{path}.{key}: {scale} is not within 0 to 18")
    return Instrument(
        venue=venue,
        name=item.name,
        symbol=item.symbol,
        px_scale=item.px_scale,
        qty_scale=item.qty_scale,
        tick_size=scaled_setting(item.tick_size, item.px_scale, f"{path}.tick_size") if item.tick_size else 1,
        lot_size=scaled_setting(item.lot_size, item.qty_scale, f"{path}.lot_size") if item.lot_size else 1,
        min_qty=scaled_setting(item.min_qty, item.qty_scale, f"{path}.min_qty"),
        max_qty=scaled_setting(item.max_qty, item.qty_scale, f"{path}.max_qty"),
        min_notional=item.min_notional,
        contract=_contract(item, path),
    )


def _contract(item: InstrumentConfig, path: str) -> Contract | None:
    if item.name.count("-") < 2:
        for key, given in (("contract_value", bool(item.contract_value)), ("inverse", item.inverse)):
            if given:
                raise ConfigError(f"{path}.{key}: {item.name} is no derivative, its quantities are base currency")
        return ONE
    if not item.contract_value:
        if item.inverse:
            raise ConfigError(f"{path}.contract_value: what is an inverse contract of {item.name} worth?")
        return None
    scale = len(item.contract_value.partition(".")[2])
    value = scaled_setting(item.contract_value, scale, f"{path}.contract_value")
    if not value:
        raise ConfigError(f"{path}.contract_value: 0 makes every position nothing")
    if scale + item.qty_scale > 18:
        raise ConfigError(f"{path}.contract_value: {scale} decimals and a qty_scale of {item.qty_scale} are over 18")
    return Contract(value, scale, item.inverse)


def load(path: str | Path) -> DeskConfig:
    """Read and check a configuration. ConfigError names the file, the key's path and what was expected."""
    file = Path(path).resolve()
    try:
        text = file.read_bytes()
    except OSError as e:
        raise ConfigError(f"{file}: cannot be read: {e.strerror}") from None
    try:
        raw = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file}: not TOML: {e}") from None
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as e:
        raise ConfigError(f"{file}: {_named(raw) or e}") from None
    return DeskConfig(config, file, text)


def _named(raw: dict[str, Any]) -> str:
    """What is wrong with which entry of a table, by its name, where msgspec only says `[...]`; "" if in none."""
    kinds: dict[str, type] = {"venue": VenueConfig, "session": SessionConfig, "book": BookConfig, "sim": SimConfig}
    for table, kind in kinds.items():
        entries = raw.get(table)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            try:
                msgspec.convert(entry, kind)
            except msgspec.ValidationError as e:
                text = str(e)
                return text.replace("`$", f"`$.{table}.{name}") if "`$" in text else f"{text} - at `$.{table}.{name}`"
    return ""
