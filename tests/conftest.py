"""What all tests share: how hypothesis searches, and which files begin.

Examples of hypothesis have no deadline, and may be slow to make, since the machine may be busy with something else.
"""

from itertools import chain, zip_longest

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("quarterdeck", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quarterdeck")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that none of them is a tail of its own: those that start processes and mostly wait, in turn
    with those that compute; then the rest.
    """
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)

    def marked(mark: str) -> list[str]:
        return [name for name, found in files.items() if any(i.get_closest_marker(mark) for i in found)]

    waiting, computing = marked("e2e"), marked("stress")
    order = dict.fromkeys(f for f in chain(*zip_longest(waiting, computing)) if f is not None)
    order |= dict.fromkeys(files)
    items[:] = [item for name in order for item in files[name]]
