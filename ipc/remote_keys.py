"""Keys of clients on other hosts: files that name a client, its role and its CURVE key, and the ring made of them.

The forwarder's folder holds `server.key` (its own two halves) and `clients/NAME.json` (public halves, with the role).
What a client holds is one file with its own two halves and the server's public one. Only `server.key` and client files
carry secrets; they are readable by their owner alone, or refused.
"""

import os
import stat
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import zmq
from zmq.utils import z85

from base.errors import ConfigError, SecretError
from base.secrets import resolve

SERVER_FILE: Final = "server.key"
CLIENTS: Final = "clients"
KEY_SUFFIX: Final = ".key"
_NAME_CHARS: Final = 41
_NOTES_BYTES: Final = 16_384

T = TypeVar("T", bound=msgspec.Struct)


class Role(StrEnum):
    """What a key may do; each may do what those before it may."""

    READER = "reader"
    TRADER = "trader"
    OPERATOR = "operator"


class ServerKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="server", tag_field="quarterdeck_key"):
    """The forwarder's own key."""

    public: str
    secret: str


class ClientKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="client", tag_field="quarterdeck_key"):
    """What a client holds. `server`: the public half of the forwarder that it talks to, and to no other."""

    name: str
    public: str
    secret: str
    server: str


class Allowed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="allowed", tag_field="quarterdeck_key"):
    """What the forwarder knows of a client. `strategies`: orders of these alone; empty = of any."""

    name: str
    role: Role
    public: str
    strategies: tuple[str, ...] = ()


def new_pair() -> tuple[str, str]:
    """(public, secret), Z85."""
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def check_key_name(name: str) -> str:
    """The name, or ConfigError: it stands in file names and in the audit trail."""
    if not name or len(name) > _NAME_CHARS or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
        raise ConfigError(f"{name!r} is no name of a key; expected letters, digits, - and _, at most {_NAME_CHARS}")
    return name


def check_public(text: str, where: str) -> str:
    """The key, or ConfigError: 40 characters of Z85."""
    try:
        whole = len(text) == 40 and len(z85.decode(text)) == 32
    except (ValueError, KeyError, OverflowError, msgspec.MsgspecError) as e:
        raise ConfigError(f"{where}: {text!r} is no public key: {e}") from None
    if not whole:
        raise ConfigError(f"{where}: {text!r} is no public key; expected 40 characters of Z85")
    return text


def read_server(folder: Path) -> ServerKey:
    """SecretError when it is missing, readable by others, or no server's key."""
    return _read_secret(folder / SERVER_FILE, ServerKey, "make one with: qd keys server")


def read_client(path: Path) -> ClientKey:
    """A client's key file, or the only one in a folder. SecretError names what is wrong with it."""
    if path.is_dir():
        found = sorted(path.glob(f"*{KEY_SUFFIX}"))
        if len(found) != 1:
            raise SecretError(f"{path}: {len(found)} files *{KEY_SUFFIX}; expected one, or the path of one")
        path = found[0]
    return _read_secret(path, ClientKey, "expected a file made by qd keys client")


def _read_secret(path: Path, kind: type[T], hint: str) -> T:
    try:
        text = resolve(f"file:{path}")
    except SecretError as e:
        raise SecretError(f"{e}; {hint}") from None
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SecretError(f"{path}: no key of this kind; {hint}") from None  # what stands there is not repeated


def write_new(path: Path, key: msgspec.Struct) -> None:
    """Write a key, mode 0600, into a folder of mode 0700. ConfigError when a file is there already: nothing is lost."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = msgspec.json.format(msgspec.json.encode(key), indent=2) + b"\n"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path}: there is a key already, which is not overwritten; take it away first") from None
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror}") from None
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
    except OSError as e:
        path.unlink(missing_ok=True)  # half a key would be refused, and stand in the way of a whole one
        raise ConfigError(f"{path}: {e.strerror}") from None


class Ring:
    """Who is let in, as the folder says it now. `refresh` looks; nothing is read for each question."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / CLIENTS
        self.faults: dict[str, str] = {}  # by file name: why it lets nobody in
        self._seen: dict[str, tuple[int, int, int, int]] = {}
        self._keys: dict[str, Allowed] = {}  # by file name
        self._by_public: dict[str, Allowed] = {}
        self._suspended: dict[str, int] = {}  # by public key: until when, mono_ns

    def allowed(self, public: str, mono_ns: int) -> Allowed | None:
        """The client with this key, unless it has none (any more) or is suspended."""
        return self._by_public.get(public) if self._suspended.get(public, 0) <= mono_ns else None

    def name_of(self, public: str) -> str:
        """Its name, for people; "" when there is no such key."""
        found = self._by_public.get(public)
        return found.name if found else ""

    def names(self) -> list[str]:
        """Everybody's."""
        return [key.name for key in self.clients()]

    def clients(self) -> list[Allowed]:
        """All of them, by name."""
        return sorted(self._by_public.values(), key=lambda key: key.name)

    def suspend(self, public: str, until_mono_ns: int) -> None:
        """Let nobody in with this key until then."""
        self._suspended = {k: t for k, t in self._suspended.items() if k in self._by_public}
        self._suspended[public] = until_mono_ns

    def refresh(self) -> set[str]:
        """Look at the folder; the public keys that were let in before and are no more."""
        before = dict(self._by_public)
        seen: dict[str, tuple[int, int, int, int]] = {}
        for path in _files(self.folder):
            try:
                found = path.stat()
            except OSError:
                continue  # taken away just now
            seen[path.name] = found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
            if self._seen.get(path.name) != seen[path.name]:
                self._take(path, found)
        for name in self._seen.keys() - seen.keys():
            self._keys.pop(name, None)
            self.faults.pop(name, None)
        self._seen = seen
        self._by_public = {}
        for name, key in sorted(self._keys.items()):
            other = self._by_public.setdefault(key.public, key)
            if other is not key:
                self.faults[name] = f"has the public key of {other.name}"
        return before.keys() - self._by_public.keys()

    def _take(self, path: Path, found: os.stat_result) -> None:
        self._keys.pop(path.name, None)
        self.faults.pop(path.name, None)
        try:
            self._keys[path.name] = read_allowed(path, found)
        except ConfigError as e:
            self.faults[path.name] = str(e)


def read_allowed(path: Path, found: os.stat_result | None = None) -> Allowed:
    """One file of `clients/`. ConfigError names what is wrong: such a file lets nobody in."""
    try:
        status = found or path.stat()
        text = path.read_bytes() if status.st_size <= _NOTES_BYTES else b""
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror}") from None
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{path}: others than its owner could write it: who may trade would not be the desk's word")
    try:
        key = msgspec.json.decode(text, type=Allowed)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: {e}") from None
    if check_key_name(key.name) != path.stem:
        raise ConfigError(f"{path}: name: {key.name!r} is not that of the file")
    check_public(key.public, f"{path}: public")
    return key


def _files(folder: Path) -> Iterable[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.suffix == ".json")
    except OSError:
        return []
