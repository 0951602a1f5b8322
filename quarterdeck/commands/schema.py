"""`qd schema`: the events and commands of the wire as JSON Schema, or as the page docs/schema.md."""

import argparse
import json
import sys

from ipc.schema import json_schema, page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="the page docs/schema.md in place of JSON Schema")


def run(args: argparse.Namespace) -> int:
    sys.stdout.write(page() if args.markdown else json.dumps(json_schema(), indent=2) + "\n")
    return 0
