"""Every histogram that the desk's processes keep, ready to be drawn: since each process started."""

import msgspec

from base.config import DeskConfig
from base.errors import RegionError
from base.histogram import edge_of
from ipc.metrics import MetricsReader, Reading, metrics_path
from ipc.roster import roster

BITS = 2  # of base.histogram, as ipc/metrics.py uses it
_OWN = frozenset({"process", "venue"})


class Latency(msgspec.Struct, frozen=True):
    """One histogram. `buckets`: (upper edge in ns, how many), from the first to the last that has any."""

    name: str  # the metric's, without prefix and unit
    of: str  # process or session, and what else tells it apart
    count: int
    p50_ns: int
    p99_ns: int
    max_ns: int
    buckets: tuple[tuple[int, int], ...]


class Latencies:
    """Reads again and again."""

    def __init__(self, desk: DeskConfig) -> None:
        self._readers = {r.name: MetricsReader(metrics_path(desk.shm_dir, r.name)) for r in roster(desk)}

    def read(self) -> list[Latency]:
        """What there is, by metric; a process that runs no more, or keeps none, adds nothing."""
        found: list[Latency] = []
        for process, reader in self._readers.items():
            try:
                samples = reader.samples()
            except RegionError:
                continue
            for sample in samples:
                if sample.histogram is not None and sample.histogram.count:
                    labels = [v for k, v in sample.labels.items() if k not in _OWN and v != process]
                    found.append(_latency(sample.name, " ".join([process, *labels]), sample.histogram))
        return sorted(found, key=lambda x: x.name)


def _latency(name: str, of: str, reading: Reading) -> Latency:
    filled = [i for i, n in enumerate(reading.buckets) if n]
    buckets = tuple((edge_of(i, BITS), reading.buckets[i]) for i in range(filled[0], filled[-1] + 1))
    short = name.removeprefix("quarterdeck_").removesuffix("_seconds").replace("_", " ")
    p50, p99 = reading.percentile(50), reading.percentile(99)
    return Latency(short, of, reading.count, p50, p99, reading.largest_ns, buckets)
