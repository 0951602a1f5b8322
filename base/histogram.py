"""Durations counted in logarithmic buckets: constant memory, each a quarter of an octave wide, cheap on hot paths."""

_SUB = 2  # bits: four buckets an octave


class LogHistogram:
    """Counts of durations in nanoseconds."""

    def __init__(self) -> None:
        self._counts: list[int] = []
        self.count = 0
        self.largest = 0
        self.clear()

    def add(self, ns: int) -> None:
        """Count one duration; negative ones (clocks that disagree) count as 0."""
        ns = max(ns, 0)
        self.count += 1
        self.largest = max(self.largest, ns)
        self._counts[_bucket(ns)] += 1

    def percentile(self, percent: float) -> int:
        """Upper edge in ns of the bucket in which that share of all durations is reached; 0 when there are none."""
        wanted = self.count * percent / 100
        seen = 0
        for bucket, n in enumerate(self._counts):
            seen += n
            if n and seen >= wanted:
                return min(_edge(bucket), self.largest)
        return 0

    def clear(self) -> None:
        """Forget everything."""
        self._counts = [0] * (64 << _SUB)
        self.count = self.largest = 0


def _bucket(ns: int) -> int:
    octave = ns.bit_length()
    if octave <= _SUB:
        return ns
    return (octave - _SUB << _SUB) + (ns >> octave - 1 - _SUB & (1 << _SUB) - 1)


def _edge(bucket: int) -> int:
    """The largest duration that falls into `bucket`."""
    if bucket < 1 << _SUB:
        return bucket
    octave, sub = (bucket >> _SUB) + _SUB, bucket & (1 << _SUB) - 1
    width = 1 << octave - 1 - _SUB
    return (1 << octave - 1) + (sub + 1) * width - 1
