"""What the tests of a desk's view share: a desk that is well, as memory would show it, and events of one order."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from base.config import DeskConfig, load
from ipc import events as e
from ipc.bus import Delivery
from ipc.gate import GateState, GateWord
from ipc.roster import roster
from ipc.view.model import DeskModel
from ipc.view.sight import BookSight, GateSight, ProcessSight, Sight, known_scopes

ROOT = Path(__file__).resolve().parents[2]
S = 1_000_000_000
MONO, WALL = 1_000 * S, 1_800_000_000 * S
TRD = "kraken-trd"


def view_desk(folder: Path) -> DeskConfig:
    """The default desk, in a place where nothing ever ran."""
    path = folder / "config" / "desk.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (ROOT / "config" / "desk.toml").read_text()
    path.write_text(text.replace('name = "default"', f'name = "default"\nshm_dir = "{folder}/shm"'))
    return load(path)


def well(desk: DeskConfig, mono_ns: int = MONO, wall_ns: int = WALL) -> Sight:
    """Everything READY, LIVE and ARMED."""
    processes = tuple(
        ProcessSight(
            name=r.name, kind=r.kind, pid=100 + i, readiness="READY", reason="", since_ns=WALL - S,
            started_ns=WALL - 2 * S, beat_age_ms=20, build="b1", config="c1",
        )
        for i, r in enumerate(roster(desk))
    )  # fmt: skip
    books = tuple(
        BookSight(
            shard=shard, instrument=i, level=level, status="LIVE", reason="OK", since_ns=WALL - S, bid_px=600_000,
            bid_qty=5, ask_px=600_000 + 3 * i.tick_size, ask_qty=7, recv_ns=wall_ns - 12_000_000, messages=1000,
        )
        for shard in desk.config.book
        for _, i, level in desk.shard_books(shard)
    )  # fmt: skip
    words = {s: GateWord(3, GateState.ARMED) for s in known_scopes(desk)}
    gate = GateSight(state="ARMED", generation=3, lease_mono_ns=mono_ns + S // 5, scopes=words)
    return Sight(mono_ns=mono_ns, wall_ns=wall_ns, gate=gate, processes=processes, books=books)


def dead(sight: Sight, name: str) -> Sight:
    """The same with a process that has been silent for three seconds."""
    changed = tuple(
        replace(p, readiness="DEAD", reason="silent; last said READY", unknown_ns=sight.wall_ns - 3 * S)
        if p.name == name
        else p
        for p in sight.processes
    )
    return replace(sight, processes=changed)


def hear(model: DeskModel, *events: Any, topic: str = f"exec.{TRD}", mono_ns: int = MONO) -> None:
    for i, event in enumerate(events):
        model.hear(Delivery(topic, 1, i + 1, event), mono_ns, WALL)


def session(name: str = TRD, state: str = "READY", *, out: int = 10, into: int = 20, **counters: int) -> e.SessionState:
    return e.SessionState(name, "kraken", "trading", state, "", WALL - 5 * S, out, into, counters)


def order(cl_ord_id: str, state: str = "NEW", **changes: Any) -> e.OrderState:
    at_ns = changes.pop("since_ns", WALL)
    made = e.OrderState(
        TRD, "kraken", "main", "BTC-USD", cl_ord_id, "V1", state, "1", "2", "1", 1, 8, 50_000_000, 600_005, 0,
        50_000_000, "quoter", "c", "1", at_ns,
    )  # fmt: skip
    return replace(made, **changes)


def report(cl_ord_id: str, exec_type: str = "0", **changes: Any) -> e.ExecutionReport:
    made = e.ExecutionReport(
        TRD, "kraken", "main", "BTC-USD", cl_ord_id, "V1", "x", exec_type, "0", "1", "2", "1", 1, 8, 50_000_000,
        600_005, None, None, None, 0, 50_000_000, 0, 0, WALL + 2_000_000,
    )  # fmt: skip
    return replace(made, **changes)
