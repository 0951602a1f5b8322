"""Alarms in words: what a notifier delivers and what a screen shows. Pure."""

import time
from collections.abc import Iterable

from ipc.alarm_files import Alarm
from risk.alarm_lines import Batch

SHOWN = 20  # alarms of one message
_SAID = {"raised": "", "repeated": "still ", "escalated": "ESCALATED ", "over": "over: "}


def clock_text(ns: int) -> str:
    """UTC to the second; "" for 0."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ns // 1_000_000_000)) if ns else ""


def alarm_line(alarm: Alarm, said: str = "raised") -> str:
    """One alarm, one line: number, how bad, what, who says so, since when, how often."""
    again = f", {alarm.count} times, last {clock_text(alarm.last_ns)}" if alarm.count > 1 else ""
    over = f"; over since {clock_text(alarm.over_ns)}: {alarm.over_text}" if alarm.over_ns else ""
    return (
        f"[{alarm.number}] {_SAID[said]}{alarm.severity.upper()} {alarm.source} {alarm.code}: {alarm.text}"
        f" (since {clock_text(alarm.first_ns)}{again}{over})"
    )


def batch_message(
    desk: str, host: str, batch: Batch, alarms: Iterable[Alarm], counts: dict[str, int], wall_ns: int
) -> dict[str, object]:
    """The message of a batch as plain data: what a webhook is sent and a command reads on stdin.

    `alarms`: those of the batch, in any order. `counts`: AlarmBook.standing().
    """
    rows = sorted(alarms, key=lambda a: (a.severity != "critical", a.number))
    base: dict[str, object] = {
        "desk": desk, "host": host, "at_ns": wall_ns, "at": clock_text(wall_ns), **counts,
    }  # fmt: skip
    if batch.extra is not None:
        kind = "drill" if batch.extra.text.startswith("DRILL") else batch.extra.kind
        head = "acknowledged: " if kind == "acknowledged" else ""
        return base | {
            "kind": kind, "id": batch.extra.ident, "severity": "info", "headline": f"{desk}: {head}{batch.extra.text}",
            "text": f"{head}{batch.extra.text}", "shown": [], "more": 0,
        }  # fmt: skip
    shown, more = rows[:SHOWN], max(0, len(rows) - SHOWN)
    worst = "critical" if any(a.severity == "critical" for a in rows) else "warning"
    lines = [alarm_line(a, batch.alarms[a.number]) for a in shown]
    if len(rows) == 1:
        a, said = rows[0], batch.alarms[rows[0].number]
        headline = f"{desk}: {_SAID[said]}{worst.upper()} {a.source} {a.code}: {a.text}"
    else:
        headline = f"{desk}: {len(rows)} alarms, {sum(a.severity == 'critical' for a in rows)} critical"
    tail = [f"and {more} more: qd alarms"] if more else []
    tail.append("Acknowledge: qd alarms ack NUMBER --note TEXT. Until then this is said again and escalates.")
    return base | {
        "kind": "alarm", "id": "", "severity": worst, "headline": headline, "text": "\n".join([*lines, *tail]),
        "shown": [
            {"number": a.number, "said": batch.alarms[a.number], "severity": a.severity, "source": a.source,
             "code": a.code, "subject": a.subject, "text": a.text, "first_ns": a.first_ns, "last_ns": a.last_ns,
             "count": a.count, "level": a.level, "over_ns": a.over_ns, "over_text": a.over_text}
            for a in shown
        ],
        "more": more,
    }  # fmt: skip
