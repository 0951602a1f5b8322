"""Files of keys: who is let in is what they say, and what cannot be trusted lets nobody in."""

import os
from pathlib import Path

import pytest

from base.errors import ConfigError, SecretError
from ipc.remote_keys import Allowed, ClientKey, Ring, Role, ServerKey, new_pair, read_client, read_server, write_new
from quarterdeck.cli import main

NOW = 1_000_000_000
CONFIG = """
[desk]
name = "t"
environment = "test"
[venue.v]
dialect = "fix44"
instruments = [{ name = "BTC-USD", symbol = "BTC", px_scale = 1, qty_scale = 3 }]
[session]
[remote]
host = "127.0.0.1"
"""


def allow(folder: Path, name: str, role: Role = Role.TRADER, public: str = "") -> str:
    public = public or new_pair()[0]
    write_new(folder / "clients" / f"{name}.json", Allowed(name, role, public))
    return public


def test_who_has_a_file_is_let_in_until_it_is_gone(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    assert ring.refresh() == set()
    ann, bob = allow(tmp_path, "ann"), allow(tmp_path, "bob", Role.READER)
    assert ring.refresh() == set()
    assert ring.names() == ["ann", "bob"]
    found = ring.allowed(ann, NOW)
    assert found is not None
    assert (found.name, found.role) == ("ann", Role.TRADER)
    assert ring.allowed(new_pair()[0], NOW) is None
    (tmp_path / "clients" / "ann.json").unlink()
    assert ring.refresh() == {ann}
    assert ring.allowed(ann, NOW) is None
    assert ring.allowed(bob, NOW) is not None


def test_another_key_under_the_same_name_is_another_client(tmp_path: Path) -> None:
    ring, old = Ring(tmp_path), allow(tmp_path, "ann")
    ring.refresh()
    (tmp_path / "clients" / "ann.json").unlink()
    new = allow(tmp_path, "ann")
    assert ring.refresh() == {old}
    assert ring.allowed(old, NOW) is None
    assert ring.allowed(new, NOW) is not None


def test_a_role_that_is_changed_counts_at_once(tmp_path: Path) -> None:
    ring, public = Ring(tmp_path), allow(tmp_path, "ann", Role.OPERATOR)
    ring.refresh()
    (tmp_path / "clients" / "ann.json").unlink()
    allow(tmp_path, "ann", Role.READER, public)
    assert ring.refresh() == set()
    found = ring.allowed(public, NOW)
    assert found is not None
    assert found.role is Role.READER


def test_a_suspended_key_is_let_in_again_when_its_time_is_over(tmp_path: Path) -> None:
    ring, public = Ring(tmp_path), allow(tmp_path, "ann")
    ring.refresh()
    ring.suspend(public, NOW + 10)
    assert ring.allowed(public, NOW + 9) is None
    assert ring.allowed(public, NOW + 10) is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "truncated"),
        ('{"quarterdeck_key": "allowed", "name": "x", "role": "boss", "public": "a"}', "Invalid enum value 'boss'"),
        ('{"quarterdeck_key": "allowed", "name": "y", "role": "trader", "public": "a"}', "not that of the file"),
        ('{"quarterdeck_key": "allowed", "name": "x", "role": "trader", "public": "a"}', "is no public key"),
        ('{"quarterdeck_key": "allowed", "name": "x", "rolle": "trader", "public": "a"}', "unknown field `rolle`"),
        ('{"quarterdeck_key": "client", "name": "x", "role": "trader", "public": "a"}', "Invalid value 'client'"),
        ("\xff", "truncated|malformed|invalid"),
        ("x" * 20_000, "truncated"),
    ],
    ids=["cut", "role", "name", "public", "field", "kind", "bytes", "long"],
)
def test_a_file_that_is_wrong_lets_nobody_in_and_says_why(tmp_path: Path, text: str, says: str) -> None:
    ring, good = Ring(tmp_path), allow(tmp_path, "good")
    path = tmp_path / "clients" / "x.json"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)
    ring.refresh()
    assert ring.names() == ["good"]
    assert ring.allowed(good, NOW) is not None
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(ring.faults["x.json"])
    path.unlink()
    ring.refresh()
    assert ring.faults == {}


def test_a_file_that_others_could_write_lets_nobody_in(tmp_path: Path) -> None:
    ring, public = Ring(tmp_path), allow(tmp_path, "ann")
    (tmp_path / "clients" / "ann.json").chmod(0o620)
    ring.refresh()
    assert ring.allowed(public, NOW) is None
    assert "others than its owner could write it" in ring.faults["ann.json"]


def test_one_key_under_two_names_is_one_client(tmp_path: Path) -> None:
    ring, public = Ring(tmp_path), allow(tmp_path, "ann", Role.READER)
    allow(tmp_path, "bob", Role.OPERATOR, public)
    ring.refresh()
    assert ring.names() == ["ann"]
    assert ring.faults == {"bob.json": "has the public key of ann"}


def test_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    public, secret = new_pair()
    write_new(tmp_path / "k" / "server.key", ServerKey(public, secret))
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "k" / "server.key").stat().st_mode & 0o777 == 0o600
    assert read_server(tmp_path / "k") == ServerKey(public, secret)
    with pytest.raises(ConfigError, match="there is a key already, which is not overwritten"):
        write_new(tmp_path / "k" / "server.key", ServerKey(*new_pair()))
    assert read_server(tmp_path / "k").secret == secret
    (tmp_path / "k" / "server.key").chmod(0o640)
    with pytest.raises(SecretError, match="mode 0640 lets others read it"):
        read_server(tmp_path / "k")


def test_a_clients_key_is_a_file_or_the_only_one_of_a_folder(tmp_path: Path) -> None:
    key = ClientKey("ann", *new_pair(), new_pair()[0])
    write_new(tmp_path / "ann.key", key)
    assert read_client(tmp_path) == read_client(tmp_path / "ann.key") == key
    write_new(tmp_path / "bob.key", key)
    with pytest.raises(SecretError, match=r"2 files \*\.key; expected one"):
        read_client(tmp_path)
    (tmp_path / "bob.key").write_text(f'{{"secret": "{key.secret}"}}')
    with pytest.raises(SecretError, match=r"bob\.key: no key of this kind") as error:
        read_client(tmp_path / "bob.key")
    assert key.secret not in str(error.value)


# -- qd keys -----------------------------------------------------------------------------------------------------------


class Shell:
    """`qd keys` in a desk of its own."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (root / "config").mkdir()
        self.config = root / "config" / "desk.toml"
        self.config.write_text(CONFIG)
        self.folder = root / "data" / "keys"
        self._capsys = capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        assert main(["keys", *words, "--config", str(self.config)]) == status
        said = self._capsys.readouterr()
        return said.out + said.err


def test_the_command_makes_lists_shows_and_revokes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QD_STATE_DIR", raising=False)
    qd = Shell(tmp_path, capsys)
    assert "make one with: qd keys server" in qd("client", "ann", "--role", "trader", status=1)
    said = [qd("server"), qd("client", "ann", "--role", "trader", "--strategies", "demo")]
    server, ann = read_server(qd.folder), read_client(tmp_path / "ann.key")
    assert said[0] == f"{server.public}\n"
    assert ann.server == server.public
    assert "not overwritten" in qd("server", status=1)
    assert "not overwritten" in qd("client", "ann", "--role", "operator", status=1)
    assert "not overwritten" in qd("client", "ann", "--role", "operator", "--out", "other.key", status=1)
    assert not (tmp_path / "other.key").exists()
    said += [qd("own", "bob", f"--server={server.public}")]
    bob = read_client(tmp_path / "bob.key")
    assert "qd keys allow bob --role ROLE --public=" in said[-1]
    assert "expected one of reader, trader, operator" in qd("allow", "bob", f"--public={bob.public}", status=1)
    assert "is no public key" in qd("allow", "bob", "--public=x", "--role", "reader", status=1)
    assert "a reader places no orders" in qd(
        "allow", "bob", f"--public={bob.public}", "--role", "reader", "--strategies", "x", status=1
    )
    said += [qd("allow", "bob", f"--public={bob.public}", "--role", "reader")]
    assert "it is that of bob" in qd("allow", "bib", f"--public={bob.public}", "--role", "operator", status=1)
    said += [qd("list"), qd("show"), qd("show", "bob"), qd("show", "--file", "bob.key")]
    assert [line.split()[:3] for line in said[-4].splitlines()] == [
        ["ann", "trader", ann.public], ["bob", "reader", bob.public],
    ]  # fmt: skip
    assert said[-3:] == [f"{server.public}\n", f"{bob.public}\n", f"{bob.public}\n"]
    said += [qd("revoke", "ann")]
    assert qd("list").split()[0] == "bob"
    assert "No such file" in qd("revoke", "ann", status=1)
    for secret in (server.secret, ann.secret, bob.secret):
        assert secret not in "".join(said)
    assert {p.stat().st_mode & 0o777 for p in qd.folder.rglob("*.*")} == {0o600}
    assert {p.stat().st_mode & 0o777 for p in (qd.folder, qd.folder / "clients")} == {0o700}


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "ä", "a" * 42])
def test_a_name_that_could_be_a_path_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    qd = Shell(tmp_path, capsys)
    assert "is no name of a key" in qd("client", name, "--role", "reader", status=1)
    assert os.listdir(tmp_path) == ["config"]


def test_without_the_section_the_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    qd = Shell(tmp_path, capsys)
    qd.config.write_text(CONFIG.partition("[remote]")[0])
    assert "remote: no such section" in qd("list", status=1)
