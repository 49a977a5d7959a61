"""`flask deliver-mail`: the process that delivers mails, beside the service. The work itself: mail/delivery.py."""

import logging
import sys

import click
from flask.cli import with_appcontext

from app.cli.stopping import stop_at_signals
from app.cli.sweeping import sweep_beside, sweep_once
from app.cli.terminal import RedisAway, Unusable
from app.stores.connection.connect import StoreError
from app.stores.connection.refusals import describe
from app.watch import logs
from app.web.services import services

log = logging.getLogger(__name__)


@click.command("deliver-mail")
@click.option("--once", is_flag=True, help="Deliver the mails that are due now, and end.")
@click.option("--retry-dead", is_flag=True, help="First queue the mails again that were given up and are still kept.")
@with_appcontext
def deliver_mail(*, once: bool, retry_dead: bool) -> None:
    """Deliver mails until SIGTERM or SIGINT, and finish the one under way. Any number of these can run."""
    delivery = services().delivery
    if delivery is None:
        raise Unusable("mails are off; set SMTP_URL, MAIL_FROM and PUBLIC_URL")
    logs.configure(services().settings, sys.stderr)
    if retry_dead:
        try:
            click.echo(f"{delivery.retry_dead()} mails that were given up are queued again.", err=True)
        except StoreError as error:
            raise RedisAway(f"Redis is away or refuses: {describe(error)}") from None
    stop = stop_at_signals()
    if not once:
        sweep_beside(services().outbox, stop)
        log.info("mails are delivered from now on")
        delivery.run(stop)
        log.info("the delivery of mails has ended")
        return
    sweep_once(services().outbox)
    if not delivery.deliver_due(stop):
        raise click.ClickException("not all that is due was delivered")
