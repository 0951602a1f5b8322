"""Where the alarms process keeps what it knows, below data_dir/alarms: the standing alarms, and a history of all.

The history is an audit trail as the kill switch's (ipc/audit.py).
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = "alarms"
STATE: Final = "standing.json"
HISTORY: Final = "history"
SCHEMA: Final = 1
SEVERITIES: Final = ("warning", "critical")  # of alarms, by rank
Key = tuple[str, str, str]


def alarm_folder(data_dir: Path) -> Path:
    """The folder of the alarms process."""
    return data_dir / FOLDER


class Alarm(msgspec.Struct, forbid_unknown_fields=True):
    """One alarm. `*_ns` are UTC; 0 = not yet."""

    number: int
    source: str
    code: str
    subject: str
    severity: str
    text: str  # of the latest alert
    first_ns: int
    last_ns: int
    count: int = 1
    level: int = 0
    told: list[str] = []  # notifiers that delivered it
    sent_ns: int = 0  # the last of these deliveries
    acked_by: str = ""
    ack_note: str = ""
    acked_ns: int = 0
    over_ns: int = 0
    over_text: str = ""
    mark: int = 0  # the furthest since it was raised, or raised again

    @property
    def key(self) -> Key:
        return self.source, self.code, self.subject


class Stored(msgspec.Struct, forbid_unknown_fields=True):
    """What survives a restart."""

    schema: int
    next_number: int
    alarms: list[Alarm]
    places: dict[str, tuple[int, int]]


def encode_stored(stored: Stored) -> bytes:
    """One line of JSON and a line with its SHA-256."""
    body = msgspec.json.encode(stored)
    return body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n"


def decode_stored(data: bytes) -> Stored | str:
    """What `encode` made, or why it cannot be believed. Never raises for what the file holds."""
    body, _, rest = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != rest.strip():
        return "it contradicts its checksum"
    try:
        stored = msgspec.json.decode(body, type=Stored)
    except msgspec.DecodeError as e:
        return f"it cannot be read: {e}"
    if stored.schema != SCHEMA or any(a.severity not in SEVERITIES for a in stored.alarms):
        return f"it has schema {stored.schema}, or a severity that there is not"
    return stored
