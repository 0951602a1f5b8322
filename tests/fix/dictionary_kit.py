"""Messages for dictionary tests: written with `|` for SOH, framed with true BodyLength and CheckSum."""

HEAD = "49=DESK|56=VENUE|34=7|52=20260105-09:30:00.123|"
ORDER = "11=A-1|55=BTC/USD|54=1|60=20260105-09:30:00.123|38=1.5|40=2|44=84000.5|59=1|"
PARTIES = "453=2|448=FIRM|447=D|452=1|448=TRADER|447=D|452=11|"
TYPE = {"FIX.4.2": "4.2", "FIX.4.4": "4.4", "FIXT.1.1": "5.0sp2"}


def frame(text: str, begin: str = "FIX.4.4") -> bytes:
    """A whole message of `35=...|...` with 8, 9 and 10 put round it."""
    body = text.replace("|", "\x01").encode()
    message = b"8=%s\x019=%d\x01%s" % (begin.encode(), len(body), body)
    return message + b"10=%03d\x01" % (sum(message) % 256)


def message(msg_type: str, body: str, begin: str = "FIX.4.4", head: str = HEAD) -> bytes:
    """A whole message with a plain header."""
    return frame(f"35={msg_type}|{head}{body}", begin)


def order(body: str = ORDER, begin: str = "FIX.4.4") -> bytes:
    """A NewOrderSingle."""
    return message("D", body, begin)
