"""The `qd` command: one module under quarterdeck/commands for each verb."""

import argparse
import importlib
import sys
from collections.abc import Collection, Sequence
from types import ModuleType

from base.errors import QuarterdeckError

COMMANDS = {
    "init": "write a first configuration, by asking or by flags",
    "up": "start a desk under supervisord",
    "down": "stop a desk",
    "restart": "processes of a running desk anew, one after the other",
    "paper": "derive a desk like this one on simulated venues alone",
    "status": "processes, sessions and books of a running desk",
    "top": "the desk on a full screen: sessions, books, orders, limits, alarms, kill switch",
    "check": "validate a configuration and show what each session's logon will be",
    "doctor": "what is wrong with a running desk, the worst first, and what to do",
    "supervisor": "render supervisord's programs from a configuration",
    "run": "start the desk, trade, trip the kill switch, prove it, stop (what `make run` does)",
    "order": "place an order",
    "cancel": "cancel an order",
    "orders": "working orders",
    "ledger": "orders, fills, positions and breaks of record",
    "book": "an order book from shared memory",
    "schedule": "what comes at the venues: windows, rollovers, releases",
    "venues": "what each dialect supports: sessions, orders, cancels, REST, limits, calendar",
    "session": "sequence numbers of a stopped session: show or set them",
    "store": "message stores and journals on disk: what they hold, and whether it is whole",
    "fixlog": "the FIX logs in words; one order's life",
    "metrics": "what a desk counts and measures, as Prometheus reads it",
    "alarms": "what stands until somebody acknowledges it; notifiers",
    "kill": "trip, reset and look at the kill switch",
    "operator": "who may sign in at the page",
    "sim": "a simulated venue",
    "fix": "an echoing FIX acceptor; the session layer held against its scenarios",
    "keys": "keys of clients on other hosts: make, list, show, revoke",
    "schema": "events and commands of the wire as JSON Schema, or as a page",
    "bench": "benchmarks, each beside its peer",
    "soak": "a desk on simulated venues with faults every few seconds: nothing may be lost or doubled",
}


def parser(chosen: Collection[str] = COMMANDS) -> argparse.ArgumentParser:
    """What `qd` understands; of verbs that are not chosen the name alone, since each imports its module."""
    whole = argparse.ArgumentParser(prog="qd", description="Quarterdeck: sessions, books and kill switch of a desk.")
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in COMMANDS.items():
        sub = verbs.add_parser(verb, help=text, description=text)
        if verb in chosen:
            _module(verb).add_arguments(sub)
    return whole


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"quarterdeck.commands.{verb}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; the exit status. Errors that the project raises on purpose are one line, without a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((a for a in arguments if not a.startswith("-")), "")
    args = parser([chosen]).parse_args(arguments)
    try:
        status: int = _module(args.verb).run(args)
    except QuarterdeckError as e:
        sys.stderr.write(f"qd {args.verb}: {e}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    return status


if __name__ == "__main__":
    sys.exit(main())
