"""Every dialect against its simulated venue, over sockets: the venue's own side was written apart from the dialect."""

import http.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from base.clock import SystemClock
from base.config import InstrumentConfig, Kind
from base.errors import VenueError
from base.instruments import Instrument
from ipc.events import CancelReject, ExecutionReport, InstrumentDefinition, MassCancelReport
from sim.desk import module_of
from sim.flow import Crowd
from sim.setup import Grant, RestKey, Setup
from tests.sim.server import Running
from tests.venues.conformance.cases import CASES, Case
from tests.venues.conformance.live import Books, Driver
from tests.venues.kit import Heard
from venues.interface import CancelOutcome, OpenOrders, Replace, RestApi, RestRequest, SessionPhase

pytestmark = pytest.mark.e2e
LIVE = [c for c in CASES if c.id != "fix44-bare"]


class Bench:
    """A running simulated venue and sessions on it."""

    def __init__(self, case: Case, tmp_path: Path, *, flow: bool = False, **options: Any) -> None:
        self.case = case
        module = module_of(case.name)
        self.credentials = [module.new_secret(what) for what in ("username", "password", "passphrase")]
        self.rest_credentials = [module.new_secret(what) for what in ("rest_key", "rest_secret", "rest_passphrase")]
        user, password, passphrase = self.credentials
        grants = [
            Grant(kind.value, sender, case.target(kind), account, level, user, password, f"{kind}-{sender}", passphrase)
            for kind, sender, account, level in (
                (Kind.TRADING, case.ours, "main", 2),
                (Kind.TRADING, f"{case.ours[:6]}2", "other", 2),
                (Kind.TRADING, f"{case.ours[:6]}5", "main", 2),
                (Kind.MARKETDATA, case.ours, "main", 2),
                (Kind.MARKETDATA, f"{case.ours[:6]}3", "main", 3),
                (Kind.DROPCOPY, f"{case.ours[:6]}4", "main", 2),
            )
        ]
        keys, options = [RestKey("main", *self.rest_credentials)], case.sim_options | options
        setup = Setup(case.name, [case.instrument], grants, keys, options, 5, 500)
        source: Callable[[Any], Any] | None = (lambda v: Crowd(v.exchange, 5, 500, {})) if flow else None
        self.running = Running(case.name, setup, tmp_path, plain=True, source=source)
        self._drivers: list[Driver] = []

    def trading(self, sender: str = "", **more: Any) -> tuple[Any, Driver]:
        heard = Heard()
        session = self.case.dialect.trading(self._context(Kind.TRADING, ours=sender, **more), heard)
        return session, self._drive(session, heard, "trading")

    def marketdata(self, level: int = 2, **more: Any) -> tuple[Any, Driver, Books]:
        heard = Heard()
        ours = self.case.ours if level == 2 else f"{self.case.ours[:6]}3"
        i = self.case.instrument
        books = Books(level, [(i.px_scale, i.qty_scale)])
        context = self._context(Kind.MARKETDATA, level=level, ours=ours, **more)
        session = self.case.dialect.marketdata(context, heard, books)
        return session, self._drive(session, heard, "marketdata_l3" if level == 3 else "marketdata"), books

    def dropcopy(self) -> tuple[Any, Driver]:
        heard = Heard()
        session = self.case.dialect.dropcopy(self._context(Kind.DROPCOPY, ours=f"{self.case.ours[:6]}4"), heard)
        return session, self._drive(session, heard, "dropcopy")

    def ask(self, request: RestRequest) -> tuple[int, bytes]:
        host, _, port = self.running.endpoint("rest").rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        connection.request(request.method, request.target, request.body or None, dict(request.headers))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def rest(self) -> RestApi:
        i = self.case.instrument
        item = InstrumentConfig(name=i.name, symbol=i.symbol, px_scale=i.px_scale, qty_scale=i.qty_scale)
        rest = self.case.dialect.rest(replace(self.case.venue, instruments=[item]), *self.rest_credentials)
        if rest is None:
            pytest.skip(f"{self.case.id}: has no REST")
        return rest

    def close(self) -> None:
        for driver in self._drivers:
            driver.close()
        self.running.stop()

    def _context(self, kind: Kind, **more: Any) -> Any:
        context = self.case.context(kind, epoch=SystemClock().wall_ns(), **more)
        context.username, context.password, context.passphrase = self.credentials
        return context

    def _drive(self, session: Any, heard: Heard, service: str) -> Driver:
        driver = Driver(session, heard, self.running.endpoint(service))
        self._drivers.append(driver)
        return driver.ready()


@pytest.fixture(params=LIVE, ids=lambda c: c.id)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture
def bench(case: Case, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(case, tmp_path)
    yield made
    made.close()


def place(session: Any, driver: Driver, case: Case, **changes: Any) -> ExecutionReport:
    cl_ord_id = session.make_cl_ord_id(driver.now()[1])
    session.new_order(case.order(**changes), case.instrument, cl_ord_id, *driver.now())
    return driver.report(cl_ord_id, "0")


def working_of(case: Case, report: ExecutionReport) -> Any:
    return case.working(
        cl_ord_id=report.cl_ord_id, order_id=report.order_id, side=report.side, order_qty=report.order_qty,
        price=report.price, leaves_qty=report.leaves_qty,
    )  # fmt: skip


def test_an_order_is_acknowledged_filled_and_reported_exactly(bench: Bench, case: Case) -> None:
    maker, maker_driver = bench.trading()
    taker, taker_driver = bench.trading(f"{case.ours[:6]}2")
    new = place(maker, maker_driver, case)
    assert (new.ord_status, new.order_qty, new.price) == ("0", case.order().order_qty, case.order().price)
    assert new.instrument == case.instrument.name
    assert not new.defects
    lot = case.order().order_qty // 3
    other = taker.make_cl_ord_id(taker_driver.now()[1])
    taker.new_order(case.order(side="2", order_qty=lot), case.instrument, other, *taker_driver.now())
    got = maker_driver.report(new.cl_ord_id, "F")
    assert (got.last_qty, got.last_px, got.cum_qty) == (lot, new.price, lot)
    assert got.leaves_qty == 2 * lot


def test_a_cancel_ends_the_order_under_its_own_id(bench: Bench, case: Case) -> None:
    session, driver = bench.trading()
    new = place(session, driver, case)
    request_id = session.make_cl_ord_id(driver.now()[1])
    session.cancel_order(working_of(case, new), request_id, *driver.now())
    ended = driver.report(new.cl_ord_id, "4")
    named = request_id if case.cancels_named else ""
    assert (ended.ord_status, ended.request_id, ended.order_id) == ("4", named, new.order_id)


def test_a_cancel_of_an_unknown_order_is_refused_as_unknown(bench: Bench, case: Case) -> None:
    session, driver = bench.trading()
    new = place(session, driver, case)
    for _ in range(2):
        session.cancel_order(working_of(case, new), session.make_cl_ord_id(driver.now()[1]), *driver.now())
    reject = driver.until(lambda: next((e for e in driver.heard.events if isinstance(e, CancelReject)), None))
    assert (reject.cl_ord_id, reject.unknown_order) == (new.cl_ord_id, True)


def test_a_replace_does_what_is_declared(bench: Bench, case: Case) -> None:
    how = case.capabilities.replace
    if how is Replace.NONE:
        pytest.skip(f"{case.id}: declares no replace")
    session, driver = bench.trading()
    new = place(session, driver, case)
    order = working_of(case, new)
    price = new.price - 10**case.instrument.px_scale
    request_id = session.make_cl_ord_id(driver.now()[1])
    is_new = session.replace_is_new(order, new.order_qty, price, None)
    session.replace_order(order, request_id, new.order_qty, price, None, *driver.now())
    if how is Replace.CANCEL_NEW:
        assert is_new
        driver.report(new.cl_ord_id, "4")
        assert driver.report(request_id, "0").price == price
    else:
        same = case.keeps_ids or not case.requests_named
        replaced = driver.report(new.cl_ord_id if same else request_id, "5")
        assert (replaced.order_id, replaced.price) == (new.order_id, price)
        assert replaced.request_id == (new.cl_ord_id if case.keeps_ids else request_id)
        assert replaced.orig_cl_ord_id == ("" if same else new.cl_ord_id)


def test_a_smaller_quantity_keeps_the_order(bench: Bench, case: Case) -> None:
    if case.capabilities.replace is Replace.NONE:
        pytest.skip(f"{case.id}: declares no replace")
    session, driver = bench.trading()
    new = place(session, driver, case)
    request_id = session.make_cl_ord_id(driver.now()[1])
    session.replace_order(working_of(case, new), request_id, new.order_qty // 3, new.price, None, *driver.now())
    same = case.keeps_ids or not case.requests_named
    replaced = driver.report(new.cl_ord_id if same else request_id, "5")
    assert (replaced.order_id, replaced.order_qty) == (new.order_id, new.order_qty // 3)


def test_a_mass_cancel_ends_every_order_of_the_session(bench: Bench, case: Case) -> None:
    if not case.capabilities.mass_cancel:
        pytest.skip(f"{case.id}: declares no mass cancel")
    session, driver = bench.trading()
    placed = [place(session, driver, case) for _ in range(5)]
    session.mass_cancel(case.mass_target, session.make_cl_ord_id(driver.now()[1]), *driver.now())
    for new in placed:
        assert driver.report(new.cl_ord_id, "4").ord_status == "4"
    answers = lambda: [e for e in driver.heard.events if isinstance(e, MassCancelReport)]  # noqa: E731
    if case.capabilities.mass_cancel_report:
        assert driver.until(answers)[0].response != "0"
    assert bench.running.working() == []


def test_a_bad_order_is_refused_with_its_own_id(bench: Bench, case: Case) -> None:
    session, driver = bench.trading()
    symbol = "NO/SUCH" if "/" in case.instrument.symbol else "NOSUCH"
    unknown = Instrument(case.name, "NO-USD", symbol, case.instrument.px_scale, case.instrument.qty_scale)
    cl_ord_id = session.make_cl_ord_id(driver.now()[1])
    session.new_order(case.order(), unknown, cl_ord_id, *driver.now())
    refused = driver.report(cl_ord_id, "8")
    assert (refused.ord_status, refused.leaves_qty or 0) == ("8", 0)
    assert refused.text


def test_the_status_of_an_order_can_be_had_where_declared(bench: Bench, case: Case) -> None:
    session, driver = bench.trading()
    new = place(session, driver, case)
    if not case.capabilities.status_request:
        pytest.skip(f"{case.id}: declares no status request")
    try:
        session.order_status(working_of(case, new), session.make_cl_ord_id(driver.now()[1]), *driver.now())
    except VenueError:
        assert case.capabilities.open_orders is OpenOrders.REST
    else:
        assert driver.report(new.cl_ord_id, "I").ord_status == "0"
    rest = bench.rest()
    found = rest.parse_order(*bench.ask(rest.order(driver.now()[1], working_of(case, new))))
    assert found is not None
    assert (found.order_id, found.status) == (new.order_id, "0")


def test_rest_lists_finds_and_cancels(bench: Bench, case: Case) -> None:
    session, driver = bench.trading()
    placed = {place(session, driver, case).cl_ord_id for _ in range(3)}
    rest = bench.rest()

    def listed() -> Any:
        page = rest.parse_open_orders(*bench.ask(rest.open_orders(driver.now()[1])))
        return page.orders if len(page.orders) == 3 else None

    orders = driver.until(listed, "list")
    assert {o.cl_ord_id for o in orders} == placed
    assert {o.symbol for o in orders} == {case.instrument.symbol}
    assert {case.instrument.qty(o.order_qty) for o in orders} == {case.order().order_qty}
    assert {case.instrument.px(o.price) for o in orders} == {case.order().price}
    assert {o.side for o in orders} == {"1"}
    requests = rest.cancel_all(driver.now()[1], [case.instrument])
    if requests:
        counts = [rest.parse_cancel_all(*bench.ask(request)) for request in requests]
        assert counts == [None] or sum(count or 0 for count in counts) == 3  # where the venue tells a number
    else:  # the venue cancels one by one
        for o in orders:
            found = case.working(cl_ord_id=o.cl_ord_id, order_id=o.order_id)
            session.cancel_order(found, session.make_cl_ord_id(driver.now()[1]), *driver.now())
    for cl_ord_id in placed:
        assert driver.report(cl_ord_id, "4").ord_status == "4"
    one = case.working(cl_ord_id=orders[0].cl_ord_id, order_id=orders[0].order_id)
    ended = rest.parse_order(*bench.ask(rest.order(driver.now()[1], one)))
    assert ended is not None
    assert ended.status == "4"


def test_rest_cancels_one_order_by_either_name_and_no_other(bench: Bench, case: Case) -> None:
    session, driver = bench.trading()
    by_id, by_name, other = (place(session, driver, case) for _ in range(3))
    rest = bench.rest()

    takes_names = rest.cancel_order(driver.now()[1], case.instrument, "", "x") is not None

    def cancel(order_id: str, cl_ord_id: str) -> CancelOutcome:
        request = rest.cancel_order(driver.now()[1], case.instrument, order_id, cl_ord_id)
        assert request is not None
        return rest.parse_cancel_order(*bench.ask(request)).outcome

    assert cancel(by_id.order_id, "") is CancelOutcome.CANCELLED
    assert cancel("" if takes_names else by_name.order_id, by_name.cl_ord_id) is CancelOutcome.CANCELLED
    for new in (by_id, by_name):
        assert driver.report(new.cl_ord_id, "4").ord_status == "4"
    over = cancel(by_id.order_id, "")
    again = {CancelOutcome.CANCELLED} if case.repeats_cancels else set()
    assert over in {CancelOutcome.DONE, CancelOutcome.NOT_FOUND} | again
    assert cancel("" if takes_names else "V404", "179535197391666214") is CancelOutcome.NOT_FOUND

    def listed() -> Any:
        page = rest.parse_open_orders(*bench.ask(rest.open_orders(driver.now()[1])))
        return [o.order_id for o in page.orders]

    assert driver.until(lambda: listed() == [other.order_id], "the other one alone is left")
    bench.running.fault("no_cancel", via="rest", seconds=5)
    request = rest.cancel_order(driver.now()[1], case.instrument, other.order_id, "")
    assert request is not None
    said = rest.parse_cancel_order(*bench.ask(request))
    assert said.outcome is CancelOutcome.REFUSED
    assert case.dialect.cancel_plan(case.venue).refuses_cancels("", said.text)
    assert listed() == [other.order_id]


def test_rest_finds_an_order_whose_acknowledgement_was_lost(bench: Bench, case: Case) -> None:
    session, driver = bench.trading()
    new = place(session, driver, case)
    rest = bench.rest()
    session.cancel_order(working_of(case, new), session.make_cl_ord_id(driver.now()[1]), *driver.now())
    driver.report(new.cl_ord_id, "4")
    nameless = case.working(cl_ord_id=new.cl_ord_id, order_id="")
    found = rest.parse_order(*bench.ask(rest.order(driver.now()[1], nameless)), new.cl_ord_id)
    assert found is not None
    assert (found.order_id, found.status) == (new.order_id, "4")


@pytest.mark.parametrize("level", [2, 3])
def test_books_are_live_and_verified(case: Case, level: int, tmp_path: Path) -> None:
    if level not in case.capabilities.levels:
        pytest.skip(f"{case.id}: declares no level {level}")
    bench = Bench(case, tmp_path, flow=True)
    try:
        session, driver, books = bench.marketdata(level)
        driver.until(books.live, "live")
        start = session.counters()["messages"]
        driver.until(lambda: session.counters()["messages"] > start + 200, "flow")
        assert books.breaks == []
        bid, _, ask, _ = books.builder.books.book(0).bbo()
        assert 0 < bid < ask
        before = books.snapshots
        session.refresh(0, *driver.now())
        driver.until(lambda: books.snapshots > before and books.live(), "refreshed")
        assert books.breaks == []
        if case.capabilities.reference_data:
            definitions = [e for e in driver.heard.events if isinstance(e, InstrumentDefinition)]
            assert definitions[0].confirmed, (definitions, driver.heard.alerts)
        if level == 2:
            driver.until(lambda: books.trades > 0, "trades")
    finally:
        bench.close()


def test_book_ticker_follows_the_best_quote(tmp_path: Path) -> None:
    case = next(c for c in CASES if c.id == "binance")
    bench = Bench(case, tmp_path, flow=True)
    try:
        session, driver, books = bench.marketdata(options={"stream": "book_ticker", "trades": False})
        driver.until(books.live, "live")
        start = session.counters()["messages"]
        driver.until(lambda: session.counters()["messages"] > start + 50, "flow")
        assert books.breaks == []
        assert max(books.builder.books.book(0).n_levels) <= 1
    finally:
        bench.close()


def test_drop_copy_where_declared_hears_the_account(bench: Bench, case: Case) -> None:
    if Kind.DROPCOPY not in case.capabilities.kinds:
        pytest.skip(f"{case.id}: declares no drop copy")
    _, copy = bench.dropcopy()
    session, driver = bench.trading()
    new = place(session, driver, case)
    told = "0"
    if case.capabilities.drop_copy_fills_only:
        told, (other, other_driver) = "F", bench.trading(f"{case.ours[:6]}2")
        cl_ord_id = other.make_cl_ord_id(other_driver.now()[1])
        other.new_order(case.order(side="2"), case.instrument, cl_ord_id, *other_driver.now())
    report = copy.report(new.cl_ord_id, told)
    assert (report.drop_copy, report.order_id) == (True, new.order_id)


def test_an_orderly_logout_is_answered(bench: Bench, case: Case) -> None:
    session, driver = bench.trading()
    session.logout("done", *driver.now())
    driver.until(lambda: driver.heard.disconnects, "logout answered")
    driver.close()
    assert session.phase is SessionPhase.DISCONNECTED


def test_numbers_go_on_over_connections_or_begin_anew_as_declared(bench: Bench, case: Case) -> None:
    session, driver = bench.trading()
    new = place(session, driver, case)
    before, _ = session.numbers()
    driver.session.logout("for now", *driver.now())
    driver.until(lambda: driver.heard.disconnects, "logout answered")
    driver.close()
    again = Driver(session, driver.heard, bench.running.endpoint("trading"))
    bench._drivers.append(again)
    again.ready()
    assert (session.numbers()[0] > before) is case.capabilities.numbers_go_on
    assert place(session, again, case).order_id != new.order_id


def test_the_status_of_an_order_that_never_was_is_unknown_never_rejected(bench: Bench, case: Case) -> None:
    session, driver = bench.trading()
    nobody = case.working(cl_ord_id=session.make_cl_ord_id(driver.now()[1]), order_id="V404")
    try:
        session.order_status(nobody, session.make_cl_ord_id(driver.now()[1]), *driver.now())
    except VenueError:
        rest = bench.rest()
        order_id = "404" if case.name == "binance" else "V404"
        asked = rest.order(driver.now()[1], case.working(cl_ord_id="nobody", order_id=order_id))
        assert rest.parse_order(*bench.ask(asked)) is None
        return
    reject = driver.until(lambda: next((e for e in driver.heard.events if isinstance(e, CancelReject)), None))
    assert (reject.unknown_order, reject.response_to) == (True, "")
    assert not [e for e in driver.heard.events if isinstance(e, ExecutionReport)]
