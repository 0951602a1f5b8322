"""`qd kill drill` and `qd kill drills`: making drills, and what is kept of them."""

import json
import sys
import time
from typing import Any

import msgspec

from base.config import DeskConfig
from base.errors import CommandError
from ipc.drills import DrillRecord, DrillStep, age_text, read_drills
from ipc.requests import Ops
from quarterdeck.full_drill import FullDrill
from quarterdeck.orders import Operator
from quarterdeck.who import who
from risk.alarm_text import clock_text

STEP_S = 0.05
LIMIT_S = 60.0  # beyond the slowest notifier


def drill(desk: DeskConfig, full: bool, as_json: bool) -> int:
    """Make a drill and print it. Exit status 0: passed. 3: not. CommandError: refused."""
    with Operator(desk) as operator:
        record = FullDrill(desk, operator).run() if full else _live(desk, operator)
    if as_json:
        sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
    else:
        sys.stdout.write("\n".join(_text(record)) + "\n")
    return 0 if record.ok else 3


def ask(operator: Operator, verb: str, **words: str) -> dict[str, Any]:
    """The kill switch's answer. BusError when there is none, CommandError when it refused."""
    answer = operator.ask("killswitch", Ops(*operator.head("killswitch"), verb, {"by": who(), **words}))
    if not answer.accepted:
        raise CommandError(answer.reason)
    found: dict[str, Any] = json.loads(answer.data)
    return found


def _live(desk: DeskConfig, operator: Operator) -> DrillRecord:
    ident = ask(operator, "drill")["drill_id"]
    notifiers = desk.config.alarms.notifiers if desk.config.alarms is not None else []
    end = time.monotonic() + LIMIT_S + max((n.timeout_ms for n in notifiers), default=0) / 1000
    while True:
        found = ask(operator, "drill_status")
        record = msgspec.convert(found["record"], DrillRecord)
        if found["over"] and record.drill_id == ident:
            return record
        if time.monotonic() > end:
            raise CommandError(f"drill {ident} is not over: it waits for {', '.join(found['waits_for'])}")
        time.sleep(STEP_S)


def drills(desk: DeskConfig, as_json: bool) -> int:
    """Print the drills that were made, the newest last."""
    found = read_drills(desk.data_dir / "kill")
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return 0
    lines = [line for record in found[-10:] for line in _text(record)]
    most = desk.config.kill.drill_max_age_days
    rule = f"; at most {most} days are allowed" if most else ""
    lines.append(age_text(desk.data_dir / "kill", time.time_ns()) + rule)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _text(record: DrillRecord) -> list[str]:
    verdict = "PASSED" if record.ok else "NOT PASSED"
    head = f"{record.kind} drill {record.drill_id} of {clock_text(record.at_ns)} by {record.by}: {verdict}"
    return [head, *(_step(s) for s in record.steps)]


def _step(step: DrillStep) -> str:
    took = f"{step.took_ms:>10,.1f} ms" if step.took_ms is not None else " " * 13
    return f"  {'ok  ' if step.ok else 'FAIL'} {took}  {step.name}{f': {step.said}' if step.said else ''}"
