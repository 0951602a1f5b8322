"""The dialects under one roof: each case is a venue as configured, with everything a session of it needs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from base.config import Kind, RestConfig, SessionConfig, VenueConfig
from base.instruments import Contract, Instrument
from ipc.requests import NewOrder
from tests.venues.kit import WALL
from venues.interface import Capabilities, Dialect, SessionContext, WorkingOrder
from venues.registry import dialect

KRAKEN_SECRET = "c2VjcmV0"  # the reference's own test secret
PRIME_PEG = {"P": {"peg_offset_type": "0", "peg_offset_value": "0"}}
# The bytes 0 to 63.
COINBASE_SECRET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
BINANCE_KEY = "MC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u"  # published as an example
# The RSA key of 2048 bits that RFC 9500 publishes for tests.
BYBIT_KEY = (Path(__file__).parents[1] / "rsa_testing_key.pem").read_text().replace("TESTING KEY", "PRIVATE KEY")
BYBIT_LIMITS = dict.fromkeys(("creates_per_s", "amends_per_s", "cancels_per_s"), 1_000)


@dataclass(frozen=True)
class Throttle:
    """A limit of the simulated venue, made low by `options`: it takes `most` orders at once, and then answers so."""

    options: dict[str, Any]
    most: int
    answer: str  # MsgType of the refusal of each order beyond; "logout", or "close" for a closed socket, ends it all
    beyond: int = 3  # orders beyond `most` until it answers so


@dataclass(frozen=True)
class Case:
    """One venue in one configuration."""

    id: str
    name: str
    instrument: Instrument
    options: dict[str, Any] = field(default_factory=dict)
    rest: bool = True
    ours: str = "DESK"
    targets: dict[Kind, str] = field(default_factory=dict)
    username: str = "KEY"
    password: str = "pw"
    passphrase: str = "phrase"
    cancels_named: bool = True  # a cancel's report says which request caused it
    named_books: bool = False  # MDReqID names a book, the same at each subscription
    requests_named: bool = True  # 35=F and G carry an id of their own, which a replaced order then has
    status_by: str = "H"  # MsgType of the request for one order's state
    request_tag: int = 11  # where a cancel or replace says its own id
    keeps_ids: bool = False  # a replaced order goes on under its ClOrdID
    order_options: dict[str, dict[str, str]] = field(default_factory=dict)  # by ord_type: what it cannot do without
    sides: dict[str, str] = field(default_factory=dict)  # by ord_type: of orders that a quantity makes, 1 unless told
    ends_subscriptions: bool = True  # market data can be unsubscribed from
    lists_names: bool = False  # the venue is asked which symbols it has, and tells no more of them
    repeats_cancels: bool = False  # REST answers a second cancel of an order as it did the first
    sim_options: dict[str, Any] = field(default_factory=dict)  # of the simulated venue, that it is of the same mind
    channels: frozenset[str] = frozenset({"3", "8", "9", "j", "r"})  # MsgTypes by which the venue refuses requests
    throttles: tuple[Throttle, ...] = ()
    rest_limit: dict[str, Any] | None = None  # of the simulated venue: a few hundred REST calls at once are too many
    pieces: dict[str, Any] = field(default_factory=dict)  # of the simulated venue: a snapshot of 8 entries is several

    @property
    def dialect(self) -> Dialect:
        return dialect(self.name)

    @property
    def venue(self) -> VenueConfig:
        rest = RestConfig(address="https://127.0.0.1:1") if self.rest else None
        return VenueConfig(dialect=self.name, instruments=[], options=self.options, rest=rest)

    @property
    def capabilities(self) -> Capabilities:
        return self.dialect.capabilities(self.venue)

    @property
    def mass_target(self) -> Instrument | None:
        """What a mass cancel names: the instrument, where the venue lets it."""
        return self.instrument if self.capabilities.mass_cancel_by_instrument else None

    def target(self, kind: Kind) -> str:
        return self.targets.get(kind, "VENUE")

    def context(self, kind: Kind, *, level: int = 2, ours: str = "", epoch: int = WALL, **more: Any) -> SessionContext:
        session = SessionConfig(
            venue=self.name, kind=kind, address="127.0.0.1:1", sender_comp_id=ours or self.ours,
            target_comp_id=self.target(kind), level=level, **more,  # type: ignore[arg-type]
        )  # fmt: skip
        return SessionContext(
            name=f"{self.id}-{kind}", config=session, venue=self.venue, instruments=[self.instrument], epoch=epoch,
            username=self.username, password=self.password, passphrase=self.passphrase,
        )  # fmt: skip

    def order(self, **changes: Any) -> NewOrder:
        i = self.instrument
        fields = {
            "client_id": "c", "command_id": "1", "deadline_ns": 0, "venue": i.venue, "instrument": i.name, "side": "1",
            "ord_type": "2", "order_qty": 3 * 10**i.qty_scale, "price": 100 * 10**i.px_scale,
        }  # fmt: skip
        fields |= changes
        fields.setdefault("options", self.order_options.get(str(fields["ord_type"]), {}))
        return NewOrder(**fields)

    def working(self, **changes: Any) -> WorkingOrder:
        i = self.instrument
        fields = {
            "instrument": i, "cl_ord_id": "A1", "order_id": "V1", "side": "1", "ord_type": "2", "time_in_force": "1",
            "order_qty": 3 * 10**i.qty_scale, "price": 100 * 10**i.px_scale, "stop_px": None,
            "leaves_qty": 3 * 10**i.qty_scale,
        }  # fmt: skip
        return WorkingOrder(**{**fields, **changes})


CASES = [
    Case(
        "fix44", "fix44", Instrument("fix44", "BTC-USD", "BTC-USD", 2, 6), {"rest": True, "levels": ["2", "3"]},
        username="joe",
    ),
    Case("fix44-bare", "fix44", Instrument("fix44", "BTC-USD", "BTC-USD", 2, 6), {"messages": ["D", "F"]}, rest=False),
    Case(
        "kraken", "kraken", Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8), ours="CLIENT",
        targets={Kind.TRADING: "KRAKEN-TRD", Kind.MARKETDATA: "KRAKEN-MD"}, password=KRAKEN_SECRET,
        channels=frozenset("3j"), throttles=(Throttle({"rate_ceiling": 5}, 5, "j"),),
        rest_limit={"tier": "starter"},
    ),
    Case(
        "kraken-derivatives", "kraken", Instrument("kraken", "ETH-USD-PERP", "PF_ETHUSD", 1, 3),
        {"market": "derivatives"}, ours="CLIENT_DRV",
        targets={Kind.TRADING: "KRAKEN-DRV-TRD", Kind.MARKETDATA: "KRAKEN-DRV-MD"}, password=KRAKEN_SECRET,
        channels=frozenset("3j"), rest_limit={"tier": "starter"},
    ),
    Case(
        "binance", "binance", Instrument("binance", "BTC-USDT", "BTCUSDT", 2, 5), ours="DESK1",
        targets=dict.fromkeys(Kind, "SPOT"), password=BINANCE_KEY, order_options={"P": {"peg_price_type": "5"}},
        channels=frozenset({"3", "8", "9", "r", "XAR"}),
        throttles=(Throttle({"unfilled_10s": 5}, 5, "8"), Throttle({"oe_messages_10s": 6}, 5, "logout", beyond=1)),
        rest_limit={"weight_1m": 200},
    ),
    Case(
        "coinbase_prime", "coinbase_prime", Instrument("coinbase_prime", "BTC-USD", "BTC-USD", 2, 8),
        {"portfolio_id": "PF-1"}, targets=dict.fromkeys(Kind, "COIN"), order_options=PRIME_PEG,
        channels=frozenset("389j"),
        throttles=(Throttle({"messages_per_s": 5}, 5, "8"), Throttle({"orders_per_s": 5}, 5, "8")),
    ),
    Case(
        "coinbase_prime-resume", "coinbase_prime", Instrument("coinbase_prime", "ETH-USD", "ETH-USD", 2, 8),
        {"portfolio_id": "PF-1", "sequence": "resume", "amend": True, "market_data_beta": True},
        targets=dict.fromkeys(Kind, "COIN"), order_options=PRIME_PEG,
        sim_options={"sequence": "replay", "portfolio_id": "PF-1"}, channels=frozenset("389j"),
        pieces={"snapshot_entries": 3}, throttles=(Throttle({"messages_per_s": 5}, 5, "8"),),
    ),
    Case(
        "coinbase_exchange", "coinbase_exchange", Instrument("coinbase_exchange", "BTC-USD", "BTC-USD", 2, 8),
        targets=dict.fromkeys(Kind, "Coinbase"), password=COINBASE_SECRET,
        order_options={"O": {"stop_limit_px": "102"}}, cancels_named=False, pieces={"snapshot_entries": 3},
        throttles=(Throttle({"messages_per_s": 5}, 5, "8"), Throttle({"messages_per_s": 5}, 5, "logout", beyond=6)),
        rest_limit={"rest_burst": 20},
    ),
    Case(
        "crypto_com", "crypto_com", Instrument("crypto_com", "BTC-USDT", "BTC_USDT", 2, 5),
        {"quiet_after_logon_ms": 0, "reject_is_final": True}, named_books=True, channels=frozenset("389j"),
        throttles=(Throttle({"requests_per_s": 5}, 5, "8"),), rest_limit={"rest_burst": 20},
    ),
    Case(
        "deribit", "deribit", Instrument("deribit", "BTC-USD-PERP", "BTC-PERPETUAL", 1, 3),
        {"orders_per_s": 1000, "orders_burst": 10_000},
        targets=dict.fromkeys(Kind, "DERIBITSERVER"), cancels_named=False, requests_named=False, status_by="AF",
        throttles=(Throttle({"orders_burst": 5, "orders_per_s": 1}, 5, "logout", beyond=1),),
        rest_limit={"rest_burst": 20},
    ),
    Case(
        "bybit", "bybit", Instrument("bybit", "BTC-USDT", "BTCUSDT", 2, 6), BYBIT_LIMITS,
        targets=dict.fromkeys(Kind, "BYBIT_FIX_SERVER"), password=BYBIT_KEY, cancels_named=False, request_tag=30006,
        keeps_ids=True, sim_options=BYBIT_LIMITS, channels=frozenset({"8", "j", "XCA", "XAA"}),
        throttles=(Throttle({"creates_per_s": 5}, 5, "8"),), rest_limit={"rest_per_5s": 20},
    ),
    Case(
        "gemini", "gemini", Instrument("gemini", "BTC-USD", "BTCUSD", 2, 8), {"messages_per_s": 1000},
        targets=dict.fromkeys(Kind, "GEMINI"), password="a-secret-of-gemini", sides={"1": "2"},
        ends_subscriptions=False, lists_names=True, repeats_cancels=True, sim_options={"messages_per_s": 0},
        channels=frozenset({"3", "8", "9"}), throttles=(Throttle({"messages_per_s": 5}, 5, "3"),),
        rest_limit={"rest_a_minute": 20},
    ),
    Case(
        "coinbase_derivatives", "coinbase_derivatives",
        Instrument("coinbase_derivatives", "BTC-USD-20261225", "BTZ26", 2, 0, contract=Contract(1, 2)),
        {"account": "C123", "trader": "smithj", "cti_code": "2"}, rest=False, ours="EBR123",
        targets=dict.fromkeys(Kind, "COIND"), channels=frozenset("389"),
    ),
]  # fmt: skip
