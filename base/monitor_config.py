"""[monitor] of the configuration: the page's listener, who may read, who may act; and what its types cannot say."""

import re
from ipaddress import ip_address
from typing import Literal

import msgspec

from base.errors import ConfigError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class MonitorConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """[monitor]: the page and the metrics; without this section the desk has neither."""

    host: str = "127.0.0.1"  # where it listens; anything but this host itself needs tls_cert and tls_key
    port: int = 0  # 0 = any free one; the address is in run_dir/monitor.url
    operators: str = ""  # secret reference of the file that `qd operator` writes; "" = nobody can sign in
    allowed_hosts: list[str] = []  # names that browsers know it by, beside `host`
    tls_cert: str = ""  # PEM, the certificate with its chain
    tls_key: str = ""  # PEM, a file that only its owner may read
    readers: Literal["everyone", "loopback", "operators"] = "loopback"  # who may look without signing in
    metrics: Literal["everyone", "loopback"] = "loopback"  # who may fetch /metrics
    session_idle_s: int = 1800  # signed out when nothing was done for so long
    session_max_s: int = 43_200  # and after so long, whatever was done
    max_viewers: int = 50  # live pages at one time
    slow_viewer_s: int = 10  # who takes nothing for so long is hung up on


def check_monitor(monitor: MonitorConfig, path: str) -> None:
    """ConfigError, naming the key's path, for a setting that the page could not work with, or not safely."""
    if not 0 <= monitor.port <= 65_535:
        raise ConfigError(f"{path}.port: {monitor.port} is not within 0 to 65535")
    _host(monitor.host, f"{path}.host")
    if bool(monitor.tls_cert) != bool(monitor.tls_key):
        raise ConfigError(f"{path}: tls_cert and tls_key go together; one of them is missing")
    if not is_loopback(monitor.host) and not monitor.tls_cert:
        raise ConfigError(
            f"{path}.host: {monitor.host} can be reached from elsewhere: tls_cert and tls_key are needed "
            f"(without them: {', '.join(LOOPBACK)})"
        )
    for i, name in enumerate(monitor.allowed_hosts):
        _host(name, f"{path}.allowed_hosts[{i}]")
    for key in ("session_idle_s", "session_max_s", "slow_viewer_s"):
        if getattr(monitor, key) < 1:
            raise ConfigError(f"{path}.{key}: {getattr(monitor, key)} is below 1")
    if not 1 <= monitor.max_viewers <= 1000:
        raise ConfigError(f"{path}.max_viewers: {monitor.max_viewers} is not within 1 to 1000")
    if monitor.operators.partition(":")[0] not in ("", "env", "file", "run"):
        raise ConfigError(f"{path}.operators: expected env:NAME, file:PATH or run:PATH")  # it is not repeated


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address) can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host(host: str, path: str) -> None:
    """An address, or a name as browsers write it: no port, no brackets, no wildcard."""
    try:
        ip_address(host)
    except ValueError:
        if not _HOST.fullmatch(host):
            raise ConfigError(f"{path}: {host!r} is neither an address nor a name in lower case") from None
