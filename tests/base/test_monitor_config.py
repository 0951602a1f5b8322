"""[monitor]: what is not safe, or cannot be, is refused with its key."""

import msgspec
import pytest

from base.errors import ConfigError
from base.monitor_config import MonitorConfig, check_monitor


def check(**keys: object) -> None:
    check_monitor(msgspec.convert(keys, MonitorConfig), "desk.toml: monitor")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_this_host_alone_needs_no_certificate(host: str) -> None:
    check(host=host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.5", "::", "desk.example", "127.0.0.1.example"])
def test_what_can_be_reached_from_elsewhere_needs_one(host: str) -> None:
    with pytest.raises(ConfigError, match=r"monitor\.host: .*tls_cert and tls_key are needed"):
        check(host=host)
    check(host=host, tls_cert="c.pem", tls_key="k.pem")


@pytest.mark.parametrize(
    ("keys", "named"),
    [({"port": 65_536}, "port"), ({"port": -1}, "port"), ({"tls_cert": "c.pem"}, "tls_key"), ({"host": "a b"}, "host"),
     ({"host": "*"}, "host"), ({"allowed_hosts": ["ok.example", "x:80"]}, r"allowed_hosts\[1\]"),
     ({"session_idle_s": 0}, "session_idle_s"), ({"max_viewers": 0}, "max_viewers"), ({"slow_viewer_s": 0}, "slow"),
     ({"operators": "my secret"}, "operators")],
    ids=["port", "negative", "half", "host", "wildcard", "name", "idle", "viewers", "slow", "inline"],
)  # fmt: skip
def test_each_wrong_value_is_named(keys: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as e:
        check(**keys)
    assert "my secret" not in str(e.value)
