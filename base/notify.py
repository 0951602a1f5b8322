"""Delivering one message to people: by a command, a webhook or an e-mail. Blocks; for threads of their own.

A delivery ends within its time limit whatever the other side does once it is connected; a name that does not resolve
and a TLS handshake that drips may take longer. NotifyError says what went wrong.
"""

import contextlib
import hashlib
import hmac
import http.client
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from base.alarm_config import NotifierConfig
from base.errors import ConfigError, NotifyError, SecretError
from base.log import CONTROLS
from base.secrets import resolve
from base.tls import TlsClient

SIGNATURE = "X-Quarterdeck-Signature"
OUTPUT = 2000  # bytes of what a command or a server says that are kept


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is delivered. `body`: the whole of it as JSON; the rest is for people and for a command's environment."""

    severity: str
    subject: str  # one line
    text: str
    body: bytes
    facts: Mapping[str, str] = {}  # ALARM_<NAME> of a command's environment


def deliver(config: NotifierConfig, message: Message, run_dir: Path) -> str:
    """Deliver it; what the other side said. NotifyError when it did not arrive."""
    try:
        return {"command": _command, "webhook": _webhook, "email": _email}[config.kind](config, message, run_dir)
    except (SecretError, ConfigError) as e:
        raise NotifyError(str(e)) from None
    except (TimeoutError, _CutOff):
        raise NotifyError(f"no answer within {config.timeout_ms} ms") from None
    except ssl.SSLError as e:
        raise NotifyError(f"TLS: {e.reason or e}") from None
    except smtplib.SMTPResponseException as e:
        said = e.smtp_error.decode(errors="replace") if isinstance(e.smtp_error, bytes) else e.smtp_error
        raise NotifyError(one_line(f"the mail server said {e.smtp_code} {said}")) from None
    except smtplib.SMTPRecipientsRefused as e:
        raise NotifyError(one_line(f"refused recipients: {', '.join(e.recipients)}")) from None
    except (OSError, http.client.HTTPException, smtplib.SMTPException, ValueError) as e:
        raise NotifyError(one_line(str(getattr(e, "strerror", "") or e) or type(e).__name__)) from None


def one_line(text: str) -> str:
    """Fit for a header, an environment variable, a line of a screen: control characters are written out."""
    return text if text.isprintable() else text.translate(CONTROLS)


def signature(secret: str, body: bytes, wall_s: int) -> str:
    """The value of X-Quarterdeck-Signature: t=SECONDS,v1=HMAC-SHA256 of `SECONDS.BODY` in hex."""
    digest = hmac.new(secret.encode(), f"{wall_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={wall_s},v1={digest}"


# -- command -------------------------------------------------------------------------------------------------------


def _command(config: NotifierConfig, message: Message, _run_dir: Path) -> str:
    names = {f"ALARM_{k.upper()}": one_line(v) for k, v in message.facts.items()}
    process = subprocess.Popen(
        config.command, env={**os.environ, **names}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        out, _ = process.communicate(message.body + b"\n", config.timeout_ms / 1000)
    except subprocess.TimeoutExpired:
        _end(process)
        raise NotifyError(f"{config.command[0]}: not done within {config.timeout_ms} ms; killed") from None
    said = one_line(out[:OUTPUT].decode(errors="replace").rstrip("\n"))
    if process.returncode:
        how = f"status {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        raise NotifyError(f"{config.command[0]}: ended with {how}: {said}".rstrip(": "))
    return said


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The whole group of it; what has left the group may keep the pipe, and is not waited for."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


# -- webhook -------------------------------------------------------------------------------------------------------


def _webhook(config: NotifierConfig, message: Message, run_dir: Path) -> str:
    url = urlsplit(config.url)
    headers = {"Content-Type": "application/json", "User-Agent": "quarterdeck"}
    if config.secret:
        headers[SIGNATURE] = signature(resolve(config.secret, run_dir), message.body, int(time.time()))
    host, timeout_s = url.hostname or "", config.timeout_ms / 1000
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        context = TlsClient(ca_file=_ca_file(config, run_dir)).context()
        connection = http.client.HTTPSConnection(host, url.port, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(host, url.port, timeout=timeout_s)
    with contextlib.closing(connection), _deadline(timeout_s, lambda: connection.sock):
        connection.request("POST", (url.path or "/") + (f"?{url.query}" if url.query else ""), message.body, headers)
        answer = connection.getresponse()
        said = one_line(answer.read(OUTPUT).decode(errors="replace"))
    if not 200 <= answer.status < 300:  # a redirect, too: an alarm goes where it was told to go
        raise NotifyError(f"{host} answered {answer.status} {answer.reason}: {said[:200]}".rstrip(": "))
    return f"{answer.status} {said}".rstrip()


# -- e-mail --------------------------------------------------------------------------------------------------------


def _email(config: NotifierConfig, message: Message, run_dir: Path) -> str:
    host, _, port = config.smtp.rpartition(":")
    timeout_s = config.timeout_ms / 1000
    mail = EmailMessage()
    mail["From"], mail["To"] = config.sender, ", ".join(config.recipients)
    mail["Subject"] = one_line(message.subject)[:200]
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="quarterdeck")
    if message.severity == "critical":
        mail["Importance"] = "high"
    mail.set_content(message.text)
    mail.add_attachment(message.body, maintype="application", subtype="json", filename="alarm.json")
    secrets = [resolve(r, run_dir) for r in (config.username, config.password) if r]
    context = None if config.smtp_tls == "none" else TlsClient(ca_file=_ca_file(config, run_dir)).context()
    name = host.strip("[]")
    with contextlib.ExitStack() as stack:
        sockets: list[smtplib.SMTP] = []
        stack.enter_context(_deadline(timeout_s, lambda: sockets[0].sock if sockets else None))
        stack.callback(_close, sockets)
        own = one_line(socket.gethostname())  # not asked of a name server
        if config.smtp_tls == "tls":
            client: smtplib.SMTP = _SmtpTls(sockets, name, int(port), own, timeout=timeout_s, context=context)
        else:
            client = _Smtp(sockets, name, int(port), own, timeout_s)
        if config.smtp_tls == "starttls":
            client.starttls(context=context)
        if secrets:
            client.login(*secrets)
        refused = client.send_message(mail)
        with contextlib.suppress(smtplib.SMTPException):  # it has the mail: how it says goodbye is its business
            client.quit()
    left = one_line(f"; REFUSED: {', '.join(refused)}") if refused else ""
    return f"taken by {host} for {len(config.recipients) - len(refused)} of {len(config.recipients)}{left}"


def _close(clients: list[smtplib.SMTP]) -> None:
    for client in clients:
        client.close()


class _Smtp(smtplib.SMTP):
    """Known before it connects, so that its time can end while it does."""

    def __init__(self, known: list[smtplib.SMTP], host: str, port: int, own: str, timeout_s: float) -> None:
        known.append(self)
        super().__init__(host, port, own, timeout_s)


class _SmtpTls(smtplib.SMTP_SSL):
    def __init__(
        self, known: list[smtplib.SMTP], host: str, port: int, own: str, *, timeout: float,
        context: ssl.SSLContext | None,
    ) -> None:  # fmt: skip
        known.append(self)
        super().__init__(host, port, own, timeout=timeout, context=context)


# -- the time limit ------------------------------------------------------------------------------------------------


class _CutOff(Exception):  # noqa: N818 - no error of the tree: it becomes a NotifyError
    """The time for a delivery was over."""


@contextlib.contextmanager
def _deadline(seconds: float, sock: Callable[[], socket.socket | None]) -> Iterator[None]:
    """End what goes on over a socket when the time is over: a peer that drips one byte a second never times out."""
    over = threading.Event()

    def cut() -> None:
        over.set()
        found = sock()
        if found is not None:
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as e:
        if over.is_set() or isinstance(e.__context__, TimeoutError):  # smtplib makes of a time-out a lost connection
            raise _CutOff from e
        raise
    finally:
        timer.cancel()
    if over.is_set():
        raise _CutOff


def _ca_file(config: NotifierConfig, run_dir: Path) -> str:
    kind, _, rest = config.ca_file.partition(":")
    return str(run_dir / rest) if kind == "run" else config.ca_file
