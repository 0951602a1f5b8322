"""Secrets by reference: configuration says where one lies, never what it is.

`env:NAME` reads the environment, `file:PATH` a file of mode 0600 or stricter, `run:PATH` such a file below the run
directory. What was read is in no error and no log.
"""

import os
import stat
from pathlib import Path

from base.errors import SecretError

MAX_BYTES = 64 * 1024


def resolve(reference: str, run_dir: str | Path = ".") -> str:
    """The secret that `reference` names, without a trailing newline.

    Raises SecretError when it is missing, empty, not text, or a file that others than its owner may read.
    """
    kind, colon, rest = reference.partition(":")
    if not colon or not rest:
        # The reference itself may be a secret put there by mistake: it is not repeated.
        raise SecretError("a secret is referred to as env:NAME, file:PATH or run:PATH")
    match kind:
        case "env":
            return _from_environment(rest)
        case "file":
            return _from_file(Path(rest))
        case "run":
            return _from_file(Path(run_dir) / rest, _owner(Path(run_dir)))
    raise SecretError("a secret is referred to as env:NAME, file:PATH or run:PATH")


def _from_environment(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise SecretError(f"environment variable {name} is not set")
    return value


def _owner(folder: Path) -> int:
    """Who may put files there anyway: the kill switch may be another user than the desk."""
    try:
        return folder.stat().st_uid
    except OSError as error:
        raise SecretError(f"{folder}: {error.strerror}") from None


def _from_file(path: Path, owner: int = 0) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror}") from None
    try:
        _check(path, os.fstat(fd), owner)
        content = os.read(fd, MAX_BYTES + 1)
    finally:
        os.close(fd)
    if len(content) > MAX_BYTES:
        raise SecretError(f"{path}: more than {MAX_BYTES} bytes")
    try:
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretError(f"{path}: not UTF-8 text") from None
    if not text:
        raise SecretError(f"{path}: empty")
    return text


def _check(path: Path, status: os.stat_result, owner: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"{path}: not a regular file")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise SecretError(f"{path}: mode {mode:04o} lets others read it; chmod 600 {path}")
    if status.st_uid not in (os.geteuid(), 0, owner):
        raise SecretError(f"{path}: belongs to user {status.st_uid}, not to this process")
