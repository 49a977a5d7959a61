"""`flask deliver-events`: the process that tells other systems of events, beside the service.

What is sent to whom: app/receivers/. Looking at the queues: cli/events.py.
"""

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import click
from flask.cli import with_appcontext

from app.cli.stopping import stop_at_signals
from app.cli.sweeping import sweep_beside, sweep_once
from app.cli.terminal import Unusable
from app.jobs.bell import Bell
from app.watch import logs
from app.web.services import Services, services

log = logging.getLogger(__name__)

_THREADS = 4  # for each receiver: while one waits for an answer, the others tell of other users


@click.command("deliver-events")
@click.option("--once", is_flag=True, help="Deliver the events that are due now, and end.")
@with_appcontext
def deliver_events(*, once: bool) -> None:
    """Tell other systems of events until SIGTERM or SIGINT. What is under way is finished. Any number can run."""
    wired = services()
    if not wired.deliverings:
        raise Unusable("nobody is told of events; set WEBHOOK_URLS, BACKCHANNEL_LOGOUT_URLS or SSF_PUSH_URLS")
    logs.configure(wired.settings, sys.stderr)
    stop = stop_at_signals()
    if once:
        sweep_once(wired.outbox)
        if not _deliver_due(wired, stop):
            raise click.ClickException("not all that is due was delivered")
        return
    _run(wired, stop)


def _deliver_due(wired: Services, stop: threading.Event) -> bool:
    """Deliver what is due to each receiver. Return False if Redis or a receiver is away."""
    with ThreadPoolExecutor(len(wired.deliverings)) as pool:
        return all([*pool.map(lambda one: one.make_worker().deliver_due(stop), wired.deliverings)])


def _run(wired: Services, stop: threading.Event) -> None:
    bells = [Bell() for _ in wired.deliverings]

    def ring() -> None:
        for bell in bells:
            bell.ring()

    def end_at_stop() -> None:
        stop.wait()
        for bell in bells:
            bell.end()

    threads = [
        threading.Thread(target=one.make_worker().run, args=(stop, bell))
        for one, bell in zip(wired.deliverings, bells, strict=True)
        for _ in range(_THREADS)
    ]
    threads += [threading.Thread(target=wired.waking.listen, args=(ring, stop))]
    threads += [threading.Thread(target=end_at_stop)]
    sweep_beside(wired.outbox, stop)
    log.info("events are delivered from now on, to %s", ", ".join(one.receiver.place for one in wired.deliverings))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.info("the delivery of events has ended")
