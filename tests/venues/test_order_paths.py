"""Who may hand an order to a venue: nobody but those that read the gate's words immediately before."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SENDS = ("new_order", "new_orders", "replace_order")
# Where an order is handed to a session, and by what the gate is looked at there.
KNOWN = {
    ("venues/new_orders.py", "place"): "entry.port.gate",
    ("venues/new_orders.py", "_go"): "entry.port.gate",
    ("venues/replaces.py", "send"): "entry.port.gate",
    ("venues/kill_paths.py", "place"): "self._gate.closed_reason",
}
BETWEEN = {"SessionError", "_did_not_leave", "zip", "len"}  # what the answer of the look is made of: no time goes by
# A session that renders what it was given.
RENDERS = {("venues/fix_trading.py", name) for name in SENDS}
# A call that is added to these must place nothing, either.
REST_READS = {"open_orders", "order", "trades", "balances", "positions"}


def functions(package: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield str(path.relative_to(ROOT)), node


def calls(function: ast.FunctionDef) -> list[str]:
    """Attributes called in the body, as text, in the order of the source; those of functions within are theirs."""
    inner = {n for f in ast.walk(function) if isinstance(f, ast.FunctionDef) and f is not function for n in ast.walk(f)}
    found = [n for n in ast.walk(function) if isinstance(n, ast.Call) and n not in inner]
    found.sort(key=lambda n: (n.lineno, n.col_offset))
    return [ast.unparse(n.func) for n in found]


def test_each_place_that_hands_an_order_to_a_session_looks_at_the_gate_last() -> None:
    found = Counter(
        (path, f.name)
        for package in ("venues", "procs", "risk", "ipc", "fix", "base")
        for path, f in functions(package)
        if "/sim" not in path
        for call in calls(f)
        if call.rpartition(".")[2] in SENDS
    )
    assert set(found) - RENDERS == set(KNOWN)
    for path, function in functions("venues"):
        if (path, function.name) in KNOWN:
            made = [call for call in calls(function) if call not in BETWEEN]
            sends = [i for i, call in enumerate(made) if call.rpartition(".")[2] in SENDS]
            assert made[sends[0] - 1] == KNOWN[path, function.name], made
            assert sends == list(range(sends[0], sends[0] + len(sends))), made


def test_no_order_leaves_over_rest() -> None:
    """What a dialect can ask over REST is what RestApi names, and that places nothing."""
    protocol = next(
        node
        for node in ast.walk(ast.parse((ROOT / "venues" / "interface.py").read_text()))
        if isinstance(node, ast.ClassDef) and node.name == "RestApi"
    )
    asks = {f.name for f in protocol.body if isinstance(f, ast.FunctionDef) and "RestRequest" in ast.unparse(f.returns)}  # type: ignore[arg-type]
    assert asks >= REST_READS
    assert all(name in REST_READS or name.startswith("cancel") for name in asks), asks
