"""`qd kill plan`: what a trip would do, from the configuration; a running kill switch adds how its sessions stand."""

from collections.abc import Mapping
from typing import Any

import msgspec

from base.config import DeskConfig
from base.errors import CommandError, RegionError
from ipc.readiness import read_status
from risk.kill_plan import KillVenue, Plan, Topology, make_plan
from venues.kill_topology import plan_of, topology_of
from venues.plan_words import VenueFacts, plan_text


class PlanPage:
    """One plan of one desk."""

    def __init__(self, desk: DeskConfig, scope: str, venue: str, wall_ns: int, sessions: Mapping[str, Any]) -> None:
        """`venue`: only that one, "" for all. `sessions`: those of a running kill switch, as its status has them."""
        self._desk, self._sessions = desk, sessions
        self._topology = topology_of(desk, wall_ns)
        if venue and venue not in self._topology.venues:
            raise CommandError(f"no venue {venue!r}; there are {', '.join(self._topology.venues)}")
        self._check(scope)
        self._only = venue
        self._plan = make_plan(self._topology, scope)

    def _check(self, scope: str) -> None:
        known = self._topology.scopes()
        if scope not in known and not (scope.startswith("strategy:") and len(scope) > len("strategy:")):
            raise CommandError(f"no scope {scope!r}; there are {', '.join(known)} and strategy:NAME")

    def text(self) -> str:
        """The page."""
        topology, plan = self._narrowed()
        facts = {n: self._facts(n, v) for n, v in topology.venues.items()}
        return plan_text(topology, plan, facts, self._desk.config.kill, self._told())

    def data(self) -> dict[str, Any]:
        """The same as plain data: the plan of the scope, and of each venue what its dialect states."""
        topology, plan = self._narrowed()
        found: dict[str, Any] = msgspec.to_builtins(plan)
        found["venues"] = {
            n: {
                **msgspec.to_builtins(plan_of(self._desk, n)),
                "kill_sessions": list(v.kill_sessions),
                "certified": dict(v.certified),
                "dead_man_s": self._desk.config.venue[n].dead_man_s,
            }
            for n, v in topology.venues.items()
        }
        found["told"] = self._told()
        return found

    def _narrowed(self) -> tuple[Topology, Plan]:
        if not self._only:
            return self._topology, self._plan
        venues = {self._only: self._topology.venues[self._only]}
        return Topology(self._topology.owners, venues), self._plan

    def _facts(self, name: str, venue: KillVenue) -> VenueFacts:
        stand = {}
        for session in venue.kill_sessions:
            now = self._sessions.get(session)
            stand[session] = f"{now['phase']} {now['reason']}".strip() if now else ""
        return VenueFacts(
            plan=plan_of(self._desk, name),
            venue=venue,
            dead_man_s=self._desk.config.venue[name].dead_man_s,
            sessions=stand,
        )

    def _told(self) -> list[str]:
        lines = [f"From {self._desk.path} ({self._desk.fingerprint})."]
        try:
            running = read_status(self._desk.shm_dir / "proc" / "killswitch").config
        except RegionError:
            running = ""
        if not self._sessions:
            lines.append("No kill switch answers: this is what the configuration says.")
        elif running != self._desk.fingerprint:
            lines.append(f"THE RUNNING KILL SWITCH HAS ANOTHER CONFIGURATION ({running}): it acts on that one.")
        else:
            lines.append("The running kill switch has this configuration.")
        return lines
