"""What operators do from a terminal: `flask --app wsgi users …`, `sessions …`, `doctor`."""

from flask import Flask

from app.cli.doctor import doctor
from app.cli.sessions import sessions
from app.cli.users import users


def init_cli(app: Flask) -> None:
    """Every command of its own hangs here."""
    for command in (users, sessions, doctor):
        app.cli.add_command(command)
