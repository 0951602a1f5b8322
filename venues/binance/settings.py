"""Options of a Binance venue or session, and the venue's limits as data."""

import re
from dataclasses import dataclass

from base.errors import ConfigError
from venues.options import Options, Value

TARGET = "SPOT"
COMP_ID = re.compile(r"[a-zA-Z0-9_-]{1,8}")
PREFIX = re.compile(r"[a-zA-Z0-9_-]{1,18}")
"""ClOrdID has 36 characters: prefix, lane, 16 digits, one more for the cancel half of a replace."""
HEARTBEATS_S = range(5, 61)
MD_REQUESTS_PER_S = 25  # market data: 2,000 in 60 s, heartbeats included
MAX_STREAMS = 1_000
DEPTH_MAX = 5_000
DEPTH_MIN = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked options; docs/venues/binance.md describes each."""

    sequential: bool
    book_ticker: bool
    trades: bool
    cl_ord_id_prefix: str
    recv_window_ms: int


def read(values: dict[str, Value], path: str) -> Settings:
    """Options into settings; ConfigError names `path` and the key."""
    o = Options(values, path)
    settings = Settings(
        sequential=o.text("message_handling", "sequential", ("sequential", "unordered")) == "sequential",
        book_ticker=o.text("stream", "depth", ("depth", "book_ticker")) == "book_ticker",
        trades=o.flag("trades", True),
        cl_ord_id_prefix=o.text("cl_ord_id_prefix"),
        recv_window_ms=o.integer("recv_window_ms", 0, 0, 60_000),
    )
    o.end()
    if settings.cl_ord_id_prefix and not PREFIX.fullmatch(settings.cl_ord_id_prefix):
        raise ConfigError(f"{path}.cl_ord_id_prefix: {settings.cl_ord_id_prefix!r} does not match {PREFIX.pattern}")
    return settings
