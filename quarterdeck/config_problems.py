"""What is wrong with a configuration that loads: what its dialects, limits, addresses and secrets say to it."""

import re
import shutil
from pathlib import Path

from base.config import DeskConfig, Kind
from base.errors import ConfigError, QuarterdeckError, SecretError
from base.secrets import resolve
from base.transport_types import check_plain
from quarterdeck.limit_problems import limit_problems
from quarterdeck.redundancy_words import redundancy_problems
from risk.limits import LimitBook
from risk.pretrade_plan import check_order_limits
from venues.calendar import configured_rules
from venues.context import dialect_of
from venues.dictionaries import check_dictionary, configured_dictionary
from venues.kill_limits import scopes_of, trigger_problems
from venues.kill_topology import check_dead_man, plan_of

_SYMBOLIC = re.compile(r"run:sim-([\w-]+)#\w+")
_HOST_PORT = re.compile(r"([^:/\s#]+|\[[0-9a-fA-F:]+\]):(\d+)")
_URL = re.compile(r"https?://[^:/\s#]+(:\d+)?/?")


def problems(desk: DeskConfig) -> list[str]:
    """What is wrong, each with the file and the path in it."""
    found = [line for name in desk.config.venue for line in _venue(desk, name)]
    found += [line for name in desk.config.session for line in _session(desk, name)]
    found += _twice(desk) + redundancy_problems(desk) + _books(desk) + _kill(desk) + _alarms(desk)
    found += [
        f"sim.{name}.replay: {sim.replay} does not exist"
        for name, sim in desk.config.sim.items()
        if sim.replay and not Path(sim.replay).exists()
    ]
    return [line if line.startswith(f"{desk.path}: ") else f"{desk.path}: {line}" for line in found]


def _venue(desk: DeskConfig, name: str) -> list[str]:
    venue = desk.config.venue[name]
    found = []
    try:
        sessions = {n: s for n, s in desk.config.session.items() if s.venue == name}
        dialect_of(desk, name).check(venue, sessions, f"venue.{name}")
        check_dictionary(venue, f"venue.{name}")
        configured_rules(venue, False, f"venue.{name}")
        check_dead_man(desk, name, plan_of(desk, name))
    except ConfigError as e:
        found.append(str(e))
    if venue.rest is not None:
        path = f"venue.{name}.rest"
        if not _URL.fullmatch(venue.rest.address):
            found += _address(desk, venue.rest.address, path, "https://host[:port]")
        keys = ("key", "secret", "passphrase", "kill_key", "kill_secret", "kill_passphrase")
        found += _secrets(desk, path, {k: getattr(venue.rest, k) for k in keys})
        if bool(venue.rest.kill_key) != bool(venue.rest.kill_secret):
            found.append(f"{path}: kill_key and kill_secret go together; one of them is missing")
    return found


def _session(desk: DeskConfig, name: str) -> list[str]:
    session, path = desk.config.session[name], f"session.{name}"
    found = _address(desk, session.address, path, "host:port")
    if not found and not session.tls and not session.address.startswith("run:"):
        try:
            check_plain(session.address.rpartition(":")[0])
        except ConfigError as e:
            found.append(f"{path}.tls: {e}")
    try:
        configured_dictionary(session, path)
    except ConfigError as e:
        found.append(str(e) if str(e).startswith(path) else f"{path}.dictionary: {e}")
    found += _secrets(desk, path, {k: getattr(session, k) for k in ("username", "password", "passphrase")})
    if session.kind == Kind.MARKETDATA and not session.stale_after_s and desk.config.desk.environment == "production":
        # Heartbeats alone show a dead line only after two of their intervals.
        found.append(f"{path}.stale_after_s: 0; a production desk says after how much silence a book is STALE")
    if session.kind == Kind.MARKETDATA and not any(name in b.sessions for b in desk.config.book.values()):
        found.append(f"{path}: no [book.*] lists it: nobody would keep its books")
    return found


def _address(desk: DeskConfig, address: str, path: str, form: str) -> list[str]:
    symbolic, plain = _SYMBOLIC.fullmatch(address), _HOST_PORT.fullmatch(address)
    if symbolic and symbolic[1] not in desk.config.sim:
        return [f"{path}.address: {address!r}: there is no [sim.{symbolic[1]}]"]
    if symbolic or (plain and form == "host:port" and 0 < int(plain[2]) < 65536):
        return []
    return [f"{path}.address: {address!r} is neither {form} nor run:sim-NAME#KEY"]


def _secrets(desk: DeskConfig, path: str, references: dict[str, str]) -> list[str]:
    found = []
    for key, reference in references.items():
        simulated = desk.config.desk.environment == "sim" and reference.startswith("run:")
        if not reference or (simulated and not (desk.run_dir / reference.removeprefix("run:")).exists()):
            continue  # a simulated venue makes its own when it starts
        try:
            resolve(reference, desk.run_dir)
        except SecretError as e:
            found.append(f"{path}.{key}: {e}")
    return found


def _twice(desk: DeskConfig) -> list[str]:
    """Two sessions under one name at one place put each other out, for ever."""
    owner: dict[tuple[str, str, str], str] = {}
    found = []
    for name, session in desk.config.session.items():
        for key in ("sender_comp_id", "alternate_sender_comp_id"):
            own = getattr(session, key)
            other = owner.setdefault((session.address, session.target_comp_id, own), name) if own else name
            if other != name:
                found.append(f"session.{name}.{key}: {own!r} logs on at {session.address} as session.{other} does")
    return found


def _books(desk: DeskConfig) -> list[str]:
    found = []
    for name, book in desk.config.book.items():
        needed = len(desk.shard_books(name))
        if needed > book.max_instruments:
            found.append(f"book.{name}.max_instruments: {book.max_instruments}; its sessions have {needed} instruments")
    return found


def _kill(desk: DeskConfig) -> list[str]:
    kill = desk.config.kill
    known, found = scopes_of(desk), []
    for i, limit in enumerate(kill.limits):
        path = f"kill.limits[{i}]"
        try:
            LimitBook([limit], {})
            check_order_limits(limit, path)
        except QuarterdeckError as e:
            found.append(str(e).replace("kill.limits[0]", path) if "kill.limits" in str(e) else f"{path}.scope: {e}")
            continue
        if limit.scope in known or limit.scope.startswith("strategy:"):
            found += limit_problems(desk, limit, path)
    found += trigger_problems(desk)
    if desk.config.desk.environment == "production" and not kill.limits:
        found.append("kill.limits: none is set; a production desk does not run without limits")
    found += _users(desk)
    if desk.config.desk.environment == "production" and not kill.drill_max_age_days:
        found.append("kill.drill_max_age_days: 0; a production desk says how old its last drill may be")
    return found


def _users(desk: DeskConfig) -> list[str]:
    """A process of the kill switch's own user could stop it: in production nothing else is of that user."""
    user, kill_user = desk.config.desk.user, desk.config.kill.user
    if kill_user and not user:
        return ["desk.user: missing; kill.user works beside it, in its group"]
    if kill_user in ("root", "0"):
        return ["kill.user: root can do more than it needs; give it a user of its own (docs/hardening.md)"]
    alone = bool(kill_user) and kill_user != user
    if not alone and (kill_user or desk.config.desk.environment == "production"):
        said = f"{kill_user!r} as everything else" if kill_user else "none"
        return [f"kill.user: {said}; a production desk's kill switch has a user of its own (docs/hardening.md)"]
    return []


def _alarms(desk: DeskConfig) -> list[str]:
    alarms = desk.config.alarms
    if alarms is None and desk.config.desk.environment == "production":
        return ["alarms: none are configured; a log line calls nobody (docs/alarms.md)"]
    if alarms is None:
        return []
    found = [] if alarms.notifiers else ["alarms.notifiers: none: nobody would be called"]
    for i, notifier in enumerate(alarms.notifiers):
        path = f"alarms.notifiers[{i}]"
        found += _secrets(desk, path, {k: getattr(notifier, k) for k in ("secret", "username", "password")})
        if notifier.command and shutil.which(notifier.command[0]) is None:
            found.append(f"{path}.command: no program {notifier.command[0]!r} is found")
        if notifier.ca_file and not notifier.ca_file.startswith("run:") and not Path(notifier.ca_file).exists():
            found.append(f"{path}.ca_file: {notifier.ca_file} does not exist")
    return found
