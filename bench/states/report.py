"""`qd kill states`: searches worlds to the end and says what was found, for people or as JSON."""

import sys
from collections.abc import Sequence

import msgspec

from bench.states.rules import RULES, rules_of
from bench.states.search import Found, Search
from bench.states.settings import MORE, SETTINGS, SUITE
from bench.states.world import BrokenRuleError


class Line(msgspec.Struct):
    """One world. `broken`: the rule that does not hold, with the shortest way to it; "" when all hold."""

    world: str
    found: Found
    rules: list[int]
    broken: str = ""


def run(worlds: Sequence[str], *, limit: int = 0, doubt: int = 0, as_json: bool = False) -> int:
    """Exit status 0: every rule holds. 1: one does not. 2: no such world."""
    unknown = [w for w in worlds if w not in SETTINGS and w != "all"]
    if unknown:
        sys.stderr.write(f"no such world: {', '.join(unknown)}; there are {', '.join(SETTINGS)}\n")
        return 2
    lines = []
    for name in (*SUITE, *MORE) if "all" in worlds else worlds or SUITE:
        lines.append(look(name, limit=limit, doubt=doubt))
        sys.stdout.write((msgspec.json.encode(lines[-1]).decode() if as_json else text(lines[-1])) + "\n")
        sys.stdout.flush()
    if not as_json:
        sys.stdout.write("".join(f"  {n:>2}  {RULES[n]}\n" for n in sorted({n for x in lines for n in x.rules})))
    return 1 if any(x.broken for x in lines) else 0


def look(name: str, *, limit: int = 0, doubt: int = 0) -> Line:
    """Search one world."""
    search = Search(SETTINGS[name], limit, doubt=doubt)
    line = Line(name, search.found, rules_of(SETTINGS[name]))
    try:
        search.run()
    except BrokenRuleError as e:
        line.broken = str(e)
    return line


def text(line: Line) -> str:
    """For people."""
    if line.broken:
        return f"{line.world}: WRONG after {line.found.states:,} states: {line.broken}"
    return f"{line.found.line()}; rules {', '.join(map(str, line.rules))}"
