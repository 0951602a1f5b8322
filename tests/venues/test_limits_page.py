"""docs/reconnects.md tells every limit that a dialect declares, and no other figure."""

from pathlib import Path
from typing import Any

import pytest

from base.config import Kind, VenueConfig
from venues.limits import CAREFUL, Limit, span
from venues.registry import dialect

ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in (Path(__file__).parents[2] / "docs" / "reconnects.md").read_text().splitlines()
    if line.startswith("| ")
]
KRAKEN = {f"kraken spot, tier {tier}": ("kraken", {"tier": tier}) for tier in ("starter", "intermediate", "pro")}
VENUES: dict[str, tuple[str, dict[str, Any]]] = {
    "binance": ("binance", {}), "bybit": ("bybit", {}), "coinbase_exchange": ("coinbase_exchange", {}),
    "coinbase_prime": ("coinbase_prime", {"portfolio_id": "P"}), "deribit": ("deribit", {}), **KRAKEN,
    "crypto_com": ("crypto_com", {}), "gemini": ("gemini", {}),
    "kraken derivatives": ("kraken", {"market": "derivatives"}),
}  # fmt: skip


def declared(name: str) -> list[list[str]]:
    which, options = VENUES[name]
    limits = dialect(which).capabilities(VenueConfig(dialect=which, instruments=[], options=options)).limits
    kinds: dict[str, tuple[Limit, ...]] = {
        "orders": limits.orders, "market data": limits.market_data, "rest": limits.rest,
    }  # fmt: skip
    return [[name, what, str(x), x.scope, str(x.reserve), x.source] for what, found in kinds.items() for x in found]


@pytest.mark.parametrize("name", VENUES)
def test_the_page_lists_what_the_dialect_declares(name: str) -> None:
    assert [row for row in ROWS if row[0] == name and len(row) == 6] == declared(name)


@pytest.mark.parametrize("name", ["binance", "bybit", "kraken", "others"])
def test_the_page_lists_the_limits_on_connects(name: str) -> None:
    connects = (CAREFUL,)
    if name != "others":
        connects = dialect(name).capabilities(VenueConfig(dialect=name, instruments=[])).limits.connects
    wanted = [
        [
            name,
            "all" if c.kinds == frozenset(Kind) else "".join(c.kinds),
            f"{c.most} in {span(c.per_s)}",
            str(c.reserve),
        ]
        for c in connects
    ]
    assert [row[:4] for row in ROWS if row[0] == name and len(row) == 5] == wanted
