"""Bytes of a scenario: messages made as a script asks (wrong ones too), and received ones held against it.

Nothing here comes from the engine's codec: what it gets wrong must not be got wrong twice.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from fix.scenarios.script import Step

SOH = b"\x01"
ENGINE, PEER = "ENGINE", "PEER"
BEGIN = {"4.2": "FIX.4.2", "4.4": "FIX.4.4", "5.0sp2": "FIXT.1.1"}
ORDER = "21=1|55=BTC/USD|54=1|38=1|40=2|44=50000|60=<now>"
REPORT = {
    "4.2": "37=o1|17=e1|20=0|150=0|39=0|55=BTC/USD|54=1|38=1|151=1|14=0|6=0",
    "4.4": "37=o1|17=e1|150=0|39=0|55=BTC/USD|54=1|38=1|151=1|14=0|6=0",
    "5.0sp2": "37=o1|17=e1|150=0|39=0|55=BTC/USD|54=1|38=1|151=1|14=0",
}
_TIME = re.compile(r"<now(?:(?P<sign>[+-])(?P<number>\d+)(?P<unit>s|ms))?>")
_HEADER = ("8", "9", "35", "34", "49", "52", "56")
_DATA = {b"95": b"96", b"348": b"349", b"350": b"351", b"354": b"355", b"356": b"357", b"212": b"213", b"90": b"91"}
Fields = list[tuple[str, str]]


def time_text(ns: int) -> str:
    """UTCTimestamp with milliseconds."""
    whole = datetime.fromtimestamp(ns // 1_000_000_000, UTC)
    return f"{whole:%Y%m%d-%H:%M:%S}.{ns // 1_000_000 % 1000:03d}"


def split(raw: bytes) -> Fields:
    """`tag=value` pairs of a message; data fields end where their length says."""
    fields: Fields = []
    at, data = 0, b""
    while at < len(raw):
        tag, _, rest = raw[at:].partition(b"=")
        size = int(fields[-1][1]) if tag == data else rest.index(SOH)
        fields.append((tag.decode("latin-1"), rest[:size].decode("latin-1")))
        at += len(tag) + size + 2
        data = _DATA.get(tag, b"")
    return fields


def cut(buffer: bytearray) -> Iterator[bytes]:
    """Whole messages at the front of `buffer`, taken out of it."""
    while match := re.match(rb"8=[^\x01]*\x019=(\d+)\x01", buffer):
        size = match.end() + int(match[1]) + 7
        if len(buffer) < size:
            return
        raw = bytes(buffer[:size])
        del buffer[:size]
        yield raw


class Wire:
    """The peer's side of one connection: its numbers, its names, its clock's reading."""

    def __init__(self, version: str, peer: str = PEER) -> None:
        self.version = version
        self.peer = peer
        self.begin = BEGIN[version]
        self.next_seq = 1
        self.now_ns = 0

    # --- out

    def message(self, step: Step) -> bytes:
        """A message as a `>` step describes it; what it does not name is filled in."""
        given = dict(step.fields)
        seq = given.get("34")
        if seq is None and "!34" not in given:
            seq = str(self.next_seq)
        if seq == str(self.next_seq):
            self.next_seq += 1
        elif step.msg_type == "A" and given.get("141") == "Y":
            self.next_seq = 2
        values = {"8": self.begin, "35": step.msg_type, "34": seq or "", "49": self.peer, "56": ENGINE}
        values |= {"52": "<now>", "9": "*"}
        values |= {tag: value for tag, value in given.items() if tag in _HEADER}
        head = [(tag, values[tag]) for tag in _HEADER if f"!{tag}" not in given]
        body = [(tag, value) for tag, value in step.fields if tag not in (*_HEADER, "10") and not tag.startswith("!")]
        return self._seal([*head, *self._logon_extra(step, given), *body, ("10", given.get("10", "*"))])

    def raw(self, step: Step) -> bytes:
        """A message whose fields are all written out; `*` in 9, 34 and 10 is filled in."""
        fields = [(tag, value) for tag, _, value in (part.partition("=") for part in step.text.split("|"))]
        if ("34", "*") in fields:
            fields[fields.index(("34", "*"))] = ("34", str(self.next_seq))
            self.next_seq += 1
        return self._seal(fields)

    def body(self, step: Step) -> bytes:
        """The fields of a step alone, for what our own application sends."""
        return b"".join(self._field(tag, value) for tag, value in self._expand(step.fields))

    def _logon_extra(self, step: Step, given: dict[str, str]) -> Fields:
        wants = step.msg_type == "A" and self.version == "5.0sp2" and not {"1137", "!1137"} & given.keys()
        return [("1137", "9")] if wants else []

    def _seal(self, fields: Fields) -> bytes:
        """Join the fields; BodyLength and CheckSum are right for `*`, off by n for `+n` and `-n`."""
        parts = [self._field(tag, value) for tag, value in self._expand(fields)]
        head = next((n for n, part in enumerate(parts) if part.startswith(b"9=")), None)
        if head is not None:
            last = next((n for n, part in enumerate(parts) if part.startswith(b"10=")), len(parts))
            length = sum(map(len, parts[head + 1 : last]))
            parts[head] = b"9=%s\x01" % _number(parts[head][2:-1], length, 1)
        if parts[-1].startswith(b"10="):
            total = sum(b"".join(parts[:-1]))
            parts[-1] = b"10=%s\x01" % _number(parts[-1][3:-1], total, 3)
        return b"".join(parts)

    def _expand(self, fields: Fields) -> Iterator[tuple[str, str]]:
        """The fields with the names of whole bodies, `$order` and `$report`, written out."""
        for tag, value in fields:
            text = {"$order": ORDER, "$report": REPORT[self.version]}.get(tag)
            if text is None:
                yield tag, value
            else:
                yield from ((t, v) for t, _, v in (part.partition("=") for part in text.split("|")))

    def _field(self, tag: str, value: str) -> bytes:
        if tag.startswith("~"):  # a field without `=`
            return tag[1:].encode("latin-1") + SOH
        return b"%s=%s\x01" % (tag.encode("latin-1"), self.value(value).encode("latin-1"))

    def value(self, text: str) -> str:
        """A value with its placeholders filled in."""
        text = text.replace("<SOH>", "\x01").replace("<begin>", self.begin).replace("<peer>", self.peer)
        return _TIME.sub(self._time, text)

    def _time(self, match: re.Match[str]) -> str:
        number = int(match["sign"] + match["number"]) if match["sign"] else 0
        return time_text(self.now_ns + number * (1_000_000 if match["unit"] == "ms" else 1_000_000_000))

    # --- in

    def problem(self, step: Step, raw: bytes) -> str:
        """What is wrong with a received message, held against a `<` step; '' when nothing is."""
        fields = split(raw)
        frame = self._frame_problem(raw, fields)
        if frame:
            return frame
        if fields[2] != ("35", step.msg_type):
            return f"expected 35={step.msg_type}, got {shown(raw)}"
        got = [field for field in fields[3:-1] if field[0] not in ("49", "52", "56")]
        given = dict(step.fields)
        if "34" not in given:
            got = [field for field in got if field[0] != "34"]
        want = [(tag, value) for tag, value in self._expand([*step.fields, *self._logon_extra(step, given)])]
        return self._compare(want, got) and f"{self._compare(want, got)} in {shown(raw)}"

    def _frame_problem(self, raw: bytes, fields: Fields) -> str:
        values = dict(fields)
        length = raw.rindex(b"10=") - raw.index(b"35=")
        total = sum(raw[: raw.rindex(b"10=")]) % 256
        right = {"8": self.begin, "49": ENGINE, "56": self.peer, "9": str(length), "10": f"{total:03d}"}
        wrong = [f"{tag}={values.get(tag)}, expected {right[tag]}" for tag in right if values.get(tag) != right[tag]]
        return f"{', '.join(wrong)} in {shown(raw)}" if wrong else ""

    def _compare(self, want: Fields, got: Fields) -> str:
        left = list(got)
        for tag, value in want:
            if tag in ("...", "") or tag.startswith("!"):
                continue
            name = tag.rstrip("?")
            found = next((field for field in left if field[0] == name), None)
            if found is None and not tag.endswith("?"):
                return f"{name} is missing"
            if found is not None and not self._fits(value, found[1]):
                return f"{name}={found[1]!r} is not {self.value(value)!r}"
            if found is not None:
                left.remove(found)
        forbidden = [tag[1:] for tag, _ in want if tag.startswith("!")]
        surplus = [f"{tag}={value}" for tag, value in left if ("...", "") not in want or tag in forbidden]
        return f"unexpected {' '.join(surplus)}" if surplus else ""

    def _fits(self, want: str, got: str) -> bool:
        if want.startswith("~"):
            return want[1:].lower() in got.lower()
        return want in ("*", "") or "<now" in want or self.value(want) == got


def _number(text: bytes, right: int, width: int) -> bytes:
    if text == b"*":
        shift = 0
    elif text[:1] in (b"+", b"-"):
        shift = int(text)
    else:
        return text
    value = right + shift
    return b"%03d" % (value % 256) if width == 3 else b"%d" % value


def shown(raw: bytes) -> str:
    """A message as text, `|` for SOH."""
    return raw.replace(SOH, b"|").decode("latin-1")
