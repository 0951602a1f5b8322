"""What one notifier has to deliver, and how it fares: order, rate, gathering, retries. Pure."""

from collections import deque

import msgspec

from base.alarm_config import NotifierConfig

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
GATHER = 3  # more alarms than these waiting at once share one message
FAILED = 2  # deliveries in a row: from then on it counts as failing
BACKOFF_CAP_S = 60
KEPT = 50  # notices and tests that may wait


class Extra(msgspec.Struct, frozen=True):
    """A message that belongs to no standing alarm: a test, a drill, what became of one."""

    kind: str  # test, drill, acknowledged
    ident: str
    text: str
    numbers: tuple[int, ...] = ()


class Batch(msgspec.Struct, frozen=True):
    """One message under way: alarms by number with what is said of each, or one extra."""

    alarms: dict[int, str]
    extra: Extra | None = None


class Line:
    """One notifier. Times: monotonic nanoseconds."""

    def __init__(self, config: NotifierConfig) -> None:
        self.config = config
        self.pending: dict[int, str] = {}  # alarm -> raised, repeated, escalated, over
        self.extras: deque[Extra] = deque()
        self.under_way: Batch | None = None
        self.since_ns = 0  # when what is under way began
        self.failures = 0  # in a row
        self.error = ""  # of the last failure; "" after a success
        self.delivered = 0
        self.failed = 0
        self._retry_ns = 0
        self._times: deque[int] = deque()  # of the messages of the last minute

    @property
    def failing(self) -> bool:
        """Whether nobody should rely on it now."""
        return self.failures >= FAILED

    def accepts(self, severity: str, level: int) -> bool:
        """Whether an alarm of this severity that stands at this level is for it."""
        return self.config.level <= level and (severity == "critical" or self.config.min_severity == "warning")

    def add(self, number: int, kind: str) -> None:
        """Have an alarm said; what waits of it already is said once."""
        known = self.pending.get(number)
        self.pending[number] = known if known in ("raised", "escalated") and kind == "repeated" else kind

    def note(self, extra: Extra, *, now: bool = False) -> None:
        """Have an extra said; `now`: without waiting for the back-off to end."""
        if len(self.extras) >= KEPT:
            self.extras.popleft()
        if now:
            self.extras.appendleft(extra)
            self._retry_ns = 0
        else:
            self.extras.append(extra)

    def next(self, ranked: list[int], mono_ns: int) -> Batch | None:
        """What leaves now, if anything; it is then under way. `ranked`: the pending alarms, the worst first."""
        if self.under_way is not None or mono_ns < self._retry_ns or not (self.pending or self.extras):
            return None
        test = self.extras and self.extras[0].kind == "test"
        if not test and self._at_rate(mono_ns):
            return None
        if test or not self.pending:
            batch = Batch({}, self.extras.popleft())
        else:
            chosen = ranked if len(ranked) > GATHER else ranked[:1]
            batch = Batch({n: self.pending.pop(n) for n in chosen})
        self.under_way, self.since_ns = batch, mono_ns
        self._times.append(mono_ns)
        return batch

    def done(self, error: str, mono_ns: int) -> Batch:
        """What was under way arrived (error ""), or did not and waits again; a test is not repeated."""
        batch, self.under_way = self.under_way, None
        if batch is None:
            raise ValueError(f"{self.config.name}: nothing was under way")
        self.error = error
        if not error:
            self.delivered += 1
            self.failures, self._retry_ns = 0, 0
            return batch
        self.failed += 1
        self.failures += 1
        self._retry_ns = mono_ns + min(BACKOFF_CAP_S, 2 ** min(self.failures, 10) // 2) * SECOND_NS
        for number, kind in batch.alarms.items():
            self.pending.setdefault(number, kind)
        if batch.extra is not None and batch.extra.kind == "acknowledged":
            self.note(batch.extra)
        return batch

    def hung(self, mono_ns: int) -> bool:
        """Whether what is under way took twice its time: its own deadline did not end it."""
        return self.under_way is not None and mono_ns - self.since_ns > 2_000_000 * self.config.timeout_ms

    def _at_rate(self, mono_ns: int) -> bool:
        while self._times and mono_ns - self._times[0] >= MINUTE_NS:
            self._times.popleft()
        return len(self._times) >= self.config.max_per_minute
