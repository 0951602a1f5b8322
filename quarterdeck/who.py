"""Who asks: the name that stays on record with a trip, a reset, an acknowledgement."""

import getpass
import os


def who() -> str:
    """The login name, or the user's number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
