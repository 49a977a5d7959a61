"""Makes faults under load, and checks that nothing is lost: every answer is compared with the journals of the clients.

Three client processes register, log in, step up, end sessions, and change passwords and second factors. They also try
used codes, tickets and proofs again, and verify tokens, live and ended. Each process writes a journal: every request
before it is sent, and every answer when it comes. Meanwhile the fault of a row is made again and again. Afterwards the
clients look at all sessions and credentials once more, and the journals are judged. The table has a row for each fault:

faults          number of times that the fault was made
operations      requests that were sent
acknowledged    requests that were answered with success
lost            acknowledged changes that were gone afterwards: a session that nobody ended and that is refused, a new
                password that is not right, a used code that is not used, a ticket or proof that is unknown
resurrected     sessions that were admitted after their end was acknowledged, or after they were refused once
wrong answers   a live session refused, another user's identity, a used ticket or a proof of another session accepted, a
                status or body that the OpenAPI document does not have, 503 without Retry-After, an answer later than
                ANSWER_WITHIN_S, no answer from a live gunicorn
half done       sessions that were opened or ended by a request that was refused by 503, in rows where such a request is
                refused before it does anything
slowest         the longest time that a client waited for an answer
seconds until   time from the fault to the first write and the first check of a token that succeeded, if none failed in
back            the two seconds after
after Redis     the same, from the time when Redis could be reached again, or another server first took a write

A request that was answered by 503, or not at all, may have had its effect or not. The effect may still come within
LATE_S. Both are right, but an effect that was seen must stay.

The rows of leases (scripts/faults/leases/) are about checks that workers answer from memory. A hundred connections ask
four workers about sessions without a pause, while these sessions are ended in all ways. Such rows have another table:

from memory     the part of the checks that workers answered from memory
late yes        sessions of which a gateway was told yes, by a check that was sent after the answer to their ending came
foreign yes     sessions of which a yes named another one
wrong no        sessions that were refused before anybody ended them

The rows of events (scripts/faults/events/) are about what other systems are told. People sign in and out, and remember
what must be told of it; two `deliver-events` tell a receiver, which writes down all that it gets. Their table:

lost            events of acknowledged sign-ins and endings that never came
out of order    events that first came after a later one of their user
two ids         events that came twice under different ids
made up         events of what nobody did
came again      how often an event came once more, with the same id and the same text, as it may
"""

import argparse
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from scripts.faults.events import runner as events
from scripts.faults.events.rows import EVENT_ROWS
from scripts.faults.leases import runner as leases
from scripts.faults.leases.rows import IMPATIENT, LEASE_ROWS
from scripts.faults.rows import FORGETFUL, ROWS
from scripts.faults.runner import run, summarize
from scripts.faults.table import table


def main() -> None:
    rows = {row.name: row for row in [*ROWS, FORGETFUL]}
    lease_rows = {row.name: row for row in [*LEASE_ROWS, IMPATIENT]}
    event_rows = {row.name: row for row in EVENT_ROWS}
    parser = argparse.ArgumentParser(prog="scripts/chaos")
    parser.add_argument(
        "--minutes", type=float, default=11, help="of load, shared among the rows that are of neither leases nor events"
    )
    parser.add_argument("--checks", type=int, default=1_000_000, help="of gateways, shared among the rows of leases")
    parser.add_argument("--events", type=int, default=100_000, help="that are told, shared among the rows of events")
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=rows | lease_rows | event_rows,
        default=[row.name for row in (*ROWS, *LEASE_ROWS, *EVENT_ROWS)],
        metavar="ROW",
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends all that was started, as Ctrl-C does
    folder = Path(tempfile.mkdtemp(prefix="keyrack-chaos-"))
    print(f"seed {asked.seed}, rows {', '.join(asked.rows)}", flush=True)
    chosen = [rows[name] for name in asked.rows if name in rows]
    results = []
    for row in chosen:
        result = run(row, asked.minutes * 60 / len(chosen), asked.seed, folder)
        results.append(result)
        print(f"{row.name}: {len(result.faults)} faults, {'good' if result.is_good else 'not good'}", flush=True)
        if result.findings:
            print(summarize(result.findings), flush=True)
    of_leases = [lease_rows[name] for name in asked.rows if name in lease_rows]
    lease_results = []
    for row in of_leases:
        result = leases.run(row, asked.checks // len(of_leases), asked.seed, folder)
        lease_results.append(result)
        print(leases.summarize(result), flush=True)
    of_events = [event_rows[name] for name in asked.rows if name in event_rows]
    event_results = []
    for row in of_events:
        result = events.run(row, asked.events // len(of_events), asked.seed, folder)
        event_results.append(result)
        print(events.summarize(result), flush=True)
    for all_of_a_kind, make in (
        (results, table),
        (lease_results, leases.table),
        (event_results, events.table),
    ):
        if all_of_a_kind:
            print(f"\n{make(all_of_a_kind)}")
    everything = [*results, *lease_results, *event_results]
    if not all(result.is_good for result in everything) or any(result.findings for result in results):
        print(f"\njournals and logs are in {folder}")
    else:
        shutil.rmtree(folder)
    raise SystemExit(0 if all(result.is_good for result in everything) else 1)


if __name__ == "__main__":
    main()
