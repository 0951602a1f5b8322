"""A script: QuickFIX (Python binding) as initiator with a file store, driven by lines on stdin, telling JSON lines.

    python quickfix_client.py CONFIG SENDER TARGET plain|tls

`new ID SIDE QTY PX`, `burst PREFIX N SIDE QTY PX`, `cancel ID ORIG`, `replace ID ORIG QTY PX`, `status ID`, `mass ID`,
`md ID`, `numbers`, `logout`.
"""

import json
import os
import sys
import time

import quickfix as qf


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
        kind = message.getHeader().getField(35)
        if kind == "A":
            message.setField(553, "user")
            message.setField(554, "word")
        elif kind == "3":
            say(event="rejected", raw=message.toString())

    def fromAdmin(self, message, session_id):
        say(event="admin", raw=message.toString())

    def toApp(self, message, session_id):
        if message.getHeader().getField(35) == "j":
            say(event="rejected", raw=message.toString())

    def fromApp(self, message, session_id):
        say(event="app", raw=message.toString())

    def send(self, kind, values, *groups):
        message = qf.Message()
        message.getHeader().setField(35, kind)
        for tag, value in values:
            message.setField(tag, str(value))
        for count, tag, value in groups:
            group = qf.Group(count, tag)
            group.setField(tag, value)
            message.addGroup(group)
        qf.Session.sendToTarget(message, self.session_id)

    def new(self, name, side, qty, px):
        self.send("D", [(11, name), (55, "BTC-USD"), (54, side), (38, qty), (40, 2), (44, px), (60, now()), (21, 1)])

    def burst(self, prefix, count, side, qty, px):
        for n in range(int(count)):
            self.new(f"{prefix}{n}", side, qty, px)

    def cancel(self, name, orig):
        self.send("F", [(11, name), (41, orig), (55, "BTC-USD"), (54, 1), (38, 1), (60, now())])

    def replace(self, name, orig, qty, px):
        body = [(11, name), (41, orig), (55, "BTC-USD"), (54, 1), (38, qty), (40, 2), (44, px), (60, now()), (21, 1)]
        self.send("G", body)

    def status(self, name):
        self.send("H", [(11, name), (55, "BTC-USD"), (54, 1)])

    def mass(self, name):
        self.send("q", [(11, name), (530, 7), (60, now())])

    def md(self, name):
        head = [(262, name), (263, 1), (264, 0), (265, 1)]
        self.send("V", head, (267, 269, "0"), (267, 269, "1"), (146, 55, "BTC-USD"))

    def numbers(self):
        session = qf.Session.lookupSession(self.session_id)
        say(event="numbers", out=session.getExpectedSenderNum(), into=session.getExpectedTargetNum())

    def logout(self):
        qf.Session.lookupSession(self.session_id).logout()


def now():
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime())


def say(**what):
    os.write(1, b"\n" + json.dumps(what).encode() + b"\n")


def main(config, sender, target, kind):
    application = Application(qf.SessionID("FIX.4.4", sender, target))
    settings = qf.SessionSettings(config)
    engine_of = qf.SSLSocketInitiator if kind == "tls" else qf.SocketInitiator
    engine = engine_of(application, qf.FileStoreFactory(settings), settings)
    engine.start()
    for line in sys.stdin:
        command, *arguments = line.split()
        getattr(application, command)(*arguments)
        say(event="done")
    os._exit(0)  # its orderly stop may crash, and nothing here is worth it


main(*sys.argv[1:])
