"""Where the alarms process keeps what it knows, below data_dir/alarms: the standing alarms, and a history of all.

The history is an audit trail as the kill switch's (ipc/audit.py).
"""

from pathlib import Path
from typing import Final

FOLDER: Final = "alarms"
STATE: Final = "standing.json"
HISTORY: Final = "history"


def alarm_folder(data_dir: Path) -> Path:
    """The folder of the alarms process."""
    return data_dir / FOLDER
