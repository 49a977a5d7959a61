"""Commands of `flask --app wsgi`: the commands of operators, and the command that delivers mails beside the service."""

from flask import Flask

from app.cli.adopt import adopt
from app.cli.doctor import doctor
from app.cli.mail import deliver_mail
from app.cli.sessions import sessions
from app.cli.users import users


def init_cli(app: Flask) -> None:
    for command in (users, sessions, adopt, doctor, deliver_mail):
        app.cli.add_command(command)
