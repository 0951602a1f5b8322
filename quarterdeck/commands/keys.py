"""`qd keys`: who may connect from other hosts, and as what. Secret halves go into files of mode 0600, not on a screen.

`own` is for the client's host: its secret half then never leaves it, and `allow` takes the public one. `client` makes
both at once, and a file to be carried over.
"""

import argparse
import shlex
import sys
from pathlib import Path

from base.config import DeskConfig, load
from base.errors import ConfigError
from ipc.remote_keys import (
    CLIENTS,
    KEY_SUFFIX,
    SERVER_FILE,
    Allowed,
    ClientKey,
    Ring,
    Role,
    ServerKey,
    check_key_name,
    check_public,
    new_pair,
    read_client,
    read_server,
    write_new,
)

ACTIONS = {
    "server": "make the forwarder's own key",
    "client": "make NAME's key with --role, and the file to carry to his host (--out)",
    "own": "on a client's host: make a key of one's own for the forwarder with --server KEY; prints the public half",
    "allow": "let NAME in, whose public half is --public, with --role",
    "revoke": "let NAME in no more, at once",
    "list": "who is let in, as what",
    "show": "public halves: the forwarder's, NAME's, or that of a --file",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="; ".join(f"{k}: {v}" for k, v in ACTIONS.items()))
    parser.add_argument("name", nargs="?", default="", help="whose key; it is what the audit trail calls its holder")
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")
    parser.add_argument("--role", choices=[str(r) for r in Role], default="", help="what the key may do")
    parser.add_argument("--strategies", nargs="+", default=[], help="orders of these alone (traders)")
    parser.add_argument("--out", default="", metavar="FILE", help="client, own: where the key goes; default NAME.key")
    parser.add_argument("--public", default="", metavar="KEY", help="allow: the client's public half")
    parser.add_argument("--server", default="", metavar="KEY", help="own: the forwarder's public half")
    parser.add_argument("--file", default="", help="show: a client's key file")


def run(args: argparse.Namespace) -> int:
    """Exit status 0: done. An error names the file, and nothing was written."""
    if args.action == "own":
        return _own(args)
    if args.action == "show" and args.file:
        return _print(read_client(Path(args.file)).public)
    desk = load(args.config)
    folder = _folder(desk)
    actions = {"server": _server, "client": _client, "allow": _allow, "revoke": _revoke, "list": _list, "show": _show}
    return actions[args.action](folder, args)


def _folder(desk: DeskConfig) -> Path:
    if desk.config.remote is None:
        raise ConfigError(f'{desk.path}: remote: no such section; docs/remote.md has one ([remote] host = "...")')
    return desk.data_dir / desk.config.remote.keys


def _server(folder: Path, _: argparse.Namespace) -> int:
    public, secret = new_pair()
    write_new(folder / SERVER_FILE, ServerKey(public, secret))
    return _print(public)


def _client(folder: Path, args: argparse.Namespace) -> int:
    name = check_key_name(args.name)
    server, (public, secret) = read_server(folder), new_pair()
    out = Path(args.out or f"{name}{KEY_SUFFIX}")
    allowed = _allowed(args, name, public)
    write_new(out, ClientKey(name, public, secret, server.public))
    try:
        write_new(folder / CLIENTS / f"{name}.json", allowed)
    except ConfigError:
        out.unlink()  # a key that nobody lets in is of no use
        raise
    return _print(f"{name} is let in as {allowed.role}; carry {out} to his host, and delete it here")


def _allow(folder: Path, args: argparse.Namespace) -> int:
    name = check_key_name(args.name)
    allowed = _allowed(args, name, check_public(args.public, "--public"))
    ring = Ring(folder)
    ring.refresh()
    if other := ring.name_of(allowed.public):
        raise ConfigError(f"--public: it is that of {other}; two names for one key would be one client")
    write_new(folder / CLIENTS / f"{name}.json", allowed)
    return _print(f"{name} is let in as {allowed.role}")


def _allowed(args: argparse.Namespace, name: str, public: str) -> Allowed:
    if not args.role:
        raise ConfigError(f"--role: expected one of {', '.join(Role)}")
    if args.strategies and args.role == Role.READER:
        raise ConfigError("--strategies: a reader places no orders")
    return Allowed(name, Role(args.role), public, tuple(args.strategies))


def _own(args: argparse.Namespace) -> int:
    name, server = check_key_name(args.name), check_public(args.server, "--server")
    public, secret = new_pair()
    out = Path(args.out or f"{name}{KEY_SUFFIX}")
    write_new(out, ClientKey(name, public, secret, server))
    return _print(f"{out} is made; on the desk's host: qd keys allow {name} --role ROLE --public={shlex.quote(public)}")


def _revoke(folder: Path, args: argparse.Namespace) -> int:
    path = folder / CLIENTS / f"{check_key_name(args.name)}.json"
    try:
        path.unlink()
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror}") from None
    return _print(f"{args.name} is let in no more; a forwarder that runs hangs up within a second")


def _list(folder: Path, _: argparse.Namespace) -> int:
    ring = Ring(folder)
    ring.refresh()
    for key in ring.clients():
        only = f"  strategies {', '.join(key.strategies)}" if key.strategies else ""
        sys.stdout.write(f"{key.name:<24} {key.role:<9} {key.public}{only}\n")
    for fault in ring.faults.values():
        sys.stdout.write(f"LETS NOBODY IN: {fault}\n")
    return 1 if ring.faults else 0


def _show(folder: Path, args: argparse.Namespace) -> int:
    if not args.name:
        return _print(read_server(folder).public)
    ring = Ring(folder)
    ring.refresh()
    found = [key.public for key in ring.clients() if key.name == args.name]
    if not found:
        raise ConfigError(f"{folder / CLIENTS}: no key of {args.name!r}; there are {', '.join(ring.names()) or 'none'}")
    return _print(found[0])


def _print(text: str) -> int:
    sys.stdout.write(f"{text}\n")
    return 0
