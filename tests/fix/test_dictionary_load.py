"""Loading dictionaries: QuickFIX's format, complaints with file, line and element, extension, safe XML."""

import os
from pathlib import Path

import pytest

from base.errors import ConfigError
from fix.codec import Message, encode
from fix.dictionary import Dictionary
from fix.dictionary_model import GroupDef, Member
from tests.fix.dictionary_kit import HEAD, ORDER, message

DATA = Path(os.environ.get("QUARTERDECK_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "dictionaries"
PUBLISHED = {
    "binance/spot-fix-oe.xml": ("XCN", "OrderCancelRequestAndNewOrderSingle"),
    "binance/spot-fix-md.xml": ("XLQ", "LimitQuery"),
    "coinbase/FIX42.xml": ("b", "QuoteAcknowledgement"),
}

PLAIN = """<?xml version='1.0'?>
<fix type='FIX' major='4' minor='4'>
 <header><field name='BeginString' required='Y'/><field name='BodyLength' required='Y'/>
  <field name='MsgType' required='Y'/></header>
 <trailer><field name='CheckSum' required='Y'/></trailer>
 <messages>
  <message name='Ping' msgtype='P1' msgcat='app'>
   <field name='Text' required='Y'/>
   <component name='Parties' required='N'/>
  </message>
 </messages>
 <components>
  <component name='Parties'><group name='NoPartyIDs' required='Y'>
   <field name='PartyID' required='Y'/><component name='Sub' required='N'/></group></component>
  <component name='Sub'><group name='NoSubs' required='N'><field name='SubID' required='N'/></group></component>
 </components>
 <fields>
  <field number='8' name='BeginString' type='STRING'/><field number='9' name='BodyLength' type='LENGTH'/>
  <field number='35' name='MsgType' type='STRING'/><field number='10' name='CheckSum' type='STRING'/>
  <field number='58' name='Text' type='STRING'/><field number='453' name='NoPartyIDs' type='NUMINGROUP'/>
  <field number='448' name='PartyID' type='STRING'/><field number='802' name='NoSubs' type='NUMINGROUP'/>
  <field number='523' name='SubID' type='STRING'/>
  <field number='54' name='Side' type='CHAR'><value enum='1' description='BUY'/><value enum='2' description='SELL'/>
  </field>
 </fields>
</fix>
"""


def write(tmp_path: Path, text: str, name: str = "plain.xml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_names_of_messages_fields_and_values_are_read_and_unknown_ones_are_empty() -> None:
    d = Dictionary.standard("4.4")
    assert (d.message_name("D"), d.message_name("8"), d.message_name("U7")) == ("NewOrderSingle", "ExecutionReport", "")
    assert (d.field_name(11), d.field_name(99_999)) == ("ClOrdID", "")
    assert (d.value_name(39, "2"), d.value_name(150, "F"), d.value_name(39, "~"), d.value_name(11, "x")) == (
        "FILLED",
        "TRADE",
        "",
        "",
    )
    assert (d.tag_of("ClOrdID"), d.tag_of("Nothing")) == (11, 0)


def test_groups_and_components_are_taken_apart_and_an_optional_component_requires_nothing(tmp_path: Path) -> None:
    d = Dictionary.load(write(tmp_path, PLAIN))
    sub = Member(802, False, GroupDef(802, (Member(523, False),)))
    parties = Member(453, False, GroupDef(453, (Member(448, True), sub)))
    assert d.messages["P1"].members == (Member(58, True), parties)
    assert d.begin_string == d.version == "FIX.4.4"
    assert d.paths == (str(tmp_path / "plain.xml"),)


def test_a_required_component_requires_what_it_says(tmp_path: Path) -> None:
    text = PLAIN.replace("<component name='Parties' required='N'/>", "<component name='Parties' required='Y'/>")
    assert Dictionary.load(write(tmp_path, text)).messages["P1"].members[1].required


@pytest.mark.parametrize(
    ("old", "new", "line", "element", "why"),
    [
        ("<field name='Text' required='Y'/>", "<field name='Texd'/>", 8, "<field name='Texd'>", "unknown field"),
        ("<component name='Sub' required='N'/>", "<component name='Zub'/>", 14, "name='Zub'", "unknown component"),
        ("<field name='SubID' required='N'/>", "<component name='Parties'/>", 15, "Parties", "component cycle"),
        ("number='523'", "number='58'", 22, "<field name='SubID'>", "duplicate field number: 58 is 'Text' already"),
        ("name='SubID' type", "name='Text' type", 22, "<field name='Text'>", "duplicate field name: 'Text' is number"),
        ("number='523'", "number='0'", 22, "<field name='SubID'>", "attribute 'number' is '0'"),
        ("number='523'", "number='٣'", 22, "<field name='SubID'>", "attribute 'number' is '٣'"),
        ("number='523'", "number='9999999999'", 22, "<field name='SubID'>", "attribute 'number'"),
        (" type='STRING'/>\n  <field number='54'", "/>\n  <field number='54'", 22, "SubID", "attribute 'type'"),
        ("required='Y'/>\n   <component", "required='yes'/>\n   <component", 8, "Text", "expected 'Y' or 'N'"),
        ("msgcat='app'", "msgcat='other'", 7, "<message name='Ping'>", "msgcat is 'other'"),
        ("msgtype='P1'", "", 7, "<message name='Ping'>", "attribute 'msgtype' is missing"),
        ("<field name='SubID' required='N'/>", "", 15, "<group name='NoSubs'>", "a group without fields"),
        ("<value enum='2'", "<valeu enum='2'", 23, "<valeu enum='2'>", "not expected inside <field>"),
        (" <components>", " <componets/><components>", 12, "<componets>", "not expected inside <fix>"),
        ("</message>", "<text/></message>", 10, "<text>", "not expected here"),
        ("<fix type", "<fox/><fix type", 2, "", "not XML"),
        ("</fix>", "", 27, "", "not XML"),
        ("</messages>", "<message name='Q' msgtype='P1'/></messages>", 11, "name='Q'", "'P1' is defined twice"),
        ("</components>", "<component name='Sub'/></components>", 16, "name='Sub'", "this component is defined twice"),
        ("major='4' ", "", 2, "<fix>", "attribute 'major' is missing"),
    ],
)  # fmt: skip
def test_a_complaint_names_file_line_and_element(
    tmp_path: Path, old: str, new: str, line: int, element: str, why: str
) -> None:
    assert PLAIN.count(old) == 1 or old == "number='523'"
    path = write(tmp_path, PLAIN.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        Dictionary.load(path)
    text = str(caught.value)
    assert why in text
    assert element in text
    assert text.startswith(f"{path}:{line}:")


@pytest.mark.parametrize("section", ["header", "trailer", "messages", "fields"])
def test_a_missing_section_is_named(tmp_path: Path, section: str) -> None:
    text = PLAIN.replace(f"<{section}>", "<components>", 1).replace(f"</{section}>", "</components>", 1)
    start, end = text.index("<components>"), text.index("</components>") + len("</components>")
    with pytest.raises(ConfigError, match=f"<fix>: section <{section}> is missing"):
        Dictionary.load(write(tmp_path, text[:start] + text[end:]))


def test_a_component_cycle_is_found_where_no_message_uses_it(tmp_path: Path) -> None:
    text = PLAIN.replace("</components>", "<component name='A'><component name='A'/></component></components>")
    with pytest.raises(ConfigError, match="component cycle: A > A"):
        Dictionary.load(write(tmp_path, text))


@pytest.mark.parametrize(
    "bomb",
    [
        "<!DOCTYPE fix [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>",
        "<!DOCTYPE fix SYSTEM 'file:///etc/hostname'>",
        "<!DOCTYPE fix [<!ENTITY % remote SYSTEM 'http://localhost/x'> %remote;]>",
    ],
)
def test_document_types_and_entities_are_refused_unread(tmp_path: Path, bomb: str) -> None:
    with pytest.raises(ConfigError, match=r"plain\.xml:2: <!DOCTYPE or <!ENTITY"):
        Dictionary.load(write(tmp_path, PLAIN.replace("<fix ", bomb + "<fix ", 1)))


def test_elements_deeper_than_any_dictionary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="more than 64 elements deep"):
        Dictionary.load(write(tmp_path, "<fix>" * 100_000))
    deep = "<group name='NoSubs'>" * 13 + "<field name='Text'/>" + "</group>" * 13
    text = PLAIN.replace("<field name='Text' required='Y'/>", deep)
    with pytest.raises(ConfigError, match="groups are nested more than 12 deep"):
        Dictionary.load(write(tmp_path, text))


def test_components_that_hold_each_other_many_times_over_are_read_once(tmp_path: Path) -> None:
    layers = "".join(
        f"<component name='L{i}'><group name='NoSubs'><field name='SubID'/>" + f"<component name='L{i + 1}'/>" * 9
        + "</group></component>"
        for i in range(11)
    )  # fmt: skip
    layers += "<component name='L11'><field name='Text'/></component>"
    text = PLAIN.replace("<components>", "<components>" + layers)
    d = Dictionary.load(write(tmp_path, text.replace("<component name='Parties' req", "<component name='L0' req")))
    assert d.check(b"8=FIX.4.4\x019=1\x0135=P1\x0158=x\x01802=1\x01523=a\x01802=1\x01523=b\x0110=000\x01") is None
    for part in ("Parties' req", "NoSubs' req"):
        deep = (
            "<component name='L0'/>"
            if part == "Parties' req"
            else "<group name='NoPartyIDs'><component name='L0'/></group>"
        )
        more = layers.replace("<field name='Text'/>", "<group name='NoSubs'><field name='Text'/></group>")
        nested = PLAIN.replace("<components>", "<components>" + more).replace("<field name='Text' required='Y'/>", deep)
        if part == "Parties' req":
            Dictionary.load(write(tmp_path, nested))
        else:
            with pytest.raises(ConfigError, match="groups are nested more than 12 deep"):
                Dictionary.load(write(tmp_path, nested))


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"8=FIX.4.4", b"<?xml version='1.0' encoding='no-such'?><fix/>"])
def test_what_is_no_xml_is_a_config_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "not.xml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"not\.xml"):
        Dictionary.load(path)


def test_a_file_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.xml: cannot be read"):
        Dictionary.load(tmp_path / "gone.xml")


def test_counts_and_lengths_that_are_declared_as_int_are_what_their_place_says(tmp_path: Path) -> None:
    text = Path(Dictionary.standard("4.4").paths[0]).read_text()
    text = text.replace("type='NUMINGROUP'", "type='INT'").replace("type='LENGTH'", "type='INT'")
    d = Dictionary.load(write(tmp_path, text))
    assert d.check(message("D", ORDER + "354=5|355=a\x01b=c|")) is None
    assert d.check(message("D", ORDER + "453=1|448=a|")) is None
    fault = d.check(message("D", ORDER + "453=-1|448=a|"))
    assert fault is not None
    assert (fault.reason, fault.tag) == (6, 453)


def test_a_type_that_nobody_knows_is_read_as_text_and_noted(tmp_path: Path) -> None:
    d = Dictionary.load(write(tmp_path, PLAIN.replace("name='SubID' type='STRING'", "name='SubID' type='SHAPE'")))
    assert d.notes == (f"{tmp_path / 'plain.xml'}:22: type 'SHAPE' is not known, any text will do",)


def test_values_beside_the_list_pass_where_the_field_allows_them(tmp_path: Path) -> None:
    text = PLAIN.replace("<field name='Text' required='Y'/>", "<field name='Side' required='Y'/>")
    raw = b"8=FIX.4.4\x019=1\x0135=P1\x0154=7\x0110=000\x01"
    fault = Dictionary.load(write(tmp_path, text)).check(raw)
    assert fault is not None
    assert (fault.reason, fault.tag) == (5, 54)
    text = text.replace("type='CHAR'>", "type='CHAR' allowOtherValues='Y'>")
    assert Dictionary.load(write(tmp_path, text)).check(raw) is None


EXTENSION = """<fix type='FIX' major='4' minor='4'>
 <header><field name='Window' required='N'/></header>
 <messages>
  <message name='NewOrderSingle' msgtype='D' msgcat='app'>
   <field name='Margin' required='Y'/><field name='OrdType' required='N'/><component name='Extra' required='N'/>
  </message>
  <message name='OrderCancelRequest' msgtype='F' msgcat='app' extends='N'><field name='ClOrdID' required='Y'/></message>
  <message name='LimitQuery' msgtype='XLQ' msgcat='app'><field name='Text' required='Y'/></message>
 </messages>
 <components><component name='Extra'><group name='NoExtras' required='N'><field name='ExtraID' required='Y'/>
  <component name='Instrument' required='N'/></group></component></components>
 <fields>
  <field number='25000' name='Window' type='INT'/><field number='25001' name='NoExtras' type='NUMINGROUP'/>
  <field number='25002' name='ExtraID' type='STRING'/><field number='25003' name='Margin' type='FLOAT'/>
  <field number='40' name='OrdType' type='CHAR'><value enum='2' description='LIMIT'/></field>
 </fields>
</fix>
"""


def test_an_extension_adds_to_messages_replaces_them_where_it_says_so_and_redefines_fields(tmp_path: Path) -> None:
    base = Dictionary.standard("4.4")
    d = base.extended(write(tmp_path, EXTENSION, "venue.xml"))
    body = "11=1|55=A|54=1|60=20260105-09:30:00|38=1|25003=9|"
    assert d.check(message("D", body)) is None
    assert d.check(message("D", body + "25001=1|25002=x|55=B|")) is None
    assert base.check(message("D", body)) is not None
    assert [(f.reason, f.tag) for f in d.faults(message("D", body.replace("25003=9|", "40=1|")))] == [
        (5, 40),
        (1, 25003),
    ]
    assert d.check(message("F", "11=1|")) is None
    assert d.check(message("F", "11=1|", head=HEAD + "25000=9|")) is None
    assert [(f.reason, f.tag) for f in d.faults(message("F", "11=1|55=A|"))] == [(2, 55)]
    assert d.message_name("XLQ") == "LimitQuery"
    assert base.message_name("XLQ") == ""
    assert d.check(message("G", "11=1|41=0|55=A|54=1|60=20260105-09:30:00|40=2|38=1|44=1|")) is None


TRANSPORT_EXTENSION = """<fix type='FIX' major='5' minor='0' servicepack='2'>
 <header><field name='RptSeq' required='N'/></header>
 <messages>
  <message name='Logon' msgtype='A' msgcat='admin'><field name='OnLoss' required='N'/></message>
 </messages>
 <fields><field number='8013' name='OnLoss' type='CHAR'/></fields>
</fix>
"""


def test_on_fix_5_an_extension_adds_to_the_transport_s_header_and_logon(tmp_path: Path) -> None:
    base = Dictionary.standard("5.0sp2")
    d = base.extended(write(tmp_path, TRANSPORT_EXTENSION, "venue.xml"))
    logon = message("A", "98=0|108=30|1137=9|8013=S|", "FIXT.1.1")
    assert d.check(logon) is None
    assert [(f.reason, f.tag) for f in base.faults(logon)] == [(0, 8013)]
    numbered = message("0", "", "FIXT.1.1", HEAD + "83=7|")
    assert d.check(numbered) is None
    assert base.check(numbered) is not None
    assert d.check(message("A", "98=0|108=30|8013=S|", "FIXT.1.1")) is not None, "1137 is still required"


def test_an_extension_may_not_give_a_number_another_name(tmp_path: Path) -> None:
    text = EXTENSION.replace("number='25002'", "number='11'")
    with pytest.raises(
        ConfigError, match=r"venue\.xml:14: <field name='ExtraID'>: duplicate field number: 11 is 'ClOrd"
    ):
        Dictionary.standard("4.4").extended(write(tmp_path, text, "venue.xml"))


def test_an_application_dictionary_needs_its_transport_for_checks_but_not_for_names() -> None:
    d = Dictionary.load(Path(Dictionary.standard("5.0sp2").paths[1]))
    assert d.message_name("D") == "NewOrderSingle"
    with pytest.raises(ConfigError, match=r"FIX50SP2\.xml: FIX\.5\.0 needs a transport dictionary"):
        d.check(b"")


def test_transport_and_application_must_agree_on_names(tmp_path: Path) -> None:
    transport, application = Dictionary.standard("5.0sp2").paths
    text = Path(transport).read_text().replace("'Text'", "'Words'")
    with pytest.raises(ConfigError, match="field 58 is 'Text' here, 'Words' in the transport's file"):
        Dictionary.load(application, write(tmp_path, text, "transport.xml"))


def test_a_version_that_is_not_ours_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"no standard dictionary '4\.3', expected one of 4\.2, 4\.4"):
        Dictionary.standard("4.3")


def test_its_rules_for_the_codec_have_its_data_fields_and_groups(tmp_path: Path) -> None:
    rules = Dictionary.standard("4.4").rules()
    body = b"1=x\x01453=2\x01448=a\x01448=b\x01354=3\x01355=a\x01b\x01"
    assert Message.parse(encode("FIX.4.4", "D", "A", "B", 1, 0, body, rules=rules), rules).defects == ()


@pytest.mark.parametrize("name", PUBLISHED)
def test_dictionaries_that_venues_publish_load_as_they_are(name: str) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no published dictionary at {path}")
    d = Dictionary.load(path)
    msg_type, expected = PUBLISHED[name]
    assert d.message_name(msg_type) == expected
    assert d.notes == ()
    assert d.check(message("1", "112=x|", d.begin_string)) is None
    fault = d.check(message("1", "", d.begin_string))
    assert fault is not None
    assert (fault.reason, fault.tag) == (1, 112)
