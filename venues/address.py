"""Where a session connects to: addresses and files of the configuration, and the venue's connect gate."""

import json
import re

from base.backoff import MILLISECOND_NS, SECOND_NS, BackoffSettings
from base.config import DeskConfig, SessionConfig
from base.connect_gate import ConnectGate, ConnectGateSettings
from base.errors import ConfigError
from venues.context import dialect_of
from venues.limits import ConnectLimit

# A simulated venue bans nobody, and tests restart sessions by the dozen.
SIMULATED = ConnectGateSettings(limit=200, window_ns=10 * SECOND_NS, reserve=20, spacing_ns=MILLISECOND_NS)
GATES = "/dev/shm/quarterdeck-gate"  # one place for every desk and user of the machine
KILL_CAP_S = 60
"""A kill switch's own session is not away for longer, even after refusals."""


def resolve_address(desk: DeskConfig, address: str) -> tuple[str, int]:
    """(host, port) of a configured address; `run:NAME#KEY` is read from the address file. ConfigError otherwise."""
    if address.startswith("run:"):
        name, _, key = address.removeprefix("run:").partition("#")
        path = desk.run_dir / f"{name}.json"
        try:
            address = json.loads(path.read_text())["endpoints"][key]
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise ConfigError(f"{path}: no endpoint {key!r} to be had: {e}") from None
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"address {address!r}: expected host:port")
    return host.strip("[]"), int(port)


def resolve_file(desk: DeskConfig, name: str) -> str:
    """Path of a configured file; `run:FILE` lies below the run directory; empty stays empty."""
    return str(desk.run_dir / name.removeprefix("run:")) if name.startswith("run:") else name


def is_simulated(config: SessionConfig) -> bool:
    """Whether a session's venue is a simulated one of this desk."""
    return config.address.startswith("run:")


def connect_gate(desk: DeskConfig, config: SessionConfig) -> ConnectGate:
    """The gate of a session's venue and address, one for the whole machine: venues count attempts by address."""
    if is_simulated(config):
        return ConnectGate(desk.run_dir / "gate" / config.venue, SIMULATED)
    venue = desk.config.venue[config.venue]
    limit = dialect_of(desk, config.venue).capabilities(venue).limits.connect(config.kind)
    host = re.sub(r"[^A-Za-z0-9.-]", "_", config.address.rpartition(":")[0])
    kinds = "-".join(sorted(kind[:2] for kind in limit.kinds))
    name = f"{venue.dialect}-{host}-{kinds}"
    return ConnectGate(f"{desk.config.desk.gate_dir or GATES}/{name}", _settings(limit), desk.run_dir / "gate" / name)


def _settings(limit: ConnectLimit) -> ConnectGateSettings:
    return ConnectGateSettings(
        limit.most, limit.per_s * SECOND_NS, limit.reserve, limit.spacing_ms * MILLISECOND_NS
    )  # fmt: skip


def backoff_settings(config: SessionConfig, *, urgent: bool) -> BackoffSettings:
    """How long a session waits between attempts, as its configuration says."""
    again = config.reconnect
    refused_ns, refused_cap_s = again.refused_s * SECOND_NS, again.refused_cap_s
    if is_simulated(config):
        refused_ns, refused_cap_s = BackoffSettings.base_ns, again.cap_s
    if urgent:
        refused_cap_s = min(refused_cap_s, KILL_CAP_S)
    return BackoffSettings(
        cap_ns=again.cap_s * SECOND_NS, stable_ns=again.stable_s * SECOND_NS, refused_ns=refused_ns,
        refused_cap_ns=refused_cap_s * SECOND_NS,
    )  # fmt: skip
