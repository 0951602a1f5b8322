"""Soft triggers: a condition trips only after a grace period and enough confirmations. Pure."""

from collections import deque

import msgspec


class SoftTrigger:
    """N of the last M looks, spread over the grace period, must find the condition true. M = 2N - 1."""

    def __init__(self, grace_ns: int, confirmations: int) -> None:
        self._need = max(1, confirmations)
        self._looks: deque[bool] = deque(maxlen=2 * self._need - 1)
        self._grace_ns = grace_ns
        self._every_ns = max(1, grace_ns // self._need)
        self._since_ns: int | None = None
        self._bad = False
        self._next_ns = 0
        self._fired = False
        self.steady = True  # every look since it began found it true

    def look(self, bad: bool, mono_ns: int) -> bool:
        """Feed the condition as often as you like; True once, when it trips. Good again for long enough rearms it."""
        self._bad = bad
        self.steady = self.steady and bad
        if self._since_ns is None:
            if not bad:
                return False
            self.steady = True
            self._since_ns, self._next_ns = mono_ns, mono_ns + self._every_ns
            self._looks.clear()
            return False
        if mono_ns < self._next_ns:
            return False
        self._next_ns = mono_ns + self._every_ns
        self._looks.append(bad)
        if len(self._looks) >= self._need and not any(list(self._looks)[-self._need :]):
            self._since_ns, self._fired = None, False
            return False
        due = mono_ns - self._since_ns >= self._grace_ns and sum(self._looks) >= self._need
        if due and bad and not self._fired:
            self._fired = True
            return True
        return False

    @property
    def since_ns(self) -> int | None:
        """Since when (monotonic) the condition is looked into; None: it does not hold, and no look found it true."""
        return self._since_ns if self._bad or self.agreeing else None

    @property
    def agreeing(self) -> int:
        """How many of the last looks found it true."""
        return sum(self._looks)

    @property
    def looks(self) -> int:
        """How many looks there were, of those that count."""
        return len(self._looks)


class OwnerView(msgspec.Struct, frozen=True):
    """What is known of an owner of orders at one moment."""

    session: str
    ready: bool  # its venue session is logged on, and it says READY or DEGRADED: it can cancel
    open_orders: int
    reason: str = ""


class SessionLoss:
    """Losing a session that has working orders: soft, and of that session alone."""

    def __init__(self, grace_ns: int, confirmations: int) -> None:
        self._grace_ns, self._confirmations = grace_ns, confirmations
        self._triggers: dict[str, SoftTrigger] = {}

    def look(self, view: OwnerView, mono_ns: int) -> str:
        """Why the session's scope trips now, "" when it does not."""
        trigger = self._triggers.get(view.session)
        if trigger is None:
            trigger = self._triggers[view.session] = SoftTrigger(self._grace_ns, self._confirmations)
        if not trigger.look(not view.ready and view.open_orders > 0, mono_ns):
            return ""
        lost = f"session lost for more than {self._grace_ns / 1e9:g} s"
        if not trigger.steady:
            since = f"{(mono_ns - (trigger.since_ns if trigger.since_ns is not None else mono_ns)) // 1_000_000} ms"
            lost = f"session lost again and again: at {trigger.agreeing} of the last {trigger.looks} looks in {since}"
        return f"{lost} with {view.open_orders} working orders: {view.reason}"

    def table(self, mono_ns: int) -> list[dict[str, object]]:
        """Each session as a row of `qd kill limits`."""
        grace_ms = self._grace_ns // 1_000_000
        rows: list[dict[str, object]] = []
        for session, trigger in self._triggers.items():
            since = trigger.since_ns
            ms = 0 if since is None else (mono_ns - since) // 1_000_000
            state = "ok" if since is None else f"confirming {trigger.agreeing} of {self._confirmations}"
            rows.append({
                "scope": f"session:{session}", "figure": "session lost with working orders", "unit": "ms",
                "value": str(ms), "limit": str(grace_ms), "limit_is": "most",
                "percent": min(ms * 100 // grace_ms, 999) if grace_ms else 0, "distance": str(grace_ms - ms),
                "state": state, "does": "trips", "detail": "",
                "when": f"{self._confirmations} of {2 * self._confirmations - 1} looks within {grace_ms} ms",
            })  # fmt: skip
        return rows
