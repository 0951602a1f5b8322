"""Reading FIX logs: every line once and by time, over parts and rotation; what is none is named; an order's life."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fix.codec import encode
from fix.dictionary import Dictionary
from fix.fixlog import FixLog
from fix.fixlog_life import Life, in_words, life_of
from fix.fixlog_reader import Filter, Follower, Line, Log, Tally, logs_in, merged
from fix.fixlog_view import Namer, body, elapsed_text, fields_of, printable, stamp_ns

T0 = 1_795_300_000_000_000_000
MS = 1_000_000
NAMER = Namer(Dictionary.standard("4.4"))


def message(msg_type: str, text: str = "", number: int = 1, at_ns: int = T0) -> bytes:
    return encode("FIX.4.4", msg_type, "DESK", "VENUE", number, at_ns, text.replace("|", "\x01").encode())


class Writer:
    """Logs written as sessions write them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.tally = Tally(self.told.append)

    def write(self, name: str, *entries: tuple[int, str, str, str]) -> Path:
        """(ms, arrow, MsgType, body)..., MsgSeqNums in order for each direction."""
        log = FixLog(self.folder, name)
        numbers = {"<": 0, ">": 0}
        for at_ms, arrow, msg_type, text in entries:
            numbers[arrow] += 1
            at_ns = T0 + at_ms * MS
            log.put(at_ns, arrow == "<", message(msg_type, text, numbers[arrow], at_ns))
        log.close()
        return log.path

    def logs(self, wanted: Filter) -> list[Log]:
        return [Log(path, self.tally, wanted) for path in logs_in(self.folder)]

    def read(self, wanted: Filter | None = None) -> list[Line]:
        return list(merged(self.logs(wanted or Filter())))

    def life(self, order: str) -> Life:
        return life_of(lambda wanted: merged(self.logs(wanted)), order)


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def said(lines: list[Line]) -> list[str]:
    return [f"{line.log}{'<' if line.incoming else '>'}{dict(fields_of(line.raw))[35]}" for line in lines]


# --- files


def test_sessions_are_merged_by_time(writer):
    writer.write("a", (0, ">", "D", "11=1|"), (30, "<", "8", "11=1|"))
    writer.write("b", (10, "<", "8", "11=1|"), (40, "<", "0", ""))
    assert said(writer.read()) == ["a>D", "b<8", "a<8", "b<0"]
    assert writer.told == []


def test_parts_are_read_oldest_first(tmp_path, writer):
    log = FixLog(tmp_path, "a", budget_bytes=40_000, files=4)
    for n in range(150):
        log.put(T0 + n * MS, True, message("8", f"11={n}|", n + 1))
    log.close()
    assert len(list(tmp_path.iterdir())) > 1
    ids = [int(dict(fields_of(line.raw))[11]) for line in writer.read()]
    assert ids == list(range(150))


def test_what_is_no_line_is_named_with_its_place_and_skipped(writer):
    path = writer.write("a", (0, ">", "D", ""), (1, "<", "8", ""), (2, "<", "8", ""))
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], b"garbage", lines[1][:60], b"", lines[2], lines[2][:-20]]))
    assert said(writer.read()) == ["a>D", "a<8"]
    assert writer.told == [
        f"{path}:2: not a line of a FIX log, skipped",
        f"{path}:3: not a line of a FIX log, skipped",
        f"{path}:4: not a line of a FIX log, skipped",
        f"{path}:6: the last line is cut off, skipped",
    ]
    assert writer.tally.bad == 4


def test_many_bad_lines_are_counted_not_all_told(writer):
    path = writer.write("a")
    path.write_bytes(b"x\n" * 1000)
    assert writer.read() == []
    assert writer.tally.bad == 1000
    assert len(writer.told) == 20


@settings(max_examples=40)
@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("log")
    path = folder / "a.fix.log"
    path.write_bytes(data)
    tally = Tally(lambda _: None)
    lines = list(merged([Log(path, tally, Filter())]))
    assert len(lines) + tally.bad == len(data.split(b"\n")) - (data[-1:] in (b"\n", b""))


# --- filters


def test_filters_by_time_type_and_order(writer):
    writer.write(
        "a", (0, ">", "D", "11=A1|"), (1000, "<", "8", "11=A1|37=V1|"), (2000, ">", "F", "11=A2|41=A1|"),
        (3000, ">", "D", "11=A11|"), (4000, "<", "8", "11=A2|41=A1|37=V1|"), (5000, "<", "0", ""),
    )  # fmt: skip
    stamp = writer.read()[2].stamp
    assert said(writer.read(Filter(since=stamp))) == ["a>F", "a>D", "a<8", "a<0"]
    assert said(writer.read(Filter(until=stamp))) == ["a>D", "a<8"]
    assert said(writer.read(Filter(since=stamp[:17], msg_types=frozenset("8F")))) == ["a>F", "a<8"]
    assert said(writer.read(Filter(ids=frozenset({"A1"})))) == ["a>D", "a<8", "a>F", "a<8"]
    assert said(writer.read(Filter(ids=frozenset({"V1"})))) == ["a<8", "a<8"]
    assert said(writer.read(Filter(ids=frozenset({"A1"}), msg_types=frozenset("F")))) == ["a>F"]
    assert said(writer.read(Filter(ids=frozenset({"A"})))) == []


def test_an_id_is_a_text_not_an_expression(writer):
    writer.write("a", (0, ">", "D", "11=A.1|"), (1, ">", "D", "11=Ax1|"))
    assert len(writer.read(Filter(ids=frozenset({"A.1"})))) == 1


# --- following


FAR = b"99999999"


def test_following_tells_each_line_once_over_rotations(tmp_path, writer):
    log = FixLog(tmp_path, "a", budget_bytes=40_000, files=4)
    follower = Follower(writer.logs(Filter()))
    got: list[int] = []
    for n in range(300):
        log.put(T0 + n * MS, True, message("8", f"11={n}|", n + 1))
        if n % 30 == 29:  # written whole, and about a part a turn
            log.close()
            log = FixLog(tmp_path, "a", budget_bytes=40_000, files=4)
            got += [int(dict(fields_of(line.raw))[11]) for line in follower.turn(FAR)]
    log.close()
    assert got == list(range(300))
    assert writer.told == []
    follower.close()


def test_what_was_rotated_away_unread_is_told(tmp_path, writer):
    log = FixLog(tmp_path, "a", budget_bytes=4_000, files=4)
    log.put(T0, True, message("8", "11=first|"))
    log.close()
    follower = Follower(writer.logs(Filter()))
    assert len(follower.turn(FAR)) == 1
    log = FixLog(tmp_path, "a", budget_bytes=4_000, files=4)
    for n in range(200):
        log.put(T0 + n * MS, True, message("8", f"11={n}|", n + 1))
    log.close()
    assert follower.turn(FAR)
    assert "rotated away" in writer.told[0]
    follower.close()


def test_half_a_line_waits_for_its_rest(writer):
    path = writer.write("a", (0, ">", "D", ""), (1, "<", "8", ""))
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    follower = Follower(writer.logs(Filter()))
    assert said(follower.turn(FAR)) == ["a>D"]
    with path.open("ab") as f:
        f.write(whole[-30:])
    assert said(follower.turn(FAR)) == ["a<8"]
    assert writer.told == []
    follower.close()


def test_what_is_not_settled_waits_so_that_sessions_come_in_order(writer):
    first = writer.write("a", (0, "<", "8", ""), (200, "<", "8", ""))
    stamp = first.read_bytes().split(b"\n")[1][:27]
    follower = Follower([*writer.logs(Filter()), Log(writer.folder / "b.fix.log", writer.tally, Filter())])
    assert said(follower.turn(stamp)) == ["a<8"]
    writer.write("b", (100, "<", "9", ""))
    assert said(follower.turn(FAR)) == ["b<9", "a<8"]
    follower.close()


# --- in words


def test_fields_and_values_have_their_names():
    raw = message("D", "11=A1|54=1|38=2.5|40=2|44=100|55=BTC/USD|59=1|")
    assert body(fields_of(raw), NAMER, 200) == [
        "      ClOrdID(11)=A1  Side(54)=1 BUY  OrderQty(38)=2.5  OrdType(40)=2 LIMIT  Price(44)=100  "
        "Symbol(55)=BTC/USD  TimeInForce(59)=1 GOOD_TILL_CANCEL"
    ]


def test_lines_keep_to_the_width_and_long_messages_are_cut_with_a_word():
    raw = message("W", "".join(f"270={n}|271=1|" for n in range(500)))
    lines = body(fields_of(raw), NAMER, 120)
    assert all(len(line) <= 120 for line in lines)
    assert re.search(r"\.\.\. \d+ more fields", lines[-1])
    assert len(body(fields_of(raw), NAMER, 120, full=True)) > 100


def test_data_may_hold_what_separates_fields():
    assert fields_of(b"8=FIX.4.4\x0195=7\x0196=a\x0110=b\x01\x0158=x\x01")[1:] == [
        (95, "7"),
        (96, "a\x0110=b\x01"),
        (58, "x"),
    ]
    assert fields_of(b"95=999\x0196=ab\x0158=x\x01") == [(95, "999"), (96, "ab"), (58, "x")]


@given(st.binary(max_size=80))
def test_any_bytes_have_fields_and_a_text(data):
    for tag, value in fields_of(data):
        assert printable(NAMER.field_text(tag, value)).isprintable()


def test_secrets_are_not_shown_even_where_a_log_has_them():
    raw = message("A", "98=0|95=6|96=hush!!|553=me|554=hush!!|925=hush!!|")
    shown = " ".join(body(fields_of(raw), NAMER, 120))
    assert "hush" not in shown
    assert "Password(554)=***" in shown


@pytest.mark.parametrize(
    ("ns", "text"),
    [(500, "0.5 us"), (1_500_000, "1.500 ms"), (2_000_000_000, "2.000 s"), (700 * 10**9, "11 min 40 s"),
     (7260 * 10**9, "2 h 01 min"), (-1500, "-1.5 us")],
)  # fmt: skip
def test_elapsed_times_have_the_unit_that_fits(ns, text):
    assert elapsed_text(ns) == text


def test_stamps_are_times(writer):
    writer.write("a", (0, ">", "D", ""), (86_400_000, ">", "D", ""))
    one, other = writer.read()
    assert stamp_ns(one.stamp) == T0
    assert stamp_ns(other.stamp) - stamp_ns(one.stamp) == 86_400 * 10**9


# --- an order's life


def story(writer: Writer) -> None:
    writer.write(
        "trd",
        (0, ">", "D", "11=A1|55=X|54=1|38=5|40=2|44=10|"),
        (1, ">", "D", "11=B1|55=X|54=2|38=5|40=2|44=11|"),
        (2, "<", "8", "11=A1|37=V1|17=E1|150=0|39=0|14=0|151=5|"),
        (3, "<", "8", "11=B1|37=V2|17=E2|150=0|39=0|14=0|151=5|"),
        (10, ">", "G", "11=A2|41=A1|37=V1|55=X|54=1|38=7|40=2|44=10|"),
        (12, "<", "8", "11=A2|41=A1|37=V1|17=E3|150=5|39=0|14=0|151=7|"),
        (20, "<", "8", "11=A2|37=V1|17=E4|150=F|39=1|14=2|151=5|32=2|31=10|"),
        (30, ">", "F", "11=A3|41=A2|55=X|54=1|"),
        (31, "<", "8", "11=A3|41=A2|37=V1|17=E5|150=4|39=4|14=2|151=0|"),
        (40, ">", "F", "11=A4|41=A3|55=X|54=1|"),
        (41, "<", "9", "11=A4|41=A3|37=NONE|39=4|434=1|102=0|58=too late|"),
    )
    writer.write(
        "dc", (22, "<", "8", "37=V1|17=E4|150=F|39=1|14=2|151=5|32=2|31=10|"), (23, "<", "8", "37=V2|17=E9|150=F|39=2|")
    )


@pytest.mark.parametrize("order", ["A1", "A2", "A3", "A4", "V1"])
def test_a_life_follows_replacements_over_sessions_by_whatever_id_it_is_asked(writer, order):
    story(writer)
    life = writer.life(order)
    assert said([line for line, _ in life.lines]) == [
        "trd>D", "trd<8", "trd>G", "trd<8", "trd<8", "dc<8", "trd>F", "trd<8", "trd>F", "trd<9",
    ]  # fmt: skip
    assert life.cl_ord_ids == ["A1", "A2", "A3", "A4"]
    assert life.order_ids == ["V1"]


def test_another_orders_life_is_its_own(writer):
    story(writer)
    life = writer.life("B1")
    assert said([line for line, _ in life.lines]) == ["trd>D", "trd<8", "dc<8"]


def test_a_mass_cancel_does_not_tie_all_its_orders_together(writer):
    writer.write(
        "trd", (0, ">", "D", "11=A1|"), (1, ">", "D", "11=B1|"), (5, ">", "q", "11=Q1|530=7|"),
        (6, "<", "8", "11=Q1|41=A1|37=V1|150=4|39=4|"), (7, "<", "8", "11=Q1|41=B1|37=V2|150=4|39=4|"),
    )  # fmt: skip
    life = writer.life("A1")
    assert said([line for line, _ in life.lines]) == ["trd>D", "trd>q", "trd<8"]
    assert life.order_ids == ["V1"]


def test_a_reject_by_number_belongs_to_the_message_that_last_had_it(writer):
    log = FixLog(writer.folder, "trd")
    for at_ms, incoming, msg_type, text, number in (
        (0, False, "D", "11=OLD|", 2), (1, True, "3", "45=2|58=no|", 2), (10, False, "D", "11=A1|", 2),
        (11, True, "3", "45=2|371=44|373=5|58=bad price|", 2), (20, False, "D", "11=NEW|", 2),
        (21, True, "j", "45=2|380=0|", 3),
    ):  # fmt: skip
        log.put(T0 + at_ms * MS, incoming, message(msg_type, text, number))
    log.close()
    lines = [line for line, _ in writer.life("A1").lines]
    assert said(lines) == ["trd>D", "trd<3"]
    assert b"bad price" in lines[1].raw


def test_an_order_in_no_log_has_no_life(writer):
    story(writer)
    assert writer.life("Z9").lines == []


def test_a_life_is_told_in_words(writer):
    story(writer)
    words = [in_words(fields, NAMER) for _, fields in writer.life("A1").lines]
    assert words[0] == "BUY 5 X LIMIT 10  A1"
    assert words[2] == "BUY 7 X LIMIT 10  A2 for A1"
    assert words[4].startswith("TRADE/PARTIALLY_FILLED  2 @ 10  cum 2  leaves 5  ExecID=E4")
    assert words[-1] == (
        "OrigClOrdID=A3  ClOrdID=A4  OrderID=NONE  CxlRejResponseTo=ORDER_CANCEL_REQUEST  "
        "CxlRejReason=TOO_LATE_TO_CANCEL  Text=too late"
    )
