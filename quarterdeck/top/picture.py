"""A frame as a picture file (SVG): for documents."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from base.errors import CommandError


def picture(path: str, lines: Sequence[Text], width: int, title: str) -> None:
    """Write it; CommandError when that cannot be done."""
    console = Console(width=width, file=io.StringIO(), record=True, force_terminal=True, color_system="truecolor",
                      no_color=False)  # fmt: skip
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    # Without the fonts that rich has a viewer fetch from elsewhere: the host's own monospace one does.
    text = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title=title), flags=re.DOTALL)
    try:
        Path(path).write_text(text)
    except OSError as e:
        raise CommandError(f"{path}: {e.strerror}") from None
