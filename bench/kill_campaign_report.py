"""The report of a kill campaign: Markdown for people, JSON for programs."""

import json
import os
import platform
import statistics
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec

from bench.kill_audit import KINDS, Tally
from bench.kill_faults import WEIGHTS

SHOWN = 50  # violations written out


class Trip(msgspec.Struct, kw_only=True):
    """One trip as it went. Times in ms after its receipt, as the kill switch has them."""

    number: int
    way: str
    scope: str
    at_ns: int  # UTC
    held: str = ""  # the venue that did not answer until the trip was opened by force
    scopes: list[str] = []  # as it widened
    phase: str = ""
    proven: bool = False
    forced: list[str] = []  # orders that the reset had to name
    word_ms: float | None = None
    fence_ms: float | None = None
    first_cancel_ms: float | None = None
    proven_ms: float | None = None
    orders: int = 0
    refuted: int = 0
    claims: int = 0
    killed: list[str] = []
    open_questions: list[str] = []
    faults: list[str] = []
    kinds: list[str] = []
    seconds: float = 0.0


class Report(msgspec.Struct, kw_only=True):
    """Everything that a campaign found out."""

    seed: int
    build: str
    began_ns: int
    folder: str
    command: str = ""
    load: tuple[float, float, float] = (0.0, 0.0, 0.0)  # averages of the machine when it began
    seconds: float = 0.0
    ok: bool = False
    failures: list[str] = []
    trips: list[Trip] = []
    violations: list[dict[str, Any]] = []
    tally: Tally = msgspec.field(default_factory=Tally)
    faults_there_were: list[str] = []

    def line(self) -> str:
        """Where it stands, in a line."""
        proven, forced = sum(t.proven for t in self.trips), sum(bool(t.forced) for t in self.trips)
        return (
            f"{len(self.trips)} trips, {proven} proven, {forced} opened by force, "
            f"{sum(len(t.kinds) for t in self.trips)} faults, {len(self.violations)} violations"
        )


def as_json(report: Report) -> str:
    """One object."""
    return json.dumps(msgspec.to_builtins(report, str_keys=True))


def as_text(r: Report) -> str:
    """Markdown."""
    parts = [_head(r), _violations(r), _looked_at(r.tally), _times(r.trips)]
    parts += [
        _table("Scopes", "scope", Counter(t.scope.partition(":")[0] for t in r.trips)),
        _table("Ways", "way", Counter(t.way for t in r.trips)),
        _table("Faults", "kind", Counter(k for t in r.trips for k in t.kinds)),
    ]
    return "\n\n".join(p for p in parts if p) + "\n"


def _head(r: Report) -> str:
    began = datetime.fromtimestamp(r.began_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    unproven = [t for t in r.trips if not t.proven]
    missing = ", ".join(sorted(set(WEIGHTS) - set(r.faults_there_were)))
    held = sum(bool(t.held) for t in unproven)
    rows = [
        ("verdict", "nothing was violated" if r.ok else "**NOT OK**"),
        ("command", f"`{r.command}`"),
        ("began", f"{began} UTC"),
        ("length", f"{r.seconds / 60:.1f} minutes"),
        ("seed, build", f"{r.seed}, {r.build}"),
        ("machine", f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {platform.machine()}"),
        ("load average at the beginning", ", ".join(f"{x:.1f}" for x in r.load)),
        ("trips", str(len(r.trips))),
        ("proven", str(len(r.trips) - len(unproven))),
        ("not proven, and not claimed", f"{len(unproven)}, {held} of them with a venue that did not answer"),
        ("opened by force", str(sum(bool(t.forced) for t in r.trips))),
        ("owners killed for their silence", str(sum(len(t.killed) for t in r.trips))),
        ("proofs that were overturned", str(sum(t.refuted for t in r.trips))),
        ("faults", f"{sum(len(t.kinds) for t in r.trips)}{f'; not to be had here: {missing}' if missing else ''}"),
        ("violations", str(len(r.violations))),
    ]  # fmt: skip
    return "| what | |\n| --- | --- |\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)


def _violations(r: Report) -> str:
    lines = ["## Violations", ""]
    counts = Counter(v["kind"] for v in r.violations)
    lines += ["| rule | violations |", "| --- | --- |", *(f"| {kind} | {counts.get(kind, 0)} |" for kind in KINDS)]
    by_number = {t.number: t for t in r.trips}
    for v in r.violations[:SHOWN]:
        trip = by_number.get(v["trip"])
        lines += ["", f"- trip {v['trip']}: **{v['kind']}**: {v['what']}"]
        if trip is not None:
            lines.append(f"  {trip.way} {trip.scope}; faults: {'; '.join(trip.faults) or 'none'}")
    lines += [f"- {text}" for text in r.failures]
    return "\n".join(lines)


def _looked_at(t: Tally) -> str:
    rows = [
        ("messages of the desk at the venues' edge", t.messages),
        ("orders of the venues' records, by round", t.orders),
        ("accepted after a fence, each at the venue's edge before it", t.in_scope_after),
        ("the longest of those in a buffer, ms", round(t.longest_in_buffer_ms, 1)),
        ("messages whose time is not certain enough to judge", t.undecided),
        ("claims that all is proven", t.claims),
        ("looks at a venue's working orders beside the list", t.sightings),
        ("working orders looked up in the list", t.listed),
        ("orders that worked after a fence, looked up among the trip's proofs", t.proofs),
        ("orders outside every scope that was shut", t.outside),
    ]
    body = "\n".join(f"| {name} | {value:,} |" for name, value in rows)
    return f"## What was looked at\n\n| what | count |\n| --- | --- |\n{body}"


def _times(trips: list[Trip]) -> str:
    lines = ["## Times", "", "| ms after the receipt | trips | p50 | p99 | max |", "| --- | --- | --- | --- | --- |"]
    for name, text in (
        ("word_ms", "gate word"), ("fence_ms", "fence"), ("first_cancel_ms", "first cancel handed to its wire"),
        ("proven_ms", "all proven"),
    ):  # fmt: skip
        for which, chosen in (("no fault", [t for t in trips if not t.kinds]), ("all", trips)):
            times = [x for t in chosen if (x := getattr(t, name)) is not None]
            if len(times) > 1:
                p99 = statistics.quantiles(times, n=100, method="inclusive")[98]
                middle = statistics.median(times)
                lines.append(f"| {text}, {which} | {len(times)} | {middle:,.2f} | {p99:,.2f} | {max(times):,.2f} |")
    return "\n".join(lines)


def _table(title: str, column: str, counts: Counter[str]) -> str:
    rows = "\n".join(f"| {k} | {n} |" for k, n in counts.most_common())
    return f"## {title}\n\n| {column} | count |\n| --- | --- |\n{rows}"
