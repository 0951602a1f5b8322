"""`qd alarms`: what stands, who was told, and acknowledging it.

Exit status: 0 no critical alarm waits for somebody; 3 at least one does; 1 refused, or the alarms process does not
answer (what it stored last is shown all the same). `test`: 0 when every notifier delivered, 3 when one did not.
"""

import argparse
import json
import sys
import time
from typing import Any

import msgspec

from base.config import DeskConfig, load
from base.errors import BusError, CommandError
from ipc.alarm_files import HISTORY, STATE, alarm_folder, decode_stored
from ipc.audit_check import audit_lines, check_trail
from ipc.kill_files import read_latch
from ipc.requests import Ops
from quarterdeck.alarm_screen import screen
from quarterdeck.orders import Operator
from quarterdeck.who import who
from risk.alarm_text import clock_text

ACTIONS = {
    "list": "alarms that stand, and the notifiers",
    "ack": "acknowledge alarms by number, or all (needs --note)",
    "test": "send a test through every notifier and say which arrived",
    "history": "what was raised, delivered, escalated, acknowledged, the newest last",
}
STORE_S = 2.0  # an acknowledgement that is not on the disk by then says so
TEST_S = 5.0  # beyond the slowest notifier's own time limit
STEP_S = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "; ".join(f"{k}: {v}" for k, v in ACTIONS.items())
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", help=text)
    parser.add_argument("alarm", nargs="*", metavar="NUMBER|all", help="ack: which")
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")
    parser.add_argument("--by", default="", help="ack: your name (default: the login name)")
    parser.add_argument("--note", default="", help="ack: what is done about it; it stays on record")
    parser.add_argument("--last", type=int, default=50, metavar="N", help="history: so many lines (default 50)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    desk = load(args.config)
    if desk.config.alarms is None:
        raise CommandError(f"{desk.path}: no [alarms]: this desk calls nobody (docs/alarms.md)")
    if args.alarm and args.action != "ack":
        raise CommandError(f"{args.action} takes no numbers; did you mean: qd alarms ack {' '.join(args.alarm)}")
    if args.action == "history":
        return _history(desk, args)
    try:
        with Operator(desk) as operator:
            if args.action == "ack":
                return _ack(operator, args)
            if args.action == "test":
                return _test(operator, desk, args)
            found = ask(operator, "list")
    except BusError as e:
        if args.action != "list":
            raise
        return _stored(desk, str(e), args.json)
    return _show(found, args.json, "")


def ask(operator: Operator, verb: str, **words: str) -> dict[str, Any]:
    """The alarms process's answer. BusError when there is none, CommandError when it refused."""
    answer = operator.ask("alarms", Ops(*operator.head("alarms"), verb, words))
    if not answer.accepted:
        raise CommandError(answer.reason)
    found: dict[str, Any] = json.loads(answer.data)
    return found


# -- list ----------------------------------------------------------------------------------------------------------


def _stored(desk: DeskConfig, why: str, as_json: bool) -> int:
    """Without the process: what it stored last."""
    data = read_latch(alarm_folder(desk.data_dir), STATE)
    stored = decode_stored(data) if data is not None else "it never ran here"
    head = f"THE ALARMS PROCESS DOES NOT ANSWER, NOBODY IS CALLED: {why}"
    if isinstance(stored, str):
        sys.stdout.write(json.dumps({"fault": f"{head}; {stored}"}) + "\n" if as_json else f"{head}\n{stored}\n")
        return 1
    rows = [msgspec.structs.asdict(a) for a in stored.alarms]
    open_ = [a for a in stored.alarms if not a.acked_ns]
    critical = sum(a.severity == "critical" for a in open_)
    found = {"alarms": len(rows), "unacknowledged": len(open_), "critical": critical, "standing": rows, "notifiers": []}
    _show({**found, "faults": [], "stored": True}, as_json, head)
    return 1


def _show(found: dict[str, Any], as_json: bool, fault: str) -> int:
    if as_json:
        sys.stdout.write(json.dumps({**found, "fault": fault} if fault else found) + "\n")
    else:
        sys.stdout.write("\n".join([*([fault] if fault else []), *screen(found)]) + "\n")
    return 3 if found["critical"] else 0


# -- ack and test --------------------------------------------------------------------------------------------------


def _ack(operator: Operator, args: argparse.Namespace) -> int:
    if not args.alarm:
        raise CommandError("ack: which? expected numbers, or all")
    words = {"alarms": " ".join(args.alarm), "by": args.by or who(), "note": args.note}
    found = ask(operator, "ack", **words)
    stored, faults = _on_disk(operator)
    if args.json:
        sys.stdout.write(json.dumps({**found, "stored": stored}) + "\n")
    else:
        done = ", ".join(map(str, found["acknowledged"])) or "nothing"
        sys.stdout.write(f"acknowledged: {done}; {found['unacknowledged']} wait, {found['critical']} critical\n")
        if not stored:
            sys.stdout.write(f"NOT ON THE DISK: a restart would forget it; {'; '.join(faults) or 'the disk is slow'}\n")
    return 3 if found["critical"] else 0


def _on_disk(operator: Operator) -> tuple[bool, list[str]]:
    """(whether what the process knows is on the disk, waiting for a moment; what is wrong with the disk)."""
    end = time.monotonic() + STORE_S
    while True:
        found = ask(operator, "list")
        if found["stored"] or time.monotonic() > end:
            return found["stored"], found["faults"]
        time.sleep(STEP_S)


def send_test(operator: Operator, desk: DeskConfig, kind: str, by: str) -> dict[str, str]:
    """Send a test and wait for every notifier's outcome; one that has none in time says so. `kind`: test or drill."""
    assert desk.config.alarms is not None
    ident = ask(operator, "test", kind=kind, by=by)["test"]
    limit_s = max((n.timeout_ms for n in desk.config.alarms.notifiers), default=0) / 1000 + TEST_S
    end = time.monotonic() + limit_s
    while True:
        outcomes: dict[str, str] = ask(operator, "outcome", test=ident)["outcomes"]
        if all(outcomes.values()) or time.monotonic() > end:
            return {n: text or f"no outcome within {limit_s:.0f} s" for n, text in outcomes.items()}
        time.sleep(STEP_S)


def _test(operator: Operator, desk: DeskConfig, args: argparse.Namespace) -> int:
    outcomes = send_test(operator, desk, "test", args.by or who())
    arrived = [n for n, text in outcomes.items() if text.startswith("arrived")]
    if args.json:
        sys.stdout.write(json.dumps({"outcomes": outcomes, "arrived": arrived}) + "\n")
    else:
        lines = [f"{n}: {text}" for n, text in outcomes.items()] or ["there is no notifier: nobody would be called"]
        sys.stdout.write("\n".join([*lines, f"{len(arrived)} of {len(outcomes)} arrived"]) + "\n")
    return 0 if outcomes and len(arrived) == len(outcomes) else 3


# -- history -------------------------------------------------------------------------------------------------------


def _history(desk: DeskConfig, args: argparse.Namespace) -> int:
    folder = alarm_folder(desk.data_dir)
    lines = list(audit_lines(folder, HISTORY))[-max(1, args.last) :]
    wrong = check_trail(folder, HISTORY).wrong
    if args.json:
        rows = [{"ts_ns": x.ts_ns, "event": x.event, **x.facts} for x in lines]
        sys.stdout.write(json.dumps({"history": rows, "wrong": wrong}) + "\n")
        return 1 if wrong else 0
    for line in lines:
        facts = ", ".join(f"{k} {_plain(v)}" for k, v in line.facts.items() if v not in ("", [], None))
        sys.stdout.write(f"{clock_text(line.ts_ns)} {line.event}: {facts}\n".replace(": \n", "\n"))
    for text in wrong:
        sys.stdout.write(f"WRONG: {text}\n")
    return 1 if wrong else 0


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
