"""`qd kill certify`: the kill switch finds out what its own mass cancel reaches at a venue, and keeps what it found.

Orders of the trading sessions are placed through their owners, as a strategy would; one more on the asking session
itself tells "its own session" from "nothing". Then the one request that is probed, and nothing else (risk/certify.py).
"""

from collections.abc import Callable, Mapping

import msgspec

from base.config import DeskConfig
from base.errors import CommandError, QuarterdeckError
from base.instruments import Instrument
from base.reactor import Reactor
from ipc.events import CancelReject, ExecutionReport, MassCancelReport
from ipc.gate import GateState
from ipc.owners import OwnerWatch
from ipc.readiness import Readiness
from ipc.requests import Answer, CancelOrder, NewOrder
from risk.certify import AskAccount, Cancel, Place, Probe, ProbeAction, ProbeOrder, Send
from risk.kill import KillSwitch
from risk.kill_plan import OwnMassCancel, RestCancelAll
from venues.cancel_plan import CancelStep, step_of
from venues.certified import Finding, venue_fingerprint, write_finding
from venues.interface import SessionPhase, WorkingOrder
from venues.kill_paths import OwnerCommands, OwnSession
from venues.kill_rest import RestPath
from venues.kill_topology import kill_venue, plan_of

STRATEGY = "certify"
MOST_SESSIONS = 2  # trading sessions that place an order
MOST_INSTRUMENTS = 2

Audit = Callable[[str, dict[str, object]], object]


class Certifier:
    """One probe at a time."""

    def __init__(
        self,
        reactor: Reactor,
        desk: DeskConfig,
        switch: KillSwitch,
        owners: Mapping[str, OwnerWatch],
        commands: Mapping[str, OwnerCommands],
        own: Mapping[str, OwnSession],
        rest: Mapping[str, RestPath],
        audit: Audit,
        build: str,
    ) -> None:
        self._reactor, self._clock, self._desk, self._switch = reactor, reactor.clock, desk, switch
        self._owners, self._commands, self._own, self._rest = owners, commands, own, rest
        self._audit, self._build = audit, build
        self._probe: Probe | None = None
        self._venue = ""
        self._step: CancelStep | None = None
        self._asker: OwnSession | None = None
        self._finding: Finding | None = None
        self._ended = False
        self._kept = ""  # where the finding was written, or why it was not

    def start(self, args: Mapping[str, str]) -> dict[str, object]:
        """Begin. CommandError when it may not, or cannot, be done.

        `args`: venue; instruments, qtys, prices (separated by spaces); path (own, rest or ""); others ("yes": although
        other orders are open); confirm (the venue's name again, in production).
        """
        self._may(args)
        self._venue = venue = args["venue"]
        step, asker = self._way(venue, args.get("path", ""))
        instruments = self._instruments(venue, args.get("instruments", "").split())
        figures = _figures(instruments, args.get("qtys", "").split(), args.get("prices", "").split())
        orders = self._orders(venue, asker, step, figures)
        self._step, self._asker, self._finding, self._kept = step, asker, None, ""
        self._ended = False
        known = self._switch.topology.venues[venue]
        self._probe = Probe(
            orders, known.lag_ns, named=step.per_instrument, lists=known.lists, others=args.get("others") == "yes"
        )
        self._audit("certify", {"venue": venue, "says": step.says, "orders": [o.name for o in orders]})
        return {"says": step.says, "path": asker.name if asker is not None else "rest", "orders": len(orders)}

    def status(self) -> dict[str, object]:
        """How the probe stands."""
        probe = self._probe
        if probe is None:
            raise CommandError("no probe was begun since the kill switch started")
        finding = msgspec.to_builtins(self._finding) if self._finding is not None else None
        words = self._finding.words if self._finding is not None else ""
        over = probe.over and (probe.found is None or bool(self._kept))
        return {"venue": self._venue, "phase": probe.phase.value, "over": over, "said": probe.said, "why": probe.why,
                "finding": finding, "words": words, "kept": self._kept}  # fmt: skip

    @property
    def busy(self) -> bool:
        """Whether a probe is under way: its requests are on their way although nothing is tripped."""
        return self._probe is not None and not self._ended

    def event(self, event: object) -> None:
        """An event of any session."""
        probe = self._probe
        if probe is None or probe.over:
            return
        if isinstance(event, ExecutionReport):
            ids = {event.cl_ord_id, event.orig_cl_ord_id} - {""}
            probe.report(ids, event.order_id, event.ord_status, self._clock.mono_ns())
        elif self._asker is not None and getattr(event, "session", "") == self._asker.name:
            if isinstance(event, MassCancelReport):
                affected = "" if event.affected is None else f" 533={event.affected}"
                probe.answer(f"35=r 531={event.response}{affected} {event.reason_code} {event.text}".strip())
            elif isinstance(event, CancelReject):
                probe.answer(f"35={event.origin} {event.reason_code} {event.text}".strip())

    def tick(self) -> None:
        """Several times a second."""
        probe, now = self._probe, self._now()
        if probe is None or self._ended:
            return
        if not self._armed():
            self._do(probe.abort("the gate was closed in between", now))
        self._do(probe.tick(now))
        if probe.over:
            self._ended = True
            self._end(probe)

    # -- before ------------------------------------------------------------------------------------------------

    def _may(self, args: Mapping[str, str]) -> None:
        venue = args.get("venue", "")
        if venue not in self._switch.topology.venues:
            raise CommandError(f"no venue {venue!r}; there are {', '.join(self._switch.topology.venues)}")
        if self._desk.config.desk.environment == "production" and args.get("confirm") != venue:
            raise CommandError(f"a probe places real orders: in production it wants the name {venue!r} repeated")
        if self._probe is not None and not self._probe.over:
            raise CommandError(f"a probe of {self._venue} is under way")
        if not self._armed():
            raise CommandError("the desk is not ARMED: the probe places orders")

    def _armed(self) -> bool:
        records = self._switch.records
        return not self._switch.busy and "desk" in records and records["desk"].state == GateState.ARMED

    def _way(self, venue: str, path: str) -> tuple[CancelStep, OwnSession | None]:
        """The step to probe and the session that asks; None: REST."""
        plan, own = plan_of(self._desk, venue), self._switch.topology.venues[venue].kill_sessions
        if path not in ("", "own", "rest"):
            raise CommandError(f"path: {path!r} is neither own nor rest")
        if own and path != "rest":
            step = step_of(plan.steps, "own_mass_cancel") or step_of(plan.steps, "owner_mass_cancel")
            if step is None:
                raise CommandError(f"{venue} has no mass cancel over a session")
            asker = self._own[own[0]]
            if asker.state is not SessionPhase.READY:
                raise CommandError(f"{asker.name} is {asker.state}: {asker.reason}")
            return msgspec.structs.replace(step, action="own_mass_cancel"), asker
        step = step_of(plan.steps, "rest_cancel_all")
        if path == "own" or step is None or venue not in self._rest or not self._rest[venue].usable:
            raise CommandError(f"{venue}: the kill switch has no session of its own there, nor a cancel-all over REST")
        return step, None

    def _instruments(self, venue: str, names: list[str]) -> list[Instrument]:
        known = {i.name: i for i in self._desk.venue_instruments(venue)}
        for name in names:
            if name not in known:
                raise CommandError(f"{venue} has no instrument {name!r}; it has {', '.join(known)}")
        if not names or len(names) > MOST_INSTRUMENTS or len(set(names)) < len(names):
            raise CommandError(f"one or two different instruments are needed, not {names}")
        return [known[n] for n in names]

    def _orders(
        self, venue: str, asker: OwnSession | None, step: CancelStep, figures: list[tuple[Instrument, int, int]]
    ) -> list[ProbeOrder]:
        sessions = [s for s, o in self._switch.topology.owners.items() if o.venue == venue and self._trades(s)]
        if not sessions:
            raise CommandError(f"no trading session of {venue} is READY: there is nobody to place an order")
        found = []
        for n, (instrument, qty, price) in enumerate(figures):
            mine = [s for s in sessions if instrument.name in self._switch.topology.owners[s].instruments]
            placers = [(s, False) for s in mine[:MOST_SESSIONS]]
            if asker is not None and n == 0:
                placers.append((asker.name, True))
            aimed = not step.per_instrument or n == 0
            found += [
                ProbeOrder(session=s, own=own, instrument=instrument.name, qty=qty, price=price, aimed=aimed)
                for s, own in placers
            ]
        if all(o.own for o in found):
            raise CommandError(f"no trading session of {venue} deals in {figures[0][0].name}")
        return found

    def _trades(self, session: str) -> bool:
        owner = self._owners[session]
        return owner.alive and owner.status is not None and owner.status.readiness is Readiness.READY

    # -- what the probe asks -----------------------------------------------------------------------------------

    def _do(self, actions: list[ProbeAction]) -> None:
        for action in actions:
            if isinstance(action, Place):
                self._place(action.index)
            elif isinstance(action, Cancel):
                self._cancel(action.index)
            elif isinstance(action, Send):
                self._send()
            elif isinstance(action, AskAccount):
                self._list()

    def _place(self, index: int) -> None:
        probe = self._probe
        assert probe is not None
        order = probe.orders[index]
        link = None if order.own else self._commands[order.session]
        command = NewOrder(
            "killswitch", link.next_id() if link is not None else "", 0, self._venue, order.instrument, "1", "2",
            order.qty, order.price, strategy=STRATEGY,
        )  # fmt: skip
        if link is None:
            assert self._asker is not None
            try:
                self._later(index, self._asker.place(command), "")
            except QuarterdeckError as e:
                self._later(index, "", str(e))
            return

        def answered(answer: Answer) -> None:
            self._do(probe.placed(index, answer.cl_ord_id, "" if answer.accepted else answer.reason, self._now()))

        if not link.send(command, answered):
            self._later(index, "", "its process takes no commands")

    def _later(self, index: int, cl_ord_id: str, why: str) -> None:
        """Not from within the probe's own call."""
        probe = self._probe
        assert probe is not None
        if cl_ord_id:
            probe.orders[index].cl_ord_id = cl_ord_id  # before its report can come
        self._reactor.call_soon(lambda: self._do(probe.placed(index, cl_ord_id, why, self._now())), "certify")

    def _cancel(self, index: int) -> None:
        probe = self._probe
        assert probe is not None
        order = probe.orders[index]
        if not order.own:
            link = self._commands[order.session]
            link.send(CancelOrder("killswitch", link.next_id(), 0, order.cl_ord_id, order.order_id, order.instrument))
            return
        assert self._asker is not None
        instrument = next(i for i in self._desk.venue_instruments(self._venue) if i.name == order.instrument)
        working = WorkingOrder(
            instrument=instrument, cl_ord_id=order.cl_ord_id, order_id=order.order_id, side="1", ord_type="2",
            time_in_force="1", order_qty=order.qty, price=order.price, stop_px=None, leaves_qty=order.qty,
            sent_ns=self._clock.wall_ns(),
        )  # fmt: skip
        try:
            self._asker.cancel(working)
        except QuarterdeckError as e:
            self._audit("certify", {"venue": self._venue, "not cancelled": order.name, "why": str(e)})

    def _send(self) -> None:
        probe, step = self._probe, self._step
        assert probe is not None
        assert step is not None
        instrument = probe.orders[0].instrument
        why = ""
        self._audit("certify", {"venue": self._venue, "sends": step.says})
        if self._asker is not None:
            action = OwnMassCancel(self._asker.name, self._venue, instrument if step.per_instrument else "")
            if not self._asker.mass_cancel(action):
                why = f"{self._asker.name} is {self._asker.state}: {self._asker.reason}"
        else:
            path = self._rest[self._venue]
            path.said = self._answered
            names = (instrument,) if step.per_instrument else tuple(dict.fromkeys(o.instrument for o in probe.orders))
            path.cancel_all(RestCancelAll(self._venue, names))
            return  # how long that takes nobody knows: it counts from its answer
        self._reactor.call_soon(lambda: self._do(probe.sent(why, self._now())), "certify")

    def _list(self) -> None:
        probe = self._probe
        assert probe is not None
        self._rest[self._venue].list_orders(
            lambda lines, started_ns, done_ns: self._do(probe.listed(lines, started_ns, done_ns)),
            lambda why: self._do(probe.list_failed(why, self._now())),
        )

    def refused(self, why: str) -> None:
        """A cancel-all over REST was refused."""
        if self._probe is not None and not self._ended and self._asker is None:
            self._answered(f"refused: {why}")

    def _answered(self, text: str) -> None:
        """REST answered to the request."""
        probe = self._probe
        assert probe is not None
        probe.answer(text)
        self._do(probe.sent("", self._now()))

    def _now(self) -> int:
        return self._clock.mono_ns()

    # -- after -------------------------------------------------------------------------------------------------

    def _end(self, probe: Probe) -> None:
        self._audit("certify", {"venue": self._venue, "said": list(probe.said), "failed": probe.why})
        found, step = probe.found, self._step
        if found is None or step is None:
            return
        self._finding = Finding(
            venue=self._venue, action=step.action, path=self._asker.name if self._asker is not None else "rest",
            says=step.says, reaches=found.reaches, when_empty=found.when_empty, answers=found.answers,
            ended=found.ended, left=found.left, at_ns=self._clock.wall_ns(), took_ms=found.took_ms,
            build=self._build, config=venue_fingerprint(self._desk, self._venue),
        )  # fmt: skip
        finding, desk = self._finding, self._desk

        def written(path: object, error: Exception | None) -> None:
            self._kept = f"not kept: {error}" if error is not None else str(path)
            self._switch.know(kill_venue(desk, finding.venue, self._clock.wall_ns()))

        self._reactor.run_blocking(lambda: write_finding(desk, finding), written, "certify")


def _figures(instruments: list[Instrument], qtys: list[str], prices: list[str]) -> list[tuple[Instrument, int, int]]:
    if len(qtys) != len(instruments) or len(prices) != len(instruments):
        raise CommandError("a quantity and a price is needed for each instrument")
    found = []
    for i, qty, price in zip(instruments, qtys, prices, strict=True):
        try:
            found.append((i, i.qty(qty), i.px(price)))
        except QuarterdeckError as e:
            raise CommandError(f"{i.name}: {e}") from None
    return found
