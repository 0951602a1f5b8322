"""The desk of a soak: its configuration, with a proxy before every endpoint, its processes, and a person who resets
the kill switch.
"""

import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil

from base.config import DeskConfig, load
from base.errors import CommandError, QuarterdeckError
from ipc.requests import Ops
from ipc.view.status import DeskView, read_desk
from quarterdeck import supervisord
from quarterdeck.orders import Operator
from sim.client import call, control_of

READY_S = 90.0
LOOK_S = 0.5
LOOKS = 4  # at a venue that does not answer within five seconds
FORCE_AFTER_S = 25.0  # how long the person waits for proofs before forcing a reset

HEAD = """
[desk]
name = "soak"
environment = "sim"
log_budget_mb = 2000

[kill]
arm_at_start = true
strategies_arm_again = false
sessions = ["binance-kill"]
dead_owner_trips = false # a killed process finds its orders again; deaths that trip are a fault of their own
reset_cool_off_s = 1
proof_deadline_s = 20
watch_after_proof_s = 2

[[kill.limits]]
scope = "desk"
max_open_orders = 2000
max_orders_per_s = 2000

[ledger]
break_after_ms = 3000

[book.l2]
sessions = ["kraken-md", "binance-md", "peer-md"]
levels = 20000
"""

VENUE = """
[venue.{venue}]
dialect = "{dialect}"
instruments = [
{instruments}]
{options}
[venue.{venue}.rest]
address = "{scheme}run:proxy-{venue}#rest"
key = "run:secrets/{venue}.key"
secret = "run:secrets/{venue}.secret"
kill_key = "run:secrets/{venue}-kill.key"
kill_secret = "run:secrets/{venue}-kill.secret"
{rest_ca}
[sim.{venue}]
seed = {seed}
messages_per_s = {rate}
plain = {plain}
{sim_options}
"""

SESSION = """
[session.{name}]
venue = "{venue}"
kind = "{kind}"
address = "run:proxy-{venue}#{kind}"
heartbeat_s = {heartbeat}
{tls}
sender_comp_id = "{sender}"
{alternate}target_comp_id = "{target}"
username = "run:secrets/{key}.key"
password = "run:secrets/{key}.secret"
{more}"""


def _instrument(name: str, symbol: str, more: str) -> str:
    return f'    {{ name = "{name}", symbol = "{symbol}", {more} }},\n'


_KRAKEN = _instrument("BTC-USD", "BTC/USD", 'px_scale = 1, qty_scale = 8, tick_size = "0.1", min_qty = "0.0001"')
_KRAKEN += _instrument("ETH-USD", "ETH/USD", 'px_scale = 2, qty_scale = 8, tick_size = "0.01", min_qty = "0.001"')
_BINANCE = _instrument(
    "BTC-USDT", "BTCUSDT", 'px_scale = 2, qty_scale = 8, tick_size = "0.01", lot_size = "0.00001", min_qty = "0.00001"'
)
_BINANCE += _instrument(
    "ETH-USDT", "ETHUSDT", 'px_scale = 2, qty_scale = 8, tick_size = "0.01", lot_size = "0.0001", min_qty = "0.0001"'
)
_PEER = _instrument("BTC-USD", "BTC-USD", 'px_scale = 2, qty_scale = 6, tick_size = "0.01", min_qty = "0.0001"')
_PEER += _instrument("ETH-USD", "ETH-USD", 'px_scale = 2, qty_scale = 5, tick_size = "0.01", min_qty = "0.0001"')

# venue: dialect, instruments, options, plain, sim options
VENUES: dict[str, tuple[str, str, str, bool, str]] = {
    "kraken": ("kraken", _KRAKEN, '[venue.kraken.options]\ntier = "none"\n', False, ""),
    "binance": ("binance", _BINANCE, "", False, ""),
    "peer": (
        "fix44", _PEER,
        '[venue.peer.options]\nrest = true\non_disconnect = "keeps"\nmass_cancel_reaches = "comp_id"\n', True,
        '[sim.peer.options]\non_disconnect = "keeps"\n',
    ),
}  # fmt: skip

# session: venue, kind, SenderCompID, the other one, TargetCompID, credentials, HeartBtInt
SESSIONS: dict[str, tuple[str, str, str, str, str, str, int]] = {
    "kraken-trd": ("kraken", "trading", "QDDESK1", "", "KRAKEN-TRD", "kraken-fix", 3),
    "kraken-md": ("kraken", "marketdata", "QDDESK1", "", "KRAKEN-MD", "kraken-fix", 3),
    "binance-trd": ("binance", "trading", "QDTRD1", "QDTRD2", "SPOT", "binance", 5),
    "binance-md": ("binance", "marketdata", "QDMD1", "QDMD2", "SPOT", "binance", 5),
    "binance-dc": ("binance", "dropcopy", "QDDC1", "QDDC2", "SPOT", "binance", 5),
    "binance-kill": ("binance", "trading", "QDKILL1", "QDKILL2", "SPOT", "binance", 5),
    "peer-trd": ("peer", "trading", "QDPEER", "", "VENUE", "peer-fix", 2),
    "peer-md": ("peer", "marketdata", "QDPEERMD", "", "VENUE", "peer-fix", 2),
    "peer-dc": ("peer", "dropcopy", "QDPEERDC", "", "VENUE", "peer-fix", 2),
}
DEPTH = {"kraken-md": 100, "binance-md": 1000, "peer-md": 0}


def configuration(seed: int, rate: int) -> str:
    """The desk as TOML; `rate`: actions of the crowd a second on each instrument."""
    parts = [HEAD]
    for n, (venue, (dialect, instruments, options, plain, sim_options)) in enumerate(VENUES.items()):
        parts.append(
            VENUE.format(
                venue=venue, dialect=dialect, instruments=instruments, options=options, seed=seed + n, rate=rate,
                plain=str(plain).lower(), sim_options=sim_options, scheme="http://" if plain else "",
                rest_ca="" if plain else f'ca_file = "run:sim-{venue}.ca.pem"\n',
            )
        )  # fmt: skip
    for name, (venue, kind, sender, other, target, key, heartbeat) in SESSIONS.items():
        plain = VENUES[venue][3]
        parts.append(
            SESSION.format(
                name=name, venue=venue, kind=kind, heartbeat=heartbeat, sender=sender, target=target, key=key,
                tls="tls = false" if plain else f'ca_file = "run:sim-{venue}.ca.pem"\nserver_name = "localhost"',
                alternate=f'alternate_sender_comp_id = "{other}"\n' if other else "",
                more=f"depth = {DEPTH[name]}\nstale_after_s = 10\n" if kind == "marketdata" else "",
            )
        )  # fmt: skip
    return "".join(parts)


class SoakDesk:
    """A desk below a folder of its own; `folder` must be short: Unix sockets have room for 107 bytes."""

    def __init__(self, folder: Path, seed: int, rate: int) -> None:
        self.folder = folder
        (folder / "config").mkdir(parents=True)
        path = folder / "config" / "soak.toml"
        path.write_text(configuration(seed, rate))
        self.config: DeskConfig = load(path)
        self.config.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._tripped_at: dict[str, float] = {}
        self._look_at = 0.0
        self.shut = False  # something is not armed, as of the last look
        self.resets = 0
        self.forced = 0

    def start(self) -> None:
        """Start it under supervisord and wait until it is ready. QuarterdeckError: it is not, in time."""
        supervisord.start(self.config)
        if not supervisord.wait_until(self.ready, READY_S):
            raise QuarterdeckError(f"the desk was not ready within {READY_S:g} s: {'; '.join(self.unready())}")

    def stop(self) -> None:
        """Stop everything, in order where that is possible; nothing of it runs afterwards."""
        with suppress(QuarterdeckError):
            if supervisord.running(self.config):
                supervisord.stop(self.config)
        supervisord.end_all(self.config)
        shutil.rmtree(self.config.shm_dir, ignore_errors=True)

    def view(self) -> DeskView:
        """The desk as shared memory shows it."""
        return read_desk(self.config)

    def ready(self) -> bool:
        """Every process is READY, every book LIVE. A twin that waits while another holds its role is no concern: the
        kill switch starts owners that are missing in a trip, and supervisord's own then waits.
        """
        return not self.unready()

    def unready(self) -> list[str]:
        """What is not ready, and why."""
        view = self.view()
        roles = [p for p in view.processes if not p.name.endswith(".twin")]
        out = [f"{p.name} {p.readiness} {p.reason}" for p in roles if p.readiness != "READY"]
        return out + [f"book {b.venue} {b.instrument} {b.status} {b.reason}" for b in view.books if b.status != "LIVE"]

    def pids(self) -> dict[str, int]:
        """Processes of the desk that run now, by name."""
        return {p.name: p.pid for p in self.view().processes if p.pid and psutil.pid_exists(p.pid)}

    # -- the venues' own side --------------------------------------------------------------------------------

    def venue(self, venue: str, method: str, path: str, body: object = None) -> dict[str, Any]:
        """A call to a simulated venue's control endpoint. CommandError when it does not answer.

        What may be asked twice is: the venue may be stopped, or the machine busy.
        """
        left = LOOKS if method in {"GET", "DELETE"} else 1
        while True:
            left -= 1
            try:
                return call(control_of(self.config, venue), method, path, body)
            except CommandError:
                if not left:
                    raise

    def record(self, venue: str, what: str) -> list[dict[str, Any]]:
        """Every order ("orders") or fill ("fills") that the venue's matching engine ever had of this desk."""
        found: list[dict[str, Any]] = []
        begin = 0
        while True:
            page = self.venue(venue, "GET", f"/record/{what}?from={begin}")
            found += page[what]
            begin = page["next"]
            if not begin:
                return found

    def working(self) -> list[dict[str, Any]]:
        """What truly works at the venues."""
        return [o for v in VENUES for o in self.venue(v, "GET", "/working")["orders"]]

    # -- the person at the kill switch -----------------------------------------------------------------------

    def kill(self, verb: str, **args: str) -> dict[str, Any]:
        """A verb of the kill switch. CommandError: refused. BusError: no answer."""
        with Operator(self.config) as operator:
            answer = operator.ask("killswitch", Ops(*operator.head("killswitch"), verb, {**args, "by": "soak"}))
        if not answer.accepted:
            raise CommandError(answer.reason)
        found: dict[str, Any] = msgspec.json.decode(answer.data)
        return found

    def mend(self) -> None:
        """Open what was tripped, as a person would: once it is proven, or by force after a while."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_S
        try:
            status = self.kill("status")
            for scope in (s["scope"] for s in status["scopes"] if s["state"] in ("TRIPPED", "TRIPPING")):
                self._reset(scope)
            if status["desk"] == "DISARMED":
                self.kill("arm", reason="soak goes on")
            shut = [s["scope"] for s in status["scopes"] if s["state"] != "ARMED"]
        except QuarterdeckError:
            return  # it is down, or not that far yet: asked again
        self.shut = bool(shut)
        self._tripped_at = {s: self._tripped_at.get(s, time.monotonic()) for s in shut}

    def _reset(self, scope: str) -> None:
        since = self._tripped_at.setdefault(scope, time.monotonic())
        try:
            self.kill("reset", scope=scope, reason="soak goes on")
        except CommandError as e:
            if time.monotonic() - since < FORCE_AFTER_S or "repeat the list: " not in str(e):
                return
            names = str(e).rpartition("repeat the list: ")[2]
            self.kill("reset", scope=scope, reason="soak goes on", force=names)
            self.forced += 1
        self.resets += 1


def wait(condition: Callable[[], bool], seconds: float, step: float = 0.05) -> bool:
    """Look until `condition()` holds; False when the time went by first."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(step)
    return True


def write_address(path: Path, endpoints: dict[str, str]) -> None:
    """An address file as simulated venues write it: `run:NAME#KEY` of a configuration reads it."""
    path.write_text(json.dumps({"endpoints": endpoints}))
