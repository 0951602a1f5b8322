"""Names of the gate's scopes, beside the gate in memory: its words have keys, which cannot be read back to names."""

from pathlib import Path

import msgspec

from base.errors import RegionError
from ipc.operator_word import SCOPE_KINDS, check_scope

__all__ = ["SCOPE_KINDS", "ScopeNames", "check_scope"]


class ScopeNames:
    """The file: a line of JSON text for each scope. `known`: every scope ever written, by earlier writers, too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known = _read(path)
        self.fault = ""
        self._seen = _place_and_size(path)

    def remember(self, scope: str) -> None:
        """Its name is written before its word: a kill switch after this one has to know it."""
        if scope in self.known:
            return
        self.known[scope] = None
        if self.fault or _place_and_size(self._path) != self._seen:
            self._write_all()
            return
        try:
            with self._path.open("ab") as names:
                names.write(b"\n" + msgspec.json.encode(scope) + b"\n")  # an end to a line that a crash tore
        except OSError as e:  # closing goes on all the same; who comes after trips the desk for a word without a name
            self.fault = f"{self._path}: {e.strerror}"
        else:
            self._seen = _place_and_size(self._path)

    def mend(self) -> None:
        """Write all names anew when the file is not the one that was written last, or could not be written then."""
        if self.fault or _place_and_size(self._path) != self._seen:
            self._write_all()

    def _write_all(self) -> None:
        aside = self._path.with_name(f"{self._path.name}.new")
        try:
            aside.write_bytes(b"".join(msgspec.json.encode(s) + b"\n" for s in self.known))
            aside.chmod(0o600)
            aside.replace(self._path)
        except OSError as e:
            self.fault = f"{self._path}: {e.strerror}"
        else:
            self.fault, self._seen = "", _place_and_size(self._path)


def _place_and_size(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_ino, stat.st_size


def _read(path: Path) -> dict[str, None]:
    """Scopes by name, as far as the file can be read."""
    found: dict[str, None] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return found
    for line in lines:
        try:
            found[check_scope(msgspec.json.decode(line, type=str))] = None
        except (msgspec.DecodeError, RegionError):
            continue  # torn by a crash: its word, if it was made, has no name
    return found
