"""What would guard nothing is found where the kill switch starts, not by `qd check` alone."""

from pathlib import Path

import pytest

from base.config import load
from venues.kill_limits import trigger_problems

DESK = Path(__file__).parents[2] / "config" / "desk.toml"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"BTC-USD" = "25"', '"BTC-UDS" = "25"', "kill.limits[1].max_position: venue:kraken has no 'BTC-UDS'"),
        ('USD = "5000000"', 'UDS = "5000000"', "kill.limits[0].max_notional: nothing of desk is quoted in 'UDS'"),
        (
            'scope = "venue:kraken"', 'scope = "session:kraken-trd"\nmax_drop_copy_mismatches_per_day = 1',
            "kill.limits[1].max_drop_copy_mismatches_per_day: session:kraken-trd: no drop-copy session covers it",
        ),
        ("confirm", "confirm", ""),
    ],
)  # fmt: skip
def test_a_name_that_the_scope_does_not_have_is_an_error_at_start(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "desk.toml").write_text(DESK.read_text().replace(old, new, 1))
    found = trigger_problems(load(tmp_path / "c" / "desk.toml"))
    assert [line for line in found if not line.startswith(says)] == []
    assert bool(found) == bool(says)
