"""Rate limits shared by the processes of a desk: one budget, kept through restarts, and a REST side under it."""

import multiprocessing
import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from base.clock import ManualClock
from base.config import DeskConfig, load
from base.errors import ConfigError
from base.http import Response
from sim.setup import Setup
from venues.binance.sim_limits import Limits
from venues.interface import RestRequest
from venues.kraken.sim_rest import KrakenRest
from venues.limits import DAY_S, Limit
from venues.rate import meter
from venues.rate_share import DeskRates, SharedRates
from venues.registry import dialect
from venues.rest_rates import RestRates, SingleRates
from venues.throttle import Throttle

MS = 1_000_000
SECOND = 1_000 * MS
NOON = 1_775_563_200 * SECOND
CONFIG = """
[desk]
name = "t"
shm_dir = "{shm}"
[venue.v]
dialect = "{dialect}"
{venue}
instruments = [{{ name = "BTC-USD", symbol = "{symbol}", px_scale = 1, qty_scale = 3 }}]
[session.a]
venue = "v"
kind = "trading"
address = "run:sim-v#trading"
sender_comp_id = "A"
target_comp_id = "SPOT"
[session.b]
venue = "v"
kind = "trading"
address = "run:sim-v#trading"
sender_comp_id = "B"
target_comp_id = "SPOT"
[session.k]
venue = "v"
kind = "trading"
address = "run:sim-v#trading"
sender_comp_id = "K"
target_comp_id = "SPOT"
[kill]
sessions = ["k"]
"""


def desk(tmp_path: Path, name: str = "binance", venue: str = "", symbol: str = "BTCUSDT") -> DeskConfig:
    (tmp_path / "config").mkdir(exist_ok=True)
    path = tmp_path / "config" / "desk.toml"
    path.write_text(CONFIG.format(shm=tmp_path / "shm", dialect=name, venue=venue, symbol=symbol))
    return load(path)


def rates(config: DeskConfig, venue: str = "v") -> DeskRates:
    return DeskRates(config, venue, dialect(config.config.venue[venue].dialect, "here"))


def passed(throttle: Throttle, now: int, times: int, wall: int = NOON) -> int:
    return sum(not throttle.take("new", now, wall, "BTC-USD") for _ in range(times))


def test_what_an_earlier_boot_of_the_host_left_counts_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, long_after = rates(desk(tmp_path)), 10**18
    assert passed(made.orders("a"), long_after, 300) > 0
    assert passed(made.orders("b"), SECOND, 1) == 0, "the monotonic clock never falls within a boot"
    monkeypatch.setattr("venues.rate_share.this_boot", lambda: 7)
    b = rates(desk(tmp_path)).orders("b")
    assert [passed(b, SECOND, 1), passed(b, 60 * SECOND, 1)] == [1, 1]


def test_sessions_of_an_account_have_one_budget(tmp_path: Path) -> None:
    made = rates(desk(tmp_path))
    a, b = made.orders("a"), made.orders("b")
    now = time.monotonic_ns()
    # 200 in 10 s, 2 set aside for times that differ, one for each other writer (b and k).
    assert passed(a, now, 150) == 150
    assert passed(b, now, 150) == 46
    assert passed(a, now + 2 * MS, 1) == 0, "what others spent is known within a millisecond"
    assert passed(a, now + 11 * SECOND, 150) == 150


def test_what_counts_by_connection_is_not_shared(tmp_path: Path) -> None:
    made = rates(desk(tmp_path))
    a, b = made.orders("a"), made.orders("b")
    now = time.monotonic_ns()
    a.force("cancel", now, NOON)
    assert (a.left(now, NOON)["left_messages"], b.left(now, NOON)["left_messages"]) == (9_899, 9_900)


def test_a_kill_counts_on_everybodys_budget(tmp_path: Path) -> None:
    made = rates(desk(tmp_path, "kraken", 'options = { tier = "pro" }', "BTC/USD"))
    a, kill = made.orders("a"), made.orders("k")
    now = time.monotonic_ns()
    before = a.left(now, NOON)["left_pair_counter"]
    for _ in range(5):
        kill.force("swept", now, NOON, "BTC-USD")
    assert a.left(now + 2 * MS, NOON)["left_pair_counter"] == before - 40


def test_a_restarted_process_takes_up_where_all_stood(tmp_path: Path) -> None:
    config = desk(tmp_path, "kraken", 'options = { tier = "starter" }', "BTC/USD")
    a, b = rates(config).orders("a"), rates(config).orders("b")
    now = time.monotonic_ns()
    passed(a, now, 20)
    passed(b, now, 10)
    again = rates(config).orders("a")
    left = b.left(now, NOON)["left_pair_counter"]
    assert again.left(now, NOON)["left_pair_counter"] == left == 60 - 2 - 2 - 30
    assert rates(config).orders("a").left(now + 10 * SECOND, NOON)["left_pair_counter"] == left + 10


def test_two_venues_of_one_account_share_and_another_account_does_not(tmp_path: Path) -> None:
    config = desk(tmp_path, "kraken", 'options = { tier = "pro" }', "BTC/USD")
    text = config.path.read_text()
    for name, account in (("w", "main"), ("x", "other")):
        text += f"""
[venue.{name}]
dialect = "kraken"
account = "{account}"
options = {{ tier = "pro" }}
instruments = [{{ name = "BTC-USD", symbol = "BTC/USD", px_scale = 1, qty_scale = 3 }}]
[session.{name}1]
venue = "{name}"
kind = "trading"
address = "run:sim-v#trading"
sender_comp_id = "{name}"
target_comp_id = "SPOT"
"""
    config.path.write_text(text)
    config = load(config.path)
    v, w, x = rates(config).orders("a"), rates(config, "w").orders("w1"), rates(config, "x").orders("x1")
    now = time.monotonic_ns()
    v.force("swept", now, NOON, "BTC-USD")
    full = 180 - 2
    left = [t.left(now, NOON)["left_pair_counter"] for t in (v, w, x)]
    assert left == [full - 3 - 8, full - 3 - 8, full]


def test_another_configuration_has_another_file(tmp_path: Path) -> None:
    one = SharedRates(tmp_path, "x", ["l"], ["a", "b"], "a")
    same, other = SharedRates(tmp_path, "x", ["l"], ["a", "b"], "b"), SharedRates(tmp_path, "x", ["l"], ["a"], "a")
    assert one.path == same.path != other.path
    assert one.path.stat().st_mode & 0o777 == 0o600


def test_where_nothing_can_be_shared_that_is_an_error_and_not_a_limit_less_desk(tmp_path: Path) -> None:
    (tmp_path / "shm").write_text("a file")
    with pytest.raises(ConfigError, match="shared rate limits cannot be kept"):
        rates(desk(tmp_path)).orders("a")


LIMIT = Limit(name="l", most=2_000, per_s=DAY_S, scope="account")


def _spend(folder: Path, writer: str, out: Any) -> None:
    column = SharedRates(folder, "x", ["l"], ["a", "b", "c"], writer).column("l")
    at = meter(LIMIT, column)
    done = 0
    until = time.monotonic() + 20
    while time.monotonic() < until:
        at.sync(time.monotonic_ns(), NOON)
        if at.used + 1 > at.open:
            break
        at.spend(1, time.monotonic_ns(), NOON)
        done += 1
    out.put(done)


def test_processes_that_hurry_at_once_do_not_pass_the_limit(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    out = fork.SimpleQueue()
    workers = [fork.Process(target=_spend, args=(tmp_path, writer, out)) for writer in "abc"]
    for worker in workers:
        worker.start()
    spent = [out.get() for _ in workers]
    for worker in workers:
        worker.join(20)
    assert sum(spent) <= LIMIT.most
    assert sum(spent) >= LIMIT.most - 2


# -- REST ------------------------------------------------------------------------------------------------------------


OPEN = RestRequest("GET", "/api/v3/openOrders?timestamp=1")


def rest(tmp_path: Path, clock: ManualClock, *, forced: bool = False) -> RestRates:
    writer = "killswitch" if forced else "a"
    return RestRates(rates(desk(tmp_path)).rest(writer), clock, forced=forced)


def test_rest_requests_weigh_what_the_venue_says_and_leave_a_reserve(tmp_path: Path) -> None:
    clock = ManualClock()
    own = rest(tmp_path, clock)
    allowed = sum(not own.late(OPEN) for _ in range(100))
    assert allowed == (6_000 - 1_000 - 3) // 80
    assert own.late(OPEN).startswith("rate limit of the venue (weight: 6000 in 1 min): try again in ")


def test_the_simulated_venue_never_sees_too_much_weight(tmp_path: Path) -> None:
    clock = ManualClock()
    own, venue = rest(tmp_path, clock), Limits(Setup("binance", []), clock)
    sent = 0
    for _ in range(4_000):
        clock.advance(SECOND // 20)
        if not own.late(OPEN):
            sent += 1
            assert venue.weight(80) == 0
    assert sent > 150
    assert venue.weight(6_001) > 0, "and it would have said so"


CANCEL = [RestRequest("DELETE", f"/api/v3/openOrders?symbol={s}") for s in ("BTCUSDT", "ETHUSDT")]


def test_cancels_of_the_kill_path_use_the_reserve_and_are_counted(tmp_path: Path) -> None:
    clock = ManualClock()
    own, kill = rest(tmp_path, clock), rest(tmp_path, clock, forced=True)
    while not own.late(OPEN):
        pass
    assert not any(kill.late(c) for _ in range(400) for c in CANCEL), "the whole reserve of 1,000 is theirs"
    assert own.throttle.left(clock.mono_ns(), clock.wall_ns())["left_weight"] < 300


def test_where_nothing_is_left_a_round_of_cancels_leaves_each_second_all_the_same(tmp_path: Path) -> None:
    clock = ManualClock()
    own, kill = rest(tmp_path, clock), rest(tmp_path, clock, forced=True)
    kill.burst = 2
    own.throttle.force("GET /api/v3/openOrders", clock.mono_ns(), clock.wall_ns())
    for _ in range(80):
        own.throttle.force("GET /api/v3/openOrders", clock.mono_ns(), clock.wall_ns())
    assert own.late(OPEN), "the address has used its weight"
    sent = 0
    for _ in range(50):
        sent += sum(not kill.late(c) for c in CANCEL)
        clock.advance(SECOND // 10)
    assert sent == 2 * 5


def test_questions_about_single_orders_leave_half_to_the_lists(tmp_path: Path) -> None:
    clock = ManualClock()
    config = desk(tmp_path, "kraken", 'options = { tier = "starter" }', "BTC/USD")
    lists = RestRates(rates(config).rest("killswitch"), clock)
    question, listing = RestRequest("POST", "/0/private/QueryOrders"), RestRequest("POST", "/0/private/OpenOrders")
    asked = 0
    while lists.roomy(question):
        assert lists.late(question) == ""
        asked += 1
    assert 4 <= asked <= 6
    assert sum(not lists.late(listing) for _ in range(20)) >= 5


def test_single_cancels_leave_half_to_the_lists_and_then_one_leaves_each_second(tmp_path: Path) -> None:
    clock = ManualClock()
    config = desk(tmp_path, "kraken", 'options = { market = "derivatives" }', "PF_XBTUSD")
    throttle = rates(config).rest("killswitch")
    singles, lists = SingleRates(throttle, clock), RestRates(throttle, clock)
    one = RestRequest("POST", "/derivatives/api/v3/cancelorder")
    at_once = sum(not singles.late(one) for _ in range(60))
    assert 20 <= at_once <= 26, "half of 500 in 10 s at 10 each, and one that insists"
    assert "half of it is left to lists" in singles.late(one)
    assert lists.late(RestRequest("GET", "/derivatives/api/v3/openorders")) == ""
    sent = 0
    for _ in range(50):
        clock.advance(SECOND // 10)
        sent += not singles.late(one)
    assert sent == 5


def test_single_cancels_of_kraken_spot_are_no_calls(tmp_path: Path) -> None:
    clock = ManualClock()
    throttle = rates(desk(tmp_path, "kraken", 'options = { tier = "starter" }', "BTC/USD")).rest("killswitch")
    one = RestRequest("POST", "/0/private/CancelOrder")
    assert not any(SingleRates(throttle, clock).late(one) for _ in range(100))
    assert RestRates(throttle, clock).late(RestRequest("POST", "/0/private/OpenOrders")) == ""


def test_in_a_ban_one_single_cancel_leaves_in_ten_seconds(tmp_path: Path) -> None:
    clock = ManualClock()
    singles = SingleRates(rates(desk(tmp_path)).rest("killswitch"), clock)
    singles.heed(Response(418, b"", (("Retry-After", "600"),)))
    one, sent = RestRequest("DELETE", "/api/v3/order?symbol=BTCUSDT"), 0
    for _ in range(300):
        clock.advance(SECOND // 10)
        sent += not singles.late(one)
    assert sent == 3


def test_the_first_round_leaves_in_a_ban_and_then_one_in_ten_seconds(tmp_path: Path) -> None:
    clock = ManualClock()
    kill = rest(tmp_path, clock, forced=True)
    kill.burst = 2
    kill.heed(Response(418, b"", (("Retry-After", "600"),)))
    assert [kill.late(c) for c in CANCEL] == ["", ""]
    sent = 0
    for _ in range(300):
        clock.advance(SECOND // 10)
        sent += sum(not kill.late(c) for c in CANCEL)
    assert sent == 2 * 3
    clock.advance(600 * SECOND)
    assert not any(kill.late(c) for _ in range(5) for c in CANCEL)


def test_too_many_requests_slow_the_kill_path_to_a_round_a_second(tmp_path: Path) -> None:
    clock = ManualClock()
    kill = rest(tmp_path, clock, forced=True)
    kill.heed(Response(429, b"", (("Retry-After", "60"),)))
    sent = 0
    for _ in range(50):
        sent += not kill.late(CANCEL[0])
        clock.advance(SECOND // 10)
    assert sent == 5


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [(429, (("Retry-After", "7"),), 7), (418, (("retry-after", "300"),), 300), (429, (), 10), (418, (), 120),
     (429, (("Retry-After", "soon"),), 10)],
)  # fmt: skip
def test_silence_that_the_venue_asks_for_is_kept(
    tmp_path: Path, status: int, headers: tuple[tuple[str, str], ...], wait_s: int
) -> None:
    clock = ManualClock()
    own = rest(tmp_path, clock)
    own.heed(Response(status, b"{}", headers))
    assert own.late(OPEN).endswith(f"(HTTP {status} of the venue): try again in {wait_s * 1000} ms")
    clock.advance(wait_s * SECOND)
    assert own.late(OPEN) == ""


def test_krakens_refusal_in_an_answer_of_status_200_is_heeded(tmp_path: Path) -> None:
    clock = ManualClock()
    config = desk(tmp_path, "kraken", 'options = { tier = "pro" }', "BTC/USD")
    own = RestRates(rates(config).rest("a"), clock)
    request = RestRequest("POST", "/0/private/OpenOrders")
    assert own.late(request) == ""
    own.heed(Response(200, b'{"error":["EAPI:Rate limit exceeded"]}'))
    assert "rest: 20 falls by 1 a second" in own.late(request)
    clock.advance(8 * SECOND)
    assert own.late(request) == ""


@pytest.mark.parametrize("tier", ["starter", "intermediate", "pro"])
def test_the_simulated_kraken_never_refuses_a_rest_call_for_the_rate(tmp_path: Path, tier: str) -> None:
    clock, chance = ManualClock(), random.Random(1)
    venue: Any = SimpleNamespace(setup=Setup("kraken", [], options={"tier": tier}), clock=clock)
    config = desk(tmp_path, "kraken", f'options = {{ tier = "{tier}" }}', "BTC/USD")
    own, theirs, sent = RestRates(rates(config).rest("a"), clock), KrakenRest(venue), 0
    for _ in range(1_000):
        clock.advance(chance.randrange(SECOND))
        path = chance.choice(["OpenOrders", "QueryOrders", "TradesHistory"])
        if not own.late(RestRequest("POST", f"/0/private/{path}")):
            sent += 1
            assert theirs._within_calls("key", f"/0/private/{path}")
    assert sent > 80
    assert not all(theirs._within_calls("key", "/0/private/OpenOrders") for _ in range(30)), "and it would have said so"


@pytest.mark.parametrize(("own_key", "left"), [(True, 16), (False, 0)])
def test_where_the_venue_counts_by_key_a_kill_with_a_key_of_its_own_costs_the_others_nothing(
    tmp_path: Path, own_key: bool, left: int
) -> None:
    kill = ', kill_key = "env:K", kill_secret = "env:S"' if own_key else ""
    rest_side = f'rest = {{ address = "https://h", key = "env:A", secret = "env:B"{kill} }}'
    text = f'options = {{ tier = "pro" }}\n{rest_side}'
    made, clock = rates(desk(tmp_path, "kraken", text, "BTC/USD")), ManualClock()
    traders, killer = RestRates(made.rest("a"), clock), RestRates(made.rest("killswitch"), clock, forced=True)
    while not killer.late(RestRequest("POST", "/0/private/CancelAll")):
        pass
    assert traders.left()["left_rest"] == left
