"""`flask deliver-mail`: what is run beside the service."""

import signal
import sys
import threading

import click
from flask.cli import with_appcontext

from app.cli.terminal import RedisAway, Unusable
from app.stores.connection.connect import StoreError
from app.watch import logs
from app.web.services import services


@click.command("deliver-mail")
@click.option("--once", is_flag=True, help="Deliver what is due now, and end.")
@click.option("--retry-dead", is_flag=True, help="First queue again what was given up and is still kept.")
@with_appcontext
def deliver_mail(*, once: bool, retry_dead: bool) -> None:
    """Deliver mails until SIGTERM or SIGINT; the one under way is finished. Any number of these can run."""
    delivery = services().delivery
    if delivery is None:
        raise Unusable("mails are off; set SMTP_URL, MAIL_FROM and PUBLIC_URL")
    logs.configure(services().settings, sys.stderr)
    if retry_dead:
        try:
            click.echo(f"{delivery.retry_dead()} mails that were given up are queued again.", err=True)
        except StoreError as error:
            raise RedisAway(f"Redis is away: {type(error).__name__}") from None
    stop = _when_told_to_stop()
    if not once:
        delivery.run(stop)
    elif not delivery.deliver_due(stop):
        raise click.ClickException("not all that is due was delivered")


def _when_told_to_stop() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # From a thread: a handler interrupts this one, which may hold the event's own lock.
        signal.signal(number, lambda *_: threading.Thread(target=stop.set).start())
    return stop
