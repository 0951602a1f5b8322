"""Whatever a client sends, a simulated venue answers or ends the session: it never breaks, and its books stay right."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.clock import ManualClock
from sim.flow import Crowd
from sim.gateway import Link, Venue
from sim.run import build
from sim.setup import Grant, Setup
from sim.timetext import date_time
from sim.wire import encode

VENUES: dict[str, dict[str, Any]] = {
    "fix44": {"types": "DFGHqV120jA", "symbols": ["BTC-USD", "NOPE", ""], "target": "VENUE", "logon": []},
    "kraken": {
        "types": "DFGHqVxg120A",
        "symbols": ["BTC/USD", "PF_XBTUSD", "NOPE", ""],
        "target": "KRAKEN-TRD",
        "logon": [(553, "k"), (554, "p"), (5025, "1")],
    },
    "binance": {
        "types": ["D", "F", "q", "V", "x", "XCN", "XAK", "XLQ", "1", "0", "E", "A"],
        "symbols": ["BTCUSDT", "NOPE", ""],
        "target": "SPOT",
        "logon": [(95, "1"), (96, "x"), (553, "k"), (25035, "2")],
    },
    "coinbase_exchange": {
        "types": ["D", "F", "G", "H", "q", "U4", "U6", "V", "x", "1", "2", "0", "A"],
        "symbols": ["BTC-USD", "NOPE", ""],
        "target": "Coinbase",
        "logon": [(1137, "9")],
        "uuids": True,
    },
    "crypto_com": {
        "types": "DFGHqVx120A",
        "symbols": ["BTC_USDT", "NOPE", ""],
        "target": "SIM.CDC.UD",
        "logon": [(95, "1"), (96, "1"), (553, "k"), (554, "s")],
    },
    "coinbase_derivatives": {
        "types": ["D", "F", "G", "F1", "F3", "1", "2", "0", "A"],
        "symbols": ["BTZ26", "NOPE", ""],
        "target": "COIND",
        "logon": [],
        "always": {1: "C1", 50: "joe", 57: "PROD", 167: "FUT", 528: "P", 582: "2", 1028: "N", 1031: "Y", 22003: "1"},
    },
    "coinbase_prime": {
        "types": "DFGHRqV120A",
        "symbols": ["BTC-USD", "NOPE", ""],
        "target": "COIN",
        "logon": [(9406, "Y")],
        "always": {1: "P", 21: "1", 847: "L"},
    },
    "deribit": {
        "types": ["D", "F", "G", "AF", "q", "V", "x", "1", "2", "0", "A"],
        "symbols": ["BTC-PERPETUAL", "NOPE", ""],
        "target": "DERIBITSERVER",
        "logon": [(95, "3"), (96, "1.x"), (553, "k"), (9001, "Y")],
    },
    "bybit": {
        "types": ["D", "F", "XAR", "G", "q", "1", "2", "0", "A"],
        "symbols": ["BTCUSDT", "NOPE", ""],
        "target": "BYBIT_FIX_SERVER",
        "logon": [(553, "k")],
        "always": {30010: "spot", 30013: "baseCoin", 30006: "r"},
        "clock_tag": 30002,
    },
    "gemini": {"types": "DFVx120A", "symbols": ["BTCUSD", "NOPE", ""], "target": "GEMINI", "logon": [(9001, "N")]},
}
TAGS = [
    11, 37, 41, 54, 38, 40, 44, 59, 60, 99, 18, 530, 262, 263, 264, 266, 267, 269, 146, 320, 559, 335, 126, 1138,
    847, 849, 836, 210, 8007, 111, 152, 1102, 1109, 25009, 25033, 25002, 1100, 1101, 1107, 25001, 6136, 7928, 168,
    62, 1094, 835, 211, 7, 16,
]  # fmt: skip
ODD = ["1", "2", "0", "3", "4", "6", "7", "a", "b", "100", "0.5", "-1", "x y", "1e9", "P", "R", "U", "T"]
ODD += ["9" * 25, "0.123456789012"]
values = st.sampled_from(ODD)
LIKELY = [38, 44, 38, 44, 99, 40, 54, 59, 530, 263, 264, 269, 111, 152, 1102, 1138]
changes = st.dictionaries(st.sampled_from(LIKELY) | st.sampled_from(TAGS), values, max_size=3)
dropped = st.sets(st.sampled_from(TAGS), max_size=1)
ORDER = {54: "1", 38: "2", 40: "2", 44: "100", 59: "1"}
TEMPLATES: dict[str, dict[int, str]] = {
    "D": ORDER,
    "XCN": {**ORDER, 25033: "1", 41: "1"},
    "G": {**ORDER, 37: "1", 41: "1"},
    "F": {41: "1", 54: "1"},
    "XAK": {41: "1", 38: "1"},
    "XAR": {38: "1", 44: "99"},
    "H": {37: "1"},
    "q": {530: "1"},
    "U4": {8014: str(UUID(int=1, version=4)), 73: "1", 37: "1"},
    "U6": {8014: str(UUID(int=1, version=4)), 73: "1", **ORDER},
    "V": {262: "r", 263: "1", 264: "10", 267: "2", 269: "0"},
    "x": {320: "i", 559: "0"},
    "XLQ": {6136: "r"},
}
TAKES_TIME = frozenset("DFGq")


def venue_of(dialect: str) -> tuple[Venue, ManualClock]:
    from sim.desk import module_of

    clock = ManualClock()
    instruments = module_of(dialect).default_instruments(dialect)
    setup = Setup(dialect, instruments, [Grant("trading", "C", VENUES[dialect]["target"])], any_logon=True)
    venue = build(dialect, setup, clock)
    Crowd(venue.exchange, 1, 10, {})
    return venue, clock


def name_of(clock: ManualClock, venue: dict[str, Any]) -> str:
    """A ClOrdID as that venue wants it."""
    stamp = clock.wall_ns() // 1000
    return str(UUID(int=stamp, version=4)) if venue.get("uuids") else str(stamp)


class Caller:
    """One connection without sockets."""

    def __init__(self, venue: Venue, dialect: str, clock: ManualClock) -> None:
        self.out = bytearray()
        self.venue, self.clock = venue, clock
        self.target = VENUES[dialect]["target"]
        self.link: Link = venue.open_link("any", self.out.extend, lambda: None)
        self.seq = 0
        self.send("A", [(98, "0"), (108, "30"), (141, "Y"), *VENUES[dialect]["logon"]])
        assert self.link.active, bytes(self.out)

    def send(self, kind: str, body: list[tuple[int, str]]) -> None:
        self.seq += 1
        head = [(35, kind), (49, "C"), (56, self.target), (34, str(self.seq)), (52, date_time(self.clock.wall_ns(), 6))]
        self.link.received(encode("FIX.4.4", head, body))


@pytest.mark.parametrize("dialect", list(VENUES))
def test_no_request_breaks_a_venue(dialect: str) -> None:
    venue, clock = venue_of(dialect)
    kinds = st.sampled_from([*"DDDDDDDD", *VENUES[dialect]["types"]])
    first, *others = VENUES[dialect]["symbols"]
    symbols = st.sampled_from([first] * 8 + others)

    @settings(max_examples=400, deadline=None)
    @given(st.lists(st.tuples(kinds, symbols, changes, dropped), min_size=5, max_size=40))
    def feed(messages: list[tuple[str, str, dict[int, str], set[int]]]) -> None:
        caller = Caller(venue, dialect, clock)
        for n, (kind, symbol, change, drop) in enumerate(messages, 1):
            if caller.link.closed:
                break
            clock.advance(1_000_000)
            stamp = {60: "20260101-00:00:00.000"} if kind in TAKES_TIME and dialect != "binance" else {}
            ids = (
                {11: name_of(clock, VENUES[dialect])}
                if kind not in {"V", "x", "XLQ", "0", "1", "2", "5", "A", "g"}
                else {}
            )
            known = [o.order_id for o in venue.exchange.working()][-1:]
            point = {37: known[0]} if known and kind in {"F", "G", "H", "XAK", "XAR", "XCN"} and n % 2 else {}
            always = dict(VENUES[dialect].get("always", {}))
            if clock_tag := VENUES[dialect].get("clock_tag"):
                always[clock_tag] = str(clock.wall_ns() // 1_000_000)
            body = {55: symbol, **ids, **stamp, **TEMPLATES.get(kind, {}), **point, **always}
            near = n % 3 > 0  # most messages are right but for a value of their own fields
            body |= {tag: v for tag, v in change.items() if tag in body or not near}
            caller.send(kind, [(tag, v) for tag, v in body.items() if v and (near or tag not in drop)])
            venue.tick()
        caller.link.said_logout = True
        venue.lost(caller.link)
        for market in venue.exchange.markets.values():
            bid, ask = market.best()
            assert bid is None or ask is None or bid < ask

    feed()
    assert venue.exchange.orders


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_no_bytes_break_a_session(noise: bytes) -> None:
    venue, clock = venue_of_plain()
    caller = Caller(venue, "fix44", clock)
    caller.link.received(b"8=FIX.4.4\x01" + noise)
    caller.link.received(noise + b"\x0110=000\x01")
    venue.lost(caller.link)


def venue_of_plain() -> tuple[Venue, ManualClock]:
    from sim.desk import module_of

    clock = ManualClock()
    setup = Setup("fix44", module_of("fix44").default_instruments("fix44"), any_logon=True)
    return build("fix44", setup, clock), clock


def test_the_crowd_is_the_same_for_the_same_seed_and_keeps_a_lively_market() -> None:
    def run(seed: int) -> tuple[list[Any], int]:
        clock = ManualClock()
        from sim.desk import module_of

        venue = build("fix44", Setup("fix44", module_of("fix44").default_instruments("fix44")), clock)
        crowd = Crowd(venue.exchange, seed, 500, {})
        for _ in range(400):
            clock.advance(10_000_000)
            crowd.tick()
        market = venue.exchange.markets["BTC-USD"]
        assert len(market.sides[0]) > 40
        assert len(market.sides[1]) > 40
        assert market.volume > 0
        return [market.public_levels(side) for side in (0, 1)], crowd.steps

    first, again, other = run(1), run(1), run(2)
    assert first == again
    assert first[0] != other[0]
    assert first[1] == 400 * 5 * 2
