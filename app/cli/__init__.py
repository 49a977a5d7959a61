"""Commands of `flask --app wsgi`: those of operators, and those that deliver mails and events beside the service."""

from flask import Flask

from app.cli.adopt import adopt
from app.cli.deliver_events import deliver_events
from app.cli.doctor import doctor
from app.cli.events import events
from app.cli.mail import deliver_mail
from app.cli.sessions import sessions
from app.cli.users import users


def init_cli(app: Flask) -> None:
    for command in (users, sessions, adopt, events, doctor, deliver_mail, deliver_events):
        app.cli.add_command(command)
