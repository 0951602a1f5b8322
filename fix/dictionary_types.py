"""Types of fields by their names in dictionaries, the standard's reasons with their texts, its message types."""

# Numbers are those of fix/dictionary.h.
_TEXT, _INT, _COUNT, _DAY, _FLOAT, _CHAR, _BOOLEAN, _WORDS, _CHARS = range(9)
_CURRENCY, _COUNTRY, _LANGUAGE, _TIMESTAMP, _TIME, _DATE, _MONTH_YEAR, _TZ_TIME, _TZ_TIMESTAMP = range(9, 18)
_LOCAL_TIME, _DATA, _LENGTH = range(18, 21)

TYPES = {
    "STRING": _TEXT, "EXCHANGE": _TEXT, "PATTERN": _TEXT, "TENOR": _TEXT, "UNKNOWN": _TEXT,
    "INT": _INT, "TAGNUM": _INT,
    "SEQNUM": _COUNT, "NUMINGROUP": _COUNT, "LENGTH": _LENGTH, "DAYOFMONTH": _DAY,
    "FLOAT": _FLOAT, "PRICE": _FLOAT, "PRICEOFFSET": _FLOAT, "QTY": _FLOAT, "QUANTITY": _FLOAT, "AMT": _FLOAT,
    "PERCENTAGE": _FLOAT,
    "CHAR": _CHAR, "BOOLEAN": _BOOLEAN,
    "MULTIPLEVALUESTRING": _WORDS, "MULTIPLESTRINGVALUE": _WORDS, "MULTIPLECHARVALUE": _CHARS,
    "CURRENCY": _CURRENCY, "COUNTRY": _COUNTRY, "LANGUAGE": _LANGUAGE,
    "UTCTIMESTAMP": _TIMESTAMP, "TIME": _TIMESTAMP, "UTCTIMEONLY": _TIME, "LOCALMKTTIME": _LOCAL_TIME,
    "UTCDATE": _DATE, "UTCDATEONLY": _DATE, "DATE": _DATE, "LOCALMKTDATE": _DATE, "MONTHYEAR": _MONTH_YEAR,
    "TZTIMEONLY": _TZ_TIME, "TZTIMESTAMP": _TZ_TIMESTAMP,
    "DATA": _DATA, "XMLDATA": _DATA, "XID": _TEXT, "XIDREF": _TEXT,
}  # fmt: skip

REASONS = {
    0: "Invalid tag number",
    1: "Required tag missing",
    2: "Tag not defined for this message type",
    3: "Undefined Tag",
    4: "Tag specified without a value",
    5: "Value is incorrect (out of range) for this tag",
    6: "Incorrect data format for value",
    11: "Invalid MsgType",
    13: "Tag appears more than once",
    14: "Tag specified out of required order",
    15: "Repeating group fields out of order",
    16: "Incorrect NumInGroup count for repeating group",
    17: 'Non "data" value includes field delimiter (SOH character)',
}
UNSUPPORTED = "Unsupported Message Type"
"""BusinessRejectReason(380) 3."""

_TO_4_2 = "0123456789" + "ABCDEFGHJKLMNPQRSTVWXYZ" + "abcdefghijklm"
_TO_4_4 = "nopqrstuvwxyz"


def standard_types(version: str) -> frozenset[str]:
    """Every MsgType that the standard defines for a version: FIX.4.2, FIX.4.4, or later ones with FIX.5."""
    types = set(_TO_4_2)
    if version not in ("FIX.4.0", "FIX.4.1", "FIX.4.2"):
        types |= set(_TO_4_4) | {f"A{c}" for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"} | {f"B{c}" for c in "ABCDEFGH"}
    if version.startswith(("FIX.5", "FIXT")):
        types |= {f"B{c}" for c in "IJKLMNOPQRSTUVWXYZ"} | {f"C{c}" for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
        types |= {f"D{c}" for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"} | {f"E{c}" for c in "ABCDEFGHIJKLMNOP"}
    return frozenset(types)
