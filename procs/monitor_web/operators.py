"""Signing in and out: passwords against the operators' file, one at a time, the slower the more of them are wrong."""

import asyncio
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from base.clock import Clock
from base.errors import SecretError
from base.monitor_config import MonitorConfig
from base.operators import OperatorEntry, check_password, read_operators
from base.secrets import resolve
from procs.monitor_web.signin import Session, Sessions, Throttle

WAITING = 8  # tries that may wait for their turn: each costs a tenth of a second of a core
FREE = 3
CAP_S = 60
NAME_FREE = 10
NAME_CAP_S = 5  # of one name from anywhere: nobody must be able to lock an operator out for long

log = logging.getLogger("monitor")


class SignInError(Exception):
    """Not signed in: status and text of the answer."""

    def __init__(self, status: int, text: str, wait_s: int = 0) -> None:
        super().__init__(text)
        self.status, self.text, self.wait_s = status, text, wait_s


class FrontDesk:
    """Who is signed in at this server."""

    def __init__(self, config: MonitorConfig, run_dir: Path, clock: Clock) -> None:
        self._reference, self._run_dir, self._clock = config.operators, run_dir, clock
        self.sessions = Sessions(config.session_idle_s, config.session_max_s)
        self._by_address, self._by_name = Throttle(FREE, CAP_S), Throttle(NAME_FREE, NAME_CAP_S)
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="scrypt")
        self._waiting = 0

    def close(self) -> None:
        """Forget the thread."""
        self._hasher.shutdown(wait=False, cancel_futures=True)

    def fault(self) -> str:
        """Why nobody can sign in; "" when somebody can."""
        if not self._reference:
            return "no operators are configured: [monitor] operators"
        try:
            return "" if self._entries() else "no operator yet: qd operator add NAME"
        except SecretError as e:
            return f"no operator can sign in: {e}"

    def find(self, token: str, *, touch: bool = False) -> Session | None:
        """The session of a cookie. One whose operator is gone, or has another password or rights, is none."""
        session = self.sessions.find(token, self._clock.mono_ns(), touch=touch)
        if session is None:
            return None
        try:
            entry = self._entries().get(session.name)
        except SecretError as e:
            log.warning("%s is signed out: %s", session.name, e)
            entry = None
        if entry is None or _mark(entry) != session.mark:
            self.sessions.close(token)
            return None
        return session

    async def sign_in(self, name: str, password: str, address: str) -> str:
        """A new session's token. SignInError: why not; the text does not tell whether the name is known."""
        mono_ns = self._clock.mono_ns()
        wait_s = max(self._by_address.wait_s(address, mono_ns), self._by_name.wait_s(name, mono_ns))
        if wait_s:
            raise SignInError(429, f"too many wrong passwords; again in {wait_s} s", wait_s)
        if self._waiting >= WAITING:
            raise SignInError(429, "too many are signing in; again in 2 s", 2)
        try:
            entries = self._entries()
        except SecretError as e:
            raise SignInError(503, f"no operator can sign in: {e}") from None
        self._waiting += 1
        # Counted before it is known: who tries many at the same time is slowed down as well.
        self._by_address.failed(address, mono_ns)
        self._by_name.failed(name, mono_ns)
        try:
            entry = await asyncio.get_running_loop().run_in_executor(
                self._hasher, check_password, entries, name, password
            )
        finally:
            self._waiting -= 1
        if entry is None:
            log.warning("wrong name or password from %s", address)
            raise SignInError(403, "wrong name or password")
        self._by_address.passed(address)
        self._by_name.passed(name)
        log.info("%s signed in from %s", entry.name, address)
        return self.sessions.open(entry.name, entry.rights, _mark(entry), self._clock.mono_ns())

    def _entries(self) -> dict[str, OperatorEntry]:
        return read_operators(resolve(self._reference, self._run_dir)) if self._reference else {}


def _mark(entry: OperatorEntry) -> bytes:
    return hashlib.sha256(entry.line().encode()).digest()
