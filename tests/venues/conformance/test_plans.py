"""Claims that must agree with each other: cancel plans, capabilities, REST sides, the registry."""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from base.config import Kind
from base.errors import ConfigError, VenueError
from tests.venues.conformance.cases import CASES, Case
from tests.venues.kit import WALL
from venues import registry
from venues.interface import Disconnect, OpenOrders, Replace, RestRequest


@pytest.fixture(params=CASES, ids=lambda c: c.id)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


def test_the_registry_knows_every_dialect_by_its_name() -> None:
    assert registry.names() == sorted({c.name for c in CASES}), "every dialect is tried here"
    for name in registry.names():
        assert registry.dialect(name).name == name
    with pytest.raises(ConfigError, match=r"venue\.x\.dialect.*no dialect 'nosuch'"):
        registry.dialect("nosuch", "venue.x.dialect")


def test_an_unknown_option_is_refused_with_its_path(case: Case) -> None:
    venue = replace(case.venue, options={**case.options, "no_such_option": True})
    with pytest.raises(ConfigError, match=r"venue\.v\.options\.no_such_option"):
        case.dialect.check(venue, {}, "venue.v")


def test_the_plan_uses_only_what_is_declared(case: Case) -> None:
    plan, claims = case.dialect.cancel_plan(case.venue), case.capabilities
    actions = [s.action for s in plan.steps]
    assert len(actions) == len(set(actions))
    mass = {"own_mass_cancel", "owner_mass_cancel"} & set(actions)
    assert bool(mass) is claims.mass_cancel
    rest = case.dialect.rest(case.venue, "K", case.password)
    assert ("rest_cancel_all" in actions) is (rest is not None and bool(rest.cancel_all(WALL, [case.instrument])))
    one = rest.cancel_order(WALL, case.instrument, "V1", "A1") if rest is not None else None
    assert ("rest_cancel_each" in actions) is (one is not None)
    assert claims.disconnect is not Disconnect.KEEPS or "owner_disconnect" not in actions
    assert all(s.says and s.answered_by for s in plan.steps)


def test_absence_is_proven_by_the_list_that_is_declared(case: Case) -> None:
    plan, claims = case.dialect.cancel_plan(case.venue), case.capabilities
    assert plan.proof_list == claims.open_orders
    if plan.proof_list is OpenOrders.REST:
        assert plan.list_lag_ms > 0
        assert case.venue.rest is not None
    else:
        assert any("list" in u for u in plan.unproven)


def test_drop_copy_refutes_nothing_where_it_tells_fills_alone(case: Case) -> None:
    plan = case.dialect.cancel_plan(case.venue)
    assert plan.drop_copy_refutes is not case.capabilities.drop_copy_fills_only


def test_what_is_not_certain_is_said_to_be_unproven(case: Case) -> None:
    plan = case.dialect.cancel_plan(case.venue)
    assert plan.unproven
    if any(not s.certain for s in plan.steps if "35=q" in s.says):
        assert any("35=q" in u for u in plan.unproven)
    if any(not s.certain for s in plan.steps if s.action == "owner_disconnect"):
        assert any("connection" in u for u in plan.unproven)


def test_a_plan_by_instrument_makes_one_rest_request_an_instrument(case: Case) -> None:
    rest = case.dialect.rest(case.venue, "K", case.password)
    if rest is None:
        pytest.skip(f"{case.id}: has no REST")
    requests, of_one = (rest.cancel_all(WALL, [case.instrument] * n) for n in (2, 1))
    if not requests:
        pytest.skip(f"{case.id}: REST cancels no more than one order a request")
    (step,) = [s for s in case.dialect.cancel_plan(case.venue).steps if s.action == "rest_cancel_all"]
    assert len(requests) == len(of_one) * (2 if step.per_instrument else 1)
    assert all(step.says.split()[0] == r.method and step.says.split()[1] in r.target for r in requests)


def test_a_single_cancel_over_rest_reaches_the_account_and_is_what_the_plan_says(case: Case) -> None:
    rest = case.dialect.rest(case.venue, "K", case.password)
    if rest is None:
        pytest.skip(f"{case.id}: has no REST")
    (step,) = [s for s in case.dialect.cancel_plan(case.venue).steps if s.action == "rest_cancel_each"]
    assert (step.reaches, step.per_instrument, step.dead_owner) == ("account", False, "yes")
    method, target = step.says.split()
    for order_id in ("V1", ""):
        request = rest.cancel_order(WALL, case.instrument, order_id, "A1")
        if request is None:
            assert not order_id, "a venue may want its OrderID, and then takes it"
            continue
        assert request.method == method
        before, _, behind = target.partition("ID")
        assert request.target.startswith(before)
        assert request.target.endswith(behind)
        assert (order_id or "A1") in said(request)
    assert "prove" in step.proves


def said(request: RestRequest) -> str:
    """What a request says: path, body, and what a header has in base64 in its place."""
    payload = b64decode(dict(request.headers).get("X-GEMINI-PAYLOAD", ""))
    return f"{request.target} {(request.body + payload).decode()}"


def test_a_timer_is_stated_where_the_rest_side_has_one_and_only_there(case: Case) -> None:
    plan, rest = case.dialect.cancel_plan(case.venue), case.dialect.rest(case.venue, "K", case.password)
    request = rest.cancel_after(WALL, 60) if rest is not None else None
    assert (plan.dead_man is not None) is (request is not None)
    if rest is None or request is None or plan.dead_man is None:
        return
    off = rest.cancel_after(WALL + 1_000_000_000, 0)
    assert off is not None
    for words, asked, seconds in ((plan.dead_man.says, request, b"60"), (plan.dead_man.disable_says, off, b"0")):
        assert words.split()[:2] == [asked.method, asked.target]
        assert seconds in asked.body
    assert plan.dead_man.least_s <= 60 <= plan.dead_man.most_s
    for body in (b"", b"{}", b"[]", b"<html>", b'{"error":["EAPI:Invalid key"]}', b'{"result":"error","error":"x"}'):
        with pytest.raises(VenueError):
            rest.parse_cancel_after(200, body)
    with pytest.raises(VenueError):
        rest.parse_cancel_after(503, b"{}")


def test_every_step_says_who_is_reached_when_its_owner_is_dead(case: Case) -> None:
    plan = case.dialect.cancel_plan(case.venue)
    assert all(s.when_empty and s.proves for s in plan.steps)
    assert plan.by_hand
    for step in plan.steps:
        if step.action.startswith("rest_"):
            assert step.dead_owner == "yes"
        if step.action.startswith("owner_cancel") or step.action == "owner_mass_cancel":
            assert step.dead_owner != "yes", "its session is gone with its owner"
        if not step.certain and step.action == "own_mass_cancel":
            assert step.dead_owner == "unproven"
    if plan.proof_list is OpenOrders.REST:
        assert plan.list_says


def test_capabilities_hang_together(case: Case) -> None:
    claims = case.capabilities
    assert (Kind.MARKETDATA in claims.kinds) is bool(claims.levels)
    assert not (claims.checksum and claims.update_ids)
    assert claims.mass_cancel or not claims.mass_cancel_report
    assert claims.open_orders is not OpenOrders.STATUS_EACH or claims.status_request
    assert all(limit.most > limit.reserve + limit.spare for limit in (*claims.limits.orders, *claims.limits.rest))
    assert isinstance(claims.replace, Replace)


# --- REST: good answers, and every way in which they may be bad

SPOT_ORDER = {
    "refid": None, "cl_ord_id": "17", "status": "open", "opentm": 1688666559.8974, "vol": "1.25", "vol_exec": "0.375",
    "descr": {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "30010.0", "price2": "0"},
}  # fmt: skip
PERP_OPEN = {
    "order_id": "5930", "symbol": "PF_ETHUSD", "side": "sell", "limitPrice": 10640.5, "unfilledSize": 3,
    "filledSize": 1, "lastUpdateTime": "2019-09-05T17:01:17.410Z", "cliOrdId": "x",
}  # fmt: skip
PERP_ONE = {
    "orderId": "5930", "symbol": "PF_ETHUSD", "side": "sell", "quantity": 4, "filled": 1, "limitPrice": 10640.5,
    "lastUpdateTimestamp": "2019-09-05T17:01:17.410Z", "cliOrdId": "x",
}  # fmt: skip
BINANCE_ORDER = {
    "symbol": "BTCUSDT", "orderId": 1, "clientOrderId": "x", "price": "0.1", "origQty": "1.0", "executedQty": "0.5",
    "status": "NEW", "side": "BUY", "time": 1499827319559, "updateTime": 1499827319559,
}  # fmt: skip
PLAIN_ORDER = {
    "order_id": "1", "cl_ord_id": "x", "symbol": "BTC-USD", "side": "1", "order_qty": "1.5", "cum_qty": "0.5",
    "price": "100", "ord_status": "1", "transact_time": "20260407-14:32:05.000",
}  # fmt: skip
PLAIN_FILL = {
    "trade_id": "7", "order_id": "1", "cl_ord_id": "x", "symbol": "BTC-USD", "side": "1", "last_qty": "0.5",
    "last_px": "99.5", "transact_time": "20260407-14:32:05.000", "liquidity": "M",
    "fees": [{"currency": "USD", "amount": "0.01"}],
}  # fmt: skip
SPOT_TRADE = {
    "ordertxid": "O1", "pair": "XXBTZUSD", "time": 1688667796.8802, "type": "buy", "ordertype": "limit",
    "price": "30010.00000", "cost": "600.20000", "fee": "0.90030", "vol": "0.02000000", "trade_id": 93748276,
    "maker": True,
}  # fmt: skip
PERP_FILL = {
    "fill_id": "f1", "symbol": "pf_ethusd", "side": "sell", "order_id": "5930", "size": 3, "price": 10640.5,
    "fillTime": "2020-07-22T13:37:27.077Z", "fillType": "taker", "cliOrdId": "x",
}  # fmt: skip
BINANCE_TRADE = {
    "symbol": "BTCUSDT", "id": 28457, "orderId": 1, "price": "4.00000100", "qty": "12.00000000",
    "commission": "0.01000000", "commissionAsset": "BNB", "time": 1499865549590, "isBuyer": True, "isMaker": False,
}  # fmt: skip
PRIME_ORDER = {
    "id": "1", "product_id": "BTC-USD", "side": "BUY", "client_order_id": "x", "type": "LIMIT",
    "base_quantity": "1.5", "limit_price": "100.25", "status": "OPEN", "filled_quantity": "0.5",
    "created_at": "2026-05-31T10:59:59.000Z",
}  # fmt: skip
PRIME_FILL = {
    "id": "f1", "order_id": "1", "product_id": "BTC-USD", "side": "BUY", "filled_quantity": "0.5",
    "price": "99.5", "time": "2026-05-31T10:59:59.123Z", "commission": "0.01",
}  # fmt: skip
LAST_PAGE = {"next_cursor": "", "sort_direction": "ASC", "has_next": False}
PRIME: dict[str, Any] = {
    "list": {"orders": [PRIME_ORDER], "pagination": LAST_PAGE},
    "one": {"order": PRIME_ORDER},
    "trades": {"fills": [PRIME_FILL], "pagination": LAST_PAGE},
    "balances": {"balances": [{"symbol": "USD", "amount": "5", "holds": "1"}], "type": "TRADING_BALANCES"},
}
COINBASE_ORDER = {
    "id": "a9625b04-fc66-4999-a876-543c3684d702", "price": "10.00000000", "size": "1.00000000", "product_id": "BTC-USD",
    "side": "buy", "type": "limit", "time_in_force": "GTC", "created_at": "2020-03-11T20:48:46.622Z",
    "filled_size": "0.50000000", "status": "open", "settled": False, "client_oid": "x",
}  # fmt: skip
COINBASE_FILL = {
    "created_at": "2019-11-21T01:38:23.878Z", "trade_id": 78098253, "product_id": "BTC-USD", "order_id": "1",
    "liquidity": "T", "price": "8087.38000000", "size": "0.00601800", "fee": "0.2433492642000000", "side": "sell",
}  # fmt: skip
CRYPTO_COM_ORDER = {
    "order_id": "1", "client_oid": "x", "order_type": "LIMIT", "time_in_force": "GOOD_TILL_CANCEL", "side": "BUY",
    "quantity": "1.5", "limit_price": "50000.0", "cumulative_quantity": "0.5", "status": "ACTIVE",
    "instrument_name": "BTC_USDT", "create_time_ns": "1613575617173123456", "update_time": 1613575617173,
}  # fmt: skip
CRYPTO_COM_TRADE = {
    "traded_quantity": "0.0500", "traded_price": "51278.5", "fees": "-1.025570", "order_id": "1",
    "trade_id": "38554669", "client_oid": "x", "taker_side": "MAKER", "side": "BUY", "instrument_name": "BTC_USDT",
    "fee_instrument_name": "USD", "create_time_ns": "1613570791060827635",
}  # fmt: skip
WALLET = {"position_balances": [{"instrument_name": "USD", "quantity": "5", "reserved_qty": "1"}]}


def crypto_com(call: str, result: Any = None) -> dict[str, Any]:
    """Its answers are envelopes around the result."""
    return {"id": 1, "method": f"private/{call}", "code": 0} | ({} if result is None else {"result": result})


GEMINI_FILL = {
    "price": "8087.38", "amount": "0.5", "timestamp": 1608229172, "timestampms": 1608229172627, "type": "Sell",
    "aggressor": True, "fee_currency": "USD", "fee_amount": "0.01", "tid": 17379712930, "order_id": "1",
}  # fmt: skip
GEMINI_ORDER = {
    "order_id": "1", "id": "1", "symbol": "btcusd", "exchange": "gemini", "avg_execution_price": "8087.38",
    "side": "sell", "type": "exchange limit", "timestamp": "1608229172", "timestampms": 1608229172627, "is_live": True,
    "is_cancelled": False, "executed_amount": "0.5", "remaining_amount": "1", "original_amount": "1.5",
    "price": "8087.38", "client_order_id": "x", "options": [], "trades": [GEMINI_FILL],
}  # fmt: skip
FLEX = {
    "type": "multiCollateralMarginAccount", "availableMargin": 900.5,
    "currencies": {"USD": {"quantity": 1000, "available": 950.25}, "XBT": {"quantity": 0.5, "available": 0.5}},
}  # fmt: skip
DERIBIT_ORDER = {
    "order_id": "1", "instrument_name": "BTC-PERPETUAL", "direction": "buy", "order_state": "open", "amount": 30,
    "contracts": 3, "filled_amount": 10, "price": 65432.5, "label": "x", "creation_timestamp": 1775572325000,
}  # fmt: skip
DERIBIT_TRADE = {
    "trade_id": "BTC-7", "order_id": "1", "instrument_name": "BTC-PERPETUAL", "direction": "sell", "price": 65432.5,
    "amount": 10, "contracts": 1, "fee": -0.0000025, "fee_currency": "BTC", "liquidity": "M", "label": "x",
    "timestamp": 1775572325000,
}  # fmt: skip
BYBIT_ORDER = {
    "orderId": "1", "orderLinkId": "x", "symbol": "BTCUSDT", "price": "100.5", "qty": "1.5", "side": "Buy",
    "orderStatus": "New", "cumExecQty": "0", "updatedTime": "1672364262444",
}  # fmt: skip
BYBIT_TRADE = {
    "symbol": "BTCUSDT", "orderId": "1", "orderLinkId": "x", "side": "Buy", "execId": "2100000000187175357",
    "execPrice": "99.5", "execQty": "0.5", "execType": "Trade", "execTime": "1672282722429", "execFee": "0.01",
    "feeCurrency": "USDT", "isMaker": False,
}  # fmt: skip
BYBIT_IDS = [{"orderId": "1", "orderLinkId": "x"}] * 3


def bybit(**result: Any) -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1672364262474}


GOOD: dict[str, dict[str, Any]] = {
    "bybit": {
        "list": bybit(category="spot", nextPageCursor="", list=[BYBIT_ORDER]),
        "one": bybit(category="spot", nextPageCursor="", list=[BYBIT_ORDER]),
        "cancel": bybit(list=BYBIT_IDS, success="1"),
        "trades": bybit(category="spot", nextPageCursor="132766%3A2", list=[BYBIT_TRADE]),
        "balances": bybit(list=[{"coin": [{"coin": "USDT", "walletBalance": "5", "locked": "1", "spotBorrow": "0"}]}]),
    },
    "fix44": {
        "list": {"orders": [PLAIN_ORDER], "next": ""},
        "one": PLAIN_ORDER,
        "cancel": {"cancelled": 3},
        "trades": {"fills": [PLAIN_FILL], "next": ""},
        "balances": {"balances": [{"currency": "USD", "total": "5", "available": "4", "held": "1"}]},
    },
    "kraken": {
        "trades": {"error": [], "result": {"trades": {"T1": SPOT_TRADE}, "count": 1}},
        "balances": {"error": [], "result": {"ZUSD": {"balance": "5", "hold_trade": "1"}}},
        "list": {"error": [], "result": {"open": {"O1": SPOT_ORDER}}},
        "one": {"error": [], "result": {"O1": SPOT_ORDER}},
        "cancel": {"error": [], "result": {"count": 3}},
    },
    "kraken-derivatives": {
        "trades": {"result": "success", "fills": [PERP_FILL]},
        "balances": {"result": "success", "accounts": {"flex": FLEX}},
        "list": {"result": "success", "openOrders": [PERP_OPEN]},
        "one": {"result": "success", "orders": [{"order": PERP_ONE, "status": "ENTERED_BOOK"}]},
        "cancel": {"result": "success", "cancelStatus": {"status": "cancelled", "cancelledOrders": [{}, {}, {}]}},
    },
    "coinbase_prime": PRIME,
    "coinbase_prime-resume": PRIME,
    "coinbase_exchange": {
        "list": [COINBASE_ORDER],
        "one": COINBASE_ORDER,
        "cancel": ["1", "2", "3"],
        "trades": [COINBASE_FILL],
        "balances": [{"id": "a", "currency": "USD", "balance": "5.00", "hold": "1.00", "available": "4.00"}],
    },
    "crypto_com": {
        "list": crypto_com("get-open-orders", {"data": [CRYPTO_COM_ORDER]}),
        "one": crypto_com("get-order-detail", CRYPTO_COM_ORDER),
        "cancel": crypto_com("cancel-all-orders"),
        "trades": crypto_com("get-trades", {"data": [CRYPTO_COM_TRADE]}),
        "balances": crypto_com("user-balance", {"data": [WALLET]}),
    },
    "deribit": {
        "list": {"jsonrpc": "2.0", "result": [DERIBIT_ORDER]},
        "one": {"jsonrpc": "2.0", "result": DERIBIT_ORDER},
        "cancel": {"jsonrpc": "2.0", "result": 3},
        "trades": {"jsonrpc": "2.0", "result": [DERIBIT_TRADE]},
        "balances": {"result": {"summaries": [{"currency": "USDT", "equity": 5.5, "available_funds": 4.25}]}},
    },
    "gemini": {
        "list": [GEMINI_ORDER],
        "one": GEMINI_ORDER,
        "cancel": {"result": "ok", "details": {"cancelledOrders": [1, 2, 3], "cancelRejects": []}},
        "trades": GEMINI_ORDER,
        "balances": [{"type": "exchange", "currency": "USD", "amount": "5", "available": "4"}],
    },
    "binance": {
        "list": [BINANCE_ORDER],
        "one": BINANCE_ORDER,
        "cancel": [{"orderId": 1}, {"orderReports": [{}, {}]}],
        "trades": [BINANCE_TRADE],
        "balances": {"balances": [{"asset": "USDT", "free": "4.0", "locked": "1.0"}]},
    },
}
WITH_REST = [c for c in CASES if c.dialect.rest(c.venue, "K", c.password) is not None]
CALLS = [(c, call) for c in WITH_REST for call in GOOD[c.id]]


def parse(case: Case, call: str, body: bytes, status: int = 200) -> Any:
    rest = case.dialect.rest(case.venue, "K", case.password)
    assert rest is not None
    parsers = {
        "list": rest.parse_open_orders, "one": rest.parse_order, "cancel": rest.parse_cancel_all,
        "trades": rest.parse_trades, "balances": rest.parse_balances,
    }  # fmt: skip
    return parsers[call](status, body)


def spoilt(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every copy of `value` with one part of another type, and where it was spoilt."""
    if isinstance(value, dict):
        for key, part in value.items():
            for where, copy in spoilt(part, f"{path}.{key}"):
                yield where, {**value, key: copy}
    elif isinstance(value, list):
        for n, part in enumerate(value):
            for where, copy in spoilt(part, f"{path}[{n}]"):
                yield where, [*value[:n], copy, *value[n + 1 :]]
    for bad in ({"x": [1]}, [["x"]], "not-a-number", -1.5, 10**50, True):
        if type(bad) is not type(value):
            yield path, bad


@pytest.mark.parametrize(("case", "call"), CALLS, ids=lambda v: v.id if isinstance(v, Case) else str(v))
def test_a_good_answer_is_read(case: Case, call: str) -> None:
    said = parse(case, call, json.dumps(GOOD[case.id][call]).encode())
    if call == "cancel":
        assert said in (3, None)  # a number, where the venue tells one
        return
    if call == "trades":
        (trade,) = said.trades
        assert (said.cursor, bool(trade.trade_id), trade.order_id, trade.side in ("1", "2")) == (
            "", True, {"kraken": "O1", "kraken-derivatives": "5930"}.get(case.id, "1"), True,
        )  # fmt: skip
        assert all(re.fullmatch(r"\d+(\.\d+)?", text) for text in (trade.px, trade.qty))
        assert trade.transact_ns > 10**18
        assert trade.liquidity in {"coinbase_prime": ("",)}.get(case.name, ("M", "T"))
        return
    if call == "balances":
        usd = next(b for b in said if b.currency in ("USD", "USDT"))
        told = [Decimal(text) for text in (usd.total, usd.available, usd.held)]
        assert told[0] - told[1] == told[2] > 0
        assert usd.buying_power
        return
    order = said.orders[0] if call == "list" else said
    assert (order.side in ("1", "2"), bool(order.order_id), bool(order.symbol)) == (True, True, True)
    assert re.fullmatch(r"\d+(\.\d+)?", order.order_qty)
    assert re.fullmatch(r"\d+(\.\d+)?", order.cum_qty)
    assert order.transact_ns > 10**18


@pytest.mark.parametrize(("case", "call"), CALLS, ids=lambda v: v.id if isinstance(v, Case) else str(v))
def test_an_answer_cut_short_anywhere_is_an_error_that_names_the_call(case: Case, call: str) -> None:
    whole = json.dumps(GOOD[case.id][call]).encode()
    for end in range(len(whole)):
        with pytest.raises(VenueError):
            parse(case, call, whole[:end])


@pytest.mark.parametrize(("case", "call"), CALLS, ids=lambda v: v.id if isinstance(v, Case) else str(v))
def test_a_spoilt_answer_is_read_or_refused_by_name_and_nothing_else(case: Case, call: str) -> None:
    refusals = []
    for where, copy in spoilt(GOOD[case.id][call]):
        try:
            parse(case, call, json.dumps(copy).encode())
        except VenueError as e:
            refusals.append((where, str(e)))
    assert len(refusals) > 3
    for where, said in refusals:
        field = re.split(r"[.\[\]]+", where.rstrip("]"))[-1]
        assert field in said or "$" in said or field.isdigit() or not field, (where, said)


@pytest.mark.parametrize(("case", "call"), CALLS, ids=lambda v: v.id if isinstance(v, Case) else str(v))
@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"\xff\xfe", b"null", b"[[[[", b"{}" * 3, b"1e999"])
def test_what_is_no_answer_at_all_is_an_error(case: Case, call: str, body: bytes) -> None:
    for status in (200, 500, 502):
        with pytest.raises(VenueError):
            parse(case, call, body, status)


@pytest.mark.parametrize("case", WITH_REST, ids=lambda c: c.id)
def test_a_request_can_be_sent_as_it_stands_and_shows_no_secret(case: Case) -> None:
    rest = case.dialect.rest(case.venue, "KEY-ID", case.password)
    assert rest is not None
    requests = [
        rest.open_orders(WALL), rest.order(WALL, case.working()), rest.order(WALL, case.working(order_id="")),
        *rest.cancel_all(WALL, [case.instrument]), rest.trades(WALL, case.working(), WALL - 10**12),
        rest.trades(WALL, case.working(), 0, "c 1&x"), rest.balances(WALL),
        rest.cancel_order(WALL, case.instrument, "V 1/&x", ""),
    ]  # fmt: skip
    if (named := rest.cancel_order(WALL, case.instrument, "", "A 1&x")) is not None:
        requests.append(named)
    for request in requests:
        assert request is not None
        assert request.method in ("GET", "POST", "DELETE")
        assert re.fullmatch(r"/[!-~]*", request.target)
        assert all("\n" not in v and "\r" not in v for _, v in request.headers)
        shown = repr(request)
        assert case.name == "fix44" or case.password not in shown
