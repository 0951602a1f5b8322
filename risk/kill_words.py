"""The words of a trip's story (risk/kill_story.py): what tripped it, what was done, what is open, what to do. Pure."""

from collections.abc import Mapping
from typing import Any

from risk.alarm_text import clock_text
from risk.kill_story import CAUSES, Path, Story

SHOWN = 10  # names of a list
DONE = "What was done (time after the trip was received)"
_SAID = {
    "late": "an order was acknowledged after the trip: cancelled again",
    "alive": "an order thought dead showed life: cancelled again",
    "listed": "the venue's list showed an order that should be dead: cancelled again",
    "restarted": "", "proven": "",
}  # fmt: skip
_KINDS = {
    "OwnMassCancel": ("mass cancel", "mass cancels"), "OwnerMassCancel": ("mass cancel", "mass cancels"),
    "RestCancelAll": ("cancel-all", "cancel-alls"), "CancelOne": ("single cancel", "single cancels"),
    "RestCancelOrder": ("single cancel", "single cancels"),
}  # fmt: skip


def tell(told: Story) -> str:
    """The whole story as text."""
    parts = [
        _head(told), "", "What tripped it", *_indent(_cause(told)), "", DONE,
        *_indent(_done(told)), "", "What traded on the way", *_indent(_traded(told)), "", "What proves it",
        *_indent(_proof(told)), "", "What is open", *_indent(_open(told)), "", "What to do next", *_indent(_next(told)),
    ]  # fmt: skip
    return "\n".join(parts)


def state_of(told: Story) -> str:
    """One of: open, resetting, taken over, proven, not proven."""
    if told.opened:
        return "open"
    if told.taken_over_by:
        return "taken over"
    if told.reset:
        return "resetting"
    return "proven" if told.now.get("phase") == "PROVEN" else "not proven"


def _head(told: Story) -> str:
    words = {
        "open": f"over: {_scopes(told)} was opened again at {clock_text(told.opened_ns)}",
        "resetting": "a reset is under way", "taken over": f"taken over by trip {told.taken_over_by}",
        "proven": "TRIPPED: every order is proven dead, the gate is closed",
        "not proven": "UNDER WAY: NOT EVERY ORDER IS PROVEN DEAD",
    }  # fmt: skip
    return f"Trip {told.trip_id} of {_scopes(told)}, {clock_text(told.at_ns)}\n{words[state_of(told)]}"


def _scopes(told: Story) -> str:
    return ", ".join(_texts(told.now, "scopes")) or str(told.head.get("scope"))


def _cause(told: Story) -> list[str]:
    cause, reason = str(told.head.get("cause")), str(told.head.get("reason"))
    lines = [f"{CAUSES.get(cause, f'Trigger {cause}')}: {reason}"]
    figures = told.head.get("figures") or {}
    if isinstance(figures, Mapping) and figures:
        lines += [f"{k.replace('_', ' ')}: {_plain(v)}" for k, v in figures.items()]
    return lines


def _done(told: Story) -> list[str]:
    now = told.now
    rows: list[tuple[Any, str]] = [
        (now.get("gate_closed_ms"), f"gate closed (generation {told.head.get('generation')}): no new order leaves"),
        (now.get("first_cancel_ms"), "the first cancel was handed to its wire"),
        (now.get("fence_ms"), _fence(now)),
        *((ms, f"KILLED {text}") for ms, text in told.killed),
        *((p.first_ms, _path(p)) for p in told.paths.values() if p.sent or p.answers or p.failures or p.lists),
        *((ms, _step(step, text)) for ms, step, text in told.steps if step in _SAID),
        *((ms, f"alarm: {text}") for ms, text in told.alerts),
    ]
    rows.sort(key=lambda row: (row[0] is None, row[0] or 0))
    lines = [f"{_ms(ms)}  {text}" for ms, text in rows]
    if told.beside:
        lines.append(f"meanwhile, and among the lines above: trip {', '.join(told.beside)}")
    return lines


def _fence(now: Mapping[str, Any]) -> str:
    answers = now.get("answered_ms") or {}
    owners = ", ".join(f"{s} {ms:g} ms" for s, ms in answers.items() if ms is not None)
    if now.get("fence_ms") is None:
        return f"fence NOT complete; answered: {owners or 'nobody'}"
    return f"fence complete: nobody who owns orders can send any more{f' ({owners})' if owners else ''}"


def _step(step: str, text: str) -> str:
    return _SAID[step] or text


def _path(path: Path) -> str:
    said = [f"{_count(count, *_KINDS.get(kind, (kind, kind)))} sent" for kind, count in path.sent.items()]
    if path.answers:
        most = f", {_count(path.cancelled, 'order', 'orders')} by its own count" if path.cancelled else ""
        last = f", the last after {path.last_ms:,.0f} ms" if path.answers > 1 and path.last_ms is not None else ""
        first = f"{path.answered_ms:,.0f} ms{last}{most}"
        said.append(f"{_count(path.answers, 'answer', 'answers')}, the first after {first}")
    elif path.sent:
        said.append("NO ANSWER")
    if path.lists:
        last = f"the last after {path.list_ms:,.0f} ms with {path.listed} in it"
        said.append(f"{_count(path.lists, 'open-orders list', 'open-orders lists')}, {last}")
    said += [f"{why}{f' ({count} times)' if count > 1 else ''}" for why, count in path.failures.items()]
    return f"{path.name}: {'; '.join(said)}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _traded(told: Story) -> list[str]:
    names = _texts(told.now, "filled_orders")
    if not told.now:
        return ["not known yet"]
    return [f"{_count(len(names), 'order', 'orders')}: {_some(names)}"] if names else ["nothing"]


def _proof(told: Story) -> list[str]:
    now = told.now
    if not now:
        return ["nothing is known yet: the gate was closed just now"]
    lines = [f"proven dead: {now.get('proven')} of {_count(now.get('orders') or 0, 'order', 'orders')}"]
    by = now.get("proven_by") or {}
    lines += [f"{count} by {_means(how)}" for how, count in by.items()]
    if now.get("late"):
        lines.append(f"{now['late']} of them were acknowledged only after the trip, and cancelled again")
    if now.get("refuted"):
        lines.append(f"{now['refuted']} showed life after a proof, and were cancelled again")
    if now.get("all_proven_ms") is not None:
        lines.append(f"the last proof came after {now['all_proven_ms']:,.0f} ms")
    elif not now.get("orders"):
        lines.append("no order was known to be open; that is checked after the fence")
    return lines


def _means(how: str) -> str:
    return {"report": "their own final report", "order status": "the venue's answer about each"}.get(how, how)


def _open(told: Story) -> list[str]:
    state = state_of(told)
    if state in ("open", "taken over"):
        return ["nothing of this trip"]
    lines = ["as of the last line of the audit trail:"] if state == "not proven" and told.now_ms is not None else []
    if state == "proven":
        lines.append("no order; the gate stays closed until a person resets it")
    lines += _texts(told.now, "open_questions")
    forced = _texts(told.reset, "forced")
    if forced:
        lines.append(f"the reset was FORCED over orders that were not proven dead: {_some(forced)}")
    leaves, held = _texts(told.now or told.head, "leaves"), _texts(told.now, "held_back")
    lines += [f"left alone: {_some(leaves)}"] if leaves else []
    lines += [f"not used: {_some(held)}"] if held else []
    return lines


def _next(told: Story) -> list[str]:
    state, scope = state_of(told), str(told.head.get("scope"))
    by = f"{told.reset.get('by')}: {told.reset.get('reason')}"
    if state == "open":
        return [f"Nothing: {_scopes(told)} is {', '.join(dict.fromkeys(told.opened.values()))} again. Reset by {by}"]
    if state == "taken over":
        return [f"qd kill why {told.taken_over_by}"]
    if state == "resetting":
        return [f"Wait for the cool-off. Reset by {by}"]
    flag = "" if scope == "desk" else f" --scope {scope}"
    reset = f'qd kill reset{flag} --reason "the cause, and what was done"'
    if state == "proven":
        return ["1. Find the cause; nothing opens by itself.", f"2. Then: {reset}"]
    unproven = _texts(told.now, "unproven")
    lines = ["1. Wait: cancels and lists go on, each second, until the last proof. qd kill status shows how it stands."]
    if told.now_ms is not None or not told.now:
        lines = [
            "1. The kill switch does not answer. Start it (supervisorctl start kill:killswitch): it takes the trip up",
            "   again. No new order leaves without it.",
        ]
    if unproven:
        lines.append(f"2. Meanwhile look at the venues' own pages, and cancel there by hand: {_some(unproven)}")
        lines.append(f"3. Only when you know that these are dead: {reset} --force {' '.join(unproven[:SHOWN])}"
                     + (" ..." if len(unproven) > SHOWN else ""))  # fmt: skip
    return lines


def _ms(value: object) -> str:
    return f"{value:>9,.1f} ms" if isinstance(value, (int, float)) else "  not yet   "


def _some(names: list[str]) -> str:
    return "; ".join(names[:SHOWN]) + (f"; and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _texts(found: Mapping[str, Any], key: str) -> list[str]:
    value = found.get(key)
    return [str(x) for x in value] if isinstance(value, (list, tuple)) else []


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)


def _indent(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
