"""The full drill: orders placed, the desk tripped, every order proven dead, opened again. Simulated venues only."""

import time
from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import msgspec

from base.config import DeskConfig, Kind
from base.errors import CommandError, QuarterdeckError
from base.instruments import Instrument
from ipc.drills import DrillRecord, DrillStep
from ipc.requests import CancelOrder, NewOrder, Ops
from ipc.view.status import read_desk
from quarterdeck.orders import Operator
from quarterdeck.supervisord import wait_until
from quarterdeck.who import who
from sim.client import call, control_of

EACH = 2  # bids for each instrument of each session
BELOW = Decimal("0.9")  # of the best bid: they rest
NOTIONAL = Decimal(20)  # at least, in quote currency: above what venues want
PLACE_S = 60.0
OPEN_S = 60.0  # after the cool-off
PROOF_S = 90.0


class FullDrill:
    """One full drill. CommandError before anything is touched when it must not be made here."""

    def __init__(self, desk: DeskConfig, operator: Operator) -> None:
        self._desk, self._operator = desk, operator
        self._steps: list[DrillStep] = []
        self._placed: dict[str, str] = {}  # ClOrdID -> session
        real = [v for v in desk.config.venue if v not in desk.config.sim]
        if desk.config.desk.environment != "sim" or real:
            why = f"{', '.join(real)} is no simulated venue" if real else f"this is {desk.config.desk.environment}"
            raise CommandError(f"a full drill places and cancels orders: simulated desks only, and {why}")

    def run(self) -> DrillRecord:
        """Make it; the record is kept by the kill switch."""
        self._refuse_if_tripped()
        at_ns = time.time_ns()
        ident = f"f{at_ns}"
        try:
            self._timed("orders placed", self._place)
            self._timed("trip", lambda: self._trip(ident))
            self._prove()
            self._timed("nothing works at the venues", self._nothing_left)
            self._timed("opened again", lambda: self._reset(ident))
        except QuarterdeckError as e:
            self._steps.append(DrillStep("drill", False, None, str(e)))
            self._take_back()
        record = DrillRecord(ident, "full", at_ns, who(), all(s.ok for s in self._steps), tuple(self._steps))
        self._ask("drill_record", record=msgspec.json.encode(record).decode())
        return record

    # -- steps --------------------------------------------------------------------------------------------------

    def _refuse_if_tripped(self) -> None:
        status = self._ask("status")
        shut = [s["scope"] for s in status["scopes"] if s["state"] in ("TRIPPING", "TRIPPED", "RESETTING")]
        if shut or status["desk"] != "ARMED":
            raise CommandError(f"no full drill now: desk {status['desk']}, tripped: {', '.join(shut) or 'nothing'}")

    def _place(self) -> tuple[bool, str]:
        self._arm()
        for session in self._desk.sessions(Kind.TRADING):
            for instrument in self._desk.session_instruments(session):
                for i in range(EACH):
                    self._order(session, instrument, i)
        wanted = set(self._placed)
        works = wait_until(lambda: wanted <= {o["cl_ord_id"] for o in self._working()}, PLACE_S)
        return works, f"{len(wanted)} orders work at the venues" if works else "not all came to work"

    def _arm(self) -> None:
        """The drill is a strategy: one that the reset of the drill before disarmed, if there was one."""
        self._ask("arm", scope="strategy:drill", reason="a full drill begins")

    def _order(self, session: str, instrument: Instrument, ticks: int) -> None:
        """Each a tick below the one before: two that are the same look like a slip of the hand."""
        bid = self._bid(instrument)
        step = Decimal(instrument.tick_size)
        px = int(((bid * BELOW * 10**instrument.px_scale / step).to_integral_value(ROUND_FLOOR) - ticks) * step)
        least = NOTIONAL / (Decimal(px) / 10**instrument.px_scale) * 10**instrument.qty_scale
        lots = int(least / instrument.lot_size) + 1
        qty = max(lots * instrument.lot_size, instrument.min_qty)
        head = self._operator.head(session)
        command = NewOrder(*head, instrument.venue, instrument.name, "1", "2", qty, px, strategy="drill")
        answer = self._operator.ask(session, command)
        if not answer.accepted:
            raise CommandError(f"{session} {instrument.name}: order refused: {answer.reason}")
        self._placed[answer.cl_ord_id] = session

    def _bid(self, instrument: Instrument) -> Decimal:
        for book in read_desk(self._desk).books:
            if (book.venue, book.instrument) == (instrument.venue, instrument.name) and book.bid_px:
                return Decimal(book.bid_px)
        raise CommandError(f"{instrument.venue} {instrument.name}: no live book to price an order by")

    def _trip(self, ident: str) -> tuple[bool, str]:
        found = self._ask("trip", reason=f"full drill {ident}")
        return True, f"trip {found['trip_id']}, generation {found['generation']}"

    def _prove(self) -> None:
        wait_until(lambda: self._last()["phase"] == "PROVEN", PROOF_S)
        trip = self._last()
        for name, key in (("gate closed", "gate_closed_ms"), ("first cancel", "first_cancel_ms"),
                          ("fence complete", "fence_ms"), ("all proven dead", "all_proven_ms")):  # fmt: skip
            self._steps.append(DrillStep(name, trip[key] is not None, trip[key], "after the trip was received"))
        ok = trip["phase"] == "PROVEN" and trip["orders"] >= len(self._placed) and not trip["killed"]
        said = f"{trip['proven']} of {trip['orders']}; killed: {', '.join(trip['killed']) or 'nobody'}"
        self._steps.append(DrillStep("orders proven dead", ok, None, said))

    def _nothing_left(self) -> tuple[bool, str]:
        left = [o["cl_ord_id"] for o in self._working()]
        return not left, f"still working: {', '.join(left[:10])}" if left else "as the venues themselves say"

    def _reset(self, ident: str) -> tuple[bool, str]:
        self._ask("reset", reason=f"full drill {ident} is over")
        wait = self._desk.config.kill.reset_cool_off_s + OPEN_S
        done = wait_until(lambda: read_desk(self._desk).gate == "ARMED", wait)
        return done, "the desk is ARMED" if done else "the desk does not open"

    def _take_back(self) -> None:
        """What was placed before the drill failed is not left standing; the trip, if there is one, is a person's."""
        for cl_ord_id, session in self._placed.items():
            self._operator.ask(session, CancelOrder(*self._operator.head(session), cl_ord_id))

    # -- inside -------------------------------------------------------------------------------------------------

    def _timed(self, name: str, step: Callable[[], tuple[bool, str]]) -> bool:
        began_ns = time.monotonic_ns()
        ok, said = step()
        self._steps.append(DrillStep(name, ok, round((time.monotonic_ns() - began_ns) / 1e6, 3), said))
        return ok

    def _last(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("status")["last_trip"]
        return found

    def _working(self) -> list[dict[str, Any]]:
        """Orders of this desk that truly work at the venues, whatever anybody reports."""
        mine = {s.sender_comp_id for s in self._desk.config.session.values()}
        mine |= {s.alternate_sender_comp_id for s in self._desk.config.session.values()}
        venues = [control_of(self._desk, v) for v in self._desk.config.sim]
        return [o for v in venues for o in call(v, "GET", "/working")["orders"] if o["session"] in mine]

    def _ask(self, verb: str, **words: str) -> dict[str, Any]:
        answer = self._operator.ask("killswitch", Ops(*self._operator.head("killswitch"), verb, {"by": who(), **words}))
        if not answer.accepted:
            raise CommandError(answer.reason)
        found: dict[str, Any] = msgspec.json.decode(answer.data)
        return found
