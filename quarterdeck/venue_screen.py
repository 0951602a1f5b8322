"""`qd venues` on a terminal: six tables of 120 columns over all dialects, or one venue in full words."""

import textwrap
from collections.abc import Callable, Iterable
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from quarterdeck.venue_facts import CalendarFacts, SessionFacts, Supported
from venues.cancel_plan import CancelStep, DeadMan
from venues.limits import ConnectLimit, Limit, span

WIDTH = 120
_LABEL = 22
_KINDS = {"trading": "trading", "marketdata": "market data", "dropcopy": "drop copy"}
_TIFS = {"0": "DAY", "1": "GTC", "2": "OPG", "3": "IOC", "4": "FOK", "5": "GTX", "6": "GTD", "7": "ATC"}
_NUMBERS = {
    "": ("", "has no sequence numbers"),
    "reset_at_logon": ("from 1", "both sides' numbers begin at 1 with each logon (141=Y)"),
    "reset_quietly": ("from 1, no 141", "both sides' numbers begin anew with each logon, and 141 is not said"),
    "continue": ("go on", "numbers go on over connections; 141=Y when one is too low"),
    "trust_venue": ("venue's", "numbers go on; one that is too low is taken as the venue's truth"),
    "ours_restart": ("ours from 1", "our numbers begin at 1 with each connection, the venue's go on"),
    "halt": ("go on, halt", "numbers go on; one that is too low stops the session until an operator sets them"),
}
_REPLACE = {
    "none": ("-", "not at all"),
    "in_place": ("in place", "in place"),
    "cancel_new": ("cancel + new", "the venue cancels and places anew: the queue place is lost"),
}
_REACHES = {"connection": "connection", "session": "session", "comp_id": "comp id", "account": "account"}
_LISTS = {
    "rest": ("REST list", "the venue's list over REST"),
    "mass_status": ("mass status", "a mass status request of the session"),
    "status_each": ("status of each", "a status request for each order that is known here"),
    "replay": ("replay", "what the session replays after a logon"),
    "none": ("nothing", "nothing: what is not known stays UNCERTAIN"),
}
_CALLS = {
    "open_orders": ("open orders", "list of open orders"),
    "order": ("one order", "one order"),
    "trades": ("fills", "fills"),
    "balances": ("balances", "balances"),
    "buying_power": ("buying power", "buying power beyond balances"),
    "positions": ("positions", "positions in derivatives"),
    "cancel_all": ("cancel all", "cancel everything"),
    "cancel_order": ("cancel one", "cancel one order"),
    "cancel_after": ("timer", "dead man's timer"),
}
_BREACH = {"refused": "what exceeds it is refused", "logout": "exceeding it ends the session",
           "ban": "exceeding it shuts us out for a while"}  # fmt: skip
_DOUBT = "? documented in more than one way, inferred, or not documented"


def print_table(console: Console, found: list[Supported], without: list[str]) -> None:
    """All blocks, one line a dialect and variant."""
    for title, table in (
        ("Sessions: protocol, sequence numbers, resend", _sessions(found)),
        ("Orders", _orders(found)),
        ("Cancelling", _cancelling(found)),
        ("REST, where it is configured", _rest(found)),
        ("Rate limits", _limits(found)),
        ("Calendar", _calendar(found)),
    ):
        console.print(Text(title, style="bold"))
        console.print(table)
        console.print()
    for line in _legend(found):
        console.print(Text(line), soft_wrap=False)
    if without:
        console.print(Text(f"No dialect of their own: {', '.join(without)}."))


def _legend(found: list[Supported]) -> Iterable[str]:
    yield f"- no, or none.  {_DOUBT}."
    used = sorted({s.numbers for f in found for s in f.sessions if s.numbers})
    yield from (f"{_NUMBERS[n][0]}: {_NUMBERS[n][1]}." for n in used)
    yield "One in full words: qd venues --venue NAME. As data: --json. What comes when: qd schedule --all."


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for n, name in enumerate(columns):
        table.add_column(name, overflow="fold", no_wrap=n == 0)
    return table


def _label(facts: Supported) -> str:
    return f"{facts.venue}\n  {facts.variant}" if facts.variant else facts.venue


def _yes(value: object) -> str:
    return "yes" if value else "-"


# --- the blocks


def _sessions(found: list[Supported]) -> Table:
    table = _table("venue", "trading", "market data", "drop copy", "documented", "simulated")
    for f in found:
        kinds = {s.kind: _session(s) for s in f.sessions}
        cells = (kinds.get(kind, "-") for kind in ("trading", "marketdata", "dropcopy"))
        table.add_row(_label(f), *cells, f.documented or "?", _yes(f.simulated))
    return table


def _session(s: SessionFacts) -> str:
    levels = "".join(f"L{level} " for level in s.levels)
    more = ["resend"] * s.resend + ["fills alone"] * s.fills_only
    said = (f"{levels}{s.protocol}", _NUMBERS[s.numbers][0], *more)
    return ", ".join(part for part in said if part)


def _orders(found: list[Supported]) -> Table:
    table = _table(
        "venue", "order types", "time in force", "replace", "orders, cancels\na message", "status of\none order",
        "of all",
    )  # fmt: skip
    for f in found:
        one = " ".join(w for w, there in (("session", f.status_session), ("REST", f.status_rest)) if there)
        table.add_row(
            _label(f), ", ".join(name or code for code, name in f.ord_types.items()) or "-",
            " ".join(_TIFS.get(code, code) for code in f.times_in_force) or "-", _REPLACE[f.replace][0],
            f"{f.order_batch}, {f.cancel_batch}", one or "-", "session" if f.mass_status else "-",
        )  # fmt: skip
    return table


def _cancelling(found: list[Supported]) -> Table:
    table = _table(
        "venue", "mass cancel reaches", "of one\ninstrument", "answers", "a lost connection", "dead man's timer",
        "absence shown by",
    )  # fmt: skip
    for f in found:
        table.add_row(
            _label(f), "\n".join(_mass(f.mass_cancels)) or "-", _yes(f.mass_cancel_by_instrument),
            "35=r" if f.mass_cancel_report else "-", _lost(f), _timer(f), _LISTS[f.open_orders][0],
        )  # fmt: skip
    return table


def _mass(steps: list[CancelStep]) -> list[str]:
    """Each reach once, with what is sent for it; the surer of two that say the same."""
    surest: dict[tuple[str, str], bool] = {}
    for s in steps:
        key = s.says, _REACHES[s.reaches] + (", one instrument" if s.per_instrument else "")
        surest[key] = surest.get(key, False) or s.certain
    return [f"{says}: {reach}{'' if certain else '?'}" for (says, reach), certain in surest.items()]


def _lost(f: Supported) -> str:
    if f.disconnect == "unknown":
        return "cancels if asked to" if f.on_disconnect is not None else "orders stay?"
    sure = f.on_disconnect is None or f.on_disconnect.certain
    return f.disconnect if sure else f"{f.disconnect}?"


def _timer(f: Supported) -> str:
    if f.dead_man is None:
        return "-"
    return f"{_reach_of(f.dead_man)}{'' if f.dead_man.certain else '?'}"


def _reach_of(timer: DeadMan) -> str:
    """From the shortest to the longest time that it can be set to."""
    most = f"{timer.most_s // 3600} h" if timer.most_s % 3600 == 0 else span(timer.most_s)
    return f"{span(timer.least_s)} to {most}"


def _rest(found: list[Supported]) -> Table:
    table = _table("venue", *(title.replace(" ", "\n") for title, _ in _CALLS.values()))
    for f in found:
        table.add_row(_label(f), *(_yes(call in f.rest) for call in _CALLS))
    return table


def _limits(found: list[Supported]) -> Table:
    table = _table("venue", "order entry", "market data", "REST", "logons")
    for f in found:
        limits = f.limits
        table.add_row(
            _label(f), *("\n".join(_limit(x) for x in each) or "-"
                         for each in (limits.orders, limits.market_data, limits.rest)),
            "\n".join(_connect(x) for x in limits.connects) or "-",
        )  # fmt: skip
    return table


def _limit(limit: Limit) -> str:
    how = f"falls {limit.decay} a s" if limit.decay else f"in {span(limit.per_s)}"
    return f"{limit.most} {how}, {limit.scope}"


def _connect(limit: ConnectLimit) -> str:
    return f"{limit.most} in {span(limit.per_s)}{_of_kinds(limit, ', ')}"


def _of_kinds(limit: ConnectLimit, before: str) -> str:
    return "" if len(limit.kinds) == len(_KINDS) else before + ", ".join(sorted(_KINDS[k] for k in limit.kinds))


def _calendar(found: list[Supported]) -> Table:
    table = _table("venue", "when", "what happens", "numbers")
    for _, same in groupby(found, lambda f: (f.venue, f.calendar)):  # variants mostly have one calendar
        first, *others = same
        label = first.venue if others else _label(first)
        for n, entry in enumerate(first.calendar):
            numbers = "from 1" if entry.renumbers else "-"
            table.add_row(label if n == 0 else "", entry.when, _happens(entry), numbers)
        if not first.calendar:
            table.add_row(label, "-", "", "-")
    return table


def _happens(entry: CalendarFacts) -> str:
    kinds = f" ({', '.join(entry.kinds)})" if entry.kinds else ""
    return f"{entry.what}: {entry.text or entry.name}{kinds}{'' if entry.certain else '?'}"


# --- one venue in full words


def print_venue(console: Console, found: list[Supported]) -> None:
    """Every variant, a fact a line."""
    for f in found:
        title = f"{f.title}, as {f.variant}" if f.variant else f.title
        lines = [title, "-" * len(title)]
        for label, texts in _words(f):
            for n, text in enumerate(texts or ["none"]):
                lines += _wrapped(label if n == 0 else "", text)
        console.print(Text("\n".join([*lines, ""])))


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"{label:<{_LABEL}}", subsequent_indent=" " * _LABEL, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _words(f: Supported) -> Iterable[tuple[str, list[str]]]:
    options = ", ".join(f"{k} = {v}" for k, v in f.options.items())
    yield "dialect", [f"{f.venue}{f' with {options}' if options else ''}"]
    yield "documentation of", [f.documented or "not stated"]
    yield "simulated venue", ["there" if f.simulated else "none"]
    for s in f.sessions:
        yield _KINDS.get(s.kind, s.kind), [_session_words(s)]
    absent = [words for kind, words in _KINDS.items() if kind not in {s.kind for s in f.sessions}]
    yield "no session for", absent
    yield "reports", ["of the whole account" if f.account_wide_reports else "of the session's own orders"]
    yield "books", [_book_words(f)]
    yield "reference data", [f"{_there(f.reference_data)}; trading status {_there(f.trading_status)}"]
    yield "order types", [", ".join(f"{name or '?'} ({code})" for code, name in f.ord_types.items())]
    yield "times in force", [", ".join(f"{name or '?'} ({code})" for code, name in f.times_in_force.items())]
    yield "replace", [_REPLACE[f.replace][1]]
    yield "status of one order", [_status_words(f)]
    yield "status of all orders", ["by the session" if f.mass_status else "not by the session"]
    yield "after a logon", [f"open orders are learnt by {_LISTS[f.open_orders][1]}"]
    yield "orders a message", [str(f.order_batch)]
    yield "cancels a message", [str(f.cancel_batch)]
    yield "mass cancel", [_step_words(s) for s in f.mass_cancels]
    yield "a lost connection", [_lost_words(f)]
    yield "dead man's timer", _timer_words(f)
    yield "REST", [", ".join(_CALLS[call][1] for call in _CALLS if call in f.rest)] if f.rest else []
    for label, limits in (("orders", f.limits.orders), ("market data", f.limits.market_data), ("REST", f.limits.rest)):
        yield f"limits, {label}", [_limit_words(x) for x in limits]
    yield "limits, logons", [_connect_words(x) for x in f.limits.connects]
    yield "calendar", [_entry_words(e) for e in f.calendar]
    yield "maintenance", ["told to sessions ahead: they move over" if f.planned_moves else "not told to sessions ahead"]
    yield "notes on times", [f"{n.text} [{n.source}]" for n in f.notes]


def _there(value: bool) -> str:
    return "told by the venue" if value else "not told"


def _session_words(s: SessionFacts) -> str:
    levels = f" level {' and '.join(map(str, s.levels))};" if s.levels else ""
    resend = "what was missed can be had again" if s.resend else "nothing is ever sent again"
    fills = "; tells fills alone, nothing of orders and cancels" if s.fills_only else ""
    return f"{s.protocol};{levels} {_NUMBERS[s.numbers][1]}; {resend}{fills}"


def _book_words(f: Supported) -> str:
    if not any(s.levels for s in f.sessions):
        return "none"
    known = {"none": "checked by the session's sequence numbers alone"}
    return known.get(f.book_check, f"checked by {f.book_check}")


def _status_words(f: Supported) -> str:
    means = [w for w, there in (("by the session", f.status_session), ("over REST", f.status_rest)) if there]
    return " or ".join(means) or "cannot be asked for"


def _step_words(s: CancelStep) -> str:
    whose = "of the kill switch's own session" if s.action == "own_mass_cancel" else "of the session that placed them"
    each = ", one request an instrument" if s.per_instrument else ""
    doubt = "" if s.certain else "; what it reaches is documented in more than one way, or not"
    return f"{s.says} {whose} reaches orders of the {_REACHES[s.reaches]}{each}; answered by {s.answered_by}{doubt}"


def _lost_words(f: Supported) -> str:
    said: dict[str, Callable[[], str]] = {
        "cancels": lambda: "cancels the working orders",
        "keeps": lambda: "keeps the working orders",
        "unknown": lambda: (
            "cancels or keeps, as each session asks at its logon" if f.on_disconnect is not None
            else "is not known to do anything: orders are taken to stay"
        ),
    }  # fmt: skip
    step = f.on_disconnect
    doubt = "" if step is None or step.certain or f.disconnect == "unknown" else "; not certain"
    return said[f.disconnect]() + (f" ({step.says}; {step.timing or 'how soon is not stated'})" if step else "") + doubt


def _timer_words(f: Supported) -> list[str]:
    if f.dead_man is None:
        return []
    timer = f.dead_man
    advised = f"; advised: {timer.advised}" if timer.advised else ""
    doubt = "" if timer.certain else "; not tried"
    return [f"{timer.says}, {_reach_of(timer)}{advised}{doubt}", *timer.notes]


def _limit_words(limit: Limit) -> str:
    kept = f", {limit.reserve} of it kept for cancels" if limit.reserve else ""
    ban = f" ({span(limit.ban_s)})" if limit.ban_s else ""
    return f"{limit} by {limit.scope}{kept}; {_BREACH[limit.breach]}{ban} [{limit.source or 'no source stated'}]"


def _connect_words(limit: ConnectLimit) -> str:
    kinds = _of_kinds(limit, " for ")
    return f"{limit.most} in {span(limit.per_s)}{kinds}, {limit.reserve} of it kept for the kill path [{limit.source}]"


def _entry_words(e: CalendarFacts) -> str:
    numbers = "; numbers begin anew" if e.renumbers else ""
    return f"{e.when}: {_happens(e)}{numbers} [{e.source}]"
