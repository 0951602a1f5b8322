"""Options of a Coinbase Derivatives venue or session; docs/venues/coinbase_derivatives.md describes each."""

import re
from dataclasses import dataclass
from typing import Literal

from base.errors import ConfigError
from venues.limits import Limit, written
from venues.options import Options, Value

TARGET = "COIND"
HEARTBEAT_S = (5, 60)
SENDER = re.compile(r"[A-Z]{3}\d{3}", re.ASCII)
"""SenderCompID(49): SubFirmID and SessionID."""
_ACCOUNT_MOST, _TRADER_MOST = 16, 18

OnLoss = Literal["unknown", "none", "day_orders"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked options."""

    account: str
    trader: str
    on_behalf_of: str
    environment: str
    security_type: str
    capacity: str
    manual: bool
    handling: str
    cti_code: str
    customer_or_firm: str
    smp_id: str
    smp_mode: str
    on_loss: OnLoss
    replay: bool
    rate_limits: tuple[Limit, ...]


def read(values: dict[str, Value], path: str) -> Settings:
    """Options into settings; ConfigError names `path` and the key."""
    o = Options(values, path)
    losses: dict[str, OnLoss] = {"unknown": "unknown", "none": "none", "day_orders": "day_orders"}
    settings = Settings(
        account=o.text("account"),
        trader=o.text("trader"),
        on_behalf_of=o.text("on_behalf_of"),
        environment=o.text("environment", "PROD", ("PROD", "TEST")),
        security_type=o.text("security_type", "FUT", ("FUT", "OPT")),
        capacity=o.text("order_capacity", "P", "AP"),
        manual=o.flag("manual", False),
        handling=o.text("handling", "Y", "WYCGHD"),
        cti_code=o.text("cti_code", "", ("", "1", "2", "3", "4")),
        customer_or_firm=o.text("customer_or_firm", "", ("", "0", "1")),
        smp_id=o.text("smp_id"),
        smp_mode=o.text("smp_mode", "N", "NOQ"),
        on_loss=losses[o.text("cancel_on_disconnect", "unknown", losses)],
        replay=o.flag("replay", True),
        rate_limits=tuple(written(text, f"{path}.rate_limits") for text in sorted(o.texts("rate_limits", ()))),
    )
    o.end()
    _check(settings, path)
    return settings


def _check(s: Settings, path: str) -> None:
    for key, value, most in (
        ("account", s.account, _ACCOUNT_MOST), ("trader", s.trader, _TRADER_MOST),
        ("on_behalf_of", s.on_behalf_of, _TRADER_MOST),
    ):  # fmt: skip
        if len(value) > most or not value.isascii():
            raise ConfigError(f"{path}.{key}: {value!r} has more than {most} ASCII characters")
    if s.smp_id and not (len(s.smp_id) == 8 and s.smp_id.isdecimal() and s.smp_id.isascii()):
        raise ConfigError(f"{path}.smp_id: {s.smp_id!r} is not 8 digits")


def need_for_orders(settings: Settings, path: str) -> None:
    """ConfigError naming what an order-entry session cannot do without."""
    for key, value in (("account", settings.account), ("trader", settings.trader), ("cti_code", settings.cti_code)):
        if not value:
            raise ConfigError(f"{path}.{key}: missing; the venue wants it on every order")
