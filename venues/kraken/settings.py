"""Options of a Kraken venue or session, and what follows from its market."""

from dataclasses import dataclass
from typing import Literal

from venues.ids import NumberIds
from venues.limits import Limit, written
from venues.options import Options, Value

TIERS = ("starter", "intermediate", "pro", "none")
"""Tier of the account, from which its rate limits follow; none: they are lifted by arrangement."""
DEPTHS = frozenset({0, 1, 10, 25, 100, 500, 1000})
"""MarketDepth(264) values of the reference; 0 is full, which L2 caps at 1000 levels."""
L2_FULL = 1000

SPOT_TYPES = frozenset("1234RTUV")
DERIVATIVE_TYPES = frozenset("1234RTU")
SPOT_TIFS = frozenset("1346")
DERIVATIVE_TIFS = frozenset("13")
"""FOK on derivatives is documented two ways: the safe reading is that it does not exist."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked options; docs/venues/kraken.md describes each."""

    derivatives: bool
    amend: bool
    status_request: bool
    status_id: Literal["order", "request"]
    mass_cancel_type: str
    uuid_ids: bool
    id_lane: int
    cancel_on_disconnect: bool | None
    check_checksum: bool
    client_id: str
    alloc_account: str
    subscriptions_per_s: int
    tier: str
    rate_limits: tuple[Limit, ...]

    @property
    def ord_types(self) -> frozenset[str]:
        """OrdType(40) of this market."""
        return DERIVATIVE_TYPES if self.derivatives else SPOT_TYPES

    @property
    def times_in_force(self) -> frozenset[str]:
        """TimeInForce(59) of this market."""
        return DERIVATIVE_TIFS if self.derivatives else SPOT_TIFS


def read(values: dict[str, Value], path: str) -> Settings:
    """Options into settings; ConfigError names `path` and the key."""
    o = Options(values, path)
    derivatives = o.text("market", "spot", ("spot", "derivatives")) == "derivatives"
    given = "cancel_on_disconnect" in values
    cancels = o.flag("cancel_on_disconnect", True)
    settings = Settings(
        derivatives=derivatives,
        amend=o.flag("amend", not derivatives),
        status_request=o.flag("status_request", not derivatives),
        status_id="order" if o.text("status_id", "request", ("order", "request")) == "order" else "request",
        mass_cancel_type=o.text("mass_cancel_type", "7", ("6", "7")),
        uuid_ids=derivatives or o.text("id_form", "number", ("number", "uuid")) == "uuid",
        id_lane=o.integer("id_lane", -1, -1, NumberIds.LANES - 1),
        cancel_on_disconnect=cancels if given else None,
        check_checksum=o.text("checksum", "check", ("check", "off")) == "check",
        client_id=o.text("client_id"),
        alloc_account=o.text("alloc_account"),
        subscriptions_per_s=o.integer("subscriptions_per_s", 10, 1, 1000),
        tier=o.text("tier", "starter", TIERS),
        rate_limits=tuple(written(text, f"{path}.rate_limits") for text in sorted(o.texts("rate_limits", ()))),
    )
    o.end()
    return settings
