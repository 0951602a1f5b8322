"""TLS 1.2 and 1.3 without a socket: bytes of the wire in and out, over OpenSSL's memory buffers.

Memory buffers rather than an SSL socket: one recv brings many records, where an SSL socket reads each record in two
system calls (figures in docs/reactor.md).
"""

import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from base.errors import ConfigError

MAX_RECORD = 16 * 1024


@dataclass(frozen=True)
class TlsClient:
    """How a client speaks TLS. SNI and the name checked are the configured host unless `server_name` says else."""

    server_name: str = ""
    ca_file: str = ""  # PEM; empty means the system's authorities
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """A new client context; raises ConfigError when the CA file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"TLS authorities from {self.ca_file or 'the system'}: {error}") from error
        _harden(context)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def server_context(cert_file: str | Path, key_file: str | Path) -> ssl.SSLContext:
    """A server's context from PEM files; raises ConfigError when they cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    try:
        context.load_cert_chain(cert_file, key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"TLS certificate {cert_file} with key {key_file}: {error}") from error
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Without it a write could be refused in the middle of a renegotiation; key updates of TLS 1.3 are not that.
    context.options |= ssl.OP_NO_RENEGOTIATION


class TlsEngine:
    """One TLS connection. `feed` what came from the wire, `read_into` what it says, `take` what must go out."""

    def __init__(self, context: ssl.SSLContext, server_name: str = "", server_side: bool = False) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=server_side, server_hostname=server_name or None)
        self.feed = self._in.write
        self.take = self._out.read
        self.encrypt = self._tls.write
        # Given a buffer it returns a count; the type of SSLObject.read does not know.
        self._read: Callable[[int, memoryview], int] = cast(Any, self._tls.read)

    @property
    def pending_out(self) -> int:
        """Bytes that wait for `take`: records written, handshake, answers to key updates."""
        return self._out.pending

    @property
    def version(self) -> str:
        return self._tls.version() or ""

    def handshake(self) -> bool:
        """Go on with the handshake; True once it is complete. Raises ssl.SSLError when it fails."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def read_into(self, buffer: memoryview) -> tuple[int, bool]:
        """Decrypt into `buffer`, record after record: (bytes, True when the peer said that it is done).

        Stops when nothing whole is left or less room than a record remains; see `unread`. Raises ssl.SSLError.
        """
        filled, room = 0, len(buffer)
        try:
            while self._in.pending or not filled:
                got = self._read(room - filled, buffer[filled:])
                if not got:
                    return filled, True
                filled += got
                if room - filled < MAX_RECORD:
                    break
        except ssl.SSLWantReadError:
            pass  # what is left is part of a record
        except ssl.SSLZeroReturnError:
            return filled, True
        return filled, False

    @property
    def unread(self) -> bool:
        """True while `read_into` may have more to give without another `feed`."""
        return self._in.pending > 0 or self._tls.pending() > 0

    def end(self) -> None:
        """Say that we are done (close_notify); reading may go on."""
        with contextlib.suppress(ssl.SSLError):  # it asks for the peer's close_notify: we do not wait for that
            self._tls.unwrap()

    def feed_eof(self) -> None:
        """The wire ended: after this, reading tells a clean end from a cut one."""
        self._in.write_eof()

    def expires_ns(self) -> int:
        """UTC ns at which the peer's certificate expires; 0 when it was not verified."""
        certificate = self._tls.getpeercert() or {}
        until = certificate.get("notAfter")
        return int(ssl.cert_time_to_seconds(until)) * 1_000_000_000 if isinstance(until, str) else 0
