"""Frames of Coinbase Prime's WebSocket as events, and the frames that subscribe (coinbase-prime.md, 6.2). Pure.

The production alternative to the market-data beta, and the portfolio's orders from whatever source. No process speaks
WebSocket to this venue: a session of that kind would hand its frames in here. `sequence_num` counts all frames of a
connection; that a hole in it is a loss is inferred.
"""

import struct
from base64 import b64encode
from collections.abc import Iterable
from hmac import digest

import msgspec

from base.decimals import to_scaled
from base.errors import NumberError, VenueError
from base.instruments import Instrument
from ipc.events import BookDelta, BookSnapshot, ExecutionReport
from venues.coinbase_prime.rest import ord_status, side_of
from venues.fix_dialect import Notice
from venues.json import Instant, decode, instant_ns

_CHANGED, _GONE = 1, 2
_LAST = 1 << 25
_SIDES = {"bid": 0, "offer": 1}
_TYPES = {"market": "1", "limit": "2", "stop_limit": "4"}

Told = tuple[str, BookSnapshot | BookDelta | ExecutionReport] | Notice
"""(instrument, what the venue says of it), or something for people."""


class _Level(msgspec.Struct):
    side: str
    px: str
    qty: str


class _Order(msgspec.Struct):
    order_id: str
    client_order_id: str
    cum_qty: str
    leaves_qty: str
    status: str
    product_id: str
    side: str
    order_type: str = ""
    limit_px: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    product_id: str = ""
    updates: list[_Level] = []
    orders: list[_Order] = []


class _Frame(msgspec.Struct):
    type: str = ""
    channel: str = ""
    message: str = ""
    timestamp: Instant | None = None
    sequence_num: int = -1
    events: list[_Event] = []


def subscribe_frame(
    channel: str, products: list[str], keys: tuple[str, str, str], account_id: str, portfolio_id: str, seconds: int
) -> bytes:
    """A signed subscription. `keys`: access key, secret, passphrase; `account_id`: of the service account."""
    access_key, secret, passphrase = keys
    signed = f"{channel}{access_key}{account_id}{seconds}{portfolio_id}{''.join(products)}"
    said = {
        "type": "subscribe", "channel": channel, "access_key": access_key, "api_key_id": account_id,
        "timestamp": str(seconds), "passphrase": passphrase,
        "signature": b64encode(digest(secret.encode(), signed.encode(), "sha256")).decode(),
        "portfolio_id": portfolio_id, "product_ids": products,
    }  # fmt: skip
    return msgspec.json.encode(said)


class Frames:
    """The frames of one connection."""

    def __init__(self, session: str, venue: str, account: str, instruments: Iterable[Instrument]) -> None:
        self._names = session, venue, account
        self._instruments = {i.symbol: i for i in instruments}
        self._expected = -1  # whatever the first frame says

    def decode(self, frame: bytes, recv_ns: int) -> list[Told]:
        """What a frame says. VenueError when it cannot be read, or when frames before it are missing."""
        said = decode(frame, _Frame, "frame")
        if said.type == "error":
            return [Notice("warning", "refused", said.message)]
        expected, self._expected = self._expected, said.sequence_num + 1
        if said.sequence_num != expected >= 0:
            raise VenueError(f"frame: sequence_num {said.sequence_num}, expected {expected}: subscribe anew")
        sending_ns = instant_ns(said.timestamp) if said.timestamp else 0
        told: list[Told] = []
        for n, event in enumerate(said.events):
            path = f"events[{n}]"
            if said.channel == "l2_data":
                told.append(self._book(event, said.sequence_num, sending_ns, recv_ns, path))
            elif said.channel == "orders":
                told += [self._order(o, sending_ns, recv_ns, f"{path}.orders[{i}]") for i, o in enumerate(event.orders)]
        return told

    def _book(self, event: _Event, number: int, sending_ns: int, recv_ns: int, path: str) -> Told:
        i = self._instruments.get(event.product_id)
        if i is None:
            return Notice("info", "unknown_symbol", f"{path}.product_id: {event.product_id!r} is not configured")
        levels = [_level(level, i, f"{path}.updates[{n}]") for n, level in enumerate(event.updates)]
        if event.type == "snapshot":
            bids, asks = (
                b"".join(struct.pack("<qq", px, qty) for s, px, qty in sorted(levels, reverse=not side) if s == side)
                for side in (0, 1)
            )
            return i.name, BookSnapshot(
                self._names[1], i.name, 2, i.px_scale, i.qty_scale, bids, asks, number, sending_ns, recv_ns
            )
        changes = [((side | (_CHANGED if qty else _GONE) << 8), px, qty) for side, px, qty in levels]
        if changes:
            changes[-1] = (changes[-1][0] | _LAST, *changes[-1][1:])
        packed = b"".join(struct.pack("<qqq", *change) for change in changes)
        return i.name, BookDelta(2, packed, number, sending_ns, recv_ns)

    def _order(self, o: _Order, sending_ns: int, recv_ns: int, path: str) -> Told:
        """An order's state: it says what is filled in all, and no fill."""
        i = self._instruments.get(o.product_id)
        if i is None:
            return Notice("info", "unknown_symbol", f"{path}.product_id: {o.product_id!r} is not configured")
        cum, leaves = _number(o.cum_qty, i.qty_scale, path), _number(o.leaves_qty, i.qty_scale, path)
        session, venue, account = self._names
        return i.name, ExecutionReport(
            session=session, venue=venue, account=account, instrument=i.name, cl_ord_id=o.client_order_id,
            order_id=o.order_id, exec_id="", exec_type="I", ord_status=ord_status(o.status.upper(), o.cum_qty, path),
            side=side_of(o.side.upper(), path), ord_type=_TYPES.get(o.order_type.lower(), ""), time_in_force="",
            px_scale=i.px_scale, qty_scale=i.qty_scale, order_qty=cum + leaves,
            price=_number(o.limit_px, i.px_scale, path) if o.limit_px else None, stop_px=None, last_qty=None,
            last_px=None, cum_qty=cum, leaves_qty=leaves, transact_ns=0, sending_ns=sending_ns, recv_ns=recv_ns,
            origin="ws", venue_symbol=o.product_id,
        )  # fmt: skip


def _level(level: _Level, i: Instrument, path: str) -> tuple[int, int, int]:
    if level.side not in _SIDES:
        raise VenueError(f"{path}.side: {level.side!r} is neither bid nor offer")
    return _SIDES[level.side], _number(level.px, i.px_scale, path), _number(level.qty, i.qty_scale, path)


def _number(text: str, scale: int, path: str) -> int:
    try:
        return to_scaled(text, scale)
    except NumberError as e:
        raise VenueError(f"{path}: {e}") from None
