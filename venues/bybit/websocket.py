"""Frames of Bybit's V5 WebSocket as events, and the frames that ask for them (bybit.md, 4.1, 5.6, 5.7 and 6). Pure.

Books and trades of spot, and the private topics `order` and `execution`. No process speaks WebSocket to this venue: a
session of that kind would hand its frames in here. `u` grows by 1 a message of a book, and is 1 when the venue begins
anew; that a jump is a loss at the numbered depths is inferred. Books carry no checksum.
"""

import hmac
import struct
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from base.decimals import to_scaled
from base.errors import NumberError, VenueError
from base.instruments import Instrument
from ipc.events import BookDelta, BookSnapshot, ExecutionReport, PublicTrade
from venues.bybit.rest import ord_status, side_of, time_ns
from venues.fix_dialect import Notice
from venues.json import decode

_CHANGED, _GONE = 1, 2
_LAST = 1 << 25
_MS = 1_000_000
_TIFS = {"GTC": "1", "IOC": "3", "FOK": "4", "PostOnly": "1", "RPI": "1"}
_TYPES = {"Market": "1", "Limit": "2"}
_TRADES = frozenset({"Trade", "BlockTrade"})

Told: TypeAlias = BookSnapshot | tuple[str, BookDelta] | PublicTrade | ExecutionReport | Notice
"""What a frame says: events, a book's change with its instrument, or something for people."""
_Level: TypeAlias = tuple[str, str]


class _Book(msgspec.Struct):
    s: str
    b: list[_Level]
    a: list[_Level]
    u: int


class _Print(msgspec.Struct):
    T: int
    s: str
    S: str
    v: str
    p: str
    i: str


class _Order(msgspec.Struct, rename="camel"):
    category: str
    symbol: str
    order_id: str
    side: str
    order_type: str
    order_status: str
    qty: str
    cum_exec_qty: str
    updated_time: str
    order_link_id: str = ""
    price: str = ""
    time_in_force: str = ""
    reject_reason: str = ""
    cancel_type: str = ""


class _Execution(msgspec.Struct, rename="camel"):
    category: str
    symbol: str
    exec_id: str
    exec_price: str
    exec_qty: str
    order_id: str
    side: str
    exec_time: str
    is_maker: bool
    order_link_id: str = ""
    exec_type: str = "Trade"  # the fast topic tells of trades alone, and does not say so
    exec_fee: str = ""
    fee_currency: str = ""


class _Frame(msgspec.Struct):
    topic: str = ""
    type: str = ""
    ts: int = 0
    created: int = msgspec.field(default=0, name="creationTime")
    data: msgspec.Raw = msgspec.Raw(b"[]")
    op: str = ""
    success: bool | None = None
    ret_msg: str = ""


def auth_frame(key: str, secret: str, expires_ms: int) -> bytes:
    """Logs on to the private stream until when the signature holds."""
    signature = hmac.digest(secret.encode(), b"GET/realtime%d" % expires_ms, "sha256").hex()
    return msgspec.json.encode({"op": "auth", "args": [key, expires_ms, signature]})


def subscribe_frame(topics: Iterable[str], req_id: str = "") -> bytes:
    """Asks for topics; the answer repeats `req_id`."""
    said: dict[str, Any] = {"req_id": req_id} if req_id else {}
    return msgspec.json.encode({**said, "op": "subscribe", "args": list(topics)})


class Frames:
    """The frames of one connection, of one category."""

    def __init__(
        self, session: str, venue: str, account: str, instruments: Iterable[Instrument], category: str = "spot"
    ) -> None:
        self._names = session, venue, account
        self._category = category
        self._instruments = {i.symbol: i for i in instruments}
        self._next: dict[str, int] = {}  # `u` that the next change of a topic must have

    def decode(self, frame: bytes, recv_ns: int) -> list[Told]:
        """What a frame says. VenueError when it cannot be read, or when changes before it are missing."""
        said = decode(frame, _Frame, "frame")
        if said.success is False:
            return [Notice("warning", "refused", f"{said.op}: {said.ret_msg}")]
        kind, _, rest = said.topic.partition(".")
        if kind == "orderbook" and not rest.startswith("rpi."):  # whose levels have a third number
            return self._book(said, decode(said.data, _Book, said.topic), recv_ns)
        if kind == "publicTrade":
            rows = decode(said.data, list[_Print], said.topic)
            return [t for n, r in enumerate(rows) for t in self._trade(r, f"data[{n}]", recv_ns)]
        if kind == "order":
            orders = decode(said.data, list[_Order], said.topic)
            return [t for n, o in enumerate(orders) for t in self._order(o, said, f"data[{n}]", recv_ns)]
        if kind == "execution":
            fills = decode(said.data, list[_Execution], said.topic)
            return [t for n, f in enumerate(fills) for t in self._fill(f, said, f"data[{n}]", recv_ns)]
        return []

    def _of(self, symbol: str, path: str) -> Instrument | Notice:
        found = self._instruments.get(symbol)
        return found or Notice("info", "unknown_symbol", f"{path}: {symbol!r} is not configured")

    def _book(self, said: _Frame, book: _Book, recv_ns: int) -> list[Told]:
        i = self._of(book.s, "data.s")
        if isinstance(i, Notice):
            return [i]
        sides = [[_level(level, i, f"data.{name}") for level in rows] for name, rows in (("b", book.b), ("a", book.a))]
        expected, self._next[said.topic] = self._next.get(said.topic), book.u + 1
        if said.type == "snapshot" or book.u == 1:
            bids, asks = (
                b"".join(struct.pack("<qq", *level) for level in sorted(rows, reverse=not n))
                for n, rows in enumerate(sides)
            )
            snapshot = BookSnapshot(
                self._names[1], i.name, 2, i.px_scale, i.qty_scale, bids, asks, book.u, said.ts * _MS, recv_ns
            )
            return [snapshot]
        if expected is None or book.u != expected:
            self._next.pop(said.topic)
            raise VenueError(f"{said.topic}: u {book.u}, expected {expected or 'a snapshot'}: subscribe anew")
        changes = [
            [side | (_CHANGED if qty else _GONE) << 8, px, qty] for side, rows in enumerate(sides) for px, qty in rows
        ]
        if changes:
            changes[-1][0] |= _LAST
        packed = b"".join(struct.pack("<qqq", *change) for change in changes)
        return [(i.name, BookDelta(2, packed, book.u, said.ts * _MS, recv_ns))]

    def _trade(self, row: _Print, path: str, recv_ns: int) -> Iterator[Told]:
        i = self._of(row.s, f"{path}.s")
        if isinstance(i, Notice):
            yield i
            return
        yield PublicTrade(
            self._names[1], i.name, _number(row.p, i.px_scale, f"{path}.p"), _number(row.v, i.qty_scale, f"{path}.v"),
            i.px_scale, i.qty_scale, side_of(row.S, path), row.i, row.T * _MS, recv_ns,
        )  # fmt: skip

    def _mine(self, row: _Order | _Execution, path: str) -> Instrument | Notice | None:
        """None of another category, where a symbol means something else."""
        return self._of(row.symbol, f"{path}.symbol") if row.category == self._category else None

    def _order(self, o: _Order, said: _Frame, path: str, recv_ns: int) -> Iterator[Told]:
        """An order's state: it says what is filled in all, and no fill."""
        i = self._mine(o, path)
        if not isinstance(i, Instrument):
            yield from () if i is None else (i,)
            return
        cum, qty = (_number(text or "0", i.qty_scale, path) for text in (o.cum_exec_qty, o.qty))
        yield self._report(
            o, i, said, recv_ns, exec_type="I", ord_status=ord_status(o.order_status, o.cum_exec_qty, path),
            side=side_of(o.side, path), ord_type=_TYPES.get(o.order_type, ""),
            time_in_force=_TIFS.get(o.time_in_force, ""), order_qty=qty, cum_qty=cum, leaves_qty=qty - cum,
            price=_number(o.price, i.px_scale, path) if o.price else None,
            transact_ns=time_ns(o.updated_time, path), text=o.cancel_type,
            reason_code="" if o.reject_reason == "EC_NoError" else o.reject_reason,
        )  # fmt: skip

    def _fill(self, f: _Execution, said: _Frame, path: str, recv_ns: int) -> Iterator[Told]:
        i = self._mine(f, path)
        if not isinstance(i, Instrument) or f.exec_type not in _TRADES:
            yield from () if not isinstance(i, Notice) else (i,)
            return
        yield self._report(
            f, i, said, recv_ns, exec_type="F", ord_status="", side=side_of(f.side, path), ord_type="",
            time_in_force="", order_qty=None, cum_qty=None, leaves_qty=None, price=None,
            last_qty=_number(f.exec_qty, i.qty_scale, path), last_px=_number(f.exec_price, i.px_scale, path),
            transact_ns=time_ns(f.exec_time, path), trade_id=f.exec_id, liquidity="M" if f.is_maker else "T",
            fees=((f.fee_currency, f.exec_fee),) if f.exec_fee else (),
        )  # fmt: skip

    def _report(
        self, row: _Order | _Execution, i: Instrument, said: _Frame, recv_ns: int, **more: Any
    ) -> ExecutionReport:
        session, venue, account = self._names
        return ExecutionReport(
            session=session, venue=venue, account=account, instrument=i.name, cl_ord_id=row.order_link_id,
            order_id=row.order_id, exec_id="", px_scale=i.px_scale, qty_scale=i.qty_scale, stop_px=None,
            sending_ns=said.created * _MS, recv_ns=recv_ns, origin="ws", venue_symbol=row.symbol,
            **{"last_qty": None, "last_px": None, **more},
        )  # fmt: skip


def _level(level: _Level, i: Instrument, path: str) -> tuple[int, int]:
    return _number(level[0], i.px_scale, path), _number(level[1], i.qty_scale, path)


def _number(text: str, scale: int, path: str) -> int:
    try:
        return to_scaled(text, scale)
    except NumberError as e:
        raise VenueError(f"{path}: {e}") from None
