"""What the kill switch counts: trips by cause, how long proofs took, orders proven, limits and what they stand at."""

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from base.errors import RegionError
from ipc.host import ProcessHost
from ipc.metrics import Gauge
from risk.kill import KillSwitch
from risk.kill_trip import Phase, Trip

CAUSES: Final = ("operator", "signal", "process", "session", "limit", "health", "gate", "restart", "latch")
log = logging.getLogger("metrics")
STATES: Final = ("working", "uncertain")


class OwnSession(Protocol):
    """A session of the kill switch's own."""

    @property
    def state(self) -> str: ...


class KillMetrics:
    """Looks at trips and limits once a second: a trip stays at least until a person resets its scope."""

    def __init__(self, host: ProcessHost, switch: KillSwitch, sessions: Mapping[str, OwnSession]) -> None:
        self._host, self._switch, self._sessions = host, switch, sessions
        self._file = file = host.metrics.file
        self._trips = {cause: file.counter("kill_trips_total", cause=cause) for cause in CAUSES}
        self._other = file.counter("kill_trips_total", cause="other")
        self._proof = file.histogram("kill_proof_seconds")
        self._proven = file.counter("kill_orders_proven_total")
        self._orders = {state: file.gauge("kill_orders", state=state) for state in STATES}
        self._up = {
            name: file.gauge("session_up", session=name, venue=host.desk.config.session[name].venue)
            for name in sessions
        }  # fmt: skip
        self._limits: dict[tuple[str, str], list[Gauge]] = {}
        self._former: set[str] = set()
        self._seen: set[str] = set()
        self._proofs: set[str] = set()

    def taken_up(self, trips: Iterable[str]) -> None:
        """These were begun, and counted, in the life before."""
        self._former.update(trips)

    def look(self, limits: Iterable[Mapping[str, object]]) -> None:
        """`limits`: rows as `qd kill limits` shows them."""
        trips = self._switch.trips
        self._seen &= trips.keys()
        self._proofs &= trips.keys()
        tally = dict.fromkeys(STATES, 0)
        for ident, trip in trips.items():
            self._look_at(ident, trip)
            if trip.phase is not Phase.PROVEN:
                counts = trip.counts()
                tally["working"] += counts.working
                tally["uncertain"] += counts.uncertain
        for state, gauge in self._orders.items():
            gauge.set(tally[state])
        for name, gauge in self._up.items():
            gauge.set(self._sessions[name].state == "READY")
        for row in limits:
            self._limit(row)

    def _look_at(self, ident: str, trip: Trip) -> None:
        if ident in self._former:
            return
        if ident not in self._seen:
            self._seen.add(ident)
            self._trips.get(trip.cause, self._other).add()
        if trip.phase is Phase.PROVEN and ident not in self._proofs:
            self._proofs.add(ident)
            self._proof.record(trip.times.proven_ns - trip.times.received_ns)
            self._proven.add(trip.counts().proven)

    def _limit(self, row: Mapping[str, object]) -> None:
        """An alarm beside a limit on the same figure has a name of its own."""
        name = str(row["figure"]) + ("" if row["does"] == "trips" else " (alarm)")
        key, value = (str(row["scope"]), name), str(row["value"])
        shown = self._limits.get(key)
        if shown is None:
            shown = self._limits[key] = self._gauges(*key)
        shown[0].set(float(value) if value else math.nan)
        shown[1].set(float(str(row["limit"])))
        shown[2].set(float(str(row["percent"])) / 100 if value else math.nan)

    def _gauges(self, scope: str, limit: str) -> list[Gauge]:
        """Of their own where the file has no room for more: the kill switch must not fail for being counted."""
        try:
            return [self._file.gauge(f"limit_{part}", scope=scope, limit=limit) for part in ("value", "most", "ratio")]
        except RegionError as e:
            log.warning("limit %s of %s is not shown: %s", limit, scope, e)
            return [Gauge(), Gauge(), Gauge()]
