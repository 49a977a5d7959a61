"""`flask adopt …`: what becomes of a token of the service before, and how many such tokens are still in use.

The rules: rules/adoption.py. Which sessions began so: `flask sessions list --adopted`.
"""

import sys
from pathlib import Path

import click

from app import tokens
from app.cli.terminal import CommandGroup, Refused, Unusable, as_json, counted, progress, say, say_json
from app.rules.adoptable import NotAdopted, without_scheme
from app.rules.operators import Filter
from app.web.services import services

_LONGEST_NAME = 256  # no file has a longer one, but a token is longer

adopt = CommandGroup("adopt", help="Tokens of the service before.")


@adopt.command()
@click.argument("token")
def check(token: str) -> None:
    """Say by which key TOKEN holds and what becomes of it, or why it is refused. Nothing is changed.

    With - the token is read from the input's first line, because lists of processes show arguments.
    """
    adoption = services().devices.adoption
    if adoption is None:
        raise Unusable("Tokens of the service before are not adopted: ADOPT_JWT_KEY is not set.")
    text = token if token != "-" else sys.stdin.readline()  # noqa: S105 - no password
    if len(token) < _LONGEST_NAME and Path(token).is_file():
        raise Unusable(f"{token} is a file. Give it as the input: adopt check - < {token}")
    given = without_scheme(text.strip())
    if tokens.is_well_formed(given):
        raise Refused("The token is one of Keyrack's own, which needs no adoption.")
    try:
        key, sentence = adoption.explain(given)
    except NotAdopted as refusal:
        raise Refused(f"The token is not adopted: {refusal.sentence}.") from None
    say(f"The token holds by {key.name}. {sentence}")


@adopt.command()
@as_json
def count(as_json: bool) -> None:
    """Count the sessions whose token is still that of the service before, and their users."""
    users, found, last = 0, 0, ""
    for session in progress(services().operators.sessions(Filter(adopted=True)), "Counting"):
        if session.has_adopted_token:
            users, found, last = users + (session.user_id != last), found + 1, session.user_id
    if as_json:
        say_json({"sessions": found, "users": users})
    else:
        say(f"{counted(found, 'session')} of {counted(users, 'user')} with a token of the service before.")
