"""Durations counted in logarithmic buckets: constant memory, cheap on hot paths."""


class LogHistogram:
    """Counts of durations in nanoseconds, in 2^`bits` buckets an octave."""

    def __init__(self, bits: int = 2) -> None:
        self._bits = bits
        self._counts: list[int] = []
        self.count = 0
        self.largest = 0
        self.clear()

    def add(self, ns: int) -> None:
        """Count one duration; negative ones (clocks that disagree) count as 0."""
        ns = max(ns, 0)
        self.count += 1
        self.largest = max(self.largest, ns)
        self._counts[bucket_of(ns, self._bits)] += 1

    def percentile(self, percent: float) -> int:
        """Upper edge in ns of the bucket in which that share of all durations is reached; 0 when there are none."""
        wanted = self.count * percent / 100
        seen = 0
        for bucket, n in enumerate(self._counts):
            seen += n
            if n and seen >= wanted:
                return min(edge_of(bucket, self._bits), self.largest)
        return 0

    def clear(self) -> None:
        """Forget everything."""
        self._counts = [0] * (64 << self._bits)
        self.count = self.largest = 0


def bucket_of(ns: int, bits: int) -> int:
    """The bucket, of 2^`bits` an octave, that a duration falls into."""
    octave = ns.bit_length()
    if octave <= bits:
        return ns
    return (octave - bits << bits) + (ns >> octave - 1 - bits & (1 << bits) - 1)


def edge_of(bucket: int, bits: int) -> int:
    """The largest duration that falls into `bucket`."""
    if bucket < 1 << bits:
        return bucket
    octave, sub = (bucket >> bits) + bits, bucket & (1 << bits) - 1
    width = 1 << octave - 1 - bits
    return (1 << octave - 1) + (sub + 1) * width - 1
