"""A script: QuickFIX (Python binding) as initiator over TLS, driven by lines on stdin, telling JSON lines on stdout.

`new ID SIDE QTY PX`, `cancel ID ORIG`, `replace ID ORIG QTY PX`, `status ID`, `mass ID`, `md ID`, `logout`.
"""

import json
import os
import sys

import quickfix as qf

NOW = "20260101-00:00:00.000"


class Application(qf.Application):
    def __init__(self, session_id: qf.SessionID) -> None:
        super().__init__()
        self.session_id = session_id

    def onCreate(self, session_id):
        pass

    def onLogon(self, session_id):
        say(event="logon")

    def onLogout(self, session_id):
        say(event="logout")

    def toAdmin(self, message, session_id):
        if message.getHeader().getField(35) == "A":
            message.setField(553, "user")
            message.setField(554, "word")

    def fromAdmin(self, message, session_id):
        say(event="admin", raw=message.toString())

    def toApp(self, message, session_id):
        pass

    def fromApp(self, message, session_id):
        say(event="app", raw=message.toString())

    def send(self, kind, values):
        message = qf.Message()
        message.getHeader().setField(35, kind)
        for tag, value in values:
            message.setField(tag, str(value))
        qf.Session.sendToTarget(message, self.session_id)

    def new(self, name, side, qty, px):
        self.send("D", [(11, name), (55, "BTC-USD"), (54, side), (38, qty), (40, 2), (44, px), (60, NOW), (21, 1)])

    def cancel(self, name, orig):
        self.send("F", [(11, name), (41, orig), (55, "BTC-USD"), (54, 1), (38, 1), (60, NOW)])

    def replace(self, name, orig, qty, px):
        body = [(11, name), (41, orig), (55, "BTC-USD"), (54, 1), (38, qty), (40, 2), (44, px), (60, NOW), (21, 1)]
        self.send("G", body)

    def status(self, name):
        self.send("H", [(11, name), (55, "BTC-USD"), (54, 1)])

    def mass(self, name):
        self.send("q", [(11, name), (530, 7), (60, NOW)])

    def logout(self):
        qf.Session.lookupSession(self.session_id).logout()


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(config, sender, target):
    application = Application(qf.SessionID("FIX.4.4", sender, target))
    settings = qf.SessionSettings(config)
    engine = qf.SSLSocketInitiator(application, qf.MemoryStoreFactory(), settings)
    engine.start()
    for line in sys.stdin:
        command, *arguments = line.split()
        getattr(application, command)(*arguments)
    os._exit(0)  # its orderly stop may crash, and nothing here is worth it


main(*sys.argv[1:])
