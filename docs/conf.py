"""The documentation site: every page below docs/ and the README's pictures (`make docs`)."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

project = "Quarterdeck"
author = "the Quarterdeck developers"
release = version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"Quarterdeck {release}"
html_show_copyright = False
nitpicky = True
