"""Token buckets: what a venue allows a session to send, with a part kept for cancels. Pure."""


class TokenBucket:
    """`rate` tokens a second, at most one second's worth saved up. rate 0 means no known limit."""

    def __init__(self, rate: int, reserve: int = 0) -> None:
        self._rate = rate
        self._reserve = min(reserve, rate)
        self._tokens_ns = rate * 1_000_000_000  # tokens x 1e9: exact integers
        self._at_ns: int | None = None

    def take(self, mono_ns: int, *, urgent: bool = False) -> bool:
        """Whether one message may leave now. Only urgent ones may use the reserve."""
        if not self._rate:
            return True
        self._refill(mono_ns)
        floor = 0 if urgent else self._reserve * 1_000_000_000
        if self._tokens_ns - 1_000_000_000 < floor:
            return False
        self._tokens_ns -= 1_000_000_000
        return True

    def force(self, mono_ns: int) -> None:
        """A message leaves whatever the bucket says (a kill): it is counted, down to a debt of one second."""
        if self._rate:
            self._refill(mono_ns)
            self._tokens_ns = max(self._tokens_ns - 1_000_000_000, -self._rate * 1_000_000_000)

    def _refill(self, mono_ns: int) -> None:
        if self._at_ns is not None:
            gained = (mono_ns - self._at_ns) * self._rate
            self._tokens_ns = min(self._tokens_ns + max(gained, 0), self._rate * 1_000_000_000)
        self._at_ns = mono_ns
