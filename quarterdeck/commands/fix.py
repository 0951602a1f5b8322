"""`qd fix acceptor`: an echoing FIX acceptor; `qd fix scenarios`: the session layer held against its scripts."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", required=True)
    acceptor = verbs.add_parser("acceptor", help="a FIX acceptor that echoes orders, security definitions and Emails")
    acceptor.add_argument("--version", required=True, choices=("4.2", "4.4", "5.0sp2"), help="of FIX")
    acceptor.add_argument("--port", type=int, default=0, help="0: any free one; the line printed says which")
    acceptor.add_argument("--host", default="127.0.0.1", help="address to listen at")
    acceptor.add_argument("--plain", action="store_true", help="without TLS (loopback only)")
    acceptor.add_argument("--cert", default="", help="PEM certificate; a throwaway one unless given")
    acceptor.add_argument("--key", default="", help="PEM key of --cert")
    acceptor.add_argument("--sender", required=True, help="our SenderCompID")
    acceptor.add_argument("--target", required=True, help="the peer's SenderCompID")
    acceptor.add_argument("--reset-on-logon", action="store_true", help="numbers begin at 1 at each logon")
    acceptor.add_argument("--dictionary", default="", help="QuickFIX XML; our own for the version unless given")
    acceptor.add_argument("--transport-dictionary", default="", help="QuickFIX XML of FIXT.1.1, for 5.0sp2")
    acceptor.add_argument(
        "--validation", default="reject", choices=("off", "defects", "reject"), help="as a session's `validate`"
    )
    acceptor.add_argument("--store", default="", help="folder that keeps numbers and messages over restarts")
    scenarios = verbs.add_parser("scenarios", help="play the scenario scripts; passed and total per version and role")
    scenarios.add_argument(
        "--version", default="", choices=("", "4.2", "4.4", "5.0sp2"), help="of that version of FIX alone"
    )
    scenarios.add_argument("--role", default="", choices=("", "acceptor", "initiator"), help="of that role alone")
    scenarios.add_argument("--number", default="", help="only the scenarios whose number begins so")
    scenarios.add_argument("--verbose", action="store_true", help="every scenario with its rule")
    scenarios.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal, or play scenarios: exit status 1 when one failed."""
    if args.what == "acceptor":
        from quarterdeck.fix_acceptor import Acceptor, AcceptorOptions

        given = {key: value for key, value in vars(args).items() if key not in ("verb", "what")}
        Acceptor(AcceptorOptions(**given)).run()
        return 0
    from fix.scenarios.report import report

    return report(args.version, args.role, args.number, args.verbose, args.json)
