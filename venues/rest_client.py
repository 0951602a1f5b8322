"""A venue's REST side over the process's poll loop: address, TLS and deadline of each request."""

from collections.abc import Callable
from pathlib import Path

from base.config import DeskConfig, RestConfig
from base.errors import ConfigError
from base.http import HttpClient, HttpFailure, Outcome, Request
from base.reactor import Priority, Reactor
from base.secrets import resolve
from base.tls import TlsClient
from venues.interface import Dialect, RestApi, RestRequest
from venues.link import resolve_address, resolve_file
from venues.rest_rates import RestRates

DEADLINE_NS = 5_000_000_000

Answered = Callable[[int, bytes, str], None]  # status, body, error ("" when there is an answer)


class RestClient:
    """Requests to one venue, one after the other; each ends with exactly one call of `answered`."""

    def __init__(
        self,
        reactor: Reactor,
        desk: DeskConfig,
        venue: str,
        priority: Priority = Priority.NORMAL,
        rates: RestRates | None = None,
    ) -> None:
        config = desk.config.venue[venue].rest
        if config is None:
            raise ConfigError(f"{desk.path}: venue.{venue}.rest: missing")
        self._config: RestConfig = config
        self._reactor = reactor
        self._desk = desk
        self._venue = venue
        self._priority = priority
        self._rates = rates
        self._client: HttpClient | None = None

    def ask(self, request: RestRequest, answered: Answered, deadline_ns: int = DEADLINE_NS) -> bool:
        """Send `request`; it has `deadline_ns` nanoseconds to be answered. False when it does not leave."""
        try:
            client = self._client or self._open()
        except ConfigError as e:
            self._fail(str(e), answered)
            return False
        late = self._rates.late(request) if self._rates is not None else ""
        if late:
            self._fail(late, answered)
            return False

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, HttpFailure):
                self._forget(client)  # the next request reads address and authorities anew
                answered(0, b"", outcome.reason)
            else:
                if self._rates is not None:
                    self._rates.heed(outcome)
                answered(outcome.status, outcome.body, "")

        sent = Request(request.method, request.target, request.headers, request.body)
        client.send(sent, self._reactor.clock.mono_ns() + deadline_ns, done)
        return True

    def _fail(self, error: str, answered: Answered) -> None:
        self._reactor.call_soon(lambda: answered(0, b"", error), f"{self._venue} rest")

    def close(self) -> None:
        """Drop the connection; requests under way fail."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _open(self) -> HttpClient:
        text = self._config.address
        plain = text.startswith("http://")
        address = text.removeprefix("http://").removeprefix("https://").rstrip("/")
        if not address.startswith("run:") and ":" not in address.rpartition("]")[2]:
            address += ":80" if plain else ":443"
        host, _ = resolve_address(self._desk, address)
        ca_file = resolve_file(self._desk, self._config.ca_file)
        if ca_file and not Path(ca_file).exists():
            raise ConfigError(f"venue.{self._venue}.rest.ca_file: {ca_file} does not exist (yet)")
        # A simulated venue's certificate is for "localhost", wherever on loopback it listens.
        name = "localhost" if address.startswith("run:") else host
        tls = None if plain else TlsClient(name, ca_file)
        self._client = HttpClient(
            self._reactor, lambda: resolve_address(self._desk, address), f"{self._venue} rest", tls,
            priority=self._priority,
        )  # fmt: skip
        return self._client

    def _forget(self, client: HttpClient) -> None:
        if self._client is client and client.idle:
            self._client = None
            client.close()


def open_rest(desk: DeskConfig, venue: str, dialect: Dialect, *, kill: bool = False) -> RestApi | None:
    """The dialect's REST side with this venue's keys (`kill`: the kill switch's own, where it has some); None where the
    venue has no REST side or none is configured.
    """
    config = desk.config.venue[venue]
    rest = config.rest
    if rest is None:
        return None
    references = rest.kill_references if kill and rest.kill_key else rest.references
    return dialect.rest(config, *(resolve(r, desk.run_dir) if r else "" for r in references))
