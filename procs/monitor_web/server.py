"""The page's server: uvicorn on a thread of its own, on a socket that was bound before.

Why asyncio here, and why a thread: docs/decisions/monitor-server.md.
"""

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from base.errors import ConfigError, SecretError, TransportError
from base.monitor_config import MonitorConfig
from procs.monitor_web.protocol import Limits, limits_of

CONNECTIONS = 150  # beside those of viewers
SEND_BUFFER = 64 * 1024  # what the kernel holds for a slow viewer is old by the time he sees it
MAX_HEAD = 16 * 1024
START_S = 30.0
STOP_S = 5.0

log = logging.getLogger("monitor")


def port_of(url_file: Path) -> int:
    """The port of the life before, 0 when there was none: pages that are open find the next life by themselves."""
    try:
        return urlsplit(url_file.read_text().strip()).port or 0
    except (OSError, ValueError):
        return 0


def listen(config: MonitorConfig, before: int = 0) -> socket.socket:
    """The bound socket; any free port means `before` where that is free. TransportError naming address and reason."""
    if before and not config.port:
        try:
            return _bound(config, before)
        except TransportError as e:
            log.info("%s", e)
    return _bound(config, config.port)


def _bound(config: MonitorConfig, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.bind((config.host, port))
        sock.listen(128)
        sock.setblocking(False)
    except OSError as e:
        sock.close()
        raise TransportError(f"monitor: {config.host}:{port}: cannot listen: {e.strerror or e}") from None
    return sock


def url_of(config: MonitorConfig, sock: socket.socket) -> str:
    """Where a browser finds it."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{'https' if config.tls_cert else 'http'}://{host}:{sock.getsockname()[1]}/"


def check_tls(config: MonitorConfig) -> None:
    """ConfigError or SecretError when certificate and key cannot be used."""
    if not config.tls_cert:
        return
    try:
        mode = os.stat(config.tls_key).st_mode & 0o777
        if mode & 0o077:
            raise SecretError(f"{config.tls_key}: mode {mode:04o} lets others read it; chmod 600 {config.tls_key}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except OSError as e:  # ssl.SSLError is one
        name = e.filename or f"{config.tls_cert}, {config.tls_key}"
        raise ConfigError(f"monitor: {name}: {e.strerror or e}") from None


class WebServer:
    """The thread. `build` makes the application inside the event loop."""

    def __init__(
        self,
        config: MonitorConfig,
        sock: socket.socket,
        build: Callable[[], ASGIApp],
        limits: Limits | None = None,
    ) -> None:
        self._config, self._socket, self._build = config, sock, build
        self._limits = limits or Limits(stall_s=config.slow_viewer_s, connections=CONNECTIONS + config.max_viewers)
        self._server: uvicorn.Server | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.failed = ""
        self.beat = 0  # rises while the loop turns
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Serve from now on. TransportError when the server did not come up."""
        self._thread.start()
        if not self._ready.wait(START_S) or self.failed:
            raise TransportError(f"monitor: the server did not start: {self.failed or 'no answer'}")

    def call(self, function: Callable[[], object]) -> None:
        """Run `function` in the event loop; dropped when that has ended."""
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended, as the thread will say
                self.loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        """Stop taking connections, let answers go out, end."""
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(STOP_S)

    @property
    def alive(self) -> bool:
        """The thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as e:
            self.failed = f"{type(e).__name__}: {e}"
            log.exception("the server ended")
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        c, limits = self._config, self._limits
        config = uvicorn.Config(
            self._build(), http=limits_of(limits), ws="none", lifespan="off", log_config=None, log_level="warning",
            access_log=False, proxy_headers=False, server_header=False, limit_concurrency=limits.connections + 1,
            timeout_graceful_shutdown=1, h11_max_incomplete_event_size=MAX_HEAD,
            ssl_certfile=Path(c.tls_cert) if c.tls_cert else None, ssl_keyfile=Path(c.tls_key) if c.tls_key else None,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        beating = asyncio.create_task(self._beat())
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        while True:
            self.beat += 1
            if self._server is not None and self._server.started:
                self._ready.set()
            await asyncio.sleep(0.05)
