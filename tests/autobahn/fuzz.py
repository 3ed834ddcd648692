# Python 2.7 (wstest's own language); run with the bin/python27 that setup.sh wrote.
"""Starts wstest on loopback, with a time limit and a report in every ending.

    fuzz.py server REPORT URL CASE...    tests the server at URL, as fuzzing client
    fuzz.py client REPORT CASE...        tests the client that connects, as fuzzing server on a free
                                         port; prints "listening at ws://127.0.0.1:PORT/" (or wss)

AUTOBAHN_PEM names a certificate and its key: the fuzzing server speaks wss with it. The fuzzing
client takes any certificate, ours is for the peers that check theirs.

CASE is a case id or a pattern ("1.*"). Writes index.json, index.html and two files per case to the
folder REPORT, and to cases.json the ids asked for. Plain wstest would bind its server to every
interface, want its port beforehand, and write no report when it is stopped.
"""
import json, os, socket, sys

from autobahntestsuite import wstest  # first: it installs the reactor
from autobahntestsuite import fuzzing
from autobahntestsuite.case import Case, Cases, CaseBasename, CaseCategories, CaseSetname, CaseSubCategories
from autobahntestsuite.caseset import CaseSet
from twisted.internet import reactor, ssl
from twisted.protocols.tls import TLSMemoryBIOFactory

AGENT = "plainws"
LIMIT_S = float(os.environ["AUTOBAHN_LIMIT_S"])
PEM = os.environ.get("AUTOBAHN_PEM")


def main(role, report, words):
    url = words.pop(0) if role == "server" else None
    spec = {
        "outdir": report,
        "cases": words,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    known = CaseSet(CaseSetname, CaseBasename, Cases, CaseCategories, CaseSubCategories)
    cases = known.parseSpecCases(spec)
    unknown = [c for c in cases if c not in known.CasesById]
    if unknown or not cases:
        sys.exit("no such case: " + " ".join(unknown or words))
    with open(os.path.join(report, "cases.json"), "w") as f:
        json.dump(cases, f)

    if role == "server":
        spec["servers"] = [{"agent": AGENT, "url": url}]
        factory = fuzzing.FuzzingClientFactory(spec)
    else:
        # Bound before wstest hears of it: it compares the port in its URL with the Host header.
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        listener.setblocking(False)
        spec["url"] = "%s://127.0.0.1:%d" % ("wss" if PEM else "ws", listener.getsockname()[1])
        factory = fuzzing.FuzzingServerFactory(spec)
        outer = factory
        if PEM:
            outer = TLSMemoryBIOFactory(ssl.DefaultOpenSSLContextFactory(PEM, PEM), False, factory)
        reactor.adoptStreamPort(listener.fileno(), socket.AF_INET, outer)

    # Every case to the log as it ends, with its time.
    log_case = factory.logCase

    def logged(result):
        log_case(result)
        print "%s: %s, close %s, %d ms" % (result["id"], result["behavior"], result["behaviorClose"], result["duration"])

    factory.logCase = logged

    # A report in every ending: the last case done, the time limit, a signal.
    create = factory.createReports
    reported = []

    def create_once(*a, **kw):
        if not reported:
            reported.append(True)
            create(*a, **kw)
            if role == "client":  # let the closing handshake of /updateReports finish
                reactor.callLater(1, lambda: reactor.running and reactor.stop())

    factory.createReports = create_once
    reactor.addSystemEventTrigger("before", "shutdown", create_once)

    def limit():
        print "stopped at the time limit of %d s" % LIMIT_S
        reactor.stop()

    reactor.callLater(LIMIT_S, limit)
    if role == "client":
        print "listening at %s/" % spec["url"]
    reactor.run()


if len(sys.argv) < 4 or sys.argv[1] not in ("server", "client"):
    sys.exit(__doc__)
main(sys.argv[1], sys.argv[2], sys.argv[3:])
