"""Single cancels over REST, each dialect's: the documented request, and what each documented answer is taken for."""

from urllib.parse import parse_qsl

import pytest

from tests.venues.conformance.cases import CASES, Case
from tests.venues.kit import WALL
from venues.interface import CancelOutcome, RestApi

C, D, N, R, L, U = (
    CancelOutcome.CANCELLED, CancelOutcome.DONE, CancelOutcome.NOT_FOUND, CancelOutcome.REFUSED,
    CancelOutcome.RATE_LIMITED, CancelOutcome.UNKNOWN,
)  # fmt: skip
BY_ID = {c.id: c for c in CASES}
WITH_REST = [c for c in CASES if c.dialect.rest(c.venue, "K", c.password) is not None]


def rest_of(case: Case) -> RestApi:
    rest = case.dialect.rest(case.venue, "K", case.password)
    assert rest is not None
    return rest


@pytest.mark.parametrize(
    ("name", "order_id", "method", "path", "said"),
    [
        ("kraken", "OYVGEW-VYV5B-UUEXSK", "POST", "/0/private/CancelOrder", {"txid": "OYVGEW-VYV5B-UUEXSK"}),
        ("kraken", "", "POST", "/0/private/CancelOrder", {"cl_ord_id": "179535197391666214"}),
        ("kraken-derivatives", "cb4e34f6-4eb3", "POST", "/derivatives/api/v3/cancelorder",
         {"order_id": "cb4e34f6-4eb3"}),
        ("kraken-derivatives", "", "POST", "/derivatives/api/v3/cancelorder", {"cliOrdId": "179535197391666214"}),
        ("binance", "28", "DELETE", "/api/v3/order", {"symbol": "BTCUSDT", "orderId": "28"}),
        ("binance", "", "DELETE", "/api/v3/order",
         {"symbol": "BTCUSDT", "origClientOrderId": "179535197391666214"}),
        ("fix44", "V 1/x", "DELETE", "/orders/V%201%2Fx", {}),
        ("fix44", "", "DELETE", "/orders/179535197391666214", {}),
    ],
)  # fmt: skip
def test_the_request_names_the_order_as_the_venue_documents_it(
    name: str, order_id: str, method: str, path: str, said: dict[str, str]
) -> None:
    case = BY_ID[name]
    request = rest_of(case).cancel_order(WALL, case.instrument, order_id, "179535197391666214")
    assert request is not None
    target, _, query = request.target.partition("?")
    assert (request.method, target) == (method, path)
    sent = dict(parse_qsl(query or request.body.decode()))
    assert {k: v for k, v in sent.items() if k not in ("nonce", "recvWindow", "timestamp", "signature")} == said


def test_a_plain_peer_without_the_call_is_not_asked() -> None:
    case = BY_ID["fix44"]
    bare = Case(case.id, case.name, case.instrument, {**case.options, "rest_calls": ["fills"]})
    assert rest_of(bare).cancel_order(WALL, case.instrument, "1", "") is None
    assert "rest_cancel_each" not in [s.action for s in bare.dialect.cancel_plan(bare.venue).steps]


ANSWERS = [
    ("kraken", 200, b'{"error":[],"result":{"count":1}}', C),
    ("kraken", 200, b'{"error":[],"result":{"count":1,"pending":true}}', C),
    ("kraken", 200, b'{"error":[],"result":{"count":0}}', U),
    ("kraken", 200, b'{"error":["EOrder:Unknown order"]}', N),
    ("kraken", 200, b'{"error":["EOrder:Rate limit exceeded"]}', L),
    ("kraken", 200, b'{"error":["EAPI:Rate limit exceeded"]}', L),
    ("kraken", 200, b'{"error":["EService:Market in maintenance"]}', R),
    ("kraken", 200, b'{"error":["EService:Unavailable"]}', R),
    ("kraken", 200, b'{"error":["EAPI:Invalid nonce"]}', R),
    ("kraken", 200, b'{"error":["EService:Timeout"]}', U),
    ("kraken", 502, b"<html>", U),
    ("kraken-derivatives", 200, b'{"result":"success","cancelStatus":{"status":"cancelled","order_id":"cb4e"}}', C),
    ("kraken-derivatives", 200, b'{"result":"success","cancelStatus":{"status":"filled"}}', D),
    ("kraken-derivatives", 200, b'{"result":"success","cancelStatus":{"status":"notFound"}}', N),
    ("kraken-derivatives", 200, b'{"result":"success","cancelStatus":{"status":"new word"}}', U),
    ("kraken-derivatives", 200, b'{"result":"success"}', U),
    ("kraken-derivatives", 200, b'{"result":"error","error":"apiLimitExceeded"}', L),
    ("kraken-derivatives", 200, b'{"result":"error","error":"marketSuspended"}', R),
    ("kraken-derivatives", 200, b'{"result":"error","error":"Server Error"}', U),
    ("kraken-derivatives", 500, b"", U),
    ("binance", 200, b'{"symbol":"BTCUSDT","orderId":28,"origClientOrderId":"x","status":"CANCELED"}', C),
    ("binance", 200, b'{"symbol":"BTCUSDT","orderId":28,"status":"PENDING_CANCEL"}', U),
    ("binance", 400, b'{"code":-2011,"msg":"Unknown order sent."}', N),
    ("binance", 400, b'{"code":-2013,"msg":"Order does not exist."}', N),
    ("binance", 400, b'{"code":-2011,"msg":"Market is closed."}', R),
    ("binance", 400, b'{"code":-1021,"msg":"Timestamp for this request is outside of the recvWindow."}', R),
    ("binance", 401, b'{"code":-2015,"msg":"Invalid API-key."}', R),
    ("binance", 429, b'{"code":-1003,"msg":"Too much request weight used."}', L),
    ("binance", 418, b"<html>banned</html>", L),
    ("binance", 400, b'{"code":-1015,"msg":"Too many new orders."}', L),
    ("binance", 400, b'{"code":-1007,"msg":"Timeout waiting for response from backend server."}', U),
    ("binance", 503, b'{"code":-1000,"msg":"Unknown error, please check your request or try again later."}', U),
    ("binance", 503, b'{"code":-2011,"msg":"Unknown order sent."}', U),
    ("fix44", 200, b'{"cancelled":1}', C),
    ("fix44", 200, b'{"cancelled":0}', D),
    ("fix44", 200, b'{"cancelled":2}', U),
    ("fix44", 200, b"{}", U),
    ("fix44", 404, b'{"error":"unknown order"}', N),
    ("fix44", 429, b'{"error":"too many"}', L),
    ("fix44", 429, b"", L),
    ("fix44", 503, b'{"error":"cancels are not taken now"}', R),
    ("fix44", 401, b'{"error":"credentials are missing or wrong"}', R),
    ("fix44", 500, b'{"error":"oops"}', U),
    ("fix44", 502, b"<html>", U),
]


@pytest.mark.parametrize(
    ("name", "status", "body", "outcome"), ANSWERS, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(ANSWERS)]
)
def test_an_answer_is_taken_for_what_it_says(name: str, status: int, body: bytes, outcome: CancelOutcome) -> None:
    said = rest_of(BY_ID[name]).parse_cancel_order(status, body)
    assert said.outcome is outcome, said
    assert said.text, "the venue's own words are kept"
    assert said.settled is (outcome in (C, D, N))


@pytest.mark.parametrize("case", WITH_REST, ids=lambda c: c.id)
@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"\xff\xfe", b"null", b"[[[[", b"{}" * 3, b"[]", b"1e999"])
def test_what_is_no_answer_at_all_leaves_the_outcome_unknown(case: Case, body: bytes) -> None:
    for status in (200, 500, 502):
        assert rest_of(case).parse_cancel_order(status, body).outcome is CancelOutcome.UNKNOWN


@pytest.mark.parametrize("case", WITH_REST, ids=lambda c: c.id)
def test_a_cancel_that_is_cut_short_never_counts_as_taken(case: Case) -> None:
    for name, status, body, outcome in ANSWERS:
        if name == case.id and outcome is C:
            for end in range(len(body)):
                assert rest_of(case).parse_cancel_order(status, body[:end]).outcome is CancelOutcome.UNKNOWN
