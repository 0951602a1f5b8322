"""The session layer's rules as scripts (fix/scenarios), for both roles and every version; and that scripts can fail."""

from pathlib import Path

import pytest

from base.errors import ConfigError
from fix.scenarios import machine, report
from fix.scenarios.script import ROLES, VERSIONS, Scenario, load, parse

PLAYED = [(scenario, version) for role in ROLES for scenario in load(role) for version in scenario.versions]


@pytest.mark.parametrize(("scenario", "version"), PLAYED, ids=[f"{s.role}-{v}-{s.number}" for s, v in PLAYED])
def test_scenario(scenario: Scenario, version: str):
    assert machine.play(scenario, version).problem == "", scenario.rule


@pytest.mark.parametrize("role", ROLES)
def test_each_scenario_has_a_number_of_its_own(role):
    names = [(scenario.number, version) for scenario in load(role) for version in scenario.versions]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("role", ROLES)
def test_every_case_of_the_published_list_is_there(role):
    """1 to 22 as the session test cases number them; those of the other role or of the application left out."""
    numbers = {int("".join(c for c in s.number.split(".")[0] if c.isdigit())) for s in load(role)}
    wanted = set(range(1, 23)) - {9, 16, 17}  # 9 is 1 and 2 together; queues are 12; encryption is TLS
    if role == "initiator":
        wanted -= {3, 5, 15}  # the same bytes are read by the same code: 2, 4, and what an echo would show
    assert wanted <= numbers


def one(tmp_path: Path, steps: str, role: str = "acceptor") -> machine.Outcome:
    path = tmp_path / "x.scenarios"
    path.write_text("[1] Title\nA rule.\n" + "\n".join("    " + line for line in steps.splitlines()))
    (scenario,) = parse(path, role)
    return machine.play(scenario, "4.4")


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("logon\n> 1|112=a\n< 0|112=b", "112='a' is not 'b'"),
        ("logon\n> 1|112=a\n< 1|112=a", "expected 35=1"),
        ("logon\n> 1|112=a\n< 0", "unexpected 112=a"),
        ("logon\n> 0\n< 0", "nothing was sent"),
        ("logon\n> 1|112=a", "behind the last step"),
        ("logon\n> 1|112=a\nsilence", "it sent"),
        ("logon\nend", "the connection stands"),
        ("logon\n> 5\n< 5", "the connection was ended"),
        ("logon\n> 5\n< 5\nend\n> 0", "not connected"),
        ("logon\nnumbers in=3", "in is 2"),
        ("connect\n> A|98=0|108=30\n< A|98=0|108=30|789=1", "789 is missing"),
        ("connect\nother A|98=0|108=30\nother end", "the second connection stands"),
        ("logon\n> D|11=a|$order\n< D|34=9|11=a|$order", "34='2' is not '9'"),
    ],
)
def test_a_script_that_is_wrong_about_the_engine_fails(tmp_path, steps, problem):
    assert problem in one(tmp_path, steps).problem


def test_a_report_that_never_came_fails(tmp_path):
    assert "given nothing" in one(tmp_path, "logon\ngot 8|11=a", "initiator").problem
    assert "behind the last step" in one(tmp_path, "logon\n> 8|11=a|$report", "initiator").problem
    assert "given 8=" in one(tmp_path, "logon\n> 8|11=a|$report\ngot 8|11=b", "initiator").problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1 Title\nRule.\n    logon", "expected [number] title"),
        ("[1] Title\nRule.\n    jump", "'jump' is no step"),
        ("[1] Title\nRule.\n    with nothing", "with setting"),
        ("[1] Title\n    logon", "needs a rule"),
        ("[1] Title\nRule.", "needs a rule, steps"),
        ("[1] Title\nRule.\n    versions 4.0\n    logon", "versions"),
    ],
)
def test_a_script_that_cannot_be_read_is_named_with_its_line(tmp_path, text, problem):
    path = tmp_path / "x.scenarios"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"x.scenarios:[123]:") as error:
        list(parse(path, "acceptor"))
    assert problem in str(error.value)


def test_the_table_counts_by_role_and_version():
    rows = report.table(report.outcomes(number="1a"))
    assert {(row["role"], row["version"]) for row in rows} == {
        (role, version) for role in ROLES for version in VERSIONS
    }
    assert all(row["passed"] == row["total"] == 3 for row in rows)
