"""What happened last, one line each. Pure; bounded: routine of orders has a ring of its own, so that a busy desk does
not push out what matters.
"""

import heapq
from typing import Final

from ipc import events as e
from ipc.sequence import Gap
from ipc.view import words
from ipc.view.structs import EventPart

NOTABLE_KEPT: Final = 400
TRADING_KEPT: Final = 200
_GOOD = frozenset({"READY", "LIVE", "ARMED"})
_OURS = frozenset({"RECOVERING", "CONNECTING", "LOGGING_ON", "LOGGING_OUT", "STARTING", "STOPPING"})


class Happened:
    """The newest events by their own time, whatever the order in which journals are read."""

    def __init__(self, notable: int = NOTABLE_KEPT, trading: int = TRADING_KEPT) -> None:
        self._rings: tuple[list[tuple[int, int, EventPart]], ...] = ([], [])
        self._room = (notable, trading)
        self._number = 0
        self._states: dict[tuple[str, str], tuple[str, str]] = {}  # what was said last, so that repeats are none
        self._scopes: dict[str, tuple[str, int]] = {}

    def add(
        self, ts_ns: int, severity: str, kind: str, source: str, subject: str, text: str, *, routine: bool = False
    ) -> None:  # fmt: skip
        """One event; `routine`: it belongs to the flow of orders."""
        self._number += 1
        part = EventPart(
            number=self._number, ts_ns=ts_ns, severity=severity, kind=kind, source=source, subject=subject, text=text
        )
        ring, room = self._rings[routine], self._room[routine]
        if len(ring) < room:
            heapq.heappush(ring, (ts_ns, self._number, part))
        else:
            heapq.heappushpop(ring, (ts_ns, self._number, part))

    def hear(self, topic: str, event: object, wall_ns: int) -> None:
        """An event of the bus or a journal; what says nothing new is passed over."""
        match event:
            case e.SessionState():
                self._stated("SessionState", event.session, event.state, event.reason, event.since_ns, wall_ns)
            case e.ProcessState():
                self._stated("ProcessState", event.process, event.readiness, event.reason, event.since_ns, wall_ns)
            case e.KillState():
                self._kill(event)
            case e.KillProgress():
                self.add(event.ts_ns, "warning", "KillProgress", "killswitch", event.trip_id, _step_text(event))
            case e.Alert():
                subject = e.alert_subject(event)
                text = event.text if event.text.startswith(event.code) else f"{event.code}: {event.text}"
                self.add(event.ts_ns, event.severity, "Alert", event.source, subject, text)
            case e.BookSource():
                subject = f"{event.venue} {event.instrument}"
                source = topic.partition(".")[2]
                self.add(event.since_ns, "warning", "BookSource", source, subject, words.source_text(event))
            case e.Break():
                severity, text = ("info", f"over: {event.text}") if event.closed_ns else ("warning", event.text)
                at_ns = event.closed_ns or event.opened_ns
                self.add(at_ns, severity, "Break", "ledger", event.order_id, f"break {event.break_id}: {text}")
            case Gap():
                self._gap(topic, event, wall_ns)
            case _:
                self._trading(event)

    def newest(self) -> tuple[EventPart, ...]:
        """All that is kept, the newest last."""
        return tuple(part for _, _, part in sorted([*self._rings[0], *self._rings[1]]))

    # -- inside ----------------------------------------------------------------------------------------------

    def _stated(self, kind: str, name: str, state: str, reason: str, since_ns: int, wall_ns: int) -> None:
        last = self._states.get((kind, name))
        self._states[kind, name] = (state, reason)
        if last == (state, reason):
            return
        severity = "info" if state in _GOOD | _OURS else "warning"
        same = last is not None and last[0] == state  # only the reason is new: `since_ns` is of the state
        self.add(wall_ns if same else since_ns, severity, kind, name, "", f"{state} {reason}".rstrip())

    def _kill(self, event: e.KillState) -> None:
        last = self._scopes.get(event.scope)
        self._scopes[event.scope] = now = (event.state, event.generation)
        if last == now or (last is None and event.state == "ARMED"):
            return
        severity = "info" if event.state in _GOOD else "critical"
        why = f"{event.cause}: {event.reason}" if event.reason else event.cause
        text = f"{event.scope} {event.state}{f' ({why})' if why else ''}"
        self.add(event.since_ns, severity, "KillState", "killswitch", event.scope, text)

    def _gap(self, topic: str, gap: Gap, wall_ns: int) -> None:
        if gap.kind == "start":
            return  # everybody joins after number 1
        severity = "info" if gap.kind == "restart" else "warning"
        self.add(wall_ns, severity, "Gap", topic.partition(".")[2] or topic, topic, words.gap_text(gap))

    def _trading(self, event: object) -> None:
        match event:
            case e.ExecutionReport() if words.is_trade(event):
                self._report(event, "info")
            case e.ExecutionReport() if event.exec_type == "8":
                self._report(event, "warning")
            case e.CancelReject():
                text = words.reject_text(event)
                self.add(event.recv_ns, "warning", "CancelReject", event.session, event.cl_ord_id, text, routine=True)
            case e.Difference():
                text = words.difference_text(event)
                self.add(event.ts_ns, "warning", "Difference", event.session, event.cl_ord_id, text)
            case e.MassCancelReport():
                text = "refused: " + event.text if event.response == "0" else f"{event.affected} orders"
                self.add(event.recv_ns, "info", "MassCancelReport", event.session, event.instrument, text)
            case e.OrderState(state="UNCERTAIN"):
                text = words.order_text(event)
                self.add(event.since_ns, "warning", "OrderState", event.session, event.cl_ord_id, text, routine=True)
            case _:
                pass

    def _report(self, report: e.ExecutionReport, severity: str) -> None:
        text = words.report_text(report)
        self.add(
            report.recv_ns, severity, "ExecutionReport", report.session, report.cl_ord_id, text, routine=True
        )  # fmt: skip


def _step_text(event: e.KillProgress) -> str:
    counts = f"{event.proven} proven, {event.working} left"
    return f"{event.step}: {event.detail} ({counts})" if event.detail else f"{event.step} ({counts})"
