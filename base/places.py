"""Where a desk lives, from the [desk] table of its configuration alone.

An operator who trips a desk must not be held up by a mistake elsewhere in the file: this reads the one table, even out
of a file that is broken further down.
"""

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from base.errors import ConfigError

RUN_DIR, DATA_DIR, LOG_DIR = "run", "data", "log"


class Places(NamedTuple):
    """Directories of a desk, absolute."""

    run_dir: Path
    data_dir: Path
    log_dir: Path
    shm_dir: Path


def places_of(path: Path, name: str, run_dir: str, data_dir: str, log_dir: str, shm_dir: str) -> Places:
    """What the values of [desk] in the configuration at `path` (absolute) come to."""
    # An environment variable moves a desk's state without editing its file: tests and packagers need it.
    root = Path(os.environ.get("QD_STATE_DIR") or path.parent.parent)
    run = (root / run_dir).resolve()
    mark = hashlib.sha256(str(run).encode()).hexdigest()[:8]
    shm = Path(shm_dir or f"/dev/shm/quarterdeck-{name}-{mark}")
    return Places(run, (root / data_dir).resolve(), (root / log_dir).resolve(), shm)


def read_places(path: str | Path) -> Places:
    """The places of a desk; only its [desk] table has to be sound. ConfigError names the file."""
    file = Path(path).resolve()
    try:
        text = file.read_text(errors="replace")
    except OSError as e:
        raise ConfigError(f"{file}: cannot be read: {e.strerror}") from None
    try:
        desk = tomllib.loads(text).get("desk", {})
    except tomllib.TOMLDecodeError:
        desk = _table_alone(file, text)
    values = [_text(desk, key, default, file) for key, default in _KEYS.items()]
    if not values[0]:
        raise ConfigError(f"{file}: desk.name: missing")
    return places_of(file, *values)


_KEYS = {"name": "", "run_dir": RUN_DIR, "data_dir": DATA_DIR, "log_dir": LOG_DIR, "shm_dir": ""}


def _text(desk: Any, key: str, default: str, file: Path) -> str:
    value = desk.get(key, default) if isinstance(desk, dict) else None
    if not isinstance(value, str):
        raise ConfigError(f"{file}: desk.{key}: {value!r} is no text")
    return value


def _table_alone(file: Path, text: str) -> dict[str, Any]:
    """The lines from [desk] to the next table."""
    lines = [line.strip() for line in text.splitlines()]
    begin = next((i for i, line in enumerate(lines) if line.partition("#")[0].strip() == "[desk]"), None)
    if begin is None:
        raise ConfigError(f"{file}: not TOML, and without a [desk] table")
    end = next((i for i in range(begin + 1, len(lines)) if lines[i].startswith("[")), len(lines))
    try:
        found: dict[str, Any] = tomllib.loads("\n".join(lines[begin + 1 : end]))
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{file}: [desk] is not TOML: {e}") from None
    return found
