"""Options of a Gemini venue or session; docs/venues/gemini.md describes each."""

from dataclasses import dataclass

from venues.limits import Limit, written
from venues.options import Options, Value

NAME = "gemini"
TARGET = "GEMINI"
HEARTBEAT_S = 30
"""The only HeartBtInt(108) that the venue takes."""
ORD_TYPES = frozenset("124")
"""1 market, 2 limit, 4 stop limit."""
TIMES_IN_FORCE = frozenset("134")


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked options."""

    resumes: bool
    cancels_on_loss: bool | None  # None: as each session's on_stop says
    cl_ord_id_prefix: str
    messages_per_s: int
    trades: bool
    symbol_list: bool
    left_most: int
    subscriptions_per_s: int
    time_nonce: bool
    rate_limits: tuple[Limit, ...]


def read(values: dict[str, Value], path: str) -> Settings:
    """Options into settings; ConfigError names `path` and the key."""
    o = Options(values, path)
    losses = {"on": True, "off": False, "on_stop": None}
    settings = Settings(
        resumes=o.text("sequence", "resume", ("resume", "reset")) == "resume",
        cancels_on_loss=losses[o.text("cancel_on_disconnect", "on_stop", losses)],
        cl_ord_id_prefix=o.text("cl_ord_id_prefix"),
        messages_per_s=o.integer("messages_per_s", 20, 5, 10_000),
        trades=o.flag("trades", True),
        symbol_list=o.flag("symbol_list", True),
        left_most=o.integer("refreshes_beside", 8, 0, 1_000),
        subscriptions_per_s=o.integer("subscriptions_per_s", 10, 1, 1_000),
        time_nonce=o.text("rest_nonce", "rising", ("rising", "time")) == "time",
        rate_limits=tuple(written(text, f"{path}.rate_limits") for text in sorted(o.texts("rate_limits", ()))),
    )
    o.end()
    return settings
