"""What the desk said during a soak: a client that hears every execution event from the first, and keeps what counts."""

import threading
from collections import Counter
from typing import NamedTuple

import quarterdeck as qd
from base.config import DeskConfig, Kind
from bench.soak_desk import wait
from ipc.events import Alert, Difference, ExecutionReport, OrderState, Position, SessionState
from ipc.journal import read_events
from ipc.sequence import Delivery, Gap

HEARD_S = 20.0  # for what is journalled at the end to be heard


class Report(NamedTuple):
    """One execution report as it was published."""

    exec_id: str
    trade_id: str
    exec_type: str
    cl_ord_id: str
    order_id: str
    last_qty: int
    cum_qty: int
    origin: str
    recv_ns: int


class Session:
    """What one session's topic told."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.orders: dict[str, OrderState] = {}  # by every ClOrdID it was told under
        self.by_order_id: dict[tuple[str, str], OrderState] = {}
        self.positions: dict[str, Position] = {}
        self.differences: list[Difference] = []
        self.heard: dict[int, set[int]] = {}  # sequence numbers by epoch
        self.twice: list[tuple[int, int]] = []
        self.gaps: list[tuple[int, Gap]] = []

    def take(self, delivery: Delivery) -> None:
        """One delivery of the topic."""
        event = delivery.event
        if isinstance(event, Gap):
            self.gaps.append((delivery.epoch, event))
            return
        heard = self.heard.setdefault(delivery.epoch, set())
        if delivery.seq in heard:
            self.twice.append((delivery.epoch, delivery.seq))
            return
        heard.add(delivery.seq)
        if isinstance(event, ExecutionReport):
            self.reports.append(
                Report(
                    event.exec_id, event.trade_id, event.exec_type, event.cl_ord_id, event.order_id,
                    event.last_qty or 0, event.cum_qty or 0, event.origin, event.recv_ns,
                )
            )  # fmt: skip
        elif isinstance(event, OrderState):
            self.orders[event.cl_ord_id] = event
            if event.order_id:
                self.by_order_id[event.instrument, event.order_id] = event
        elif isinstance(event, Position):
            self.positions[event.instrument] = event
        elif isinstance(event, Difference):
            self.differences.append(event)

    def doubled(self) -> list[Report]:
        """Reports published more than once, by their ExecID and trade."""
        seen = Counter((r.exec_id, r.trade_id, r.order_id) for r in self.reports if r.exec_id)
        return [r for r in self.reports if r.exec_id and seen[r.exec_id, r.trade_id, r.order_id] > 1]


class Ears(threading.Thread):
    """Listens until `finish`; its figures are to be read afterwards."""

    def __init__(self, desk: DeskConfig) -> None:
        super().__init__(name="ears", daemon=True)
        self._desk = desk
        self._end = threading.Event()
        self.failure: BaseException | None = None
        names = desk.sessions(Kind.TRADING) + desk.sessions(Kind.DROPCOPY)
        self.sessions = {name: Session() for name in names}
        self.alerts: Counter[str] = Counter()
        self.alert_texts: list[tuple[int, str]] = []
        self.logons: Counter[str] = Counter()
        self.ready_ns: dict[str, list[int]] = {}
        self._state: dict[str, str] = {}
        self._journalled: dict[str, list[tuple[int, int]]] = {}  # what counts, once `finish` was called

    def run(self) -> None:
        """The thread."""
        try:
            with qd.connect(self._desk.path, client_id="soak-ears", timeout=2.0) as desk:
                desk.subscribe(*(f"exec.{n}" for n in self.sessions), history=True)
                desk.subscribe("state.", "alert.")
                while not self._end.is_set():
                    for delivery in desk.poll(0.2):
                        self._take(delivery)
        except BaseException as error:  # noqa: BLE001 - told at the end
            self.failure = error

    def finish(self) -> None:
        """Hear what is journalled by now, and stop listening. Whatever broke it is raised here."""
        self._journalled = {name: self._kept(name) for name in self.sessions}
        wait(lambda: not self.behind() or not self.is_alive(), HEARD_S, 0.2)
        self._end.set()
        self.join(10)
        if self.failure is not None:
            raise self.failure

    def behind(self) -> list[str]:
        """Topics of which the journal holds more than was heard."""
        return [n for n in self.sessions if self.unheard(n)]

    def unheard(self, session: str) -> list[tuple[int, int]]:
        """(epoch, sequence number) of what the session's journal keeps (kept, at the end) and the bus did not bring."""
        heard = self.sessions[session].heard
        kept = self._journalled[session] if self._journalled else self._kept(session)
        return [(epoch, seq) for epoch, seq in kept if seq not in heard.get(epoch, ())]

    def _kept(self, session: str) -> list[tuple[int, int]]:
        found = (d for d in read_events(self._desk.data_dir / session) if d.topic == f"exec.{session}")
        return [(d.epoch, d.seq) for d in found if not isinstance(d.event, Gap)]

    def _take(self, delivery: Delivery) -> None:
        event = delivery.event
        kind, _, name = delivery.topic.partition(".")
        if kind == "exec":
            self.sessions[name].take(delivery)
        elif isinstance(event, Alert):
            self.alerts[f"{event.severity} {event.code}"] += 1
            self.alert_texts.append((event.ts_ns, f"{event.severity} {event.code} {event.text}"))
        elif isinstance(event, SessionState):
            if event.state == "READY" and self._state.get(event.session) != "READY":
                self.logons[event.session] += 1
                self.ready_ns.setdefault(event.session, []).append(event.since_ns)
            self._state[event.session] = event.state
