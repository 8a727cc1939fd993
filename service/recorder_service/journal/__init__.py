"""The node's write-ahead log: what is acknowledged is in here first.

One directory, one writer thread, one fdatasync per group of entries. Entries are bytes; what they mean is the
sessions' affair.
"""

from recorder_service.journal.groups import MAX_KIND
from recorder_service.journal.journal import Journal
from recorder_service.journal.replay import Entry, Hole
from recorder_service.journal.report import Damage, RecoveredRecording, Recovery
from recorder_service.journal.settings import JournalSettings
from recorder_service.journal.writer import JournalState, JournalStats

__all__ = [
    "MAX_KIND",
    "Damage",
    "Entry",
    "Hole",
    "Journal",
    "JournalSettings",
    "JournalState",
    "JournalStats",
    "RecoveredRecording",
    "Recovery",
]
