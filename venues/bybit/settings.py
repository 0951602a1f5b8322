"""Options of a Bybit venue or session."""

import re
from dataclasses import dataclass

from base.errors import ConfigError
from venues.limits import Limit, written
from venues.options import Options, Value

TARGET = "BYBIT_FIX_SERVER"
COMP_ID = re.compile(r"[a-zA-Z0-9_-]{1,16}")
HEARTBEAT_S = 10
"""The venue goes by 10 s whatever HeartBtInt(108) says."""
MOST_SESSIONS = 20
"""Connections of a UID from one machine at once."""
ORD_TYPES = frozenset("1234")
"""1 market, 2 limit, 3 and 4 the same behind a trigger price."""
TIMES_IN_FORCE = frozenset("134")
_PREFIX = re.compile(r"[a-zA-Z0-9_-]{0,19}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked options; docs/venues/bybit.md describes each."""

    recv_window_ms: int
    referer: str
    trigger_filter: str
    smp_type: str
    creates_per_s: int
    amends_per_s: int
    cancels_per_s: int
    cl_ord_id_prefix: str
    rate_limits: tuple[Limit, ...]


def read(values: dict[str, Value], path: str) -> Settings:
    """Options into settings; ConfigError names `path` and the key."""
    o = Options(values, path)
    settings = Settings(
        recv_window_ms=o.integer("recv_window_ms", 5_000, 1, 60_000),
        referer=o.text("referer"),
        trigger_filter=o.text("trigger_filter", "StopOrder", ("StopOrder", "tpslOrder")),
        smp_type=o.text("smp_type", "", ("", "None", "CancelTaker", "CancelMaker", "CancelBoth")),
        creates_per_s=o.integer("creates_per_s", 20, 2, 1_200),
        amends_per_s=o.integer("amends_per_s", 10, 2, 1_200),
        cancels_per_s=o.integer("cancels_per_s", 20, 2, 1_200),
        cl_ord_id_prefix=o.text("cl_ord_id_prefix"),
        rate_limits=tuple(written(text, f"{path}.rate_limits") for text in sorted(o.texts("rate_limits", ()))),
    )
    o.end()
    if not _PREFIX.fullmatch(settings.cl_ord_id_prefix):
        raise ConfigError(
            f"{path}.cl_ord_id_prefix: {settings.cl_ord_id_prefix!r} is not up to 19 letters, digits, - or _"
        )
    return settings
