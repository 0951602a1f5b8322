"""Options of a Crypto.com venue or session; docs/venues/crypto_com.md describes each."""

from dataclasses import dataclass
from typing import Literal

from base.errors import ConfigError
from venues.limits import Limit, written
from venues.options import Options, Value

ORD_TYPES = frozenset("12")
"""Market and limit; D, a previously quoted OTC order, is not carried."""
TIMES_IN_FORCE = frozenset("134")
DEPTHS = (150, 1)
"""Levels a side that a book can be had with; the first is what no `depth` means."""
ATTRIBUTES = ("px_digits", "qty_digits", "tick_size", "lot_size", "tradable")

OnLoss = Literal["session", "off"]
Amend = Literal["off", "cancel_new"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked options."""

    on_loss: OnLoss | None
    amend: Amend
    quiet_ms: int
    receive_window_ms: int
    reject_is_final: bool
    self_match: dict[str, str]
    broker_id: str
    opens_with_update: bool
    trades: bool
    attributes: dict[int, str]
    requests_per_s: int
    rate_limits: tuple[Limit, ...]


def read(values: dict[str, Value], path: str) -> Settings:
    """Options into settings; ConfigError names `path` and the key."""
    o = Options(values, path)
    losses: dict[str, OnLoss | None] = {"session": "session", "off": "off", "on_stop": None}
    settings = Settings(
        on_loss=losses[o.text("cancel_on_disconnect", "on_stop", losses)],
        amend="cancel_new" if o.text("amend", "off", ("off", "cancel_new")) == "cancel_new" else "off",
        quiet_ms=o.integer("quiet_after_logon_ms", 1_000, 0, 5_000),
        receive_window_ms=o.integer("receive_window_ms", 0, 0, 5_000),
        reject_is_final=o.flag("reject_is_final", False),
        self_match=_self_match(o, path),
        broker_id=o.text("broker_id"),
        opens_with_update=o.text("first_refresh", "snapshot", ("snapshot", "update")) == "update",
        trades=o.flag("trades", True),
        attributes=_attributes(o, path),
        requests_per_s=o.integer("requests_per_s", 500, 50, 2_500),
        rate_limits=tuple(written(text, f"{path}.rate_limits") for text in sorted(o.texts("rate_limits", ()))),
    )
    o.end()
    if 0 < settings.receive_window_ms < 100:
        raise ConfigError(f"{path}.receive_window_ms: {settings.receive_window_ms} is below 100; 0 leaves it out")
    return settings


def _self_match(o: Options, path: str) -> dict[str, str]:
    """Self-match prevention of every order, under the names of the options of an order."""
    scope = o.text("self_match_scope", "", ("", "M", "S"))
    instruction = o.text("self_match_instruction", "", ("", "1", "2", "3"))
    number = o.integer("self_match_id", 0, 0, 32_767)
    if bool(scope) != bool(instruction) or (number and not scope):
        raise ConfigError(f"{path}.self_match_scope: scope and instruction go together, and an id with them")
    said = {"self_match_scope": scope, "self_match_instruction": instruction, "self_match_id": str(number or "")}
    return {name: value for name, value in said.items() if value}


def _attributes(o: Options, path: str) -> dict[int, str]:
    """`NAME=CODE`: what InstrAttribType(871) stands for, which the venue's pages do not say."""
    codes: dict[int, str] = {}
    for text in sorted(o.texts("instrument_attributes", ())):
        name, _, code = text.partition("=")
        if name not in ATTRIBUTES or not code.isdecimal() or int(code) in codes:
            raise ConfigError(
                f"{path}.instrument_attributes: {text!r} is not NAME=CODE with a name out of {ATTRIBUTES}"
            )
        codes[int(code)] = name
    return codes
