"""The wire samples of the venues' public documentation, read from the data beside the project, never copied into it."""

import os
from pathlib import Path
from typing import NamedTuple

import pytest

FOLDER = Path(os.environ.get("QUARTERDECK_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")) / "fix"


class Sample(NamedTuple):
    """One message: its title in the file, who sent it, and its bytes with length and checksum made right."""

    title: str
    direction: str
    fields: tuple[tuple[int, str], ...]
    raw: bytes

    def get(self, tag: int) -> str:
        return next((v for t, v in self.fields if t == tag), "")

    @property
    def body(self) -> list[tuple[int, str]]:
        """Fields of the body, without header and trailer."""
        return [(t, v) for t, v in self.fields if t not in (8, 9, 35, 34, 49, 56, 52, 25000, 10)]


def samples(venue: str) -> list[Sample]:
    """All samples of a venue, in the order of the file."""
    path = FOLDER / f"{venue}.fix"
    if not path.exists():
        pytest.skip(f"no wire samples at {path}", allow_module_level=True)
    found, title = [], ""
    for line in path.read_text().splitlines():
        if line.startswith("# ") and " http" in line:
            title = line[2:]
        elif line.startswith("8="):
            found.append(_sample(title, line))
    return found


class Frame(NamedTuple):
    """One frame of a WebSocket sample: its title in the file, who sent it, its text as published."""

    title: str
    direction: str
    text: str


def frames(venue: str) -> list[Frame]:
    """All WebSocket samples of a venue, in the order of the file."""
    path = FOLDER.parent / "ws" / f"{venue}.txt"
    if not path.exists():
        pytest.skip(f"no wire samples at {path}", allow_module_level=True)
    found, title = [], ""
    for line in path.read_text().splitlines():
        if line.startswith("# ") and " http" in line:
            title = line[2:].partition(" http")[0].rstrip()
        elif line and not line.startswith("#"):
            direction = "out" if title.endswith(" out") else "in"
            found.append(Frame(title.removesuffix(f" {direction}"), direction, line))
    return found


def _sample(title: str, line: str) -> Sample:
    name, _, _ = title.partition(" http")
    text = name.rstrip()
    direction = "out" if text.endswith(" out") else "in"
    pairs = [p.partition("=") for p in line.strip().strip("|").split("|")]
    fields = tuple((int(t), v) for t, _, v in pairs)
    body = b"".join(f"{t}={v}\x01".encode() for t, v in fields if t not in (8, 9, 10))
    padded = next((v for t, v in fields if t == 9), "").startswith("0")
    length = f"{len(body):07}" if padded else str(len(body))
    begin = next((v for t, v in fields if t == 8), "FIX.4.4")
    head = f"8={begin}\x019={length}\x01".encode() + body
    return Sample(text.removesuffix(f" {direction}"), direction, fields, head + f"10={sum(head) % 256:03}\x01".encode())
