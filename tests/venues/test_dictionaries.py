"""Each venue's dictionary knows the venue's published messages, and holds back what is wrong before it leaves."""

import os
from pathlib import Path

import pytest

from base.config import Kind, load
from base.errors import CodecError, ConfigError
from base.instruments import Instrument
from fix.dictionary import Checks, Dictionary
from fix.settings import Role, SessionSettings, Validation
from quarterdeck.config_problems import problems
from tests.fix.dictionary_kit import ORDER
from tests.venues.kit import Heard, Venue, context, raw
from venues.dictionaries import own_dictionaries, session_dictionary, validated, venue_dictionary
from venues.fix44.dialect import DIALECT
from venues.fix_session import FixVenueSession
from venues.registry import names

FIX = Path(os.environ.get("QUARTERDECK_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "fix"
# What the files themselves say is wrong with a published sample.
BLEMISHES = ("truncated by the docs", "without BodyLength", "but 1 group present", "969 twice")
BTC = Instrument(
    venue="fix44", name="BTC-USD", symbol="BTC/USD", px_scale=2, qty_scale=8, tick_size=1, lot_size=1, min_qty=0,
    max_qty=0, min_notional="",
)  # fmt: skip


def trading(**config: str) -> tuple[FixVenueSession, Heard]:
    heard = Heard()
    return DIALECT.trading(context("fix44", Kind.TRADING, [BTC], "DESK", "VENUE", **config), heard), heard


@pytest.mark.parametrize("name", names())
def test_every_venue_has_a_dictionary_without_open_questions(name: str) -> None:
    for version in own_dictionaries(name) or ["FIX.4.4"]:
        d = venue_dictionary(name, version)
        assert d.notes == ()
        assert {"A", "D", "F", "8"} <= set(d.messages)
        assert venue_dictionary(name, version) is d


def test_a_file_is_for_the_version_that_it_says_and_for_no_other() -> None:
    assert set(own_dictionaries("kraken")) == {"FIX.4.4"}
    assert venue_dictionary("kraken", "FIX.4.4").field_name(5025) == "Nonce"
    assert venue_dictionary("kraken", "FIX.4.2").field_name(5025) == ""


@pytest.mark.parametrize("name", ["binance", "kraken"])
def test_published_messages_pass_but_for_what_their_publishers_got_wrong(name: str) -> None:
    path = FIX / f"{name}.fix"
    if not path.exists():
        pytest.skip(f"no published samples at {path}")
    d, title, seen, blemished = venue_dictionary(name, "FIX.4.4"), "", 0, 0
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        if line.startswith("# ") and "http" in line:
            title = line
        if not line.startswith("8="):
            continue
        faults = d.faults(raw(line), Checks(group_order=False))  # their documents keep no order within entries
        known = any(blemish in title for blemish in BLEMISHES)
        assert bool(faults) == known, (title, faults)
        seen, blemished = seen + 1, blemished + known
    assert seen >= 20
    assert blemished <= 4


def test_an_order_that_breaks_the_dictionary_does_not_leave_and_takes_no_number() -> None:
    session, heard = trading()
    venue = Venue(session, heard, "DESK", "VENUE")
    venue.logon()
    before = session.numbers()
    with pytest.raises(CodecError, match="fix44-trading: 35=D was not sent: tag 54: Required tag missing"):
        session._send("D", raw(ORDER.replace("54=1|", "")), venue.mono, venue.wall)
    assert session.numbers() == before
    assert venue.take() == []
    session._send("D", raw(ORDER), venue.mono, venue.wall)
    assert venue.last("D").get(54) == b"1"


def test_a_cancel_that_breaks_the_dictionary_leaves_and_is_told_of_once() -> None:
    class Lenient(Heard):
        def alert(self, severity: str, code: str, text: str) -> None:
            self.alerts.append((severity, code, text))

    heard = Lenient()
    session = DIALECT.trading(context("fix44", Kind.TRADING, [BTC], "DESK", "VENUE"), heard)
    venue = Venue(session, heard, "DESK", "VENUE")
    venue.logon()
    for _ in range(2):
        session._send("F", raw("41=A|11=B|54=1|60=20260105-09:30:00|38=1|7777=x|"), venue.mono, venue.wall)
    assert [m.msg_type for m in venue.take()] == ["F", "F"]
    odd = [text for _, code, text in heard.alerts if code == "odd_sent"]
    assert odd == ["fix44-trading: our 35=F 2 is not as the dictionary has it: 7777: Invalid tag number"]


def test_a_session_may_bring_its_own_dictionary_and_be_strict_with_what_it_receives(tmp_path: Path) -> None:
    own = tmp_path / "own.xml"
    own.write_text(Path(Dictionary.standard("4.4").paths[0]).read_text().replace("'NewOrderSingle'", "'Order'"))
    ours = context("fix44", Kind.TRADING, [BTC], "DESK", "VENUE", dictionary=str(own), validate="reject")
    assert session_dictionary(ours, "FIX.4.4").message_name("D") == "Order"
    settings = SessionSettings("s", Role.INITIATOR, "DESK", "VENUE")
    assert settings.validation is Validation.OFF
    assert validated(settings, ours).validation is Validation.REJECT


def test_a_dictionary_of_another_version_is_refused_with_the_sessions_key() -> None:
    ours = context("fix44", Kind.TRADING, [BTC], "A", "B", dictionary=Dictionary.standard("4.2").paths[0])
    with pytest.raises(ConfigError, match=r"session\.fix44-trading\.dictionary: .*FIX42\.xml is for FIX\.4\.2"):
        session_dictionary(ours, "FIX.4.4")
    with pytest.raises(ConfigError, match=r"no dictionary for FIX\.4\.3"):
        venue_dictionary("fix44", "FIX.4.3")


@pytest.mark.parametrize(("validate", "defects"), [("off", 0), ("defects", 1), ("reject", 1)])
def test_an_execution_report_with_an_odd_tag_is_delivered_whatever_is_asked_for(validate: str, defects: int) -> None:
    session, heard = trading(validate=validate)
    venue = Venue(session, heard, "DESK", "VENUE")
    venue.logon()
    report = "37=1|17=E1|150=0|39=0|11=X|55=BTC/USD|54=1|38=1|151=1|14=0|6=0|9999=odd|60=20260407-14:32:05|"
    venue.send("8", report)
    assert len(heard.events) == 1
    told = heard.events[0].defects  # type: ignore[union-attr]  # an ExecutionReport
    assert sum("9999" in text for text in map(str, told)) == defects


def test_a_check_of_the_configuration_reads_the_dictionaries_that_sessions_name(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "config" / "desk.toml").read_text()
    session = next(line for line in text.splitlines() if line.startswith("[session."))
    broken = tmp_path / "broken.xml"
    broken.write_text("<fix type='FIX' major='4' minor='4'><fields><field name='A'/></fields></fix>")
    path = tmp_path / "config" / "desk.toml"
    path.parent.mkdir()
    path.write_text(text.replace(session, f'{session}\ndictionary = "{broken}"'))
    found = problems(load(path))
    assert len(found) == 1
    assert f"{session[1:-1]}.dictionary: {broken}:1: <fix>: section <messages> is missing" in found[0]
    path.write_text(text.replace(session, f'{session}\ntransport_dictionary = "x.xml"'))
    assert [line.partition(": ")[2] for line in problems(load(path))] == [
        f"{session[1:-1]}.transport_dictionary: goes with dictionary, which is missing"
    ]
