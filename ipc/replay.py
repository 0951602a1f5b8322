"""Replays: chunks of a publisher's journalled frames as answers to ReplayRequests. The asker keeps the place."""

from base.errors import BusError
from ipc.bus import Publisher
from ipc.events import Marker
from ipc.requests import ReplayChunk, ReplayRequest


def replay_chunk(publisher: Publisher, request: ReplayRequest) -> ReplayChunk:
    """The next frames of a journalled topic from where `request` says. BusError for a topic without a journal."""
    journal = publisher.journal(request.topic)
    if journal is None:
        raise BusError(f"topic {request.topic!r}: not journalled by this process")
    found = journal.chunk(request.topic, request.epoch, request.from_seq)
    if found.more:
        return ReplayChunk(found.frames, found.truncated)
    marker = Marker(request.command_id, "replay", publisher.next_seq(request.topic))
    return ReplayChunk(found.frames, found.truncated, marker, publisher.epoch)
