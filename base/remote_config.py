"""[remote] of the configuration: the forwarder, which serves clients on other hosts."""

from pathlib import Path

import msgspec

from base.errors import ConfigError


class RemoteConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """[remote]: without this section the desk has no forwarder, and nobody on another host reaches it."""

    host: str  # address to listen on; "0.0.0.0" = every interface
    port: int = 8711  # commands, and where a client begins; 0 = any free one, said in run_dir/forwarder.json
    events_port: int = 8712  # 0 = any free one
    keys: str = "keys"  # folder of server.key and clients/ (`qd keys`), below data_dir unless absolute
    max_connections: int = 64  # to each of the two ports; then nobody else can connect until one has gone
    commands_per_s: int = 100  # of one key: new orders, replaces, status requests
    cancels_per_s: int = 500  # of one key: an allowance of their own, which orders cannot use up
    max_ttl_ms: int = 10_000  # a new order's deadline may be so far ahead, and has to be given
    queue_frames: int = 10_000  # that wait for one client before it has a gap
    heartbeat_ms: int = 1_000  # a peer that does not answer three in a row is gone
    handshake_ms: int = 5_000  # after that, who has not shown a key is hung up on


_LEAST = {
    "max_connections": 2, "commands_per_s": 1, "cancels_per_s": 1, "max_ttl_ms": 100, "queue_frames": 100,
    "heartbeat_ms": 100, "handshake_ms": 100,
}  # fmt: skip


def check_remote(remote: RemoteConfig, path: str) -> None:
    """ConfigError, naming the key's path, for a setting that no forwarder could work with."""
    if not remote.host or any(c in remote.host for c in "/ *"):
        raise ConfigError(f'{path}.host: {remote.host!r} is no address to listen on; expected one, or "0.0.0.0"')
    for key in ("port", "events_port"):
        port: int = getattr(remote, key)
        if not 0 <= port <= 65_535:
            raise ConfigError(f"{path}.{key}: {port} is not within 0 to 65535")
    if remote.port and remote.port == remote.events_port:
        raise ConfigError(f"{path}.events_port: {remote.events_port} is also that of port; expected another one")
    for key, least in _LEAST.items():
        value: int = getattr(remote, key)
        if value < least:
            raise ConfigError(f"{path}.{key}: {value} is below {least}")
    if not remote.keys or ".." in Path(remote.keys).parts:
        raise ConfigError(f"{path}.keys: {remote.keys!r} is no folder below data_dir, and no absolute one")
