"""The operator word: what closes a whole desk without the kill switch. Layout: docs/kill-switch.md.

It imports next to nothing: every module is time for a person who wants a desk stopped, and one more that may be broken.
"""

from os import PathLike

from base.errors import RegionError
from ipc._words import Words

OPERATOR_KIND = "operator"
# Data words of the operator file: wall_ns of the request (0 = none), then a record with the reason.
OPERATOR_REASON = 1
OPERATOR_REASON_WORDS = 34
OPERATOR_WORDS = OPERATOR_REASON + OPERATOR_REASON_WORDS
SCOPE_KINDS = ("desk", "venue", "account", "session", "strategy", "instrument")


def check_scope(scope: str) -> str:
    """`scope` when it is "desk" or KIND:NAME; RegionError otherwise."""
    kind, _, name = scope.partition(":")
    if scope != "desk" and (kind not in SCOPE_KINDS[1:] or not name):
        raise RegionError(f"{scope!r} is no scope; expected desk or one of {SCOPE_KINDS[1:]} with :NAME")
    return scope


def set_operator_word(path: str | PathLike[str], reason: str, wall_ns: int) -> None:
    """Close the gate for the whole desk without the kill switch; only the kill switch opens it again."""
    try:
        words = Words.open(path, OPERATOR_KIND, writable=True)
    except RegionError:
        words = Words.create(path, OPERATOR_KIND, OPERATOR_WORDS, mode=0o660)
    words.store(0, max(1, wall_ns))
    raw = reason.encode()[: (OPERATOR_REASON_WORDS - 2) * 8]
    words.write_record(OPERATOR_REASON, OPERATOR_REASON_WORDS, raw)


def operator_reason(words: Words) -> str:
    """What the operator said."""
    raw = words.read_record(OPERATOR_REASON, OPERATOR_REASON_WORDS)
    return raw.decode(errors="replace") if raw else "no reason given"
