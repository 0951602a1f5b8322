"""`qd ledger`: orders, fills, positions and breaks of record; the export of a day; a person's word on a break."""

import argparse
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from rich.table import Table

from base.config import DeskConfig, load
from base.decimals import from_scaled
from base.errors import CommandError, ConfigError
from base.instruments import ONE, Contract
from ipc.ledger_read import Filter, LedgerReader, Row
from ipc.requests import Ops
from quarterdeck.ledger_export import export_day
from quarterdeck.orders import Operator
from quarterdeck.screen import print_whole

LIMIT = 200
TABLES: dict[str, dict[str, str]] = {  # heading -> field
    "positions": {
        "strategy": "strategy", "venue": "venue", "instrument": "instrument", "position": "position",
        "open px": "open_px", "realised": "realised", "": "currency", "fees": "fees", "bought": "bought",
        "sold": "sold", "fills": "fills", "note": "note",
    },
    "fills": {
        "time": "transact_ns", "strategy": "strategy", "venue": "venue", "instrument": "instrument", "side": "side",
        "qty": "qty", "px": "px", "liq": "liquidity", "fees": "fees", "cl_ord_id": "cl_ord_id",
        "order_id": "order_id", "trade_id": "trade_id", "told by": "views", "state": "state",
    },
    "orders": {
        "time": "first_ns", "strategy": "strategy", "venue": "venue", "instrument": "instrument", "side": "side",
        "qty": "order_qty", "price": "price", "filled": "cum_qty", "state": "state", "cl_ord_id": "cl_ord_id",
        "order_id": "order_id", "session": "session",
    },
    "breaks": {
        "id": "id", "kind": "kind", "opened": "opened_ns", "closed": "closed_ns", "venue": "venue",
        "instrument": "instrument", "order_id": "order_id", "trade_id": "trade_id", "order entry": "order_entry",
        "drop copy": "drop_copy", "text": "text", "closed by": "closed_by",
    },
    "balances": {
        "venue": "venue", "account": "account", "currency": "currency", "total": "total", "available": "available",
        "held": "held", "buying power": "buying_power", "as of": "ts_ns",
    },
}  # fmt: skip
MONEY_FIELDS = ("open_value", "realised", "bought_value", "sold_value")
RIGHT = frozenset({"position", "open_px", "realised", "qty", "px", "order_qty", "price", "cum_qty", "fills", "id",
                   "bought", "sold", "total", "available", "held", "buying_power"})  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for what, text in (
        ("positions", "position and realised profit of each strategy, venue and instrument"),
        ("fills", "fills of record, each once"),
        ("orders", "orders of record"),
        ("breaks", "where order entry and drop copy differ, for longer than break_after_ms"),
        ("balances", "what the venues told last of each account"),
    ):
        sub = _verb(verbs, what, text)
        sub.add_argument("--json", action="store_true", help="one JSON object a line")
        for name in ("strategy", "venue", "instrument"):
            sub.add_argument(f"--{name}", default="", help=f"of this {name} alone")
        sub.add_argument("--since", default="", help="date, time (UTC unless it says otherwise), or 15m, 8h, 2d ago")
        sub.add_argument("--until", default="", help="as --since, not included")
        if what in ("fills", "orders"):
            sub.add_argument("--limit", type=int, default=0, help=f"the last so many (a table has {LIMIT}; 0 = all)")
        if what == "breaks":
            sub.add_argument("--all", action="store_true", help="closed ones too")
    export = _verb(verbs, "export", "a day as Parquet files, one for each table")
    export.add_argument("--day", required=True, help="YYYY-MM-DD, in the configured zone; `yesterday`, `today`")
    export.add_argument("--out", required=True, help="directory")
    accept = _verb(verbs, "accept", "close breaks that will not heal")
    accept.add_argument("numbers", nargs="+", metavar="NUMBER", help="of a break, or FROM-TO: all open ones of these")
    accept.add_argument("--reason", required=True, help="kept with them")


def _verb(verbs: Any, what: str, text: str) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = verbs.add_parser(what, help=text, description=text)
    sub.add_argument("--config", default="config/desk.toml", help="the desk's configuration")
    return sub


def run(args: argparse.Namespace) -> int:
    """Exit status 3 when breaks are open (`breaks`), else 0."""
    desk = load(args.config)
    if desk.config.ledger is None:
        raise ConfigError(f"{desk.path}: no [ledger]: this desk keeps none")
    if args.what == "accept":
        return _accept(desk, args)
    with LedgerReader(desk.data_dir / desk.config.ledger.path) as reader:
        if args.what == "export":
            zone = ZoneInfo(desk.config.ledger.day_zone)
            for path, rows in export_day(reader, _day(args.day, zone), zone, Path(args.out)):
                sys.stdout.write(f"{path} {rows}\n")
            return 0
        return _show(reader, args, desk)


def in_money(row: Row, contract: Contract | None) -> Row:
    """A position's money by what a contract is of. Where that is not known, or the contract is inverse, the ledger's
    sums are no money: they are left out, and `note` says why.
    """
    if contract == ONE:
        return {**row, "note": ""}
    if contract is None or contract.inverse:
        why = "inverse contract: its profit is not kept" if contract else "no contract_value: its profit is not known"
        return {**row, **dict.fromkeys(MONEY_FIELDS), "note": why}
    value = from_scaled(contract.value, contract.scale)
    return {**row, **{k: row[k] * value for k in MONEY_FIELDS}, "note": f"contracts of {_text(value)}"}


def _show(reader: LedgerReader, args: argparse.Namespace, desk: DeskConfig) -> int:
    def contract(row: Row) -> Contract | None:
        """Of an instrument that is configured no more, by its name."""
        known = desk.instruments.get((row["venue"], row["instrument"]))
        return known.contract if known else None if row["instrument"].count("-") > 1 else ONE

    asked = Filter(args.strategy, args.venue, args.instrument, moment_ns(args.since), moment_ns(args.until))
    limit = getattr(args, "limit", 0) or (0 if args.json else LIMIT)
    questions: dict[str, Callable[[], Iterable[Row]]] = {
        "positions": lambda: (in_money(row, contract(row)) for row in reader.positions(asked)),
        "fills": lambda: reader.fills(asked, limit),
        "orders": lambda: reader.orders(asked, limit),
        "breaks": lambda: reader.breaks(asked, closed=args.all),
        "balances": lambda: reader.balances(asked),
    }
    rows = questions[args.what]()
    count = _print_json(rows) if args.json else _print_table(args.what, list(rows))
    return 3 if args.what == "breaks" and count and not args.all else 0


def _print_json(rows: Iterable[Row]) -> int:
    count = 0
    for row in rows:
        sys.stdout.write(f"{_line(row)}\n")
        count += 1
    return count


def _line(row: Row) -> str:
    return msgspec.json.encode({k: _plain(v) for k, v in row.items()}).decode()


def _plain(value: Any) -> Any:
    """Decimals as text without exponent: no reader of JSON makes a float of them."""
    if isinstance(value, Decimal):
        return _text(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _text(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _print_table(what: str, rows: list[Row]) -> int:
    if not rows:
        sys.stdout.write(f"no {what}\n")
        return 0
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading, field in TABLES[what].items():
        table.add_column(heading, justify="right" if field in RIGHT else "left")
    for row in rows:
        table.add_row(*(_cell(field, row[field]) for field in TABLES[what].values()))
    print_whole(table)
    return len(rows)


def _cell(field: str, value: Any) -> str:
    if field.endswith("_ns"):
        return _time(value)
    if field == "fees":
        pairs = value.items() if isinstance(value, dict) else value
        return ", ".join(f"{_text(amount)} {currency}" for currency, amount in pairs)
    if isinstance(value, Decimal):
        return _text(value)
    if isinstance(value, list):
        return "+".join(value)
    return "" if value is None else str(value)


def _time(ns: int) -> str:
    if not ns:
        return ""
    return f"{datetime.fromtimestamp(ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S}.{ns // 1_000_000 % 1000:03d}"


def moment_ns(text: str) -> int:
    """UTC ns of a date, a time, or so long ago (s, m, h, d); 0 for "". CommandError otherwise."""
    if not text:
        return 0
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if text[-1] in units and text[:-1].isdecimal():
        try:
            when = datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])})
        except OverflowError:
            raise CommandError(f"{text!r} is longer ago than there are dates") from None
    else:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            raise CommandError(f"{text!r} is no time; expected 2026-03-31, 2026-03-31T14:00, 15m, 8h or 2d") from None
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def _day(text: str, zone: ZoneInfo) -> date:
    today = datetime.now(zone).date()
    if text in ("today", "yesterday"):
        return today - timedelta(days=text == "yesterday")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--day: {text!r} is no day; expected YYYY-MM-DD, today or yesterday") from None


def _accept(desk: DeskConfig, args: argparse.Namespace) -> int:
    assert desk.config.ledger is not None
    if not args.reason.strip():
        raise CommandError("--reason: say why; it stays on record")
    with LedgerReader(desk.data_dir / desk.config.ledger.path) as reader:
        is_open = {row["id"]: row for row in reader.breaks(Filter(), closed=False)}
    numbers = numbers_of(args.numbers, is_open)
    with Operator(desk) as operator:
        for number in numbers:
            words = {"break": str(number), "reason": args.reason}
            answer = operator.ask("ledger", Ops(*operator.head("ledger"), "accept", words))
            if not answer.accepted:
                raise CommandError(f"ledger: break {number}: {answer.reason}")
            sys.stdout.write(f"break {number} closed\n")
    return 0


def numbers_of(words: Iterable[str], is_open: Iterable[int]) -> list[int]:
    """Breaks that are meant: a number as it stands, of FROM-TO those that are open. CommandError for anything else."""
    found: dict[int, None] = {}
    for word in words:
        first, dash, last = word.partition("-")
        if not first.isdecimal() or not (last.isdecimal() if dash else not last):
            raise CommandError(f"{word!r} is no break; expected NUMBER or FROM-TO")
        if not dash:
            found[int(first)] = None
            continue
        within = [n for n in is_open if int(first) <= n <= int(last)]
        if not within:
            raise CommandError(f"no break of {word} is open")
        found.update(dict.fromkeys(sorted(within)))
    return list(found)
