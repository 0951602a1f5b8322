"""Sessions and their rates, as SessionState tells of them. Pure."""

from collections import deque
from typing import Final

from base.config import DeskConfig
from ipc.events import ProcessState, SessionState
from ipc.view.orders import OrdersSeen
from ipc.view.sight import SESSION_KINDS, ProcessSight
from ipc.view.structs import RoundTrip, SessionPart

WINDOW_NS: Final = 5_000_000_000
SAMPLES: Final = 64


class Rate:
    """How fast a count rises, over the last seconds."""

    def __init__(self, window_ns: int = WINDOW_NS) -> None:
        self._window_ns = window_ns
        self._samples: deque[tuple[int, int]] = deque(maxlen=SAMPLES)

    def add(self, mono_ns: int, count: int) -> None:
        """The count as it is now; one that fell began anew."""
        samples = self._samples
        if samples and count < samples[-1][1]:
            samples.clear()
        if samples and mono_ns <= samples[-1][0]:
            return
        samples.append((mono_ns, count))
        while len(samples) > 2 and samples[1][0] <= mono_ns - self._window_ns:
            samples.popleft()

    def text(self, mono_ns: int) -> str:
        """A second, one decimal; "" when it is not known (yet, or any more)."""
        samples = self._samples
        if len(samples) < 2 or samples[-1][0] < mono_ns - self._window_ns:
            return ""
        (t0, n0), (t1, n1) = samples[0], samples[-1]
        tenths = (n1 - n0) * 10_000_000_000 // (t1 - t0)
        return f"{tenths // 10}.{tenths % 10}"


class _Seen:
    """One session."""

    def __init__(self, state: SessionState) -> None:
        self.state = state
        self.heard_ns = 0  # monotonic
        self.incoming, self.outgoing = Rate(), Rate()


class SessionsSeen:
    """What was heard of each session, and of each process's counters."""

    def __init__(self, desk: DeskConfig) -> None:
        self._desk = desk
        self._seen: dict[str, _Seen] = {}
        self.counters: dict[str, dict[str, int]] = {}  # by process

    def hear(self, event: SessionState | ProcessState, mono_ns: int) -> None:
        """The newest word of it."""
        if isinstance(event, ProcessState):
            self.counters[event.process] = event.counters
            return
        found = self._seen.get(event.session)
        if found is None:
            found = self._seen[event.session] = _Seen(event)
        found.state, found.heard_ns = event, mono_ns
        found.incoming.add(mono_ns, event.next_in)
        found.outgoing.add(mono_ns, event.next_out)

    def heard(self, session: str) -> bool:
        """Whether anything was heard of it."""
        return session in self._seen

    def parts(self, processes: dict[str, ProcessSight], orders: OrdersSeen, mono_ns: int) -> list[SessionPart]:
        """Every session of the desk that has a process of its own, in the order of the configuration."""
        config = self._desk.config.session
        own = set(self._desk.config.kill.sessions)
        names = [n for n, s in config.items() if s.kind.value in SESSION_KINDS and n not in own]
        return [self._part(n, processes.get(n), orders, mono_ns) for n in names]

    def _part(self, name: str, process: ProcessSight | None, orders: OrdersSeen, mono_ns: int) -> SessionPart:
        config, seen = self._desk.config.session[name], self._seen.get(name)
        alive = process is not None and process.alive
        state, reason, since_ns, unknown_ns = "UNKNOWN", "nothing was heard of it yet", 0, 0
        if seen is not None:
            state, reason, since_ns = seen.state.state, seen.state.reason, seen.state.since_ns
        if process is None or not alive:
            last = f"; last said {state} {reason}".rstrip() if seen is not None else ""
            said = process.reason if process is not None else "never started"
            state, reason = "DOWN", f"its process is dead: {said}{last}"
            since_ns = unknown_ns = process.unknown_ns if process is not None else 0
        counters = seen.state.counters if seen is not None else {}
        return SessionPart(
            name=name, venue=config.venue, kind=config.kind.value, state=state, reason=reason, since_ns=since_ns,
            known=alive and seen is not None, unknown_ns=unknown_ns,
            next_out=seen.state.next_out if seen else None, next_in=seen.state.next_in if seen else None,
            test=_test_trip(counters, process),
            order=orders.trips[name].part() if name in orders.trips else RoundTrip(),
            in_per_s=seen.incoming.text(mono_ns) if seen else "",
            out_per_s=seen.outgoing.text(mono_ns) if seen else "",
            orders_sent=counters.get("orders"), refused=counters.get("refused"), rejects=counters.get("rejects"),
            order_rejects=orders.order_rejects.get(name, 0), orders_open=orders.open_count(name),
            instruments=tuple(i.name for i in self._desk.session_instruments(name)), counters=counters,
        )  # fmt: skip


def _test_trip(counters: dict[str, int], process: ProcessSight | None) -> RoundTrip:
    """TestRequest to Heartbeat: the last one as the session counts it, percentiles as its metrics have them."""
    count = counters.get("test_round_trips", 0)
    found = process.latencies.get("session_round_trip") if process is not None else None
    if not count and found is None:
        return RoundTrip()
    if found is None:
        return RoundTrip(count=count, last_us=counters.get("test_last_us"))
    return RoundTrip(
        count=max(count, found.count), last_us=counters.get("test_last_us"), p50_us=found.p50_us, p99_us=found.p99_us
    )  # fmt: skip
