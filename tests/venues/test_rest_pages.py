"""Pages of trades, and what balances are called: each venue's own way."""

import json
from typing import Any
from urllib.parse import parse_qs

from tests.venues.conformance.cases import BINANCE_KEY, CASES, KRAKEN_SECRET
from tests.venues.kit import WALL
from venues.binance.rest import Rest as BinanceRest
from venues.fix44.rest import Rest as PlainRest
from venues.interface import RestRequest
from venues.kraken.rest_derivatives import DerivativesRest
from venues.kraken.rest_spot import SpotRest

CASE = {c.id: c for c in CASES}


def asked(request: RestRequest | None) -> dict[str, str]:
    assert request is not None
    query = request.target.partition("?")[2] or request.body.decode()
    return {k: v[0] for k, v in parse_qs(query).items()}


def spot_trades(n: int, **more: Any) -> bytes:
    one = {"ordertxid": "O1", "pair": "XBTUSD", "type": "buy", "price": "1", "vol": "1"} | more
    trades = {f"T{i:03}": {**one, "time": 1_700_000_000 + i, "trade_id": i} for i in range(n)}
    return json.dumps({"error": [], "result": {"trades": trades, "count": n}}).encode()


def test_kraken_spot_trades_go_back_from_the_oldest_of_a_full_page() -> None:
    rest = SpotRest(["BTC/USD"], "K", KRAKEN_SECRET)
    working = CASE["kraken"].working()
    page = rest.parse_trades(200, spot_trades(50))
    assert (page.cursor, page.newest_first) == ("T000", True)
    said = asked(rest.trades(WALL, working, WALL - 10**12, page.cursor))
    assert (said["start"], said["end"]) == (str((WALL - 10**12) // 10**9), "T000")
    assert rest.parse_trades(200, spot_trades(49)).cursor == ""


def test_kraken_spot_trades_need_an_order_id_and_name_pair_fee_and_trade_as_fix_does() -> None:
    rest = SpotRest(["BTC/USD"], "K", KRAKEN_SECRET)
    assert rest.trades(WALL, CASE["kraken"].working(order_id=""), 0) is None
    (trade,) = rest.parse_trades(200, spot_trades(1, pair="XXBTZUSD", fee="0.26", maker=False)).trades
    assert (trade.symbol, trade.fees, trade.trade_id, trade.liquidity) == ("BTC/USD", (("USD", "0.26"),), "0", "T")
    (nameless,) = rest.parse_trades(200, spot_trades(1, trade_id=None).replace(b'"trade_id": 0', b'"x": 0')).trades
    assert nameless.trade_id == "T000"


def test_kraken_spot_balances_have_the_common_tickers_and_credit_only_adds_to_what_may_be_spent() -> None:
    rest = SpotRest(["BTC/USD"], "K", KRAKEN_SECRET)
    said = {"ZUSD": {"balance": "5", "hold_trade": "1", "credit": "10", "credit_used": "2"}}
    said |= {"XXBT": {"balance": "1"}, "XETH": {"balance": "-1"}, "USDT": {"balance": "2"}, "XBT.F": {"balance": "3"}}
    found = {b.currency: b for b in rest.parse_balances(200, json.dumps({"error": [], "result": said}).encode())}
    assert set(found) == {"USD", "BTC", "ETH", "USDT", "BTC.F"}
    usd = found["USD"]
    assert (usd.total, usd.available, usd.held, usd.buying_power) == ("5", "4", "1", "12")
    assert found["ETH"].total == "-1"


def perp_fills(n: int) -> bytes:
    one = {"symbol": "PF_ETHUSD", "side": "buy", "order_id": "5930", "size": 1, "price": 2}
    fills = [{**one, "fill_id": f"f{i}", "fillTime": f"2026-01-01T00:00:00.{i:03}Z"} for i in range(n)]
    return json.dumps({"result": "success", "fills": fills}).encode()


def test_kraken_derivatives_fills_overlap_by_a_millisecond_from_page_to_page() -> None:
    rest = DerivativesRest("K", KRAKEN_SECRET)
    page = rest.parse_trades(200, perp_fills(100))
    assert page.cursor == "2026-01-01T00:00:00.001Z"
    request = rest.trades(WALL, CASE["kraken-derivatives"].working(), 0, page.cursor)
    assert asked(request) == {"lastFillTime": page.cursor}
    assert request is not None
    assert request.body == b""
    assert rest.parse_trades(200, perp_fills(99)).cursor == ""


def test_kraken_derivatives_name_cash_apart_and_free_margin_in_dollars_only() -> None:
    rest = DerivativesRest("K", KRAKEN_SECRET)
    accounts = {
        "cash": {"type": "cashAccount", "balances": {"xbt": 0.25}},
        "flex": {
            "type": "multiCollateralMarginAccount", "availableMargin": 80.5,
            "currencies": {"USD": {"quantity": 100, "available": 90}, "EUR": {"quantity": 7}},
        },
        "fi_xbtusd": {"type": "marginAccount", "balances": {"xbt": 1}},
    }  # fmt: skip
    body = json.dumps({"result": "success", "accounts": accounts}).encode()
    found = {b.currency: (b.total, b.available, b.held, b.buying_power) for b in rest.parse_balances(200, body)}
    assert found == {
        "BTC.cash": ("0.25", "0.25", "0", ""),
        "USD": ("100", "90", "10", "80.5"),
        "EUR": ("7", "7", "0", ""),
    }


def test_binance_trades_go_on_after_the_last_of_a_full_page() -> None:
    rest = BinanceRest("K", BINANCE_KEY)
    one = {
        "symbol": "BTCUSDT", "orderId": 1, "price": "1", "qty": "1", "commission": "-0.1", "commissionAsset": "BNB",
        "time": 1, "isBuyer": False, "isMaker": True,
    }  # fmt: skip
    page = rest.parse_trades(200, json.dumps([{**one, "id": i} for i in range(1_000)]).encode())
    assert (page.cursor, page.newest_first, page.trades[0].fees) == ("1000", False, (("BNB", "-0.1"),))
    said = asked(rest.trades(WALL, CASE["binance"].working(order_id="77"), 5, page.cursor))
    assert (said["orderId"], said["fromId"], said["symbol"]) == ("77", "1000", "BTCUSDT")
    assert rest.trades(WALL, CASE["binance"].working(order_id=""), 0) is None


def test_a_plain_venue_is_asked_only_for_what_it_is_said_to_offer() -> None:
    bare, full = PlainRest("k", "s"), PlainRest("k", "s", frozenset({"fills", "balances"}))
    working = CASE["fix44"].working()
    assert (bare.trades(WALL, working, 0), bare.balances(WALL)) == (None, None)
    assert asked(full.trades(WALL, working, 0, "9")) == {"order": "V1", "cursor": "9"}
