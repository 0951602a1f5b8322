"""Alarms on a terminal: what `qd alarms` shows, and `make run` at its end."""

from typing import Any

import msgspec

from ipc.alarm_files import Alarm
from risk.alarm_text import alarm_line, clock_text


def screen(found: dict[str, Any]) -> list[str]:
    """The answer to `list` as lines of text."""
    alarms = [msgspec.convert(a, Alarm) for a in found["standing"]]
    alarms.sort(key=lambda a: (bool(a.acked_ns), a.severity != "critical", a.number))
    waiting = [a for a in alarms if not a.acked_ns]
    lines = [f"{len(waiting)} alarms wait for somebody, {found['critical']} of them critical" if waiting else
             "no alarm waits for anybody"]  # fmt: skip
    for alarm in waiting:
        told = ", ".join(alarm.told) or "NOBODY YET"
        level = f", level {alarm.level}" if alarm.level else ""
        lines += [f"  {alarm_line(alarm)}", f"      told: {told}{level}"]
    acked = [a for a in alarms if a.acked_ns]
    if acked:
        lines.append("acknowledged, and not over yet:")
    for alarm in acked:
        lines += [
            f"  {alarm_line(alarm)}",
            f"      by {alarm.acked_by} at {clock_text(alarm.acked_ns)}: {alarm.ack_note}",
        ]
    if found["notifiers"]:
        lines.append("notifiers:")
    for n in found["notifiers"]:
        state = f"FAILS: {n['error'] or 'no end of a delivery'}" if n["failing"] else n["error"] or "works"
        busy = f", under way for {n['under_way_ms']} ms" if n["under_way_ms"] else ""
        lines.append(
            f"  {n['name']} ({n['kind']}, level {n['level']}, from {n['min_severity']}): {state}; "
            f"{n['delivered']} delivered, {n['failed']} failed, {n['waiting']} waiting{busy}"
        )
    if not found["stored"]:
        lines.append("not all of this is on the disk yet")
    lines += [f"fault: {f}" for f in found["faults"]]
    if waiting:
        lines.append('acknowledge: qd alarms ack NUMBER... --note "what is done about it"')
    return lines
