"""`qd store show|check PATH`: message stores and journals below PATH. Reads only; their owners may live.

`check` holds every record against its checksum and says where damage is and what to do about it; `show` tells as well
what they hold: sequence numbers, messages, topics, commands, where a restart begins to read. Exit status 4: damage.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import msgspec

from base.errors import StoreError
from base.segment_check import LogReport, find_logs, inspect
from fix.store_report import StoreReport
from fix.store_report import read_report as read_store
from ipc.journal import NAME as JOURNAL
from ipc.journal_report import JournalReport
from ipc.journal_report import read_report as read_journal

STORE = "store"
DAMAGED = 4
AWAY = "stop its process, then: mkdir -p {folder}/damaged && mv {folder}/{prefix}-* {folder}/damaged/"
AFTER_STORE = (
    "agree with the venue on the numbers (the last found here: next out {next_out}, next in {next_in}; more may have"
    " been used), then: qd session reset NAME --next-out N --next-in M --reason TEXT; start the process"
)
AFTER_JOURNAL = (
    "start the process: it learns the open orders from the venue; its positions begin at zero, so compare them with"
    " the ledger and the venue first. Commands from before are not known any more"
)


class Log(msgspec.Struct):
    """One log as it is printed."""

    path: str
    kind: str
    writer_pid: int
    files: int
    bytes: int
    records: int
    records_from: int
    records_to: int
    damage: list[str]
    to_do: list[str]
    store: StoreReport | None = None
    journal: JournalReport | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("show", "check"), help="what they hold, or whether they are whole")
    parser.add_argument("path", type=Path, help="a folder that holds stores or journals, or a folder above them")
    parser.add_argument("--json", action="store_true", help="one JSON object a log")


def run(args: argparse.Namespace) -> int:
    logs = find_logs(args.path) if args.path.is_dir() else []
    if not logs:
        raise StoreError(f"{args.path}: no store or journal there (files like store-0000000001.seg)")
    found = [look(folder, prefix) for folder, prefix in logs]
    for log in found:
        if args.json:
            sys.stdout.write(json.dumps(msgspec.to_builtins(log)) + "\n")
        else:
            sys.stdout.write("\n".join(lines(log, contents=args.what == "show")) + "\n")
    return DAMAGED if any(log.damage for log in found) else 0


def look(folder: Path, prefix: str) -> Log:
    """Everything about one log."""
    report = inspect(folder, prefix)
    begun = [f for f in report.files if f.begun]
    log = Log(
        path=str(folder / prefix), kind=prefix, writer_pid=report.writer_pid, files=len(report.files),
        bytes=sum(f.size for f in report.files), records=report.records,
        records_from=begun[0].first_index if begun else 0,
        records_to=max((f.next_index for f in begun), default=1) - 1, damage=report.damage, to_do=[],
    )  # fmt: skip
    _read(log, report)
    if log.damage:
        log.to_do = to_do(log, folder, prefix)
    return log


def _read(log: Log, report: LogReport) -> None:
    if log.kind == STORE:
        log.store = read_store(report)
        nonsense = log.store.nonsense
    elif log.kind == JOURNAL:
        log.journal = read_journal(report)
        nonsense = log.journal.nonsense
    else:
        return
    if nonsense:
        log.damage.append(nonsense)


def to_do(log: Log, folder: Path, prefix: str) -> list[str]:
    """The way out of damage, step by step."""
    steps = [AWAY.format(folder=folder, prefix=prefix)]
    if log.store is not None:
        steps.append(AFTER_STORE.format(next_out=log.store.next_out, next_in=log.store.next_in))
    elif log.journal is not None:
        steps.append(AFTER_JOURNAL)
    return steps


def lines(log: Log, *, contents: bool) -> list[str]:
    """For people."""
    owner = f"written by pid {log.writer_pid}" if log.writer_pid else "no writer"
    span = f"records {log.records_from} to {log.records_to}" if log.records else "no records"
    size = f"{log.files} files, {log.bytes / (1 << 20):.1f} MiB"
    out = [f"{log.path}: {'DAMAGED' if log.damage else 'whole'}; {size}, {span}, {owner}"]
    if contents and log.store is not None:
        out += store_lines(log.store)
    if contents and log.journal is not None:
        out += journal_lines(log.journal)
    out += [f"  damage: {text}" for text in log.damage]
    return out + [f"  to do {n}: {step}" for n, step in enumerate(log.to_do, 1)]


def store_lines(store: StoreReport) -> list[str]:
    kept = f"messages {store.first_message} to {store.next_out - 1}" if store.messages else "no messages"
    out = [
        f"  next out {store.next_out}, next in {store.next_in}; numbering {store.epoch}, since {utc(store.created_ns)}",
        f"  kept for a resend: {store.messages} ({kept})",
    ]
    if store.may_be_behind:
        out.append("  the host went down since it was last settled: the numbers may be too low")
    return out


def journal_lines(journal: JournalReport) -> list[str]:
    out = [
        f"  {name}: {t.events} events, {t.epochs} lives; the latest: epoch {t.epoch}, {t.first_seq} to {t.last_seq}"
        for name, t in sorted(journal.topics.items())
    ]
    if journal.commands:
        span = f"{utc(journal.first_command_ns)} to {utc(journal.last_command_ns)}"
        out.append(f"  commands that became orders: {journal.commands}, {span}")
    if journal.restart_file:
        out.append(f"  a restart reads from file {max(1, journal.restart_file - 1)} on")
    return out


def utc(ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ns // 1_000_000_000))
