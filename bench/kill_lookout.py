"""What a campaign sees of the desk and of the venues, and turns into the rounds that bench/kill_audit.py judges.

Of the desk it reads what anybody may read: gate words, status pages, journals, latch, audit trail.
"""

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import msgspec

from base.config import DeskConfig
from base.errors import CommandError, RegionError
from bench.kill_audit import Claim, Closure, Round, Sighting, VenueOrder, Violation
from bench.kill_desk import SESSIONS, STRATEGIES, TRADING, VENUES, Venues
from bench.kill_tap import Heard
from ipc._words import boot_id
from ipc.audit import AuditLine, read_line
from ipc.audit_check import verify_audit
from ipc.events import ExecutionReport, OrderState
from ipc.gate import GateState, GateWord, read_gate, read_scopes
from ipc.kill_files import read_latch
from ipc.owners import JournalTail
from ipc.readiness import StatusReader
from risk.kill_latch import decode
from risk.kill_plan import Owned

FAR: Final = 1 << 62
SHUT: Final = frozenset({GateState.TRIPPING, GateState.TRIPPED})
OF_COMP_ID: Final = {c: s for s, (_, a, b, _, _) in SESSIONS.items() for c in (a, b) if c}
SETTLE_S: Final = 5.0  # for latch and audit to be on the disk once it takes them
LOOK_AGAIN_S: Final = 0.1


class _Shut(msgspec.Struct):
    """A closure in the making."""

    generation: int
    seen_ns: int
    opened_ns: int = FAR
    fences: dict[str, int] = {}


class Lookout:
    """Call `look` all the time; `begin` and `finish` make a round of what was seen between them."""

    def __init__(self, desk: DeskConfig, venues: Venues, folder: Path) -> None:
        self.desk, self.venues = desk, venues
        self.scopes = [
            "desk", *(f"venue:{v}" for v in VENUES), *(f"account:{v}/main" for v in VENUES),
            *(f"session:{s}" for s in TRADING.values()), *(f"strategy:{s}" for s in STRATEGIES),
            *sorted({f"instrument:{i.name}" for i in desk.instruments.values()}),
        ]  # fmt: skip
        self._folder = folder
        self._pages = {s: StatusReader(desk.shm_dir / "proc" / s) for s in TRADING.values()}
        self._tails = {s: JournalTail(desk.data_dir / s) for s in TRADING.values()}
        self._whose: dict[str, Owned] = {}
        self._ids: dict[str, set[str]] = defaultdict(set)  # by OrderID
        self._begin = dict.fromkeys(VENUES, 0)  # the first order of each venue's record that may still change
        self._heard: list[Heard] = []
        self._told: dict[str, int] = {}  # how far each strategy's file was read
        self._asked: set[str] = set()
        self._trail: dict[str, int] = {}
        self._shut: dict[str, _Shut] = {}
        self._over: list[Closure] = []
        self._claims: list[Claim] = []
        self._listed_ns: dict[str, int] = {}  # by trip: when its orders were taken down and its fence stood
        self._sightings: list[Sighting] = []
        self._suspects: dict[str, tuple[float, str]] = {}
        self.wrong: list[Violation] = []
        self.swept_all = False

    # -- all the time ----------------------------------------------------------------------------------------

    def look(self) -> None:
        """Gate words and fences."""
        now_ns = time.monotonic_ns()
        try:
            words = read_scopes(self.desk.shm_dir / "gate", self.scopes)
            _, generation, lease_ns = read_gate(self.desk.shm_dir / "gate")
        except RegionError:
            return  # removed by a fault, and about to be made anew
        for scope, word in words.items():
            self._word(scope, word, now_ns, generation)
        # Owners without a kill switch cancel all they have: a second early, since a page is looked at now and then.
        lapsed_ns = now_ns - lease_ns
        self.swept_all |= lapsed_ns > (self.desk.config.kill.lease_lost_cancel_s - 1) * 1_000_000_000
        for session, page in self._pages.items():
            try:
                page.words()
            except RegionError:
                continue
            fence, at_ns = page.fence(), page.fence_at_ns()
            for shut in self._shut.values():
                if fence >= shut.generation and session not in shut.fences:
                    shut.fences[session] = at_ns

    def _word(self, scope: str, word: GateWord, now_ns: int, generation: int) -> None:
        shut = self._shut.get(scope)
        if word.state in SHUT and (shut is None or word.generation > shut.generation):
            if shut is not None and shut.opened_ns == FAR:  # tripped again while shut: what was fenced stays fenced
                shut.generation = word.generation
                return
            if shut is not None:
                self._over.append(_closure(scope, shut, now_ns))
            self._shut[scope] = _Shut(word.generation, now_ns, fences={})
        elif shut is not None and shut.opened_ns == FAR and word.state == GateState.ARMED:
            self._suspect(f"{scope} is ARMED, generation {word.generation}, and nobody asked for it")
        if word.generation > generation:
            self._suspect(f"{scope} has generation {word.generation}, beyond the gate's own, {generation}")

    def _suspect(self, what: str) -> None:
        """Words are read one by one, and files are made anew: only what stays so is wrong."""
        first, _ = self._suspects.setdefault(what.partition(",")[0], (time.monotonic(), what))
        if 3 * LOOK_AGAIN_S > time.monotonic() - first > LOOK_AGAIN_S:
            self.wrong.append(Violation("gate", what, time.monotonic_ns(), {}))
            self._suspects[what.partition(",")[0]] = (-1.0, what)
        elif time.monotonic() - first > 1.0 and first > 0:
            self._suspects.pop(what.partition(",")[0])

    def shut_now(self, scope: str) -> bool:
        """Whether that scope, or the desk, is seen to be shut and was not opened since."""
        return any(s in self._shut and self._shut[s].opened_ns == FAR for s in (scope, "desk"))

    def opened_with(self, scopes: list[str], since_ns: int) -> None:
        """Scopes that a reset opened, which was asked for then."""
        for scope in scopes:
            if scope in self._shut:
                self._shut[scope].opened_ns = min(self._shut[scope].opened_ns, since_ns)

    def claim(self, scopes: list[str], at_ns: int, source: str) -> None:
        """The kill switch said that these are proven dead."""
        claim = Claim(tuple(sorted(scopes)), at_ns, source)
        same = [c for c in self._claims if c.scopes == claim.scopes and abs(c.at_ns - at_ns) < 1_000_000]
        if source != "status":  # the trail says more
            self._claims = [c for c in self._claims if c not in same]
        if source != "status" or not same:
            self._claims.append(claim)

    def sight(self, sighting: Sighting) -> None:
        """What was listed, and what worked."""
        self._sightings.append(sighting)

    # -- files of the desk -----------------------------------------------------------------------------------

    def check_latch(self) -> None:
        """The latch can be read and shuts what is shut."""
        wanted = {s: x for s, x in self._shut.items() if x.opened_ns == FAR}
        give_up = time.monotonic() + SETTLE_S
        while True:
            wrong = self._latch_fault(wanted)
            if not wrong:
                return
            if time.monotonic() > give_up:
                self.wrong.append(Violation("latch", wrong, time.monotonic_ns(), {}))
                return
            time.sleep(0.1)
            self.look()

    def _latch_fault(self, wanted: dict[str, _Shut]) -> str:
        reading = decode(read_latch(self.desk.data_dir / "kill"), f"{boot_id():032x}")
        if reading.latch is None:
            return f"the latch cannot be used: {reading.fault}"
        for scope, shut in wanted.items():
            kept = reading.latch.scopes.get(scope)
            if kept is None or kept.state not in ("TRIPPING", "TRIPPED"):
                return f"{scope} is shut since generation {shut.generation}; the latch says {kept and kept.state}"
        return ""

    def check_trail(self) -> None:
        """The audit trail's chain holds. A line that is being written is looked at again."""
        give_up = time.monotonic() + SETTLE_S
        while True:
            _, wrong = verify_audit(self.desk.data_dir / "kill")
            if not wrong:
                return
            if time.monotonic() > give_up:
                self.wrong.append(Violation("audit", wrong, time.monotonic_ns(), {}))
                return
            time.sleep(0.2)

    def _read_trail(self) -> None:
        """Proofs that were said since the last call, and of which orders."""
        for path in sorted((self.desk.data_dir / "kill").glob("audit-*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._trail.get(path.name, 0))
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._trail[path.name] = self._trail.get(path.name, 0) + len(whole)
            for line in whole.splitlines():
                said = read_line(line)
                if said is not None:
                    self._said(said)

    def _said(self, said: AuditLine) -> None:
        facts: dict[str, Any] = said.facts
        trip = str(facts.get("trip_id", ""))
        if said.event == "step" and facts.get("step") in ("closed", "fenced"):
            self._listed_ns[trip] = max(said.mono_ns, self._listed_ns.get(trip, 0))
        elif said.event == "PROVEN" and facts.get("all_proven_ms") is not None:
            at_ns = facts["received_mono_ns"] + int(facts["all_proven_ms"] * 1e6)
            self.claim(facts["scopes"], at_ns, f"audit {trip}")
        elif said.event == "proofs":
            names = frozenset(str(o["order"]) for o in facts["orders"])
            for n, claim in enumerate(self._claims):
                if claim.source == f"audit {trip}" and claim.names is None:
                    listed_ns = self._listed_ns.get(trip, claim.at_ns + 1)
                    self._claims[n] = msgspec.structs.replace(claim, names=names, listed_ns=listed_ns)

    # -- rounds ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A round begins: nothing is shut."""
        self._shut.clear()
        self._over.clear()
        self._claims.clear()
        self._sightings.clear()
        self._suspects.clear()
        self.wrong = []
        self.swept_all = False
        self._heard = []
        self._collect()

    def finish(self, number: int, began_ns: int) -> Round:
        """Everything of the round. CommandError: a venue does not answer."""
        ended_ns = time.monotonic_ns()
        self._read_trail()
        self._collect()
        self._read_strategies()
        closures = [*self._over, *(_closure(s, x, ended_ns) for s, x in self._shut.items())]
        orders = [order for venue in VENUES for order in self._record(venue)]
        return Round(
            number=number, began_ns=began_ns, ended_ns=ended_ns, closures=closures, claims=list(self._claims),
            sightings=list(self._sightings), orders=orders, heard=list(self._heard), whose=self._whose,
            asked=frozenset(self._asked), swept_all=self.swept_all,
        )  # fmt: skip

    def _collect(self) -> None:
        self._heard += self.venues.heard()
        self.read_journals()

    def read_journals(self) -> None:
        """Whose each order is, and under which names it goes."""
        for session, tail in self._tails.items():
            more = True
            while more:
                told, more = tail.read(2_000)
                for event in (t.event for t in told):
                    if isinstance(event, OrderState | ExecutionReport):
                        self._names(session, event)

    def _names(self, session: str, event: OrderState | ExecutionReport) -> None:
        ids = [i for i in (event.cl_ord_id, event.order_id) if i]
        if event.order_id:
            self._ids[event.order_id].add(event.cl_ord_id)
        if isinstance(event, OrderState):
            owned = Owned(event.venue, event.account, session, event.instrument, event.strategy)
            for name in ids:
                self._whose[name] = owned

    def _read_strategies(self) -> None:
        for path in self._folder.glob("trader-*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._told.get(path.name, 0))
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._told[path.name] = self._told.get(path.name, 0) + len(whole)
            self._asked.update(json.loads(line)["id"] for line in whole.splitlines())

    def _record(self, venue: str) -> list[VenueOrder]:
        """The venue's orders that were not over at the last call, and those since."""
        offset_ns = time.monotonic_ns() - time.time_ns()
        found, first_open = [], -1
        for n, o in enumerate(self.venues.record(venue, self._begin[venue]), self._begin[venue]):
            if not o["closed_ns"] and first_open < 0:
                first_open = n
            found.append(self._venue_order(venue, o, offset_ns))
        self._begin[venue] = first_open if first_open >= 0 else self._begin[venue] + len(found)
        return found

    def _venue_order(self, venue: str, o: dict[str, Any], offset_ns: int) -> VenueOrder:
        ids = self._ids.get(o["order_id"], set()) | {o["cl_ord_id"]}
        session = OF_COMP_ID.get(o["session"], "")
        unknown = Owned(venue, o["account"], session, o["instrument"], "")
        owned = next((self._whose[i] for i in (o["order_id"], *ids) if i in self._whose), unknown)
        return VenueOrder(
            owned=owned, order_id=o["order_id"], ids=tuple(sorted(i for i in ids if i)), status=o["ord_status"],
            ended=o["ended"], opened_ns=o["opened_ns"] + offset_ns,
            closed_ns=o["closed_ns"] + offset_ns if o["closed_ns"] else 0,
        )  # fmt: skip

    def working(self, venue: str) -> list[str] | None:
        """OrderIDs that truly work there; None when the venue does not answer."""
        try:
            return [o["order_id"] for o in self.venues.working(venue)]
        except CommandError:
            return None


def _closure(scope: str, shut: _Shut, until_ns: int) -> Closure:
    return Closure(
        scope=scope, generation=shut.generation, seen_ns=shut.seen_ns, opened_ns=min(shut.opened_ns, until_ns),
        fences=dict(shut.fences),
    )  # fmt: skip
