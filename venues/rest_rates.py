"""A REST side under its venue's limits: what may leave, and what its answers say of that. Pure."""

from collections import deque

from base.clock import Clock
from base.http import Response
from venues.interface import RestRequest
from venues.throttle import LATE, Throttle

SECOND_NS = 1_000_000_000
TOO_MANY, BANNED = 429, 418
WITHOUT_A_WORD_NS = {TOO_MANY: 10 * SECOND_NS, BANNED: 120 * SECOND_NS}
"""How long to be silent where the venue sends no Retry-After; the shortest ban that venues name is two minutes."""
MOST_NS = 3 * 86_400 * SECOND_NS
INSIST_NS, BANNED_INSIST_NS = SECOND_NS, 10 * SECOND_NS
READ = 2_000  # characters of a body that are searched for a refusal


class RestRates:
    """One user of a venue's REST side."""

    def __init__(self, throttle: Throttle, clock: Clock, *, forced: bool = False) -> None:
        """`forced`: the cancels of the kill path. They use what is left to the last, and beyond: each round of `burst`
        requests leaves whatever the limits say, but no more than one a second where the venue would ban us for it, and
        one in ten seconds where it has: a ban is lengthened by whoever goes on.
        """
        self.throttle = throttle
        self._clock = clock
        self._forced = forced
        self.burst = 1
        self._insisted_ns: deque[int] = deque()

    def late(self, request: RestRequest) -> str:
        """ "" when the request may leave now, and is counted; else why not and how long that lasts."""
        call = f"{request.method} {request.target.partition('?')[0]}"
        mono_ns, wall_ns = self._clock.mono_ns(), self._clock.wall_ns()
        if not self._forced:
            return self.throttle.take(call, mono_ns, wall_ns)
        silence = self.throttle.holding(mono_ns)
        late = silence or self.throttle.take(call, mono_ns, wall_ns, urgent=True)
        return self._insist(call, late, silence) if late else ""

    def _insist(self, call: str, late: str, silence: str) -> str:
        mono_ns, wall_ns = self._clock.mono_ns(), self._clock.wall_ns()
        every_ns = BANNED_INSIST_NS if silence and self.throttle.banned else INSIST_NS
        while self._insisted_ns and mono_ns - self._insisted_ns[0] >= every_ns:
            self._insisted_ns.popleft()
        if len(self._insisted_ns) >= self.burst:
            return late
        self._insisted_ns.append(mono_ns)
        self.throttle.force(call, mono_ns, wall_ns)
        return ""

    def roomy(self, request: RestRequest) -> bool:
        """Whether there is so much left that others do not miss what this request costs."""
        call = f"{request.method} {request.target.partition('?')[0]}"
        return self.throttle.roomy(call, self._clock.mono_ns(), self._clock.wall_ns())

    def heed(self, response: Response) -> None:
        """An answer: the venue may ask for silence, or say that a limit is passed."""
        mono_ns, wall_ns = self._clock.mono_ns(), self._clock.wall_ns()
        if response.status in WITHOUT_A_WORD_NS:
            silence_ns = _seconds(response.header("Retry-After")) * SECOND_NS or WITHOUT_A_WORD_NS[response.status]
            until_ns = mono_ns + min(silence_ns, MOST_NS)
            self.throttle.hold(until_ns, f"HTTP {response.status} of the venue", ban=response.status == BANNED)
        else:
            self.throttle.answered("", response.body[:READ].decode("utf-8", "replace"), mono_ns, wall_ns)

    def left(self) -> dict[str, int]:
        """Counters of what is left."""
        return self.throttle.left(self._clock.mono_ns(), self._clock.wall_ns())


class SingleRates(RestRates):
    """Single cancels of the kill path: as many as leave half of each limit to lists and cancel-alls, and one a second
    in any case (one in ten seconds in a ban).
    """

    def __init__(self, throttle: Throttle, clock: Clock) -> None:
        super().__init__(throttle, clock, forced=True)

    def late(self, request: RestRequest) -> str:
        """As RestRates.late."""
        call = f"{request.method} {request.target.partition('?')[0]}"
        mono_ns, wall_ns = self._clock.mono_ns(), self._clock.wall_ns()
        late = "" if self.roomy(request) else f"{LATE} (half of it is left to lists and cancel-alls)"
        late = late or self.throttle.take(call, mono_ns, wall_ns)
        return self._insist(call, late, self.throttle.holding(mono_ns)) if late else ""


def _seconds(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0
