"""What a dialect declares for people (`qd venues`) is what its sessions and its REST side do."""

import re
from typing import Any

import pytest
from msgspec.structs import replace

from base.config import Kind, RestConfig, VenueConfig
from base.errors import VenueError
from tests.venues.conformance.cases import CASES, Case
from tests.venues.kit import WALL, Heard, Records, Venue
from venues.facts import WEBSOCKET
from venues.interface import TellsBuyingPower

WIRES = [(c, kind) for c in CASES for kind in Kind if kind in c.capabilities.kinds]


@pytest.fixture(params=CASES, ids=lambda c: c.id)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


def session_of(case: Case, kind: Kind) -> Any:
    level = min(case.capabilities.levels, default=2)
    context, heard = case.context(kind, level=level), Heard()
    if kind is Kind.MARKETDATA:
        return case.dialect.marketdata(context, heard, Records()), heard
    return (case.dialect.trading if kind is Kind.TRADING else case.dialect.dropcopy)(context, heard), heard


def test_each_kind_of_session_has_its_wire(case: Case) -> None:
    assert set(case.capabilities.wires) == case.capabilities.kinds


@pytest.mark.parametrize(("case", "kind"), WIRES, ids=lambda v: v.id if isinstance(v, Case) else str(v))
def test_a_session_speaks_as_is_declared(case: Case, kind: Kind) -> None:
    wire = case.capabilities.wires[kind]
    session, heard = session_of(case, kind)
    if wire == WEBSOCKET:
        assert not hasattr(session, "_fix")
        return
    logon = Venue(session, heard, case.ours, case.target(kind)).connect()
    assert (logon.begin_string.decode(), logon.get_str(1137) if logon.get(1137) else "") == (
        wire.begin_string, wire.appl_ver_id,
    )  # fmt: skip
    own = session._profile.settings
    assert (own.sequence_policy, own.supports_resend) == (wire.numbers, wire.resend)


def test_rest_has_the_calls_that_are_declared(case: Case) -> None:
    rest = case.dialect.rest(case.venue, "K", case.password, case.passphrase)
    if rest is None:
        assert case.capabilities.rest == frozenset()
        return
    named = [case.instrument]
    there = {
        "open_orders": rest.open_orders(WALL), "order": rest.order(WALL, case.working()),
        "trades": rest.trades(WALL, case.working(), WALL - 10**12), "balances": rest.balances(WALL),
        "positions": rest.positions(WALL), "cancel_all": rest.cancel_all(WALL, named),
        "cancel_order": rest.cancel_order(WALL, case.instrument, "V1", "A1"),
        "cancel_after": rest.cancel_after(WALL, 60),
        "buying_power": isinstance(rest, TellsBuyingPower) and rest.buying_power(WALL, named),
    }  # fmt: skip
    assert case.capabilities.rest == {call for call, request in there.items() if request}


def test_status_requests_of_the_session_are_those_that_are_declared(case: Case) -> None:
    session, heard = session_of(case, Kind.TRADING)
    venue = Venue(session, heard, case.ours, case.target(Kind.TRADING))
    venue.logon()
    now = venue.mono, venue.wall

    def takes(ask: Any) -> bool:
        try:
            ask()
        except VenueError:
            return False
        return True

    assert takes(lambda: session.order_status(case.working(), "S1", *now)) is case.capabilities.session_status
    assert takes(lambda: session.mass_status("S2", lambda _, __: None, *now)) is case.capabilities.mass_status


def test_the_documentation_has_a_date(case: Case) -> None:
    assert re.fullmatch(r"\d{4}(-\d\d){0,2}", case.capabilities.documented)


@pytest.mark.parametrize("case", {c.name: c for c in CASES}.values(), ids=lambda c: c.name)
def test_every_variant_is_a_configuration_that_the_venue_takes(case: Case) -> None:
    rest = RestConfig(address="https://127.0.0.1:1", key="env:K", secret="env:S", passphrase="env:P")
    for variant, options in case.dialect.variants().items():
        venue = VenueConfig(dialect=case.name, instruments=[], options=options, rest=rest)
        if case.dialect.rest(venue, "K", case.password, case.passphrase) is None:
            venue = replace(venue, rest=None)
        case.dialect.check(venue, {}, f"variant {variant!r}")
        assert case.dialect.capabilities(venue).kinds
