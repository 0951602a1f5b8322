"""Who is signed in, and how often a password may be tried. Pure: the time comes in.

Sessions live here and nowhere else: a restart of the process signs everybody out. What a browser holds is random; kept
is only its hash.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict

import msgspec

SECOND_NS = 1_000_000_000
SESSIONS = 100
KEYS = 10_000


class Session(msgspec.Struct):
    """One operator at one browser. Times are monotonic, in ns."""

    name: str
    rights: tuple[str, ...]
    mark: bytes  # of the operator's entry: another password, or none, ends the session
    opened_ns: int
    used_ns: int


class Sessions:
    """Those that are open."""

    def __init__(self, idle_s: int, max_s: int) -> None:
        self._idle_ns, self._max_ns = idle_s * SECOND_NS, max_s * SECOND_NS
        self._open: OrderedDict[bytes, Session] = OrderedDict()

    def open(self, name: str, rights: tuple[str, ...], mark: bytes, mono_ns: int) -> str:
        """A new session's token. Beyond `SESSIONS` the oldest one ends."""
        token = new_token()
        self._open[_hash(token)] = Session(name, rights, mark, mono_ns, mono_ns)
        while len(self._open) > SESSIONS:
            self._open.popitem(last=False)
        return token

    def find(self, token: str, mono_ns: int, *, touch: bool = False) -> Session | None:
        """The session of a token; None when there is none, or it has expired. `touch`: a person did something."""
        key = _hash(token)
        session = self._open.get(key)
        if session is None:
            return None
        if self.left_s(session, mono_ns) <= 0:
            del self._open[key]
            return None
        if touch:
            session.used_ns = mono_ns
        return session

    def left_s(self, session: Session, mono_ns: int) -> int:
        """For how long it stays open if nothing more is done, in whole seconds, rounded up."""
        end_ns = min(session.used_ns + self._idle_ns, session.opened_ns + self._max_ns)
        return -((mono_ns - end_ns) // SECOND_NS)

    def close(self, token: str) -> None:
        """Sign out; an unknown token is none the less."""
        self._open.pop(_hash(token), None)


class Throttle:
    """Slows down who fails again and again: `free` times at once, then 1, 2, 4 ... s apart, at most `cap_s`.

    Forgotten after `forget_s` without another failure. Beyond `KEYS` keys the oldest is forgotten.
    """

    def __init__(self, free: int, cap_s: int, forget_s: int = 900) -> None:
        self._free, self._cap_s, self._forget_ns = free, cap_s, forget_s * SECOND_NS
        self._failed: OrderedDict[str, tuple[int, int]] = OrderedDict()  # key -> failures, when the last one was

    def wait_s(self, key: str, mono_ns: int) -> int:
        """Seconds until the next try is heard, rounded up; 0: now."""
        count, at_ns = self._failed.get(key, (0, 0))
        if count <= self._free or mono_ns - at_ns > self._forget_ns:
            return 0
        delay_s = min(1 << min(count - self._free - 1, 30), self._cap_s)
        return max(0, -((mono_ns - at_ns - delay_s * SECOND_NS) // SECOND_NS))

    def failed(self, key: str, mono_ns: int) -> None:
        """A try with a wrong password."""
        count, at_ns = self._failed.pop(key, (0, 0))
        self._failed[key] = (1 if mono_ns - at_ns > self._forget_ns else count + 1, mono_ns)
        while len(self._failed) > KEYS:
            self._failed.popitem(last=False)

    def passed(self, key: str) -> None:
        """A try with the right one."""
        self._failed.pop(key, None)


class CsrfTokens:
    """What a page of this server can read, and no other site: bound to the browser's cookie."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, cookie: str) -> str:
        """The token that goes with a cookie."""
        return hmac.new(self._key, cookie.encode(), hashlib.sha256).hexdigest()

    def fits(self, cookie: str, token: str) -> bool:
        """Whether it is; an empty cookie has none."""
        return bool(cookie) and hmac.compare_digest(self.of(cookie).encode(), token.encode())


def new_token() -> str:
    """Random text for a cookie."""
    return secrets.token_urlsafe(32)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
