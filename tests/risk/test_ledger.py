"""The ledger: each fill once, whoever tells it how often in which order; positions exact; breaks opened and healed."""

import random
import tempfile
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.risk.ledger_kit import Kept
from tests.risk.ledger_world import AFTER_NS, COPY_SOURCE, ENTRY_SOURCE, PX, QTY, World

NAMINGS = ("trade", "trade-only", "cum", "exec", "mixed", "aliases")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(NAMINGS), st.booleans())
def test_whatever_the_order_and_number_of_deliveries_each_fill_counts_once(
    seed: int, naming: str, in_order: bool
) -> None:
    rng = random.Random(seed)
    # A fill that no name leads to cannot be told to be busted by both views: ExecRefID names one channel's ExecID.
    world = World(rng, naming, amends=naming != "trade-only" or rng.random() < 0.5)
    queues = [(s, world.told(s, shuffled=not in_order)) for s in (ENTRY_SOURCE, COPY_SOURCE)]
    # States from which positions are counted on, kept so often that every history has some.
    every = rng.choice([1, 2, 5_000])
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("risk.ledger.MARK_EVERY", every),
        patch("risk.ledger_save.MARK_EVERY", every),
    ):
        kept = Kept(Path(folder), kept=rng.choice([1, 3, 50_000]))
        while any(q for _, q in queues):
            source, queue = rng.choice([pair for pair in queues if pair[1]])
            kept.take(source, queue.pop(0))
            if rng.random() < 0.2:
                kept.save(reopen=rng.random() < 0.5)
        kept.tick(world.end_ns + AFTER_NS * 2)
        check_fills(kept, world)
        check_positions(kept, world)
        check_breaks(kept, world)
        kept.close()


def check_fills(kept: Kept, world: World) -> None:
    found = kept.fills()
    assert len(found) == len(world.fills)
    assert sorted((f.qty, f.px, f.transact_ns) for f in found) == sorted((*f.final, f.when_ns) for f in world.fills)


def check_positions(kept: Kept, world: World) -> None:
    said = {}
    for book in kept.store.books():
        if book.fills:
            fees = Fraction(book.fees.get("USD", "0"))
            money = Fraction(book.realised, 10 ** (book.px_scale + book.qty_scale))
            position = Fraction(book.position, 10**book.qty_scale)
            said[book.strategy, book.instrument] = (position, money, fees)
    assert said == world.positions()
    assert all((b.px_scale, b.qty_scale) == (PX, QTY) for b in kept.store.books() if b.position)


def check_breaks(kept: Kept, world: World) -> None:
    """One for each fill that a view never heard of, and one for each stranger's order."""
    open_now = kept.breaks()
    missing = sorted((b.order_id, b.instrument, b.lacks) for b in open_now if b.kind == "missing")
    lacking = {"trd": "order_entry", "dc": "drop_copy"}
    expected = [
        (world.orders[f.order]["order_id"], world.orders[f.order]["instrument"], lacking[f.dropped])
        for f in world.fills
        if f.dropped and f.order not in world.strangers
    ]
    assert missing == sorted(expected)
    strangers = {
        world.orders[n]["cl_ord_id"] for n in world.strangers if any(f.order == n and f.final[0] for f in world.fills)
    }
    assert {b.cl_ord_id for b in open_now if b.kind == "unknown_order"} == strangers
    assert {b.kind for b in open_now} <= {"missing", "unknown_order"}


@pytest.mark.parametrize("naming", NAMINGS)
def test_the_world_of_these_tests_has_everything_in_it(naming: str) -> None:
    worlds = [World(random.Random(seed), naming) for seed in range(50)]
    fills = [f for w in worlds for f in w.fills]
    assert {f.dropped for f in fills} == {"", "trd", "dc"}
    assert {f.amended for f in fills} == {"", "G", "H"}
    assert any(w.strangers for w in worlds)
