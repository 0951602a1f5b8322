"""Asking a running simulated venue through its control endpoint."""

import http.client
import json
from pathlib import Path
from typing import Any

from base.config import DeskConfig
from base.errors import CommandError

ANSWER_S = 30.0  # a venue on a busy machine is slow, and not gone


def control_of(desk: DeskConfig, venue: str) -> str:
    """host:port of the control endpoint of a desk's simulated venue. CommandError when it does not run."""
    return control_in(desk.run_dir, venue)


def control_in(run_dir: Path, venue: str) -> str:
    """The same, by the run directory that holds the address file."""
    path = run_dir / f"sim-{venue}.json"
    try:
        address: str = json.loads(path.read_text())["endpoints"]["control"]
    except (OSError, ValueError, KeyError) as error:
        raise CommandError(f"{path}: no simulated venue {venue!r} runs there ({error})") from None
    return address


def call(address: str, method: str, path: str, body: object = None) -> dict[str, Any]:
    """One call; the JSON answer. CommandError with what the venue said."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=ANSWER_S)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        said: dict[str, Any] = json.loads(answer.read())
    except (OSError, ValueError) as error:
        raise CommandError(f"{address}: the simulated venue does not answer: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise CommandError(str(said.get("error", answer.status)))
    return said
