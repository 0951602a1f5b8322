"""What a journal on disk says, read without touching it, past damage where there is some."""

from dataclasses import dataclass, field

from base.errors import BusError
from base.segment_check import LogReport, whole_records
from base.segment_file import Found
from ipc import frames
from ipc.journal_index import FRAME, ORDER_ID, TOLD, WRITTEN, read_order_id
from ipc.journal_restart import read_names, read_written


@dataclass
class TopicReport:
    """One topic: events kept, and the latest epoch with its numbers."""

    events: int = 0
    epochs: int = 0
    epoch: int = 0
    first_seq: int = 0
    last_seq: int = 0


@dataclass
class JournalReport:
    """Topics, commands with the times (UTC ns) of the oldest and the latest, and where a restart begins to read."""

    topics: dict[str, TopicReport] = field(default_factory=dict)
    commands: int = 0
    first_command_ns: int = 0
    last_command_ns: int = 0
    restart_file: int = 0  # the file in which the newest complete writing began; 0: there is none
    nonsense: str = ""  # a record that is whole and makes no sense, with file and offset


def read_report(log: LogReport) -> JournalReport:
    """Read every whole record."""
    report = JournalReport()
    oldest = log.files[0].number if log.files else 0
    for file in log.files:
        for found in whole_records(file):
            try:
                _apply(report, found, oldest)
            except BusError as error:
                report.nonsense = report.nonsense or f"{file.path}: offset {found.offset}: {error}"
    return report


def _apply(report: JournalReport, found: Found, oldest: int) -> None:
    record = found.record
    if record.type == FRAME:
        _frame(report, record.payload)
    elif record.type == ORDER_ID:
        report.last_command_ns = read_order_id(record).wall_ns
        report.first_command_ns = report.first_command_ns or report.last_command_ns
        report.commands += 1
    elif record.type == TOLD:
        read_names(record)
    elif record.type == WRITTEN and (began := read_written(record)) >= oldest:
        report.restart_file = began


def _frame(report: JournalReport, data: bytes) -> None:
    head = frames.read_header(data)
    topic = report.topics.setdefault(head.topic, TopicReport())
    if head.epoch != topic.epoch:
        topic.epochs += 1
        topic.epoch, topic.first_seq = head.epoch, head.first_seq
    topic.events += head.n_events
    topic.last_seq = head.first_seq + head.n_events - 1
