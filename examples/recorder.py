"""Records a desk's order flow to Parquet: execution reports, order states, the market's trades, and what was missed.

    python examples/recorder.py [CONFIG] [--to FOLDER] [--rows 50000] [--seconds 60]

FOLDER/TABLE/*.parquet; a file appears whole or not at all, after --rows rows or --seconds seconds, and says in its
metadata how far its table has come in each topic. Stopped by SIGINT or SIGTERM it writes what it has. Killed, it
loses nothing of the desk's own orders either: the next start goes on behind the last row of each table, out of the
processes' journals, and no row is written twice. The market's trades cannot be replayed: what was missed of them is
a row of the table `gaps`.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

import quarterdeck as qd

TIME = pa.timestamp("ns", tz="UTC")
TYPES = {
    "int": pa.int64(), "str": pa.string(), "bool": pa.bool_(), "int | None": pa.int64(),
    "tuple[str, ...]": pa.list_(pa.string()), "dict[str, str]": pa.map_(pa.string(), pa.string()),
    "tuple[tuple[str, str], ...]": pa.list_(pa.struct([("currency", pa.string()), ("amount", pa.string())])),
}  # fmt: skip
PLACE = [("topic", pa.string()), ("epoch", pa.int64()), ("seq", pa.int64())]
MARK = b"quarterdeck.next"  # metadata of a file: topic -> [epoch, number that comes next]


def columns(kind: type) -> list[tuple[str, Any]]:
    """Name and type of each field of an event; *_ns are times (null where the event has 0), the rest as it is."""
    found = []
    for name, hint in get_type_hints(kind).items():
        if name.startswith("__") or hint is bytes:
            continue  # `trades` of OrderState is the publisher's own
        text = " | ".join(a.__name__ for a in get_args(hint)) if type(None) in get_args(hint) else str(hint)
        text = hint.__name__ if isinstance(hint, type) and not get_args(hint) else text.replace("NoneType", "None")
        found.append((name, TIME if name.endswith("_ns") else TYPES[text]))
    return found


class Table:
    """One kind of event: rows that wait, and how far they and the files have come in each topic."""

    def __init__(self, folder: Path, name: str, fields: list[tuple[str, Any]]) -> None:
        self.folder, self.name = folder / name, name
        self.fields = [name for name, _ in fields]
        self.schema = pa.schema([*PLACE, *fields])
        self.rows: list[dict[str, Any]] = []
        self.next: dict[str, tuple[int, int]] = {}
        self.written = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob("*.new"):
            left.unlink()  # was not whole when we were killed
        files = sorted(self.folder.glob("*.parquet"))
        self.count = int(files[-1].stem) + 1 if files else 1
        if files:
            places = json.loads(pq.read_schema(files[-1]).metadata[MARK])
            self.next = {topic: (epoch, seq) for topic, (epoch, seq) in places.items()}

    def add(self, event: Any, at: qd.Delivery, **more: Any) -> None:
        """A row, unless the files have it already."""
        after = (at.epoch, at.seq) if isinstance(event, qd.Gap) else (at.epoch, at.seq + 1)
        if after <= self.next.get(at.topic, (0, 0)):
            return
        self.next[at.topic] = after
        row = {"topic": at.topic, "epoch": at.epoch, "seq": at.seq, **more}
        for name in self.fields:
            if name not in row:
                value = getattr(event, name)
                row[name] = None if name.endswith("_ns") and not value else value
        if "fees" in row:
            row["fees"] = [{"currency": c, "amount": a} for c, a in row["fees"]]
        self.rows.append(row)

    def write(self) -> None:
        """What waits becomes a file: written and on the disk under another name first."""
        if not self.rows:
            return
        schema = self.schema.with_metadata({MARK: json.dumps(self.next).encode()})
        path = self.folder / f"{self.count:09d}.parquet"
        new = path.with_suffix(".new")
        with open(new, "wb") as file:
            pq.write_table(pa.Table.from_pylist(self.rows, schema), file)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        self.written += len(self.rows)
        self.count += 1
        self.rows = []


class Recorder:
    """Tables of a desk."""

    def __init__(self, desk: qd.Desk, folder: Path, rows: int) -> None:
        self.most = rows
        self.executions = Table(folder, "executions", columns(qd.ExecutionReport))
        self.states = Table(folder, "order_states", columns(qd.OrderState))
        self.trades = Table(folder, "trades", columns(qd.PublicTrade))
        gap = [("kind", pa.string()), ("first", pa.int64()), ("next", pa.int64()), ("prior_epoch", pa.int64())]
        self.gaps = Table(folder, "gaps", [*gap, ("prior_next", pa.int64()), ("text", pa.string())])
        self.tables = (self.executions, self.states, self.trades, self.gaps)
        for session in desk.trading_sessions():
            topic = f"exec.{session}"
            known = [t.next[topic] for t in (self.executions, self.states) if topic in t.next]
            # Behind the last row of the table that is furthest behind: the other one passes over what it has.
            desk.subscribe(topic, since=min(known) if len(known) == 2 else None, history=True)
        desk.subscribe("md.", "md3.")
        desk.on(qd.ExecutionReport, self.executed)
        desk.on(qd.OrderState, lambda event, at: self.add(self.states, event, at))
        desk.on(qd.PublicTrade, lambda event, at: self.add(self.trades, event, at))
        desk.on(qd.Gap, self.missed)

    def executed(self, event: qd.ExecutionReport, at: qd.Delivery) -> None:
        """What a venue said of one of the desk's orders."""
        self.add(self.executions, event, at)

    def missed(self, event: qd.Gap, at: qd.Delivery) -> None:
        """Nothing is lost by a silence."""
        if event.kind != "silent":
            self.add(self.gaps, event, at)

    def add(self, table: Table, event: Any, at: qd.Delivery) -> None:
        """A row, and a file when there are enough."""
        table.add(event, at)
        if len(table.rows) >= self.most:
            table.write()

    def write(self) -> None:
        """A file of each table that has something."""
        for table in self.tables:
            table.write()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Records a desk's order flow to Parquet.")
    parser.add_argument("config", nargs="?", default="config/desk.toml", help="configuration file or run directory")
    parser.add_argument("--to", type=Path, default=Path("recorded"), help="folder of the tables")
    parser.add_argument("--rows", type=int, default=50_000, help="of a file, at most")
    parser.add_argument("--seconds", type=float, default=60.0, help="a file at least so often, if there is anything")
    return parser.parse_args()


def main() -> int:
    """Record until told to stop; the exit status."""
    args = arguments()
    with qd.connect(args.config) as desk:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: desk.stop())
        recorder = Recorder(desk, args.to, args.rows)
        desk.every(args.seconds, recorder.write)
        print(json.dumps({"recording": str(args.to)}), flush=True)
        try:
            desk.run()
        finally:
            recorder.write()
        print(json.dumps({table.name: table.written for table in recorder.tables}), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except qd.QuarterdeckError as error:
        sys.exit(f"recorder: {error}")
