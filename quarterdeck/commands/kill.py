"""`qd kill`: trip, reset and look at the kill switch.

`trip` asks the kill switch; when that does not answer within 200 ms it sets the operator word, which closes the whole
desk without it, and says so. When not even that can be done it says that nothing is closed, and what is left to do.

It depends on little: of the configuration only [desk] has to be sound, and neither ZeroMQ nor the event bus is used.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from base.errors import BusError, CommandError
from base.places import Places, read_places
from ipc.operator_client import ask_line
from ipc.operator_trip import trip
from ipc.operator_word import check_scope
from quarterdeck.who import who

TIMEOUT_S = 3.0
VERBS = {
    "trip": "close the gate of a scope, cancel everything in it, prove it",
    "status": "scopes, orders by venue, the last trip with its times; exit status 3 while anything is tripped",
    "reset": "open a tripped scope again (needs --reason)",
    "arm": "arm a DISARMED desk (needs --reason)",
    "plan": "what a trip of a scope would send, reach and leave alone; sends nothing",
    "certify": "find out with small orders what the kill switch's mass cancel reaches at a VENUE",
    "limits": "every limit with its value, how far it is away, and what it does",
    "why": "a trip in words, the last one or TRIP: what tripped it, what was done, what is open, what to do next",
    "audit": "the audit trail: print it, or the part of --trip; --verify checks that it is whole",
    "verify": "the same as audit --verify",
    "drill": "go the way of a trip without touching an order; --full: trip a simulated desk for real",
    "drills": "the drills that were made, with their times",
    "campaign": "a desk of its own on simulated venues, tripped again and again while something breaks (--hours)",
    "states": "every state of the kill switch that can be reached in small worlds, searched over its real code",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=VERBS, help="; ".join(f"{k}: {v}" for k, v in VERBS.items()))
    parser.add_argument(
        "what", nargs="?", default="", help="why: which trip; trip, reset, plan: the scope; certify: the venue"
    )
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")
    parser.add_argument("--trip", dest="trip_id", default="", metavar="TRIP", help="audit: of that trip alone")
    parser.add_argument("--verify", action="store_true", help="audit: check the chain and its end")
    parser.add_argument(
        "--scope", default="desk", help="desk, venue:V, account:V/A, session:S, strategy:T, instrument:I"
    )
    parser.add_argument("--venue", default="", help="plan: of that venue alone")
    probe = parser.add_argument_group("certify")
    probe.add_argument("--instrument", nargs="+", default=[], help="one or two; default: the venue's first two")
    probe.add_argument("--qty", nargs="+", default=[], help="one for each; default: the least that the venue takes")
    probe.add_argument("--price", nargs="+", default=[], help="one for each; default: half of the book's best bid")
    probe.add_argument("--path", choices=("own", "rest"), default="", help="the kill session (default), or REST")
    probe.add_argument("--others-may-die", action="store_true", help="go on although other orders are open there")
    probe.add_argument("--production", action="store_true", help="real orders: asked again before anything is sent")
    parser.add_argument("--reason", default="", help="of a trip, reset or arming: kept in the audit trail")
    parser.add_argument("--force", nargs="+", default=[], metavar="ORDER", help="reset: the unproven orders, repeated")
    parser.add_argument("--all", action="store_true", help="limits: processes and host, too, when all is well")
    parser.add_argument("--full", action="store_true", help="drill: place orders, trip, prove, reset; simulated venues")
    parser.add_argument("--hours", type=float, default=1.0, help="campaign: how long")
    parser.add_argument("--trips", type=int, default=0, help="campaign: end after so many")
    parser.add_argument("--seed", type=int, default=1, help="campaign: of trips, faults, strategies and markets")
    parser.add_argument("--calm", action="store_true", help="campaign: no faults")
    parser.add_argument("--dir", default="", help="campaign: folder for everything, which must not exist; kept")
    parser.add_argument("--report", default="", metavar="FILE", help="campaign: Markdown there, JSON beside it")
    parser.add_argument("--world", nargs="+", default=[], help="states: which, or all; default: those of the suite")
    parser.add_argument("--limit", type=int, default=0, help="states: stop after so many in a world")
    parser.add_argument("--doubt", type=int, default=0, metavar="N", help="states: check the key at every Nth meeting")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Exit status 0: done. 1: refused or not reached. 2: `trip` could only set the operator word. 3: see `status`."""
    if args.action == "campaign":
        return _campaign(args)
    if args.action == "states":
        return _states(args)
    desk = read_places(args.config)
    if args.what and args.action in ("trip", "reset", "plan"):
        args.scope = args.what
    elif args.what and args.action not in ("why", "certify"):
        raise CommandError(f"{args.action}: {args.what!r} is one word too many")
    check_scope(args.scope)
    if args.action == "trip":
        return _trip(desk, args)
    if args.action in ("audit", "verify", "why"):
        return _trail(desk, args)
    if args.action in ("drill", "drills"):
        return _drill(args)
    if args.action == "plan":
        return _plan(args.config, desk, args)
    if args.action == "certify":
        return _certify(args.config, desk, args)
    try:
        found = _ask(desk, args, TIMEOUT_S)
    except BusError as e:
        if args.action != "status":
            raise
        return _without(desk, str(e), args.json)
    if args.action == "status":
        from ipc.drills import age_text

        found["drill"] = age_text(desk.data_dir / "kill", time.time_ns())
    if args.json:
        sys.stdout.write(json.dumps(found) + "\n")
    elif args.action == "limits":
        from quarterdeck.limits_screen import print_limits

        print_limits(found, everything=args.all)
    else:
        sys.stdout.write({"status": _status_text}.get(args.action, _plain_text)(found) + "\n")
    return 3 if args.action == "status" and _tripped(found) else 0


def _campaign(args: argparse.Namespace) -> int:
    """Exit status 0: nothing was violated. 1: something was. 2: the bench package is missing."""
    try:
        campaign = importlib.import_module("bench.kill_campaign")
    except ModuleNotFoundError as e:
        sys.stderr.write(f"qd kill campaign: {e}; the campaign needs the bench package\n")
        return 2
    options = campaign.Options(hours=args.hours, seed=args.seed, trips=args.trips, folder=args.dir, calm=args.calm)
    said = f"qd kill campaign --hours {args.hours:g} --seed {args.seed}{' --calm' if args.calm else ''}"
    status: int = campaign.run(options, report_file=args.report, command=said, as_json_line=args.json)
    return status


def _states(args: argparse.Namespace) -> int:
    """Exit status 0: every rule holds. 1: one does not. 2: no such world, or the bench package is missing."""
    try:
        states = importlib.import_module("bench.states.report")
    except ModuleNotFoundError as e:
        sys.stderr.write(f"qd kill states: {e}; the search needs the bench package\n")
        return 2
    worlds = [*([args.what] if args.what else []), *args.world]
    status: int = states.run(worlds, limit=args.limit, doubt=args.doubt, as_json=args.json)
    return status


def _trip(desk: Places, args: argparse.Namespace) -> int:
    answer = trip(desk, args.scope, args.reason, who())
    if not args.json:
        sys.stdout.write(answer.said + "\n")
    elif answer.proven_later:
        head = {"scope": answer.scope, "by": answer.by, "answered_ms": answer.answered_ms}
        sys.stdout.write(json.dumps({**answer.found, **head}) + "\n")
    else:
        sys.stdout.write(json.dumps({"scope": answer.scope, "by": answer.by, "said": answer.said}) + "\n")
    return answer.exit_status


def _without(desk: Places, why: str, as_json: bool) -> int:
    """Status without the kill switch: what the words in shared memory say. RegionError when they cannot be read."""
    from ipc.gate import read_gate

    word, generation, lease_ns = read_gate(desk.shm_dir / "gate")
    lapsed_ms = max(0, time.monotonic_ns() - lease_ns) // 1_000_000
    found = {"desk": word.state.name, "generation": generation, "lease_lapsed_ms": lapsed_ms, "fault": why}
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        gate = f"{word.state.name}, generation {generation}, lease lapsed {lapsed_ms} ms ago"
        sys.stdout.write(f"THE KILL SWITCH DOES NOT ANSWER: {why}\ndesk {gate}: no new orders leave\n")
    return 3


def _ask(desk: Places, args: argparse.Namespace, timeout_s: float) -> dict[str, Any]:
    """The kill switch's answer. BusError when none came, CommandError when it refused."""
    arguments = {"scope": args.scope, "reason": args.reason, "force": " ".join(args.force), "by": who()}
    return ask_line(desk.run_dir, args.action, arguments, timeout_s)


def _tripped(status: dict[str, Any]) -> bool:
    return any(s["state"] in ("TRIPPING", "TRIPPED", "RESETTING") for s in status["scopes"])


def _status_text(status: dict[str, Any]) -> str:
    lines = [f"desk {status['desk']}, generation {status['generation']}"]
    shown = [s for s in status["scopes"] if s["scope"] != "desk" or s["state"] != "ARMED"]
    lines += [f"  {s['scope']} {s['state']} ({s['cause']}): {s['reason']}" for s in shown]
    lines += [
        f"  {venue}: {n['working']} working, {n['uncertain']} uncertain, {n['proven']} proven dead"
        for venue, n in status["venues"].items()
    ]
    lines += [f"  {s} is not running" for s, alive in status["owners"].items() if not alive]
    lines += [f"  {s}: {v['phase']} {v['reason']}" for s, v in status["sessions"].items() if v["phase"] != "READY"]
    lines += [f"  {venue} takes no cancels now: {why}" for venue, why in status["refusing"].items()]
    timers = status["dead_men"].items()
    lines += [f"  {venue}: dead man's timer {t['state']} {t['why']}".rstrip() for venue, t in timers]
    lines += [f"  fault: {f}" for f in status["faults"]] + [f"  blocks arming: {b}" for b in status["blockers"]]
    trip = status["last_trip"]
    if trip:
        lines.append(
            f"last trip {trip['trip_id']} of {', '.join(trip['scopes'])}: {trip['phase']}, {trip['proven']} of "
            f"{trip['orders']} proven; gate {trip['gate_closed_ms']} ms, fence {trip['fence_ms']} ms, "
            f"all {trip['all_proven_ms']} ms"
        )
    lines.append(status["drill"])
    return "\n".join(lines)


def _certify(path: str, places: Places, args: argparse.Namespace) -> int:
    """Exit status 0: a finding was made. 1: none."""
    from base.config import load
    from quarterdeck.kill_certify import Request, confirmed, summary, watch

    venue = args.what or args.venue
    if not venue:
        raise CommandError("which venue? qd kill certify VENUE")
    desk = load(path)
    wanted = Request(desk, venue, args.instrument, args.qty, args.price)
    confirm = confirmed(desk, venue, args.production, input)

    def tell(line: str) -> None:
        if not args.json:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    for line in wanted.lines():
        tell(line)

    def ask(verb: str, arguments: Mapping[str, str]) -> dict[str, Any]:
        return ask_line(places.run_dir, verb, dict(arguments), TIMEOUT_S)

    ask("certify", wanted.args(args.path, args.others_may_die, confirm))
    found = watch(ask, tell)
    sys.stdout.write((json.dumps(found) if args.json else summary(found)) + "\n")
    return 0 if found["finding"] is not None else 1


def _plan(path: str, desk: Places, args: argparse.Namespace) -> int:
    """From the configuration; a running kill switch adds how its own sessions stand, and whom it could not kill."""
    from base.config import load
    from venues.kill_plan_page import PlanPage

    args.action = "status"
    sessions: dict[str, Any] = {}
    blind: list[str] = []
    try:
        status = _ask(desk, args, TIMEOUT_S)
        sessions, blind = status["sessions"] or {"": {}}, status["out_of_reach"]
    except BusError:
        pass  # the page says that nobody answers
    page = PlanPage(load(path), args.scope, args.venue, time.time_ns(), sessions)
    if args.json:
        sys.stdout.write(json.dumps({**page.data(), "out_of_reach": blind}) + "\n")
    else:
        sys.stdout.write("\n".join([page.text(), *(f"could not be killed: {b}" for b in blind)]) + "\n")
    return 0


def _plain_text(found: dict[str, Any]) -> str:
    return "\n".join(str(v) if isinstance(v, str) else f"{k}: {v}" for k, v in found.items())


def _trail(desk: Places, args: argparse.Namespace) -> int:
    """What the audit trail says, with or without a kill switch."""
    from quarterdeck.kill_trail import audit, why

    folder = desk.data_dir / "kill"
    if args.action == "why":
        return why(folder, args.what, _live(desk, args), args.json)
    return audit(folder, args.trip_id, args.verify or args.action == "verify", args.json)


def _drill(args: argparse.Namespace) -> int:
    from base.config import load
    from quarterdeck.kill_drills import drill, drills

    desk = load(args.config)
    return drills(desk, args.json) if args.action == "drills" else drill(desk, args.full, args.json)


def _live(desk: Places, args: argparse.Namespace) -> dict[str, Any] | None:
    """The last trip as the kill switch itself has it; None when it does not answer."""
    args.action = "status"
    try:
        found: dict[str, Any] | None = _ask(desk, args, TIMEOUT_S)["last_trip"]
    except (BusError, CommandError):
        return None
    return found
