"""A view of the desk as the sections that the page is sent, and which of them changed. What changes with every look and
is not drawn is left out or made coarse: it would have a section sent again for nothing.
"""

from collections.abc import Iterable

import msgspec

from ipc.view.structs import EventPart, OrderPart, Part, View

_replace = msgspec.structs.replace


class Rows(Part, frozen=True):
    """Rows, and why there are none."""

    rows: tuple[Part, ...]
    fault: str


class Sections:
    """Remembers what was sent last."""

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._last: dict[str, bytes] = {}
        self._number = 0

    def changed(self, view: View) -> dict[str, bytes]:
        """JSON of each section that is not as it was the last time."""
        found = {
            "desk": view.desk,
            "kill": view.kill,
            "alarms": Rows(rows=view.alarms, fault=view.alarms_fault),
            "sessions": [_replace(s, counters={}) for s in view.sessions],
            "books": view.books,
            "open_orders": _orders(view.open_orders),
            "finished_orders": _orders(view.finished_orders),
            "positions": view.positions,
            "balances": view.balances,
            "limits": Rows(rows=view.limits, fault=view.limits_fault),
            "processes": [
                _replace(p, beat_ms=None if p.beat_ms is None else p.beat_ms // 1000 * 1000, counters={}, latencies={})
                for p in view.processes
            ],
            "reading": view.reading,
        }
        return {name: data for name, part in found.items() if (data := self.encoded(name, part))}

    def encoded(self, name: str, part: object) -> bytes:
        """JSON of one section, b"" when it is as it was."""
        data = self._encode(part)
        if self._last.get(name) == data:
            return b""
        self._last[name] = data
        return data

    def lines(self, events: Iterable[EventPart]) -> list[bytes]:
        """The events that are new, each as JSON."""
        new = [e for e in events if e.number > self._number]
        if new:
            self._number = new[-1].number
        return [self._encode(e) for e in new]


def _orders(orders: tuple[OrderPart, ...]) -> list[OrderPart]:
    return [_replace(o, age_ms=0) for o in orders]
