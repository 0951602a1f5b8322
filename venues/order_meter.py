"""How long orders take from a client's command to the wire and to the venue's first word, and what is refused there."""

import logging
from collections import Counter as Tally
from typing import Final

from base.errors import RegionError
from ipc._metrics import Counter, Histogram, Stamp
from ipc.metrics import MetricsFile
from risk.orders import OrderTable

REQUESTS: Final = ("new", "cancel", "replace")
CHANNELS: Final = ("8", "9", "3", "j", "rest")  # declared from the start; others are shown when they come
KEPT: Final = 10_000  # orders that wait for a first report

log = logging.getLogger("metrics")


class OrderMeter:
    """Belongs to an OrderEntry. Without a file it counts in memory of its own."""

    def __init__(self) -> None:
        self.read = Stamp()  # when the command at hand was read; the command server's, where there is one
        self._wire = {request: Histogram() for request in REQUESTS}
        self._left = self._wire["new"].since_ns
        self._ack = Histogram()
        self._rejects: dict[str, Counter] = {}
        self._asked: dict[str, int] = {}  # by ClOrdID: when the command was read, until the first report
        self._file: MetricsFile | None = None
        self._of: dict[str, str] = {}

    def show(self, file: MetricsFile, session: str, venue: str, read: Stamp) -> None:
        """Count in a file from now on; `read` is marked by the command server."""
        of = self._of = {"session": session, "venue": venue}
        self._file, self.read = file, read
        self._wire = {r: file.histogram("command_to_wire_seconds", request=r, **of) for r in REQUESTS}
        self._left = self._wire["new"].since_ns
        self._ack = file.histogram("order_ack_seconds", **of)
        self._rejects = {c: file.counter("rejects_total", channel=c, **of) for c in CHANNELS}

    def left(self, cl_ord_id: str) -> None:
        """The bytes of a new order were handed over; it will be answered."""
        read_ns = self.read.ns
        if read_ns:  # 0: no command server read it
            self._left(read_ns)
            if len(self._asked) < KEPT:
                self._asked[cl_ord_id] = read_ns

    def sent(self, request: str) -> None:
        """The bytes of another request were handed over."""
        wire = self._wire.get(request)
        if wire is not None:
            wire.since(self.read)

    def reported(self, cl_ord_id: str) -> None:
        """A report on an order came."""
        if cl_ord_id in self._asked:
            self._ack.since_ns(self._asked.pop(cl_ord_id))

    def lost(self) -> None:
        """The session dropped: what it had not answered is no measure of the venue any more."""
        self._asked.clear()

    def refused(self, channel: str) -> None:
        """The venue refused an order or a request."""
        counter = self._rejects.get(channel)
        if counter is None:
            counter = self._rejects[channel] = self._counter(channel)
        counter.add()

    def _counter(self, channel: str) -> Counter:
        """Of its own where the file has no room for another channel: an order must not fail for being counted."""
        if self._file is None:
            return Counter()
        try:
            return self._file.counter("rejects_total", channel=channel, **self._of)
        except RegionError as e:
            log.warning("refusals by channel %s are not shown: %s", channel, e)
            return Counter()


class OpenOrders:
    """Open orders by state, counted once a second."""

    def __init__(self, file: MetricsFile, session: str, venue: str, table: OrderTable, states: frozenset[str]) -> None:
        self._table = table
        self._shown = {s: file.gauge("orders_open", state=s, session=session, venue=venue) for s in sorted(states)}

    def look(self) -> None:
        """Count them."""
        tally = Tally(order.state for order in self._table.open())
        for state, gauge in self._shown.items():
            gauge.set(tally[state])
