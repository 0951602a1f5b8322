"""Local receivers of alarms: a real HTTP(S) server and a real SMTP server, on ports of their own."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme


class Certificates:
    """An authority of the test's own, and a server context for this host by name."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.context)


class Hook:
    """A webhook's receiver. `status`: what it answers; `drip`: it answers a byte at a time, for ever."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.drip = False
        self.end = threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None: ...

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((dict(self.headers), body))
                while hook.drip and not hook.end.wait(0.05):
                    self.wfile.write(b"H")
                self.send_response(hook.status)
                if hook.status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that left in the middle is what some tests are about."""

        self.server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.end.set()
        self.server.shutdown()
        self.server.server_close()


class Mail:
    """A mail server: STARTTLS or TLS from the start, AUTH, one message a connection. `silent`: it never greets."""

    def __init__(self, context: ssl.SSLContext | None = None, *, tls: bool = False, silent: bool = False) -> None:
        self.got: list[tuple[str, list[str], EmailMessage]] = []
        self.logins: list[str] = []
        self.refuse: set[str] = set()
        self._context, self._tls, self._silent = context, tls, silent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._end = threading.Event()
        self._talks: list[threading.Thread] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._end.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for talk in self._talks:
            talk.join(10)

    def _serve(self) -> None:
        while not self._end.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._talks.append(threading.Thread(target=self._quietly, args=(peer,), daemon=True))
            self._talks[-1].start()

    def _quietly(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:  # it left
            stack.enter_context(peer)
            self._talk(peer, stack)

    def _talk(self, peer: socket.socket, stack: contextlib.ExitStack) -> None:
        if self._silent:
            self._end.wait(30)
            return
        if self._tls:
            assert self._context is not None
            peer = stack.enter_context(self._context.wrap_socket(peer, server_side=True))
        file = stack.enter_context(peer.makefile("rwb"))

        def say(text: str) -> None:
            file.write(f"{text}\r\n".encode())
            file.flush()

        say("220 localhost ready")
        sender, recipients, secure = "", [], self._tls
        while line := file.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            match verb.upper():
                case "EHLO":
                    extra = ["STARTTLS"] if self._context and not secure else []
                    names = ["localhost", *extra, "AUTH PLAIN"]
                    for i, name in enumerate(names):
                        say(f"250{' ' if i == len(names) - 1 else '-'}{name}")
                case "STARTTLS":
                    assert self._context is not None
                    say("220 go on")
                    peer = stack.enter_context(self._context.wrap_socket(peer, server_side=True))
                    file, secure = stack.enter_context(peer.makefile("rwb")), True
                case "AUTH":
                    self.logins.append(rest.partition(" ")[2])
                    say("235 welcome")
                case "MAIL":
                    sender = rest
                    say("250 ok")
                case "RCPT":
                    address = rest.partition("<")[2].partition(">")[0]
                    if address in self.refuse:
                        say("550 no such person")
                    else:
                        recipients.append(address)
                        say("250 ok")
                case "DATA":
                    say("354 go on")
                    self._data(file.readline, sender, recipients)
                    say("250 taken")
                case "QUIT":
                    say("221 bye")
                    return
                case _:
                    say("250 ok")

    def _data(self, readline: Callable[[], bytes], sender: str, recipients: list[str]) -> None:
        lines = []
        while (line := readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.got.append((sender, list(recipients), mail))
