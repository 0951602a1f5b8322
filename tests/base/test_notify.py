"""Each kind of notifier against a real receiver: what arrives, and how long a receiver that hangs may take."""

import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.alarm_config import AlarmsConfig, NotifierConfig, check_alarms
from base.errors import ConfigError, NotifyError
from base.notify import SIGNATURE, Message, deliver
from tests.base.receivers import Certificates, Hook, Mail

BODY = json.dumps({"desk": "d", "text": "gate closed"}).encode()
MESSAGE = Message(
    severity="critical", subject="[quarterdeck] d: CRITICAL tripped", text="gate closed\n", body=BODY,
    facts={"severity": "critical", "text": "one\ntwo\x1b[2J\0"},
)  # fmt: skip


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def closing() -> Iterator[list[Any]]:
    made: list[Any] = []
    yield made
    for receiver in made:
        receiver.close()


def command(*argv: str, timeout_ms: int = 10_000) -> NotifierConfig:
    return NotifierConfig(name="n", kind="command", command=list(argv), timeout_ms=timeout_ms)


def secret(folder: Path, text: str) -> str:
    path = folder / f"secret-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    path.write_text(text)
    path.chmod(0o600)
    return f"file:{path}"


def test_a_command_gets_the_alarm_on_stdin_and_in_its_environment_and_no_shell_sees_it(tmp_path: Path) -> None:
    code = "import os, sys; print(sys.stdin.read().strip(), os.environ['ALARM_TEXT'], sys.argv[1])"
    said = deliver(command(sys.executable, "-c", code, "$(id);"), MESSAGE, tmp_path)
    assert said == f"{BODY.decode()} one\\ntwo\\x1b[2J\\x00 $(id);"


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    code = "import sys; print('no line to the pager'); sys.exit(7)"
    with pytest.raises(NotifyError, match="ended with status 7: no line to the pager"):
        deliver(command(sys.executable, "-c", code), MESSAGE, tmp_path)
    with pytest.raises(NotifyError, match="No such file"):
        deliver(command("/nonexistent/pager"), MESSAGE, tmp_path)


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid_file}; wait"
    with pytest.raises(NotifyError, match="not done within 2000 ms"):
        deliver(command("sh", "-c", script, timeout_ms=2000), MESSAGE, tmp_path)
    end = time.monotonic() + 60
    while runs(pid_file.read_text().strip()):
        assert time.monotonic() < end
        time.sleep(0.002)


def runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX"
    except OSError:
        return False


def test_a_webhook_is_posted_over_tls_and_signed(
    tmp_path: Path, certificates: Certificates, closing: list[Any]
) -> None:
    hook = Hook(certificates.context)
    closing.append(hook)
    config = NotifierConfig(
        name="n", kind="webhook", url=f"https://localhost:{hook.port}/x?y=1", ca_file=str(certificates.ca_file),
        secret=secret(tmp_path, "between us"),
    )  # fmt: skip
    assert deliver(config, MESSAGE, tmp_path) == "200 ok"
    ((headers, body),) = hook.got
    assert (body, headers["Content-Type"]) == (BODY, "application/json")
    stamp, mac = (part.partition("=")[2] for part in headers[SIGNATURE].split(","))
    assert mac == hmac.new(b"between us", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def test_a_webhook_whose_certificate_nobody_vouches_for_is_given_nothing(
    tmp_path: Path, certificates: Certificates, closing: list[Any]
) -> None:
    hook = Hook(certificates.context)
    closing.append(hook)
    config = NotifierConfig(name="n", kind="webhook", url=f"https://localhost:{hook.port}/")
    with pytest.raises(NotifyError, match="TLS"):
        deliver(config, MESSAGE, tmp_path)
    assert hook.got == []


@pytest.mark.parametrize("status", [302, 404, 500])
def test_only_a_2xx_counts_as_arrived(tmp_path: Path, closing: list[Any], status: int) -> None:
    hook = Hook()
    closing.append(hook)
    hook.status = status
    config = NotifierConfig(name="n", kind="webhook", url=f"http://127.0.0.1:{hook.port}/")
    with pytest.raises(NotifyError, match=f"answered {status}"):
        deliver(config, MESSAGE, tmp_path)


def test_a_webhook_that_drips_its_answer_ends_with_the_time_limit(tmp_path: Path, closing: list[Any]) -> None:
    hook = Hook()
    closing.append(hook)
    hook.drip = True  # a byte every 50 ms: no time-out of a single read would ever end it
    config = NotifierConfig(name="n", kind="webhook", url=f"http://127.0.0.1:{hook.port}/", timeout_ms=2000)
    with pytest.raises(NotifyError, match="no answer within 2000 ms"):
        deliver(config, MESSAGE, tmp_path)


def email(mail: Mail, certificates: Certificates, tls: str, **more: Any) -> NotifierConfig:
    return NotifierConfig(
        name="n", kind="email", smtp=f"localhost:{mail.port}", smtp_tls=tls, ca_file=str(certificates.ca_file),  # type: ignore[arg-type]
        sender="desk@example.net", recipients=["one@example.net", "two@example.net"], **more,
    )  # fmt: skip


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_mail_goes_out_over_tls_with_a_login(
    tmp_path: Path, certificates: Certificates, closing: list[Any], tls: str
) -> None:
    mail = Mail(certificates.context, tls=tls == "tls")
    closing.append(mail)
    login = {"username": secret(tmp_path, "desk"), "password": secret(tmp_path, "pass")}
    assert deliver(email(mail, certificates, tls, **login), MESSAGE, tmp_path) == "taken by localhost for 2 of 2"
    ((_, recipients, got),) = mail.got
    assert recipients == ["one@example.net", "two@example.net"]
    assert got["Subject"] == MESSAGE.subject
    body = got.get_body()
    assert body is not None
    assert body.get_content().splitlines() == ["gate closed"]
    (attachment,) = got.iter_attachments()
    assert attachment.get_content() == BODY
    assert mail.logins


def test_a_recipient_that_is_refused_is_named_and_the_others_are_told(
    tmp_path: Path, certificates: Certificates, closing: list[Any]
) -> None:
    mail = Mail(certificates.context)
    closing.append(mail)
    mail.refuse = {"two@example.net"}
    said = deliver(email(mail, certificates, "starttls"), MESSAGE, tmp_path)
    assert said == "taken by localhost for 1 of 2; REFUSED: two@example.net"
    mail.refuse = {"one@example.net", "two@example.net"}
    with pytest.raises(NotifyError, match="refused recipients"):
        deliver(email(mail, certificates, "starttls"), MESSAGE, tmp_path)


def test_a_mail_server_without_starttls_is_given_nothing(
    tmp_path: Path, certificates: Certificates, closing: list[Any]
) -> None:
    mail = Mail()
    closing.append(mail)
    with pytest.raises(NotifyError, match="STARTTLS"):
        deliver(email(mail, certificates, "starttls"), MESSAGE, tmp_path)
    assert mail.got == []


def test_a_mail_server_that_never_greets_ends_with_the_time_limit(
    tmp_path: Path, certificates: Certificates, closing: list[Any]
) -> None:
    mail = Mail(silent=True)
    closing.append(mail)
    with pytest.raises(NotifyError, match="no answer within 2000 ms"):
        deliver(email(mail, certificates, "none", timeout_ms=2000), MESSAGE, tmp_path)


def test_a_secret_that_is_missing_is_a_failure_that_does_not_name_it(tmp_path: Path) -> None:
    os.environ.pop("NO_SUCH_SECRET", None)
    config = NotifierConfig(name="n", kind="webhook", url="http://127.0.0.1:1/", secret="env:NO_SUCH_SECRET")
    with pytest.raises(NotifyError, match="NO_SUCH_SECRET is not set"):
        deliver(config, MESSAGE, tmp_path)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no argv": ({"kind": "command"}, r"notifiers\[0\]\.command"),
    "plain http": ({"kind": "webhook", "url": "http://example.net/x"}, r"\.url: http goes to this host alone"),
    "password in url": ({"kind": "webhook", "url": "https://a:b@example.net/"}, "must not carry a password"),
    "no url": ({"kind": "webhook"}, r"\.url"),
    "no port": ({"kind": "email", "smtp": "mail.example.net"}, r"\.smtp"),
    "plain smtp": ({"kind": "email", "smtp": "mail.example.net:25", "smtp_tls": "none"}, r"\.smtp_tls"),
    "nobody": ({"kind": "email", "smtp": "mail.example.net:587", "sender": "a@b.net"}, r"\.recipients: nobody"),
    "header": (
        {"kind": "email", "smtp": "m.net:587", "sender": "a@b.net\nBcc: c@d.net", "recipients": ["a@b.net"]},
        r"\.sender",
    ),
    "half a login": (
        {"kind": "email", "smtp": "m.net:587", "sender": "a@b.net", "recipients": ["a@b.net"], "username": "env:U"},
        "go together",
    ),
    "another kind's key": ({"kind": "command", "command": ["cat"], "url": "https://x.net/"}, r"\.url: a notifier of"),
    "nobody at once": ({"kind": "command", "command": ["cat"], "level": 1}, "none has level 0"),
    "time-out": ({"kind": "command", "command": ["cat"], "timeout_ms": 0}, r"timeout_ms: 0 is below 1"),
    "name": ({"kind": "command", "command": ["cat"], "name": "a b"}, r"\.name: 'a b' is not a name"),
}


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_a_setting_that_no_notifier_could_work_with_is_named_with_its_path(case: str) -> None:
    settings, said = WRONG[case]
    config = AlarmsConfig(notifiers=[NotifierConfig(**{"name": "n", **settings})])
    with pytest.raises(ConfigError, match=said):
        check_alarms(config, "desk.toml: alarms")


def test_two_notifiers_of_a_name_are_refused() -> None:
    config = AlarmsConfig(notifiers=[command("cat"), command("cat")])
    with pytest.raises(ConfigError, match="also that of"):
        check_alarms(config, "desk.toml: alarms")


def test_a_time_out_that_the_mail_library_hides_is_a_time_out(
    tmp_path: Path, certificates: Certificates, closing: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = Mail(silent=True)
    closing.append(mail)
    monkeypatch.setattr("base.notify.threading.Timer.start", lambda timer: None)  # the socket's own time ends first
    monkeypatch.setattr("base.notify.threading.Timer.cancel", lambda timer: None)
    with pytest.raises(NotifyError, match="no answer within 500 ms"):
        deliver(email(mail, certificates, "none", timeout_ms=500), MESSAGE, tmp_path)
