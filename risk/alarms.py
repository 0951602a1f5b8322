"""Alarms: what a person has to know of until somebody acknowledges it. Pure: alerts and times in, messages out.

An alarm is one (source, code, subject). It is raised by a warning or critical alert, counts what repeats it, is said
to the notifiers of its level again and again, climbs a level when nobody acknowledges it or when every notifier of its
level fails, and leaves once it is acknowledged and over.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from base.alarm_config import AlarmsConfig
from base.errors import CommandError
from ipc.alarm_files import SCHEMA, Alarm, Key, Stored, encode_stored
from ipc.events import Alert, alert_subject
from risk.alarm_lines import Batch, Extra, Line

SECOND_NS = 1_000_000_000
MOST = 500  # standing alarms; further kinds are counted in one that says so
REMEMBERED = 20_000  # alerts that came by one way and may come by the other
SOURCE = "alarms"  # of the alarms that are raised here
_RANK = {"warning": 1, "critical": 2}
Note = Callable[[str, dict[str, object]], object]


class Due(msgspec.Struct):
    """Monotonic times of one alarm."""

    repeat_ns: int
    escalate_ns: int
    quiet_ns: int = 0  # acknowledged: until then, what repeats it is only counted


class AlarmBook:
    """See the module. `note(event, facts)` keeps the history; `changed` says that there is something new to store."""

    def __init__(self, config: AlarmsConfig, note: Note) -> None:
        self.config = config
        self.lines = {n.name: Line(n) for n in config.notifiers}
        self.alarms: dict[int, Alarm] = {}
        self.tests: OrderedDict[str, dict[str, str]] = OrderedDict()  # test -> notifier -> "", or how it went
        self.changed = False
        self._note = note
        self._due: dict[int, Due] = {}
        self._keys: dict[Key, int] = {}
        self._next = 1
        self._seen: OrderedDict[tuple[str, str, int, str], None] = OrderedDict()
        self._top = max((n.level for n in config.notifiers), default=0)

    # -- what happens -------------------------------------------------------------------------------------------

    def alert(self, alert: Alert, wall_ns: int, mono_ns: int) -> None:
        """An alert of any process, by whichever way it came first."""
        mark = (alert.source, alert.code, alert.ts_ns, alert.text)
        if mark in self._seen:
            return
        self._seen[mark] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        key = (alert.source, alert.code, alert_subject(alert))
        if alert.code == "drill" and alert.severity == "info":
            return  # said by who makes the drill, which waits for the outcome
        if alert.severity in _RANK:
            self.raised(key, alert.severity, alert.text, alert.ts_ns, mono_ns, alert.mark)
        else:
            self.over(key, alert.text, wall_ns)

    def raised(self, key: Key, severity: str, text: str, wall_ns: int, mono_ns: int, mark: int = 0) -> None:
        """Something is wrong, or still is."""
        alarm = self.alarms.get(self._keys.get(key, 0))
        if alarm is not None and self._goes_on(alarm, severity, mark, mono_ns):
            alarm.count += 1
            alarm.last_ns, alarm.text = wall_ns, text
            self.changed = True
            worse = _RANK[severity] > _RANK[alarm.severity] or mark > alarm.mark
            alarm.mark = mark if alarm.over_ns else max(mark, alarm.mark)
            if worse:
                alarm.severity = max(severity, alarm.severity, key=lambda s: _RANK[s])
                self._note("worse", {"alarm": alarm.number, "severity": severity, "text": text})
            if alarm.over_ns:
                alarm.over_ns, alarm.over_text = 0, ""
                self._note("again", {"alarm": alarm.number, "text": text})
            elif not worse:
                return
            self._say(alarm, "raised", mono_ns)
            return
        if alarm is not None:
            self._close(alarm, "raised again after it was acknowledged")
        elif len(self.alarms) >= MOST and key[0] != SOURCE:
            self._note("storm", {"source": key[0], "code": key[1], "subject": key[2], "text": text})
            self.raised(
                (SOURCE, "storm", ""), severity,
                f"{MOST} alarms stand; what is new is only counted here and kept in the history: {text}",
                wall_ns, mono_ns,
            )  # fmt: skip
            return
        alarm = Alarm(self._next, *key, severity, text, wall_ns, wall_ns, mark=mark)
        self._next += 1
        self.alarms[alarm.number], self._keys[key] = alarm, alarm.number
        self.changed = True
        self._note("raised", {"alarm": alarm.number, "source": key[0], "code": key[1], "subject": key[2],
                              "severity": severity, "text": text})  # fmt: skip
        self._say(alarm, "raised", mono_ns)

    def over(self, key: Key, text: str, wall_ns: int) -> None:
        """What raised it is no more. Nobody need be called again, but somebody should still see it."""
        alarm = self.alarms.get(self._keys.get(key, 0))
        if alarm is None or alarm.over_ns:
            return
        alarm.over_ns, alarm.over_text = wall_ns, text
        self.changed = True
        self._note("over", {"alarm": alarm.number, "text": text})
        if alarm.acked_ns:
            self._close(alarm, "acknowledged, and over")
            return
        for line in self.lines.values():
            if line.config.name in alarm.told or alarm.number in line.pending:
                line.add(alarm.number, "over")

    def acknowledge(self, numbers: Iterable[int] | None, by: str, note: str, wall_ns: int, mono_ns: int) -> list[Alarm]:
        """A person has it; None: all that stand. CommandError when a number is none, or nobody and nothing is said."""
        if not by.strip() or not note.strip():
            raise CommandError("an acknowledgement needs a name and a note: who has it, and what is done about it")
        wanted = [n for n, a in self.alarms.items() if not a.acked_ns] if numbers is None else list(numbers)
        unknown = [str(n) for n in wanted if n not in self.alarms]
        if unknown:
            raise CommandError(f"no alarm {', '.join(unknown)}; there are {', '.join(map(str, self.alarms)) or 'none'}")
        done = [self.alarms[n] for n in wanted]
        for alarm in done:
            alarm.acked_by, alarm.ack_note, alarm.acked_ns = by, note, wall_ns
            self._due[alarm.number].quiet_ns = mono_ns + self.config.acknowledged_quiet_s * SECOND_NS
            self._note("acknowledged", {"alarm": alarm.number, "by": by, "note": note})
        for line in self.lines.values():
            told = [a for a in done if line.config.name in a.told]
            for alarm in done:
                line.pending.pop(alarm.number, None)
            if told:
                text = f"{', '.join(f'{a.number} ({_headline(a)})' for a in told[:10])}: {by}: {note}"
                line.note(Extra("acknowledged", "", text, tuple(a.number for a in told)))
        for alarm in [a for a in done if a.over_ns]:
            self._close(alarm, "acknowledged, and over")
        self.changed = True
        return done

    def test(self, ident: str, kind: str, text: str) -> None:
        """Send a message to every notifier, whatever its level; `kind` is test or drill. Outcomes: `tests`."""
        self.tests[ident] = dict.fromkeys(self.lines, "")
        while len(self.tests) > 20:
            self.tests.popitem(last=False)
        for line in self.lines.values():
            line.note(Extra("test", ident, f"{kind.upper()}: {text}"), now=True)
        self._note(kind, {"id": ident, "text": text})

    def tick(self, wall_ns: int, mono_ns: int) -> list[tuple[str, Batch]]:
        """Repeats, escalations, and what each notifier shall deliver now."""
        for alarm in list(self.alarms.values()):
            self._turn(alarm, mono_ns)
        self._failing(wall_ns, mono_ns)
        out = []
        for name, line in self.lines.items():
            for number in [n for n in line.pending if n not in self.alarms]:
                del line.pending[number]
            batch = line.next(sorted(line.pending, key=self._rank), mono_ns)
            if batch is not None:
                out.append((name, batch))
        return out

    def delivered(self, name: str, error: str, took_ms: float, wall_ns: int, mono_ns: int) -> None:
        """How the delivery under way of a notifier went; `error` "" = it arrived."""
        line = self.lines[name]
        batch = line.done(error, mono_ns)
        facts: dict[str, object] = {"notifier": name, "alarms": sorted(batch.alarms), "took_ms": took_ms}
        if batch.extra is not None:
            facts["extra"] = f"{batch.extra.kind} {batch.extra.ident}".rstrip()
            outcome = self.tests.get(batch.extra.ident) if batch.extra.kind == "test" else None
            if outcome is not None:
                outcome[name] = f"failed: {error}" if error else f"arrived after {took_ms:.0f} ms"
        self._note("not delivered" if error else "delivered", {**facts, "why": error} if error else facts)
        if error:
            return
        for number in batch.alarms:
            alarm = self.alarms.get(number)
            if alarm is not None:
                alarm.sent_ns = wall_ns
                if name not in alarm.told:
                    alarm.told.append(name)
                self.changed = True

    # -- what it says -------------------------------------------------------------------------------------------

    def standing(self) -> dict[str, int]:
        """Counts: all alarms, those that nobody acknowledged, and the critical ones of these."""
        open_ = [a for a in self.alarms.values() if not a.acked_ns]
        return {
            "alarms": len(self.alarms), "unacknowledged": len(open_),
            "critical": sum(a.severity == "critical" for a in open_),
        }  # fmt: skip

    def encode(self, places: dict[str, tuple[int, int]]) -> bytes:
        """What is stored: one line of JSON and its SHA-256."""
        return encode_stored(Stored(SCHEMA, self._next, list(self.alarms.values()), places))

    def restore(self, stored: Stored, wall_ns: int, mono_ns: int) -> None:
        """Go on where the process before ended. What was said just now is not said again at once."""
        self._next = stored.next_number
        for alarm in stored.alarms:
            alarm.told = [n for n in alarm.told if n in self.lines]
            alarm.level = min(alarm.level, self._top)
            self.alarms[alarm.number], self._keys[alarm.key] = alarm, alarm.number
            every_ns = self._every_ns(alarm)
            since_ns = min(max(0, wall_ns - alarm.sent_ns), every_ns)
            self._due[alarm.number] = Due(
                mono_ns + every_ns - since_ns, mono_ns + self.config.escalate_after_s * SECOND_NS,
                mono_ns + self.config.acknowledged_quiet_s * SECOND_NS,
            )  # fmt: skip
            if not alarm.acked_ns:
                for line in self._for(alarm):
                    if line.config.name not in alarm.told:
                        line.add(alarm.number, "raised")

    # -- inside -------------------------------------------------------------------------------------------------

    def _goes_on(self, alarm: Alarm, severity: str, mark: int, mono_ns: int) -> bool:
        """Whether an alert is the same trouble as this alarm: always, until it is acknowledged; then for a while."""
        if not alarm.acked_ns:
            return True
        if mark > alarm.mark:
            return False
        return _RANK[severity] <= _RANK[alarm.severity] and mono_ns < self._due[alarm.number].quiet_ns

    def _for(self, alarm: Alarm) -> list[Line]:
        """Notifiers that are told of it; one that fails is not told of its own failure."""
        own = alarm.subject if alarm.key[:2] == (SOURCE, "notifier") else ""
        return [
            x for n, x in self.lines.items() if x.accepts(alarm.severity, alarm.level) and n != own
        ]  # fmt: skip

    def _say(self, alarm: Alarm, kind: str, mono_ns: int) -> None:
        if alarm.acked_ns:
            return
        for line in self._for(alarm):
            line.add(alarm.number, kind)
        due = self._due.get(alarm.number)
        escalate_ns = due.escalate_ns if due is not None else mono_ns + self.config.escalate_after_s * SECOND_NS
        self._due[alarm.number] = Due(mono_ns + self._every_ns(alarm), escalate_ns)

    def _every_ns(self, alarm: Alarm) -> int:
        every_s = self.config.repeat_s if alarm.severity == "critical" else self.config.warning_repeat_s
        return (every_s or 10**9) * SECOND_NS

    def _turn(self, alarm: Alarm, mono_ns: int) -> None:
        due = self._due[alarm.number]
        if alarm.acked_ns:
            if mono_ns >= due.quiet_ns:
                self._close(alarm, "acknowledged, and quiet since")
        elif not alarm.over_ns and mono_ns >= due.escalate_ns and alarm.level < self._top:
            self._climb(alarm, "nobody acknowledged it", mono_ns)
        elif not alarm.over_ns and mono_ns >= due.repeat_ns:
            self._say(alarm, "repeated", mono_ns)

    def _climb(self, alarm: Alarm, why: str, mono_ns: int) -> None:
        levels = sorted(line.config.level for line in self.lines.values() if line.config.level > alarm.level)
        alarm.level = levels[0]
        self._due[alarm.number].escalate_ns = mono_ns + self.config.escalate_after_s * SECOND_NS
        self._note("escalated", {"alarm": alarm.number, "level": alarm.level, "why": why})
        self.changed = True
        self._say(alarm, "escalated", mono_ns)

    def _failing(self, wall_ns: int, mono_ns: int) -> None:
        """A notifier that fails is an alarm itself, and what it should have said goes to the next level at once."""
        bad = {n for n, line in self.lines.items() if line.failing or line.hung(mono_ns)}
        for name, line in self.lines.items():
            key = (SOURCE, "notifier", name)
            if name in bad and key not in self._keys:
                others = any(x.config.level == 0 and n not in bad for n, x in self.lines.items())
                why = line.error or f"no end of a delivery for {(mono_ns - line.since_ns) // SECOND_NS} s"
                severity = "warning" if others else "critical"
                self.raised(key, severity, f"{name}: nothing is delivered: {why}", wall_ns, mono_ns)
            elif name not in bad and not line.failures and key in self._keys:
                self.over(key, f"{name}: delivers again", wall_ns)
        for alarm in list(self.alarms.values()) if bad else ():
            lines = {x.config.name for x in self._for(alarm)}
            stuck = not alarm.acked_ns and not alarm.told and not alarm.over_ns and lines <= bad
            if stuck and alarm.level < self._top:
                self._climb(alarm, f"not delivered by {', '.join(sorted(lines)) or 'anybody'}", mono_ns)

    def _rank(self, number: int) -> tuple[int, int]:
        return -_RANK[self.alarms[number].severity], number

    def _close(self, alarm: Alarm, why: str) -> None:
        self._note("closed", {"alarm": alarm.number, "why": why})
        del self.alarms[alarm.number]
        del self._keys[alarm.key]
        del self._due[alarm.number]
        self.changed = True


def _headline(alarm: Alarm) -> str:
    return " ".join(x for x in (alarm.source, alarm.code, alarm.subject) if x)
