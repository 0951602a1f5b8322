"""The desk whose processes are stopped and killed, and the orders that stream into it meanwhile.

Two venues over TLS: `wide`, whose orders the kill switch reaches by itself (a session of its own whose mass cancel
reaches the account, and REST), and `plain`, FIX 4.4 and nothing else: there a dead owner's orders can be cancelled by
nobody but the owner, started again.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from base.clock import SystemClock
from base.config import DeskConfig, Kind
from base.errors import BusError
from ipc.command_client import CommandClient
from ipc.requests import NewOrder, ReplaceOrder
from ipc.roster import command_endpoint

SUPERVISORD = "supervisord"
KILLSWITCH = "killswitch"
ALARMS = "alarms"
TRADING = ("wide-trd", "plain-trd")
OTHERS = ("wide-md", "plain-md", "wide-dc", "book-l2", "ledger", ALARMS)
PROCESSES = (*TRADING, *OTHERS, KILLSWITCH)
LEASE_LOST_S = 2
PLACED = 3  # orders at each venue before anything happens
GATE_WORDS = ("is TRIP", "is RESETTING", "is DISARMED", "operator word", "lease of the kill switch", "gate closed")

DESK = f"""
[desk]
name = "apart"
environment = "sim"

[kill]
arm_at_start = true
strategies_arm_again = false
sessions = ["wide-kill"]
fence_deadline_ms = 400
lease_lost_cancel_s = {LEASE_LOST_S}
unanswered_horizon_s = 1
watch_after_proof_s = 0
reset_cool_off_s = 0
session_loss_grace_s = 600

[venue.wide]
dialect = "fix44"
instruments = [
    {{ name = "BTC-USD", symbol = "BTC-USD", px_scale = 2, qty_scale = 8, min_qty = "0.0001" }},
]
options = {{ rest = true, on_disconnect = "keeps", mass_cancel_reaches = "account" }}

[venue.wide.rest]
address = "run:sim-wide#rest"
key = "run:secrets/wide.key"
secret = "run:secrets/wide.secret"
ca_file = "run:sim-wide.ca.pem"
lag_ms = 100

[venue.plain]
dialect = "fix44"
instruments = [
    {{ name = "BTC-USD", symbol = "BTC-USD", px_scale = 2, qty_scale = 8, min_qty = "0.0001" }},
]
options = {{ on_disconnect = "keeps", mass_cancel_reaches = "comp_id" }}

[book.l2]
sessions = ["wide-md", "plain-md"]
levels = 20000

[ledger]

[alarms]

[sim.wide]
seed = 1
messages_per_s = 10
options = {{ mass_cancel_reaches = "account" }}

[sim.plain]
seed = 2
messages_per_s = 10
"""
SESSION = """
[session.{name}]
venue = "{venue}"
kind = "{kind}"
address = "run:sim-{venue}#{kind}"
ca_file = "run:sim-{venue}.ca.pem"
server_name = "localhost"
heartbeat_s = 5
sender_comp_id = "{sender}"
target_comp_id = "VENUE"
username = "run:secrets/{venue}.key"
password = "run:secrets/{venue}.secret"
"""
# name: venue, kind, SenderCompID
SESSIONS = {
    "wide-trd": ("wide", "trading", "QDWIDE"),
    "wide-kill": ("wide", "trading", "QDKILL"),
    "wide-md": ("wide", "marketdata", "QDWIDEMD"),
    "wide-dc": ("wide", "dropcopy", "QDWIDEDC"),
    "plain-trd": ("plain", "trading", "QDPLAIN"),
    "plain-md": ("plain", "marketdata", "QDPLAINMD"),
}
ORDERS = {"wide-trd": ("wide", "BTC-USD", 100_000), "plain-trd": ("plain", "BTC-USD", 100_000)}
PRICE = 30_000_00  # half of where the simulated crowd trades: it rests


def configuration() -> str:
    """The desk as TOML."""
    sessions = (
        SESSION.format(name=name, venue=venue, kind=kind, sender=sender)
        for name, (venue, kind, sender) in SESSIONS.items()
    )
    return DESK + "".join(sessions)


def wait_for(condition: Callable[[], Any], seconds: float, what: Callable[[], str] | str) -> Any:
    """The first true answer; AssertionError with `what`, asked for only then, when `seconds` go by.

    Questions cost the processes that are waited for: they are asked ever more rarely, at last every tenth of a second.
    """
    end, pause_s = time.monotonic() + seconds, 0.01
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.2, 0.1)


class Stream(threading.Thread):
    """A strategy that never stops placing orders at one session, and keeps what it was answered."""

    def __init__(self, desk: DeskConfig, session: str, pause_s: float = 0.03) -> None:
        super().__init__(name=f"orders {session}", daemon=True)
        self.session = session
        self.accepted: list[str] = []
        self.refused = 0  # by the gate
        self.last = ""  # answer
        self.after: list[str] = []  # accepted although the gate had refused an order before
        self._desk, self._pause_s = desk, pause_s
        self._end = threading.Event()

    def run(self) -> None:
        """Place, look at the answer, go on."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        client = CommandClient(context, command_endpoint(self._desk, self.session), "stream", SystemClock())
        while not self._end.wait(self._pause_s):
            try:
                answer = client.request(self._next(client.next_command_id()), timeout_ms=300)
            except BusError as e:
                self.last = str(e)
                continue  # stopped, dead, or not there yet
            self.last = answer.reason
            if answer.accepted:
                self.accepted.append(answer.cl_ord_id)
                if self.refused:
                    self.after.append(answer.cl_ord_id)
            elif any(word in answer.reason for word in GATE_WORDS):
                self.refused += 1
        client.close()
        context.destroy(linger=0)

    def _next(self, command_id: str) -> NewOrder | ReplaceOrder:
        """What is asked for next."""
        venue, instrument, qty = ORDERS[self.session]
        return NewOrder("stream", command_id, 0, venue, instrument, "1", "2", qty, PRICE, strategy="mm")

    def mark(self) -> None:
        """The desk is tripped now: a refusal before may have been a lapsed lease, which comes back."""
        self.refused = 0
        self.after.clear()

    def end(self) -> None:
        """Stop placing."""
        self._end.set()
        self.join()


class Changes(Stream):
    """A strategy that places one order and never stops changing its price."""

    def _next(self, command_id: str) -> NewOrder | ReplaceOrder:
        if not self.accepted:
            return super()._next(command_id)
        price = PRICE - len(self.accepted) % 100
        return ReplaceOrder("stream", command_id, 0, self.accepted[0], ORDERS[self.session][2], price)


@contextmanager
def streams(desk: DeskConfig) -> Iterator[dict[str, Stream]]:
    """A strategy at each session, as long as the block lasts."""
    found = {s: Stream(desk, s) for s in desk.sessions(Kind.TRADING)}
    for stream in found.values():
        stream.start()
    try:
        yield found
    finally:
        for stream in found.values():
            stream.end()
