"""[alarms] and [[alarms.notifiers]] of the configuration, and what their types cannot say."""

import re
from collections.abc import Iterable
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from base.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    pass


class NotifierConfig(_Strict, frozen=True, kw_only=True):
    """[[alarms.notifiers]]: one way to reach a person."""

    name: str
    kind: Literal["command", "webhook", "email"]
    min_severity: Literal["warning", "critical"] = "warning"
    level: int = 0  # told at once; 1 and above: once nobody acknowledged for so many times escalate_after_s
    timeout_ms: int = 10_000  # for one delivery, whatever hangs
    max_per_minute: int = 20  # messages; what comes faster is gathered in one message that counts it
    command: list[str] = []  # kind command: argv, no shell; the alarm as JSON on stdin and as ALARM_... variables
    url: str = ""  # kind webhook: https://...; http:// to this host alone
    ca_file: str = ""  # webhook and email: PEM; "" = the system's authorities
    secret: str = ""  # webhook: reference of the HMAC-SHA256 key of X-Quarterdeck-Signature
    smtp: str = ""  # kind email: host:port
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"  # none: to this host alone
    username: str = ""  # email: secret reference
    password: str = ""  # email: secret reference
    sender: str = ""
    recipients: list[str] = []


class AlarmsConfig(_Strict, frozen=True, kw_only=True):
    """[alarms]: the process that calls people; without this section the desk has none."""

    repeat_s: int = 300  # a critical alarm that nobody acknowledged is said again
    warning_repeat_s: int = 3600  # and a warning; 0 = said once a level
    escalate_after_s: int = 600  # then the next level is told, too
    acknowledged_quiet_s: int = 900  # for so long an acknowledged alarm may go on without being an alarm again
    silent_after_ms: int = 2_000  # without a heartbeat the kill switch counts as gone or stuck; any other after 5 times
    notifiers: list[NotifierConfig] = []


def check_alarms(alarms: AlarmsConfig, path: str) -> None:
    """ConfigError, naming the key's path, for a setting that no notifier could work with."""
    _at_least(alarms, path, ("repeat_s", "escalate_after_s"), 1)
    _at_least(alarms, path, ("warning_repeat_s", "acknowledged_quiet_s"), 0)
    _at_least(alarms, path, ("silent_after_ms",), 500)
    names: dict[str, int] = {}
    for i, notifier in enumerate(alarms.notifiers):
        at = f"{path}.notifiers[{i}]"
        if not _NAME.fullmatch(notifier.name):
            raise ConfigError(
                f"{at}.name: {notifier.name!r} is not a name; expected letters, digits, - and _, at most 41"
            )
        if names.setdefault(notifier.name, i) != i:
            raise ConfigError(f"{at}.name: {notifier.name!r} is also that of [{names[notifier.name]}]")
        _at_least(notifier, at, ("timeout_ms", "max_per_minute"), 1)
        _at_least(notifier, at, ("level",), 0)
        {"command": _command, "webhook": _webhook, "email": _email}[notifier.kind](notifier, at)
    if alarms.notifiers and all(n.level > 0 for n in alarms.notifiers):
        raise ConfigError(f"{path}.notifiers: none has level 0: nobody would be told at once")


def _at_least(config: msgspec.Struct, path: str, keys: Iterable[str], least: int) -> None:
    for key in keys:
        value: int = getattr(config, key)
        if value < least:
            raise ConfigError(f"{path}.{key}: {value} is below {least}")


def _command(notifier: NotifierConfig, path: str) -> None:
    if not notifier.command or not notifier.command[0]:
        raise ConfigError(f"{path}.command: expected the program and its arguments, as a list")
    _unused(notifier, path, ("url", "ca_file", "secret", "smtp", "username", "password", "sender", "recipients"))


def _webhook(notifier: NotifierConfig, path: str) -> None:
    try:
        parts = urlsplit(notifier.url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as e:
        raise ConfigError(f"{path}.url: {e}") from None
    if parts.scheme not in ("https", "http") or not host:
        raise ConfigError(f"{path}.url: {notifier.url!r} is not https://host[:port]/path")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise ConfigError(f"{path}.url: http goes to this host alone ({', '.join(_LOOPBACK)}); expected https")
    if parts.username or parts.password:
        raise ConfigError(f"{path}.url: it must not carry a password")  # the URL is not repeated
    _unused(notifier, path, ("command", "smtp", "username", "password", "sender", "recipients"))


def _email(notifier: NotifierConfig, path: str) -> None:
    host, colon, port = notifier.smtp.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{path}.smtp: {notifier.smtp!r} is not host:port")
    if notifier.smtp_tls == "none" and host not in _LOOPBACK:
        raise ConfigError(f"{path}.smtp_tls: none goes to this host alone ({', '.join(_LOOPBACK)})")
    if bool(notifier.username) != bool(notifier.password):
        raise ConfigError(f"{path}: username and password go together; one of them is missing")
    if not notifier.recipients:
        raise ConfigError(f"{path}.recipients: nobody is named")
    for key, addresses in (("sender", [notifier.sender]), ("recipients", notifier.recipients)):
        for address in addresses:
            if "@" not in address or not address.isprintable() or " " in address:
                raise ConfigError(f"{path}.{key}: {address!r} is not an address")
    _unused(notifier, path, ("command", "url", "secret"))


def _unused(notifier: NotifierConfig, path: str, keys: Iterable[str]) -> None:
    for key in keys:
        if getattr(notifier, key):
            raise ConfigError(f"{path}.{key}: a notifier of kind {notifier.kind} has no such setting")
