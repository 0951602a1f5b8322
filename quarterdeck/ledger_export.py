"""A day of the ledger as Parquet files: one for each table, whole or not there, the same again when asked again."""

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from base.errors import CommandError
from ipc.ledger_read import Filter, LedgerReader, Row, book_row
from risk.ledger_positions import open_value, rebuild

if TYPE_CHECKING:
    import pyarrow as pa

PRECISION, SCALE = 38, 18
_ROWS = 20_000  # in memory at once
_FLAT = {
    "fills": ("transact_ns recv_ns", "strategy venue account instrument order_id cl_ord_id trade_id side"
              " liquidity state",
              "qty px first_qty first_px", "id", ""),
    "orders": ("first_ns last_ns", "strategy venue account instrument order_id cl_ord_id session client_id command_id"
               " side ord_type time_in_force state ord_status text",
               "order_qty price stop_px cum_qty", "id fills", "known"),
    "positions": ("last_ns", "strategy venue account instrument currency",
                  "position open_value realised bought sold bought_value sold_value", "fills", ""),
    "breaks": ("opened_ns closed_ns", "kind lacks venue account instrument order_id cl_ord_id trade_id strategy"
               " order_entry drop_copy text closed_by", "", "id", ""),
}  # fmt: skip


def export_day(reader: LedgerReader, day: date, zone: ZoneInfo, out: Path) -> list[tuple[Path, int]]:
    """Write `TABLE-YYYY-MM-DD.parquet` into `out`; each file with its rows. All tables are of one state of the ledger.

    Fills of the day by the venue's time; orders first heard of that day, as they stand; positions as of its end;
    breaks opened that day. CommandError without pyarrow, or for a number that 38 digits do not hold.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise CommandError("the export needs pyarrow: pip install 'quarterdeck[parquet]'") from None
    begin_ns, end_ns = _bounds(day, zone)
    asked = Filter(since_ns=begin_ns, until_ns=end_ns)
    tables: dict[str, Callable[[], Iterable[Row]]] = {
        "fills": lambda: reader.fills(asked),
        "orders": lambda: reader.orders(asked),
        "positions": lambda: _positions(reader, end_ns),
        "breaks": lambda: reader.breaks(asked, closed=True),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise CommandError(f"--out {out}: {e.strerror}") from None
    written = []
    with reader.one_state():
        for table, rows in tables.items():
            path = out / f"{table}-{day.isoformat()}.parquet"
            written.append((path, _write(pa, pq, path, table, iter(rows()))))
    return written


def _bounds(day: date, zone: ZoneInfo) -> tuple[int, int]:
    """A day of 23 or 25 hours is one, too."""
    return _midnight_ns(day, zone), _midnight_ns(day + timedelta(days=1), zone)


def _midnight_ns(day: date, zone: ZoneInfo) -> int:
    local = datetime.combine(day, time(), zone)
    return (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * 1_000_000_000


def _positions(reader: LedgerReader, end_ns: int) -> Iterator[Row]:
    """Counted anew up to the end of the day: what came later, or was told later, is in its own day."""
    for book in reader.books():
        rebuild(book, reader.fills_of(book.id, end_ns))
        if book.fills:
            yield book_row(book, open_value(book))


def schema_of(pa: Any, table: str) -> "pa.Schema":
    """The columns of a table's file: docs/ledger.md lists them."""
    times, texts, decimals, numbers, flags = (words.split() for words in _FLAT[table])
    money = pa.decimal128(PRECISION, SCALE)
    fields = [(name, pa.timestamp("ns", tz="UTC")) for name in times]
    fields += [(name, pa.string()) for name in texts] + [(name, money) for name in decimals]
    fields += [(name, pa.int64()) for name in numbers] + [(name, pa.bool_()) for name in flags]
    if table in ("fills", "positions"):
        fields.append(("fees", pa.list_(pa.struct([("currency", pa.string()), ("amount", money)]))))
    if table == "fills":
        fields += [("views", pa.list_(pa.string())), ("exec_ids", pa.list_(pa.string()))]
    return pa.schema([pa.field(*f) for f in fields], metadata={"quarterdeck.ledger": "1"})


def _write(pa: Any, pq: Any, path: Path, table: str, rows: Iterator[Row]) -> int:
    """Under another name first: whoever looks for the file finds all of it."""
    schema, part, count = schema_of(pa, table), path.with_name(f".{path.name}.part"), 0
    try:
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            while batch := [_fields(row) for row in islice(rows, _ROWS)]:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                count += len(batch)
        with open(part, "rb") as whole:
            os.fsync(whole.fileno())
        part.rename(path)
    except (OSError, pa.ArrowException) as e:
        raise CommandError(f"{path}: cannot be written: {e}") from None
    finally:
        part.unlink(missing_ok=True)
    return count


def _fields(row: Row) -> Row:
    """A row as Arrow takes it: no time where there is none, fees as a list."""
    out = {k: (v or None) if k.endswith("_ns") else v for k, v in row.items()}
    if "fees" in row:
        pairs = row["fees"].items() if isinstance(row["fees"], dict) else row["fees"]
        out["fees"] = [{"currency": c, "amount": _decimal(a)} for c, a in pairs]
    return {k: _decimal(v) if isinstance(v, Decimal) else v for k, v in out.items()}


def _decimal(value: Decimal) -> Decimal:
    exponent = value.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent <= SCALE:
        return value
    raise CommandError(f"{value} has more than {SCALE} decimals: the export's columns do not hold it")
