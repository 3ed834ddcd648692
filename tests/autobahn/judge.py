#!/usr/bin/env python3
"""judge.py ROLE REPORT: one line of counts of a wstest report, and what is worse than expected.

A case is FAILED where its behaviour is, where the connection was not closed as the case demands
(the report's behaviorClose), and where it was asked for and has no result. It passes if it is not
FAILED and no worse than expected.txt says. Exits 0 when all passed, 1 when not, 2 without a report.
"""
import collections
import json
import pathlib
import sys

# From best to worst. INFORMATIONAL: the case has no right answer, wstest only shows what it saw.
KINDS = ["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "FAILED"]


def expected_kinds(path):
    lines = (line.partition("#")[0].split() for line in path.read_text().splitlines())
    return {case: kind for case, kind in filter(None, lines)}


def kind_of(result):
    """The kind of a result, and why, where the behaviour alone does not tell."""
    if result is None:
        return "FAILED", "no result"
    if result["behaviorClose"] not in ("OK", "INFORMATIONAL"):
        return "FAILED", "close: " + result["behaviorClose"]
    return (result["behavior"] if result["behavior"] in KINDS else "FAILED"), ""


def main(role, report):
    expected = expected_kinds(pathlib.Path(__file__).with_name("expected.txt"))
    try:
        asked = json.loads((report / "cases.json").read_text())
        agents = json.loads((report / "index.json").read_text())
    except (OSError, ValueError) as error:
        print(f"autobahn {role}: no report: {error}")
        return 2
    results = next(iter(agents.values()), {})

    counts = collections.Counter()
    worse, better = [], []
    for case in asked:
        result = results.get(case)
        kind, why = kind_of(result)
        counts[kind] += 1
        wanted = expected.get(case, "OK")
        if kind == "FAILED" or KINDS.index(kind) > KINDS.index(wanted):
            page = report / result["reportfile"].replace(".json", ".html") if result else ""
            worse.append(f"  {case}: {kind}{why and f' ({why})'}, expected {wanted} {page}")
        elif kind != wanted:
            better.append(f"  {case}: {kind}, better than the {wanted} in expected.txt")

    kinds = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    print(f"autobahn {role}: {len(asked) - len(worse)} passed, {len(worse)} failed ({kinds})")
    for line in worse + better:
        print(line.rstrip())
    return 1 if worse else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], pathlib.Path(sys.argv[2])))
