"""File systems of a test's own: a mount namespace that needs no privilege, where the kernel lets us have one."""

import shutil
import subprocess
from pathlib import Path

OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"]


def may_mount(folder: Path) -> bool:
    """Whether a command begun with OWN_MOUNTS may mount a tmpfs."""
    if shutil.which("unshare") is None:
        return False
    command = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
