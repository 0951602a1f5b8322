"""The simulated venues' own certificate authority: made at the first start, kept below the run directory."""

import os
import ssl
from pathlib import Path

import trustme

from base.errors import ConfigError

NAMES = ("localhost", "127.0.0.1", "::1")


def authority(directory: Path, name: str) -> tuple[trustme.CA, Path]:
    """The authority of a venue and the file with its certificate; the same one over restarts, so clients keep trust."""
    cert, key = directory / f"{name}.ca.pem", directory / f"{name}.ca.key"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if cert.exists() and key.exists():
        try:
            return trustme.CA.from_pem(cert.read_bytes(), key.read_bytes()), cert
        except ValueError as error:
            raise ConfigError(f"{cert}: not a usable authority: {error}; remove it and {key}") from None
    ca = trustme.CA()
    write_private(key, ca.private_key_pem.bytes())
    write_private(cert, ca.cert_pem.bytes(), mode=0o644)
    return ca, cert


def server_context(ca: trustme.CA, only_13: bool, names: tuple[str, ...] = ()) -> ssl.SSLContext:
    """A server's context with a fresh certificate for this host's names and `names`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if only_13 else ssl.TLSVersion.TLSv1_2
    ca.issue_cert(*NAMES, *names).configure_cert(context)
    return context


def write_private(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all, readable by its owner alone unless `mode` says more."""
    _write_aside(path, data, mode).replace(path)


def write_new_private(path: Path, data: bytes) -> bool:
    """As `write_private`, but a file that is there stays: of several that try, one wins. True if it was us."""
    aside = _write_aside(path, data, 0o600)
    try:
        path.hardlink_to(aside)
    except FileExistsError:
        return False
    finally:
        aside.unlink()
    return True


def _write_aside(path: Path, data: bytes, mode: int) -> Path:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
    return aside
