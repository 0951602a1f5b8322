"""The schema in words and as JSON Schema, read from the structs themselves: no list of fields is kept a second time.

What a field means is the comment beside it, or, for names that mean the same everywhere, the line in WORDS. The page
docs/schema.md and what `qd schema` prints are made from here.
"""

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, get_args, get_type_hints

import msgspec

from ipc.events import SCHEMA_VERSION, AnyEvent, Envelope
from ipc.requests import Answer, AnyCommand, ReplayChunk

EVENTS: Final[tuple[Any, ...]] = get_args(AnyEvent)
COMMANDS: Final[tuple[Any, ...]] = get_args(AnyCommand)
AROUND: Final[tuple[Any, ...]] = (Envelope, Answer, ReplayChunk)

WORDS: Final = {
    "account": "account at the venue",
    "ask_px": "best offer, at px_scale",
    "ask_qty": "at qty_scale; 0 = no offer",
    "bid_px": "best bid, at px_scale",
    "bid_qty": "at qty_scale; 0 = no bid",
    "cl_ord_id": "ClOrdID(11) of the order",
    "client_id": "client that placed it",
    "code": "stable short name",
    "command_id": "command that placed it",
    "counters": "counts by name since the process began",
    "cum_qty": "CumQty(14), at qty_scale",
    "display_qty": "DisplayQty(1138), at qty_scale; none = all of it",
    "drop_copy": "came over a drop-copy session",
    "effective_ns": "EffectiveTime(168), UTC ns; 0 none",
    "expire_ns": "ExpireTime(126), UTC ns; 0 none",
    "instrument": "the desk's name, as BTC-USD",
    "last_px": "LastPx(31), at px_scale",
    "last_qty": "LastQty(32), at qty_scale",
    "last_update_id": "the venue's update id or sequence number; 0 when it has none",
    "leaves_qty": "LeavesQty(151), at qty_scale",
    "level": "2 or 3",
    "next_in": "next expected incoming sequence number",
    "next_out": "next outgoing sequence number",
    "options": "further venue options by FIX name",
    "ord_type": "OrdType(40)",
    "order_id": "OrderID(37)",
    "order_qty": "OrderQty(38), at qty_scale",
    "pid": "process id",
    "poss_dup": "PossDupFlag(43)",
    "poss_resend": "PossResend(97)",
    "price": "Price(44), at px_scale; none for market orders",
    "process": "process name",
    "proven": "orders proven dead",
    "px": "at px_scale",
    "px_scale": "decimals of the prices: price = integer / 10**px_scale",
    "qty": "at qty_scale",
    "qty_scale": "decimals of the quantities: quantity = integer / 10**qty_scale",
    "reason": "why, for people",
    "reason_code": "reject reason as the venue gave it",
    "recv_ns": "when it was received, UTC ns",
    "request_id": "id of the request it answers",
    "sending_ns": "SendingTime(52), UTC ns; 0 when absent",
    "session": "session that carried it",
    "severity": "info, warning or critical",
    "side": "Side(54): 1 buy, 2 sell",
    "since_ns": "since when, UTC ns",
    "stop_px": "StopPx(99), at px_scale",
    "strategy": "owner of the order; \"\" when the desk does not know it",
    "text": "Text(58), or what people should read",
    "time_in_force": "TimeInForce(59)",
    "topic": "which topic",
    "trade_id": "the venue's trade id",
    "transact_ns": "TransactTime(60), UTC ns; 0 when absent",
    "ts_ns": "when, UTC ns",
    "venue": "venue, as in the configuration",
    "venue_symbol": "the venue's own symbol",
    "working": "orders not yet proven dead",
}  # fmt: skip

_EXEC, _STATE, _MD = "`exec.SESSION`", "`state.PROCESS`", "`md.VENUE.INSTRUMENT` (L2), `md3.VENUE.INSTRUMENT` (L3)"
TOPICS: Final = {
    "ExecutionReport": _EXEC, "CancelReject": _EXEC, "MassCancelReport": _EXEC, "OrderState": _EXEC, "Position": _EXEC,
    "Balance": _EXEC, "Difference": _EXEC, "VenueLimit": _EXEC, "SessionState": _STATE, "ProcessState": _STATE,
    "InstrumentDefinition": f"{_STATE}; {_MD}", "BookSnapshot": _MD, "BookDelta": _MD, "PublicTrade": _MD,
    "BookStatus": _MD, "TopOfBook": "`bbo.VENUE.INSTRUMENT`", "BookSource": "`state.book-SHARD`", "KillState": "`kill`",
    "KillProgress": "`kill`", "Alert": "`alert.PROCESS`", "Marker": "the one that was asked about", "Break": "`ledger`",
}  # fmt: skip
TAKEN_BY: Final = {
    "NewOrder": "trading", "NewOrders": "trading", "CancelOrder": "trading", "ReplaceOrder": "trading",
    "StatusOrder": "trading", "MassCancel": "trading", "ListOrders": "trading", "SnapshotRequest": "marketdata",
    "ReplayRequest": "whoever journals the topic", "Ops": "killswitch, alarms",
}  # fmt: skip

_FIELD = re.compile(r"    (\w+): .*?(?:  # (.+))?$")
_TYPES: Final = {int: "int", str: "str", bool: "bool", bytes: "bytes", type(None): "none"}


class Field(NamedTuple):
    """One field, in the order of the wire. `default`: as JSON writes it, or none; "" when the field is always there."""

    name: str
    type: str
    default: str
    meaning: str


def tag_of(kind: Any) -> str:
    """What the array begins with; "" for an array without a tag."""
    return str(kind.__struct_config__.tag or "")


def words_of(kind: Any) -> str:
    """The docstring, on one line for each paragraph."""
    text = inspect.cleandoc(kind.__doc__ or "")
    return "\n\n".join(" ".join(p.split()) for p in text.split("\n\n"))


def fields_of(kind: Any) -> list[Field]:
    """KeyError names a field without a comment beside it or a line in WORDS."""
    comments: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if msgspec.Struct in base.__mro__[1:]:
            found = map(_FIELD.match, inspect.getsource(base).splitlines())
            comments.update({m[1]: m[2] for m in found if m and m[2]})
    hints = get_type_hints(kind)
    out = []
    for item in msgspec.structs.fields(kind):
        meaning = comments.get(item.name) or WORDS.get(item.name)
        if meaning is None:
            raise KeyError(f"{kind.__name__}.{item.name}: neither a comment beside it nor a line in ipc.schema.WORDS")
        default = "" if item.required else _default_text(item)
        out.append(Field(item.name, _type_text(hints[item.name]), default, meaning))
    return out


def _default_text(item: Any) -> str:
    made = item.default_factory is not msgspec.NODEFAULT
    text = msgspec.json.encode(item.default_factory() if made else item.default).decode()
    return "none" if text == "null" else text


def _type_text(hint: Any) -> str:
    if hint in _TYPES:
        return _TYPES[hint]
    if hint == tuple[AnyEvent, ...]:
        return "list of events"
    origin, args = getattr(hint, "__origin__", None), get_args(hint)
    if origin is dict:
        return f"map of {_type_text(args[0])} to {_type_text(args[1])}"
    if origin is tuple and args[-1] is Ellipsis:
        return f"list of {_type_text(args[0])}"
    if origin is tuple:
        return f"({', '.join(map(_type_text, args))})"
    if args:
        return " or ".join(map(_type_text, args))
    return str(hint.__name__)


# -- as JSON Schema ----------------------------------------------------------------------------------------------------


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of what MessagePack decodes to. `bytes` (MessagePack bin) stand for themselves: the
    schema has them as base64 text, since JSON knows none.
    """
    kinds = [*EVENTS, *COMMANDS, *AROUND]
    _, found = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    defs = {kind.__name__: _described(kind, found[kind.__name__]) for kind in kinds}
    events = next(f for f in defs["Envelope"]["prefixItems"] if f["title"] == "events")
    events["items"] = {"$ref": "#/$defs/Event"}
    defs["Event"] = {"anyOf": [{"$ref": f"#/$defs/{k.__name__}"} for k in EVENTS]}
    defs["Command"] = {"anyOf": [{"$ref": f"#/$defs/{k.__name__}"} for k in COMMANDS]}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Quarterdeck, schema {SCHEMA_VERSION}",
        "description": (
            "What the MessagePack of the bus and of commands decodes to. A frame of the bus is topic NUL Envelope. "
            "Fields are only ever added at the end of an array: a reader ignores what is behind those it knows."
        ),
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in ("Envelope", "Command", "Answer", "ReplayChunk")],
        "$defs": defs,
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(whole))  # lists for tuples
    return plain


def _described(kind: Any, found: dict[str, Any]) -> dict[str, Any]:
    items, tag = found["prefixItems"], tag_of(kind)
    fields = fields_of(kind)
    out = {**found, "description": words_of(kind), "prefixItems": list(items[:1] if tag else ())}
    for item, field in zip(items[1 if tag else 0 :], fields, strict=True):
        out["prefixItems"].append({"title": field.name, "description": field.meaning, **item})
    return out


# -- as a page ---------------------------------------------------------------------------------------------------------

HEAD: Final = f"""# Schema

Every event and every command with its fields, in the order in which they travel. This page is made from the structs
(`qd schema --markdown`, a test holds it to them); `qd schema` prints the same as JSON Schema, for readers in other
languages. What the rules are and which topic carries what is in [events.md](events.md), how frames travel in
[bus.md](bus.md), how commands do in [commands.md](commands.md). `examples/plain.py` is a client that needs no
more than this, in ZeroMQ and MessagePack alone.

Schema version: {SCHEMA_VERSION}. Each struct is a MessagePack array: the tag, then the fields in this order. A field
with a default may be missing at the end, when the sender is older than it; what stands behind the last field that a
reader knows is of a newer sender: passed over in an event, a reason to refuse the whole in a command. Integers are 64
bits, signed; prices and quantities stand at the decimal scale beside them; `*_ns` are UTC nanoseconds since 1970.
`none` is MessagePack nil. One-character codes are FIX values.
"""


def page() -> str:
    """docs/schema.md."""
    out = [HEAD, "## Events\n"]
    for kind in EVENTS:
        out += _section(kind, f"Topic: {TOPICS[kind.__name__]}.")
    out.append("## Commands\n")
    for kind in COMMANDS:
        out += _section(kind, f"Taken by: {TAKEN_BY[kind.__name__]}.")
    out.append("## Around them\n")
    for kind in AROUND:
        out += _section(kind, "")
    return "\n".join(out)


def _section(kind: Any, where: str) -> Iterator[str]:
    tag = tag_of(kind)
    yield f"### {kind.__name__}{f' (`{tag}`)' if tag else ''}\n"
    yield f"{words_of(kind)}\n"
    if where:
        yield f"{where}\n"
    yield "| # | field | type | default | meaning, unit |"
    yield "| --- | --- | --- | --- | --- |"
    for number, field in enumerate(fields_of(kind), 1 if tag else 0):
        default = f"`{field.default}`" if field.default else ""
        yield f"| {number} | `{field.name}` | {field.type} | {default} | {field.meaning} |"
    yield ""
