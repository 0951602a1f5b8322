"""What a plain FIX 4.4 peer is told to be by configuration alone."""

from dataclasses import dataclass

from base.config import Kind
from base.errors import ConfigError
from fix.settings import SequencePolicy
from venues.cancel_plan import Reach
from venues.fix44.logon import ALGORITHMS, Recipe, recipe
from venues.fix44.wire_rules import WireRules
from venues.ids import NumberIds
from venues.interface import Disconnect
from venues.limits import Limit, written
from venues.options import Options, Value

MESSAGES = frozenset({*"DFGHqV", "AF"})
REST_CALLS = frozenset({"fills", "balances", "cancel_order", "cancel_after"})
ORD_TYPES = frozenset("1234")
TIMES_IN_FORCE = frozenset("01346")
BEGIN_STRINGS = ("FIX.4.2", "FIX.4.4")
_POLICIES = {
    "reset": SequencePolicy.RESET_AT_LOGON,
    "continue": SequencePolicy.CONTINUE,
    "trust_venue": SequencePolicy.TRUST_VENUE,
    "halt": SequencePolicy.HALT,
}
_REACHES: dict[str, Reach] = {
    "connection": "connection", "session": "session", "comp_id": "comp_id", "account": "account",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a fix44 venue, checked; docs/venues/fix44.md describes each."""

    begin_string: str
    kinds: frozenset[Kind]
    messages: frozenset[str]
    ord_types: frozenset[str]
    times_in_force: frozenset[str]
    sequence: SequencePolicy
    reset_at_s: tuple[int, ...]
    resend: bool
    mass_cancel_report: bool
    mass_cancel_reaches: Reach
    mass_cancel_by_instrument: bool
    on_disconnect: Disconnect
    rest: bool
    rest_calls: frozenset[str]
    replay_proves: bool
    levels: frozenset[int]
    depths: frozenset[int]
    order_id_tag: int
    book_id_tag: int
    echoes_md_req_id: bool
    one_subscription: bool
    deletes_have_price: bool
    account: str
    handl_inst: str
    cl_ord_ids: str
    cl_ord_id_prefix: str
    id_lane: int
    commission_in: str
    account_wide_reports: bool
    orders_per_s: int
    cancel_reserve_per_s: int
    subscriptions_per_s: int
    rate_limits: tuple[Limit, ...]
    writes: WireRules
    reads: WireRules
    logon: Recipe


def read(values: dict[str, Value], path: str) -> Settings:
    """Options into settings; ConfigError names `path` and the key."""
    o = Options(values, path)
    messages = o.texts("messages", sorted(MESSAGES - {"AF"}), MESSAGES)
    settings = Settings(
        begin_string=o.text("begin_string", "FIX.4.4", BEGIN_STRINGS),
        kinds=frozenset(Kind(k) for k in o.texts("kinds", _kinds(messages), list(Kind))),
        messages=messages,
        ord_types=o.texts("ord_types", sorted(ORD_TYPES), ORD_TYPES),
        times_in_force=o.texts("times_in_force", sorted(TIMES_IN_FORCE), TIMES_IN_FORCE),
        sequence=_POLICIES[o.text("sequence", "continue", _POLICIES)],
        reset_at_s=tuple(sorted(_second(t, path) for t in o.texts("reset_at", ()))),
        resend=o.flag("resend", True),
        mass_cancel_report=o.flag("mass_cancel_report", True),
        mass_cancel_reaches=_REACHES[o.text("mass_cancel_reaches", "session", _REACHES)],
        mass_cancel_by_instrument=o.flag("mass_cancel_by_instrument", True),
        on_disconnect=Disconnect(o.text("on_disconnect", "unknown", list(Disconnect))),
        rest=o.flag("rest", False),
        rest_calls=frozenset(o.texts("rest_calls", ["balances", "cancel_order", "fills"], REST_CALLS)),
        replay_proves=o.text("open_orders", "ask", ("ask", "replay")) == "replay",
        levels=frozenset(int(level) for level in o.texts("levels", ["2"], ("2", "3"))),
        depths=frozenset(_depth(d, path) for d in o.texts("depths", ())),
        order_id_tag=o.integer("order_id_tag", 278, 1, 99_999),
        book_id_tag=o.integer("book_id_tag", 0, 0, 99_999),
        echoes_md_req_id=o.flag("echoes_md_req_id", True),
        one_subscription=o.flag("one_subscription", False),
        deletes_have_price=o.flag("deletes_have_price", True),
        account=o.text("account"),
        handl_inst=o.text("handl_inst", "", ("", "1", "2", "3")),
        cl_ord_ids=o.text("cl_ord_ids", "text", ("text", "number")),
        cl_ord_id_prefix=o.text("cl_ord_id_prefix"),
        id_lane=o.integer("id_lane", -1, -1, NumberIds.LANES - 1),
        commission_in=o.text("commission_in", "", ("", "base", "quote", "received")),
        account_wide_reports=o.flag("account_wide_reports", False),
        orders_per_s=o.integer("orders_per_s", 0, 0, 1_000_000),
        cancel_reserve_per_s=o.integer("cancel_reserve_per_s", 0, 0, 1_000_000),
        subscriptions_per_s=o.integer("subscriptions_per_s", 50, 1, 10_000),
        rate_limits=tuple(written(text, f"{path}.rate_limits") for text in sorted(o.texts("rate_limits", ()))),
        writes=WireRules(o.lines("writes"), f"{path}.writes", may_refuse=True),
        reads=WireRules(o.lines("reads"), f"{path}.reads", may_refuse=False),
        logon=recipe(
            o.lines("logon"),
            o.text("signature", "", ALGORITHMS),
            o.text("signed"),
            path,
            digest=o.text("signed_digest", "", ("", "sha256")) == "sha256",
            base64_secret=o.text("secret_is", "text", ("text", "base64")) == "base64",
            hex_signature=o.text("signature_is", "base64", ("base64", "hex")) == "hex",
        ),
    )
    o.end()
    if batched := settings.reads.types & {"W", "X"}:
        raise ConfigError(f"{path}.reads: 35={min(batched)} is decoded in batches, no rule can change it")
    return settings


def _kinds(messages: frozenset[str]) -> list[str]:
    return [Kind.TRADING, Kind.DROPCOPY, *([Kind.MARKETDATA] if "V" in messages else [])]


def _depth(text: str, path: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise ConfigError(f"{path}.depths: {text!r} is not a whole number")
    return int(text)


def _second(text: str, path: str) -> int:
    parts = text.split(":")
    if len(parts) != 3 or not all(p.isdecimal() and len(p) == 2 for p in parts):
        raise ConfigError(f"{path}.reset_at: {text!r} is not a UTC time HH:MM:SS")
    hours, minutes, seconds = (int(p) for p in parts)
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ConfigError(f"{path}.reset_at: {text!r} is not a UTC time HH:MM:SS")
    return hours * 3600 + minutes * 60 + seconds
