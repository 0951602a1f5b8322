"""`qd fix scenarios`: plays the scripts and prints how many passed, by version and role."""

import json
import sys
from typing import Any

from fix.scenarios.machine import Outcome, play
from fix.scenarios.script import ROLES, VERSIONS, load


def outcomes(version: str = "", role: str = "", number: str = "") -> list[Outcome]:
    """Every scenario played for every version it is for; '' means all."""
    return [
        play(scenario, each)
        for one in ROLES if role in ("", one)
        for scenario in load(one) if scenario.number.startswith(number)
        for each in scenario.versions if version in ("", each)
    ]  # fmt: skip


def table(played: list[Outcome]) -> list[dict[str, Any]]:
    """Passed and total per role and version."""
    rows = []
    for role in ROLES:
        for version in VERSIONS:
            these = [each for each in played if each.scenario.role == role and each.version == version]
            if these:
                passed = sum(not each.problem for each in these)
                rows.append({"role": role, "version": version, "passed": passed, "total": len(these)})
    return rows


def report(version: str, role: str, number: str, verbose: bool, as_json: bool) -> int:
    """Play and print; the exit status is 1 when one failed."""
    played = outcomes(version, role, number)
    failed = [each for each in played if each.problem]
    say = sys.stdout.write
    if as_json:
        problems = [
            {"scenario": each.scenario.name, "version": each.version, "problem": each.problem} for each in failed
        ]
        say(json.dumps({"passed": table(played), "failed": problems}) + "\n")
        return 1 if failed else 0
    for each in played if verbose else failed:
        state = "FAILED" if each.problem else "passed"
        say(f"{state} {each.scenario.role} {each.version} {each.scenario.name}\n")
        say(f"       {each.scenario.rule}\n" + (f"       {each.problem}\n" if each.problem else ""))
    for row in table(played):
        say(f"{row['role']:<10} FIX {row['version']:<7} {row['passed']:>4} of {row['total']} scenarios passed\n")
    return 1 if failed or not played else 0
