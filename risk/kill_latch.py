"""The latch: what of the kill switch survives restarts, as bytes.

Anything but a sound latch of this boot reads as TRIPPED.
"""

import hashlib

import msgspec

from ipc.gate import GateState

SCHEMA = 1


class LatchedScope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One scope that is not simply ARMED."""

    state: str
    generation: int
    cause: str
    reason: str
    since_ns: int
    trip_id: str


class Latch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written. `desk` is always among the scopes."""

    schema: int
    boot_id: str
    generation: int
    written_ns: int
    scopes: dict[str, LatchedScope]
    last_trip: dict[str, object] = {}


class LatchReading(msgspec.Struct, frozen=True):
    """A latch read back, or why it reads as TRIPPED. `generation` and `former` survive a change of boot."""

    latch: Latch | None
    fault: str  # "" when sound
    first: bool = False  # there never was one
    generation: int = 0
    former: Latch | None = None  # sound, but of another boot: what it says was shut is shut


def encode(latch: Latch) -> bytes:
    """One line of JSON and a line with its SHA-256."""
    body = msgspec.json.encode(latch)
    return body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n"


def decode(data: bytes | None, boot_id: str) -> LatchReading:
    """Read a latch back; `data` is None when there is no file. Never raises for what the file holds."""
    if data is None:
        return LatchReading(None, "there is no latch", first=True)
    body, _, rest = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != rest.strip():
        return LatchReading(None, "the latch contradicts its checksum")
    try:
        latch = msgspec.json.decode(body, type=Latch)
        for scope in latch.scopes.values():
            GateState[scope.state]
    except (msgspec.DecodeError, KeyError) as e:
        return LatchReading(None, f"the latch cannot be read: {e}")
    if latch.schema != SCHEMA or "desk" not in latch.scopes:
        fault = f"a latch of schema {latch.schema} with scopes {sorted(latch.scopes)}"
        return LatchReading(None, fault, generation=latch.generation)
    if latch.boot_id != boot_id:
        fault = "the latch is from another boot of this host"
        return LatchReading(None, fault, generation=latch.generation, former=latch)
    return LatchReading(latch, "", generation=latch.generation)
