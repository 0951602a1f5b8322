"""The report of a soak: a table for people, or one JSON object."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from bench.soak_audit import KINDS, Finding, Tally
from bench.soak_faults import Struck
from bench.soak_watch import Growth

SHOWN = 200  # findings written out in the table


class Report(msgspec.Struct, kw_only=True):
    """Everything that a soak found out. Counts, unless the name says otherwise."""

    seed: int
    build: str
    began_ns: int
    seconds: float
    folder: str
    ok: bool = False
    failures: list[str] = []  # why it is not ok, beside the findings
    messages_in: int = 0  # FIX messages that the venues took from the desk
    messages_out: int = 0  # and sent to it
    md_messages: int = 0
    orders: int = 0  # that the venues' engines took
    fills: int = 0
    commands: dict[str, int] = {}  # of the strategies, by "verb result"
    ready_share: dict[str, float] = {}  # of the time, by order-entry session: READY
    faults: dict[str, int] = {}
    faults_struck: dict[str, int] = {}  # as the venues counted their own
    faults_missed: dict[str, int] = {}
    logons: dict[str, int] = {}  # times that a session became READY
    restarts: int = 0  # of processes, strategies included
    resets: int = 0  # of the kill switch
    forced_resets: int = 0
    alerts: dict[str, int] = {}
    tallies: dict[str, Tally] = {}
    copies: dict[str, tuple[int, int]] = {}  # fills seen and missing on each drop copy
    ledger: dict[str, tuple[int, int]] = {}  # by venue: fills of record, orders whose difference is a break of its own
    breaks: dict[str, int] = {}  # left open in the ledger, by venue and kind
    found: dict[str, int] = {}
    findings: list[Finding] = []
    uncertain_left: int = 0
    working_left: int = 0
    settle_s: float = 0.0  # from the last fault until everything was ready and nothing was open
    growth: list[Growth] = []
    trail: list[Struck] = []  # every fault, in order

    @property
    def lost(self) -> int:
        return sum(self.found.get(k, 0) for k in KINDS if k.endswith("lost"))

    @property
    def doubled(self) -> int:
        return sum(self.found.get(k, 0) for k in KINDS if k.endswith("doubled"))


def as_json(report: Report) -> str:
    """One object."""
    return json.dumps({**msgspec.to_builtins(report), "lost": report.lost, "doubled": report.doubled})


def as_text(report: Report) -> str:
    """Tables."""
    parts = [_head(report), _table("faults", report.faults), _table("alerts", report.alerts)]
    parts += [_sessions(report), _growth(report.growth)]
    if report.failures:
        parts.append("failures\n" + "\n".join(f"  {f}" for f in report.failures))
    if report.findings:
        parts.append(_findings(report))
    return "\n\n".join(p for p in parts if p) + "\n"


def _head(r: Report) -> str:
    rows: list[tuple[str, Any]] = [
        ("verdict", "OK" if r.ok else "NOT OK"),
        ("seed, build", f"{r.seed}, {r.build}"),
        ("began", f"{_when(r.began_ns)} UTC"),
        ("minutes", f"{r.seconds / 60:.1f}"),
        ("FIX messages", f"{r.messages_in:,} to the venues, {r.messages_out:,} back, {r.md_messages:,} of market data"),
        ("orders, fills", f"{r.orders:,}, {r.fills:,}"),
        ("commands", ", ".join(f"{k} {v:,}" for k, v in sorted(r.commands.items()))),
        ("faults", f"{sum(r.faults.values()):,} ({sum(r.faults_missed.values())} more met nothing)"),
        ("logons, restarts", f"{sum(r.logons.values())}, {r.restarts}"),
        ("kill switch reset", f"{r.resets} times, {r.forced_resets} by force"),
        ("lost", r.lost),
        ("doubled", r.doubled),
        *((k, r.found[k]) for k in KINDS if r.found.get(k)),
        ("UNCERTAIN left", r.uncertain_left),
        ("working left", r.working_left),
        ("settled within", f"{r.settle_s:.1f} s of the last fault"),
    ]  # fmt: skip
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _table(title: str, counts: dict[str, int]) -> str:
    if not counts:
        return ""
    return title + "\n" + "\n".join(f"  {n:6}  {k}" for k, n in sorted(counts.items(), key=lambda x: (-x[1], x[0])))


def _sessions(r: Report) -> str:
    lines = ["sessions              orders   fills  reported  reconciled  differences  logons  ready"]
    for name, t in r.tallies.items():
        counts = f"{t.orders:8,} {t.fills:7,} {t.fills_reported:9,} {t.fills_reconciled:11,} {t.differences:12,}"
        lines.append(f"  {name:<18} {counts} {r.logons.get(name, 0):7} {r.ready_share.get(name, 0.0):6.0%}")
    for name, (seen, missing) in r.copies.items():
        lines.append(f"  {name:<18} {'drop copy':>8} {seen:7,} seen, {missing} missing; {r.logons.get(name, 0)} logons")
    for venue, (fills, told) in r.ledger.items():
        lines.append(
            f"  {'ledger ' + venue:<18} {'fills':>8} {fills:7,} of record, {told} orders with a break of their own"
        )
    lines += [f"  {'breaks left':<18} {n:8} {kind}" for kind, n in sorted(r.breaks.items())]
    return "\n".join(lines)


def _growth(rows: list[Growth]) -> str:
    lines = ["processes             lives  longest s  MiB warm  MiB end  fds warm  fds end"]
    lines += [
        f"  {g.name:<18} {g.lives:6} {g.life_s:10.0f} {g.rss_warm:9.1f} {g.rss_end:8.1f} {g.fds_warm:9} {g.fds_end:8}"
        for g in rows
    ]
    return "\n".join(lines)


def _findings(r: Report) -> str:
    lines = [f"findings; journals, logs and traces are in {r.folder}"]
    for f in r.findings[:SHOWN]:
        lines.append(f"  {f.what}: {f.session} {f.order}")
        lines.append(f"    venue: {f.venue_says}; desk: {f.desk_says}; at {_when(f.ns) if f.ns else 'no known time'}")
        near = [s for s in r.trail if f.ns and -8e9 < s.ns - f.ns < 8e9]
        lines += [f"      fault {(s.ns - f.ns) / 1e9:+.1f} s: {s.kind} {s.target}" for s in near]
    if len(r.findings) > SHOWN:
        lines.append(f"  and {len(r.findings) - SHOWN} more")
    return "\n".join(lines)


def _when(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
