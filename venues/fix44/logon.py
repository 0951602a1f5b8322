"""What a Logon carries for a plain FIX peer, as data: fields with placeholders, and how a signature is made.

Placeholders: {username} {password} {passphrase} {sender} {target} {seq} {time} (52 as sent) {nonce} (ms since the
epoch, always rising) {signature}. In the text to be signed `|` stands for SOH.
"""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from base.errors import ConfigError
from fix.codec import BodyWriter
from venues.interface import SessionContext
from venues.signing import Nonce, private_key, secret_bytes

ALGORITHMS = ("", "ed25519", "hmac_sha256", "hmac_sha512")
_SECRET = frozenset({"password", "passphrase", "signature"})
_PLAIN = frozenset({"username", "sender", "target", "seq", "time", "nonce"})
_FIELD = re.compile(r"(\d{1,5})=(.+)", re.ASCII)
_NAMES = re.compile(r"\{(\w*)\}")
_DATA = {96: 95}  # RawData behind its length
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """The options that say it, checked; docs/venues/fix44.md describes each."""

    fields: tuple[tuple[int, str], ...]
    algorithm: str
    signed: str
    digest: bool
    base64_secret: bool
    hex_signature: bool

    @property
    def secret_tags(self) -> tuple[int, ...]:
        """Tags that no log may show."""
        return tuple(tag for tag, text in self.fields if _SECRET & set(_NAMES.findall(text)))

    @property
    def needs(self) -> frozenset[str]:
        """Which of username, password and passphrase it cannot do without."""
        names = {n for _, text in self.fields for n in _NAMES.findall(text)} | set(_NAMES.findall(self.signed))
        return frozenset(names & {"username", "password", "passphrase"}) | ({"password"} if self.algorithm else set())


def recipe(
    fields: Sequence[str], algorithm: str, signed: str, path: str, *,
    digest: bool, base64_secret: bool, hex_signature: bool,
) -> Recipe:  # fmt: skip
    """ConfigError naming `path` and what cannot be."""
    known = _PLAIN | _SECRET
    read = [_field(text, known, path) for text in fields]
    uses = any("signature" in _NAMES.findall(text) for _, text in read)
    if bool(algorithm) != uses or bool(algorithm) != bool(signed):
        raise ConfigError(f"{path}.signature: goes with {{signature}} in logon and with signed; one of them is missing")
    if unknown := [n for n in _NAMES.findall(signed) if n not in _PLAIN]:
        raise ConfigError(f"{path}.signed: no placeholder {unknown[0]!r}; there are {sorted(_PLAIN)}")
    return Recipe(tuple(read), algorithm, signed, digest, base64_secret, hex_signature)


def _field(text: str, known: frozenset[str], path: str) -> tuple[int, str]:
    found = _FIELD.fullmatch(text)
    if found is None:
        raise ConfigError(f"{path}.logon: {text!r} is not TAG=TEXT")
    if unknown := [n for n in _NAMES.findall(found[2]) if n not in known]:
        raise ConfigError(f"{path}.logon: no placeholder {unknown[0]!r}; there are {sorted(known)}")
    return int(found[1]), found[2]


class LogonWriter:
    """Writes one session's Logon fields. SecretError when the secret is not what the algorithm wants."""

    def __init__(self, context: SessionContext, recipe: Recipe, sender: str, target: str) -> None:
        self._recipe = recipe
        self._nonce = Nonce(_MS)
        what = f"session.{context.name}.password"
        self._key = private_key(context.password, what) if recipe.algorithm == "ed25519" else None
        self._secret = secret_bytes(context.password, what) if recipe.base64_secret else context.password.encode()
        self._values = {
            "username": context.username, "password": context.password, "passphrase": context.passphrase,
            "sender": sender, "target": target,
        }  # fmt: skip

    def body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """The fields after 98, 108 and 141."""
        if not self._recipe.fields:
            return self._standard()
        values = {**self._values, "seq": str(seq_num), "time": sending_time.decode()}
        values["nonce"] = self._nonce.next(wall_ns)
        if self._recipe.algorithm:
            values["signature"] = self._signature(values)
        body = BodyWriter()
        for tag, text in self._recipe.fields:
            value = _filled(text, values)
            if tag in _DATA:
                body.data(_DATA[tag], tag, value.encode())
            else:
                body.text(tag, value)
        return body.take()

    def _standard(self) -> bytes:
        body = BodyWriter()
        for tag, name in ((553, "username"), (554, "password")):
            if self._values[name]:
                body.text(tag, self._values[name])
        return body.take()

    def _signature(self, values: dict[str, str]) -> str:
        text = _filled(self._recipe.signed.replace("|", "\x01"), values).encode()
        if self._recipe.digest:
            text = hashlib.sha256(text).digest()
        if self._key is not None:
            raw = self._key.sign(text)
        else:
            raw = hmac.digest(self._secret, text, self._recipe.algorithm.removeprefix("hmac_"))
        return raw.hex() if self._recipe.hex_signature else b64encode(raw).decode()


def _filled(text: str, values: dict[str, str]) -> str:
    return _NAMES.sub(lambda found: values[found[1]], text)
