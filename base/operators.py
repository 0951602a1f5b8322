"""Operators of the page: a name, what it may do, and the hash of its password; one line each, in a file of mode 0600.

A line is `NAME:RIGHTS:scrypt:N:R:P:SALT:HASH`, salt and hash in URL-safe base64. Passwords are hashed with scrypt (RFC
7914; 32 MiB and about a tenth of a second for each try).
"""

import base64
import hashlib
import hmac
import re
import secrets
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping

import msgspec

from base.errors import SecretError

RIGHTS = ("trip", "reset")
MIN_PASSWORD = 12
MAX_PASSWORD = 1024  # bytes; what is longer is no password, but work for the hash
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_N, _R, _P = 1 << 15, 8, 1
_SALT, _HASH = 16, 32
_MEMORY = 96 << 20


class OperatorEntry(msgspec.Struct, frozen=True):
    """One line of the file."""

    name: str
    rights: tuple[str, ...]
    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    def line(self) -> str:
        """As it stands in the file, without the newline."""
        salt, digest = (base64.urlsafe_b64encode(b).decode() for b in (self.salt, self.digest))
        return f"{self.name}:{','.join(self.rights)}:scrypt:{self.n}:{self.r}:{self.p}:{salt}:{digest}"

    def matches(self, password: str) -> bool:
        """Whether this is the password; takes as long for a wrong one."""
        return hmac.compare_digest(_digest(password, self.salt, self.n, self.r, self.p), self.digest)


NOBODY = OperatorEntry("", (), _N, _R, _P, bytes(_SALT), bytes(_HASH))
"""Whom an unknown name is held against, so that it takes as long as a known one."""


def new_operator(name: str, password: str, rights: Iterable[str]) -> OperatorEntry:
    """An entry with a salt of its own. SecretError for a name, a password or a right that cannot be."""
    if not _NAME.fullmatch(name):
        raise SecretError(f"{name!r} is no operator's name; expected letters, digits, ., - and _, at most 32")
    if len(password) < MIN_PASSWORD:
        raise SecretError(f"a password has at least {MIN_PASSWORD} characters")
    if len(password.encode()) > MAX_PASSWORD:
        raise SecretError(f"a password has at most {MAX_PASSWORD} bytes")
    given = tuple(r for r in RIGHTS if r in set(rights))
    if unknown := set(rights) - set(RIGHTS):
        raise SecretError(f"no right {', '.join(sorted(unknown))}; there are {', '.join(RIGHTS)}")
    if not given:
        raise SecretError(f"an operator needs a right; there are {', '.join(RIGHTS)}")
    salt = secrets.token_bytes(_SALT)
    return OperatorEntry(name, given, _N, _R, _P, salt, _digest(password, salt, _N, _R, _P))


def read_operators(text: str) -> dict[str, OperatorEntry]:
    """The file's entries by name; empty lines and lines after # are left out. SecretError naming the line."""
    found: dict[str, OperatorEntry] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            entry = _entry(line.strip(), number)
            if entry.name in found:
                raise SecretError(f"operators, line {number}: {entry.name} stands there twice")
            found[entry.name] = entry
    return found


def write_operators(entries: Mapping[str, OperatorEntry]) -> str:
    """The file's text."""
    return "".join(f"{e.line()}\n" for e in entries.values())


def check_password(entries: Mapping[str, OperatorEntry], name: str, password: str) -> OperatorEntry | None:
    """The entry that name and password fit; None, after the same time, when there is none."""
    entry = entries.get(name, NOBODY)
    fits = len(password.encode(errors="surrogatepass")) <= MAX_PASSWORD and entry.matches(password)
    return entry if fits and entry is not NOBODY else None


def _digest(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    raw = password.encode(errors="surrogatepass")
    return hashlib.scrypt(raw, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=_HASH)


def _entry(line: str, number: int) -> OperatorEntry:
    """The line itself is not repeated in an error: it holds a hash."""
    try:
        name, rights, kind, n, r, p, salt, digest = line.split(":")
        entry = OperatorEntry(
            name, tuple(rights.split(",")), int(n), int(r), int(p),
            base64.urlsafe_b64decode(salt), base64.urlsafe_b64decode(digest),
        )  # fmt: skip
    except (ValueError, Base64Error):
        raise SecretError(f"operators, line {number}: expected what `qd operator add` writes") from None
    if kind != "scrypt" or not _NAME.fullmatch(name) or set(entry.rights) - set(RIGHTS):
        raise SecretError(f"operators, line {number}: expected what `qd operator add` writes")
    if 128 * entry.n * entry.r * max(entry.p, 1) > _MEMORY or entry.n < 2 or len(entry.digest) != _HASH:
        raise SecretError(f"operators, line {number}: parameters of scrypt that cannot be")
    return entry
