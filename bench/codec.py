"""The codec beside simplefix and QuickFIX's Python binding: decode a report, decode market data, encode an order,
hold each against a dictionary.
"""

import time
from collections.abc import Callable

import quickfix
import simplefix

from bench.report import Row, faster, interleave, print_rows, within
from fix.codec import Framer, MdDecoder, StopReason, Template, encode
from fix.dictionary import Dictionary

SENT_NS = 1_750_000_000_123_000_000
FIELDS = (37, 11, 17, 150, 39, 55, 54, 38, 44, 32, 151, 60)
REPORT_BODY = (
    b"37=OQNCZM-NVAVC-AVD2LO|11=1744036325000000|17=EXEC002:TRD001|150=F|39=1|1=ACCOUNT-7|55=BTC/USD|54=1|38=0.75000000|"
    b"40=2|44=84000.50|59=1|31=84000.40|32=0.25000000|151=0.50000000|14=0.25000000|6=84000.40|"
    b"60=20250615-15:06:40.121000|58=buy 0.75 BTC|851=2|"
)
ROUNDS = 15


def execution_report() -> bytes:
    """An ExecutionReport of 330 bytes."""
    body = REPORT_BODY.replace(b"|", b"\x01")
    return encode("FIX.4.4", "8", "VENUE", "DESK", 1234, SENT_NS, body)


def refresh(entries: int, seq_num: int = 1) -> bytes:
    """A 35=X with so many entries, alternating sides."""
    body = b"55=BTC/USD\x01262=1\x01268=%d\x01" % entries
    for i in range(entries):
        px = b"%d.%d" % (84000 + i, i % 10)
        body += b"279=%d\x01269=%d\x01278=O%s\x01270=%s\x01271=0.%03d50000\x01273=15:06:40.123\x01" % (
            i % 2,
            i % 2,
            px,
            px,
            i + 1,
        )
    return encode("FIX.4.4", "X", "VENUE", "DESK", seq_num, SENT_NS, body)


def micros(work: Callable[[], object], times: int) -> Callable[[], float]:
    """A work whose answer is the microseconds of one of `times` calls."""

    def run() -> float:
        start = time.perf_counter_ns()
        for _ in range(times):
            work()
        return (time.perf_counter_ns() - start) / times / 1000

    return run


def our_report(raw: bytes) -> Callable[[], object]:
    framer = Framer()

    def work() -> object:
        framer.feed(raw)
        return framer.next().pick(FIELDS)  # type: ignore[union-attr]  # a whole message was fed

    return work


def simplefix_report(raw: bytes) -> Callable[[], object]:
    parser = simplefix.FixParser()

    def work() -> object:
        parser.append_buffer(raw)
        get = parser.get_message().get
        return [get(tag) for tag in FIELDS]

    return work


def quickfix_report(raw: bytes) -> Callable[[], object]:
    text = raw.decode()

    def work() -> object:
        get = quickfix.Message(text, False).getField
        return [get(tag) for tag in FIELDS]

    return work


def our_refresh(raw: bytes) -> Callable[[], object]:
    """One message a call: the least that a socket read can bring."""
    framer, decoder = Framer(), MdDecoder()
    decoder.add_symbol("BTC/USD", 0, 1, 8)
    decoder.expect("FIX.4.4", "VENUE", "DESK")
    records = decoder.records

    def work() -> object:
        framer.feed(raw)
        records.clear()
        _, _, why = decoder.decode(framer, 1, SENT_NS)
        assert why is StopReason.INCOMPLETE
        assert len(records) == 62  # a header of 12 words, 10 changes of 5
        return records

    return work


def scaled(text: bytes, scale: int) -> int:
    """Exact integer of decimal text, the quickest way plain Python has."""
    whole, _, decimals = text.partition(b".")
    return int(whole + decimals[:scale].ljust(scale, b"0"))


def simplefix_refresh(raw: bytes) -> Callable[[], object]:
    parser = simplefix.FixParser()

    def work() -> object:
        parser.append_buffer(raw)
        out: list[int] = []
        for tag, value in parser.get_message().pairs:
            if tag in {b"279", b"269"}:
                out.append(int(value))
            elif tag == b"270":
                out.append(scaled(value, 1))
            elif tag == b"271":
                out.append(scaled(value, 8))
        return out

    return work


ORDER = (("11", "order-0000001"), ("55", "BTC/USD"), ("54", "1"), ("38", "0.75"), ("40", "2"), ("44", "84000.5"))


def our_order() -> Callable[[], bytes]:
    template = Template(
        "FIX.4.4",
        "D",
        "DESK",
        "VENUE",
        [
            (11, "text"),
            (55, "text"),
            (54, "text"),
            (38, "scaled", 8),
            (40, "text"),
            (44, "scaled", 1),
            (59, "const", b"1"),
            (60, "utc", 3),
        ],
    )
    seq = 0

    def work() -> bytes:
        nonlocal seq
        seq += 1
        now = time.time_ns()
        return template.render(seq, now, "order-0000001", "BTC/USD", "1", 75_000_000, "2", 840_005, now)

    return work


def simplefix_order() -> Callable[[], bytes]:
    seq = 0

    def work() -> bytes:
        nonlocal seq
        seq += 1
        message = simplefix.FixMessage()
        for tag, value in (("8", "FIX.4.4"), ("35", "D"), ("49", "DESK"), ("56", "VENUE")):
            message.append_pair(tag, value, header=True)
        message.append_pair(34, seq, header=True)
        message.append_utc_timestamp(52, precision=3, header=True)
        for tag, value in ORDER:
            message.append_pair(tag, value)
        message.append_pair(59, "1")
        message.append_utc_timestamp(60, precision=3)
        encoded: bytes = message.encode()
        return encoded

    return work


def quickfix_order() -> Callable[[], str]:
    seq = 0

    def work() -> str:
        nonlocal seq
        seq += 1
        message = quickfix.Message()
        header = message.getHeader()
        for tag, value in ((8, "FIX.4.4"), (35, "D"), (49, "DESK"), (56, "VENUE")):
            header.setField(tag, value)
        header.setField(34, str(seq))
        header.setField(quickfix.SendingTime())
        for name, value in ORDER:
            message.setField(int(name), value)
        message.setField(59, "1")
        message.setField(quickfix.TransactTime())
        text: str = message.toString()
        return text

    return work


def report_rows(raw: bytes) -> list[Row]:
    name = f"decode ExecutionReport, {len(raw)} B, 12 fields"
    ours, simple, quick = interleave(
        ROUNDS,
        [micros(our_report(raw), 4000), micros(simplefix_report(raw), 150), micros(quickfix_report(raw), 800)],
    )
    return [
        faster(name, ours, "us", "simplefix", simple, 80),
        faster(name, ours, "us", "QuickFIX, no validation", quick, 8),
    ]


def refresh_rows() -> list[Row]:
    raw = refresh(10)
    ours, simple = interleave(ROUNDS, [micros(our_refresh(raw), 4000), micros(simplefix_refresh(raw), 60)])
    return [faster(f"decode 35=X, 10 entries, {len(raw)} B, to integers", ours, "us", "simplefix", simple, 150)]


def order_rows() -> list[Row]:
    name = "encode NewOrderSingle, fresh 34 52 9 10"
    ours, simple, quick = interleave(
        ROUNDS,
        [micros(our_order(), 8000), micros(simplefix_order(), 500), micros(quickfix_order(), 500)],
    )
    return [
        faster(name, ours, "us", "QuickFIX", quick, 25),
        faster(name, ours, "us", "simplefix", simple, 25),
    ]


def new_order() -> bytes:
    """A NewOrderSingle as FIX 4.4 has it."""
    body = b"11=order-0000001|55=BTC/USD|54=1|60=20250615-15:06:40.121|38=0.75|40=2|44=84000.5|59=1|"
    return encode("FIX.4.4", "D", "DESK", "VENUE", 1234, SENT_NS, body.replace(b"|", b"\x01"))


def standard_refresh(entries: int) -> bytes:
    """A 35=X with so many entries, each with the fields and their order of FIX 4.4."""
    body = b"262=1|268=%d|" % entries
    for i in range(entries):
        body += b"279=%d|269=%d|278=O%d|55=BTC/USD|270=%d.%d|271=0.%03d50000|273=15:06:40.123|" % (
            i % 2, i % 2, 84000 + i, 84000 + i, i % 10, i + 1,
        )  # fmt: skip
    return encode("FIX.4.4", "X", "VENUE", "DESK", 1234, SENT_NS, body.replace(b"|", b"\x01"))


def our_validation(raw: bytes) -> Callable[[], object]:
    """Framed, indexed and held against the dictionary."""
    framer, check = Framer(), Dictionary.standard("4.4").check

    def work() -> object:
        framer.feed(raw)
        fault = check(framer.next().raw)  # type: ignore[union-attr]  # a whole message was fed
        assert fault is None
        return fault

    return work


def our_check(raw: bytes) -> Callable[[], object]:
    """What an order pays on its way out."""
    check = Dictionary.standard("4.4").check

    def work() -> object:
        fault = check(raw)
        assert fault is None
        return fault

    return work


def quickfix_validation(raw: bytes) -> Callable[[], object]:
    text = raw.decode()
    dictionary = quickfix.DataDictionary(Dictionary.standard("4.4").paths[0])  # the same file

    def work() -> object:
        message = quickfix.Message(text, dictionary, True)
        dictionary.validate(message)  # raises when something is wrong
        return message

    return work


def validation_rows() -> list[Row]:
    """From bytes to a verdict, with the reach of each; then what strict out adds to an order."""
    peer, rows = "QuickFIX, same dictionary", []
    for name, raw, reach in (
        ("ExecutionReport", execution_report(), 5),
        ("NewOrderSingle", new_order(), 6),
        ("35=X, 10 entries", standard_refresh(10), 3),
    ):
        works = [micros(our_validation(raw), 2000), micros(quickfix_validation(raw), 300)]
        ours, quick = interleave(ROUNDS, works)
        rows.append(faster(f"validate {name}, {len(raw)} B, framing included", ours, "us", peer, quick, reach))
    works = [
        micros(our_check(new_order()), 4000),
        micros(our_order(), 4000),
        micros(quickfix_validation(new_order()), 300),
    ]
    check, order, quick = interleave(ROUNDS, works)
    rows.append(faster("strict out: check a NewOrderSingle", check, "us", peer, quick, 8))
    rows.append(within("strict out: check a NewOrderSingle", check, "us", "encoding it", order, 1.5))
    return rows


def run(json: bool = False) -> int:
    """Prints the codec's figures; exit status 0 when all were reached, 4 otherwise."""
    rows = [*report_rows(execution_report()), *refresh_rows(), *order_rows(), *validation_rows()]
    print_rows(rows, json)
    return 0 if all(row.ok for row in rows) else 4


if __name__ == "__main__":
    raise SystemExit(run())
