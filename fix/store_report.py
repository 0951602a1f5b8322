"""What a message store on disk says, read without touching it, past damage where there is some."""

import struct
from dataclasses import dataclass

import msgspec

from base.segment_check import LogReport, whole_records
from base.segment_file import Record
from fix._store import NEXT_IN, NEXT_OUT, SENT
from fix.file_store import BEHIND, SEQ, STATE, State


@dataclass
class StoreReport:
    """Numbers as far as the files tell: with damage they are the best there is, and may be too low."""

    epoch: int = 0
    created_ns: int = 0
    next_out: int = 0
    next_in: int = 0
    messages: int = 0  # of the present numbering that are kept
    first_message: int = 0  # the oldest of them; 0: none
    may_be_behind: bool = False
    nonsense: str = ""  # a record that is whole and makes no sense, with file and offset


def read_report(log: LogReport) -> StoreReport:
    """Replay every whole record; what damage hides of the numbers, the next record and the next file tell again."""
    report = StoreReport()
    for file in log.files:
        for found in whole_records(file):
            try:
                _apply(report, found.record)
            except (struct.error, msgspec.MsgspecError) as error:
                report.nonsense = report.nonsense or f"{file.path}: offset {found.offset}: {error}"
    return report


def _apply(report: StoreReport, record: Record) -> None:
    if record.type == STATE:
        _take(report, msgspec.msgpack.decode(record.payload, type=State))
    elif record.type == SENT:
        (seq,) = SEQ.unpack_from(record.payload)
        report.first_message = report.first_message or seq
        report.messages += 1
        report.next_out = seq + 1
    elif record.type == NEXT_IN:
        (report.next_in,) = SEQ.unpack(record.payload)
    elif record.type == NEXT_OUT:
        (report.next_out,) = SEQ.unpack(record.payload)


def _take(report: StoreReport, state: State) -> None:
    if state.epoch != report.epoch:
        report.messages = report.first_message = 0
    report.epoch, report.created_ns = state.epoch, state.created_ns
    report.next_out, report.next_in = state.next_out, state.next_in
    report.may_be_behind = BEHIND in state.meta
