"""Proves that nothing is lost: it makes faults under load and holds every answer against what clients wrote down.

Three client processes register, log in, step up, end sessions, change passwords and second factors, try used codes,
tickets and proofs again, and verify tokens, live and ended. Each writes a journal: every request before it is sent,
every answer when it came. Meanwhile the fault of a row is made again and again. Afterwards all sessions and
credentials are looked at once more, and the journals are judged. What the table says, a row for a fault:

faults          how often it was made
operations      requests that were sent
acknowledged    those that were answered with success
lost            of these, what was not there afterwards: a session that nobody ended and that is refused, a new password
                that is not right, a used code that is not used, a ticket or proof that is unknown
resurrected     sessions that said yes after their end was acknowledged, or after any no
wrong answers   no to a live session, somebody else's identity, a used ticket or a proof of another session accepted, a
                status or body that the description does not have, 503 without Retry-After, an answer later than
                ANSWER_WITHIN_S, none at all from a live gunicorn
slowest         the longest that anybody waited for an answer
seconds until   from the fault to the first write and the first check of a token that succeeded with none failing in the
back            two seconds after
after Redis     the same from the moment in which Redis could be reached again, or another server first took a write

An operation that was answered by 503, or not at all, may have happened or not, and may still happen for LATE_S: either
is right, but once seen it must stay.
"""

import argparse
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from scripts.faults.rows import FORGETFUL, ROWS
from scripts.faults.runner import run, told
from scripts.faults.table import table


def main() -> None:
    rows = {row.name: row for row in [*ROWS, FORGETFUL]}
    parser = argparse.ArgumentParser(prog="scripts/chaos")
    parser.add_argument("--minutes", type=float, default=11, help="of load, shared among the rows")
    parser.add_argument("--rows", nargs="+", choices=rows, default=[row.name for row in ROWS], metavar="ROW")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which ends all that was started, as Ctrl-C does
    folder = Path(tempfile.mkdtemp(prefix="keyrack-chaos-"))
    print(f"seed {asked.seed}, rows {', '.join(asked.rows)}", flush=True)
    results = []
    for name in asked.rows:
        result = run(rows[name], asked.minutes * 60 / len(asked.rows), asked.seed, folder)
        results.append(result)
        print(f"{name}: {len(result.faults)} faults, {'good' if result.is_good else 'not good'}", flush=True)
        if result.findings:
            print(told(result.findings), flush=True)
    print(f"\n{table(results)}")
    if any(result.findings for result in results):
        print(f"\njournals and logs are in {folder}")
    else:
        shutil.rmtree(folder)
    raise SystemExit(0 if all(result.is_good for result in results) else 1)


if __name__ == "__main__":
    main()
