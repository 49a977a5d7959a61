"""What all commands share: what they end with, how they ask, and how they show what clients have said.

Ends with   0  done
            1  nothing was there to do it to; of `doctor`: warnings
            2  the command line, or what was typed, cannot be used as it is
            3  Redis is away
            4  refused: by a rule, by whoever was asked, or because nobody could be asked
            5  done in part: bad lines in an import; of `doctor`: something is wrong
"""

import json
import logging
import os
import pwd
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from flask.cli import AppGroup, ScriptInfo

from app import times
from app.config import Settings
from app.errors import ApiError, InvalidForm, Unconfirmed
from app.stores.connection.connect import StoreError, describe
from app.stores.users import User
from app.text import visible
from app.watch import context, logs
from app.web.services import EXTENSION, Services, services

PARTLY = 5

T = TypeVar("T")


class Failure(click.ClickException):
    """Ends a command with a sentence on the error output."""

    def __init__(self, sentence: str) -> None:
        super().__init__(visible(sentence))


class NothingThere(Failure):
    exit_code = 1


class Unusable(Failure):
    exit_code = 2


class RedisAway(Failure):
    exit_code = 3


class Refused(Failure):
    exit_code = 4


@contextmanager
def by_an_operator(settings: Settings) -> Iterator[None]:
    """What is done within is on record as theirs; whatever refuses or is away is said without a traceback.

    The record, the audit's lines, goes to the error output.
    """
    try:
        with context.operator(_who()), _on_record(settings):
            try:
                yield
            except NothingThere:  # any more: whoever asks again waits again
                if not context.is_unconfirmed():
                    raise
            if context.is_unconfirmed():
                raise Unconfirmed
    except StoreError as problem:
        raise RedisAway(f"Redis is away or refuses: {describe(problem)}") from None
    except InvalidForm as refusal:
        raise Refused(refusal.plainly()) from None
    except ApiError as refusal:
        raise Refused(refusal.message) from None
    except (click.Abort, KeyboardInterrupt, EOFError):
        raise Refused("Stopped.") from None


def _who() -> str:
    """Who logged in on this terminal, whoever they are by now; else as whom this runs."""
    try:
        return os.getlogin()
    except OSError:
        uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


@contextmanager
def _on_record(settings: Settings) -> Iterator[None]:
    log = logging.getLogger(logs.AUDIT)
    handler = logs.handler(settings, sys.stderr)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _settings(ctx: click.Context) -> Settings:
    """Those of the application whose command this is."""
    services: Services = ctx.ensure_object(ScriptInfo).load_app().extensions[EXTENSION]
    return services.settings


class Commands(AppGroup):
    """A group of commands whose failures are sentences."""

    def invoke(self, ctx: click.Context) -> Any:
        with by_an_operator(_settings(ctx)):
            return super().invoke(ctx)


class Command(click.Command):
    """A command outside a group, likewise."""

    def invoke(self, ctx: click.Context) -> Any:
        with by_an_operator(_settings(ctx)):
            return super().invoke(ctx)


as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
yes = click.option("--yes", is_flag=True, help="Do not ask.")


def find_user(named: str) -> User:
    user = services().operators.find(named)
    if user is None:
        raise NothingThere(f"No user has the id or e-mail address {named}.")
    return user


def require(done: bool) -> None:
    """Where a user was deleted between the look and the act."""
    if not done:
        raise NothingThere("The user is gone.")


def ask(question: str, yes: bool) -> None:
    """Go on after a yes alone. Where nobody can be asked that is a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} There is no terminal to ask on; --yes answers it.")
    if not click.confirm(visible(question), err=_asks_on_the_error_output()):
        raise Refused("Nothing was done.")


def _asks_on_the_error_output() -> bool:
    """So that the output is the answer alone; but where the error output goes into a file nobody would be asked."""
    return sys.stderr.isatty() or not sys.stdout.isatty()


def new_password() -> str:
    """Asked for twice on a terminal, else the first line of the input: arguments are shown in lists of processes."""
    if sys.stdin.isatty():
        return click.prompt(
            "Password", hide_input=True, confirmation_prompt=True, err=_asks_on_the_error_output(), type=str
        )
    return sys.stdin.readline().rstrip("\r\n")


def say(*cells: str) -> None:
    """One line, its parts two spaces apart."""
    click.echo("  ".join(visible(cell) for cell in cells).rstrip())


def say_json(record: dict[str, Any]) -> None:
    """One line of ASCII alone: nothing in it can move a terminal's cursor."""
    click.echo(json.dumps(record).replace("\x7f", "\\u007f"))


def iso(at: float | None) -> str | None:
    return None if at is None else times.iso(at)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def progress(steps: Iterable[T], label: str, length: int | None = None) -> Iterator[T]:
    """The same steps, with a bar on a terminal that shows how many there were."""
    if not sys.stderr.isatty():
        yield from steps
        return
    with click.progressbar(steps, length, label, show_pos=True, file=sys.stderr) as bar:
        yield from bar


def takes(schema: Callable[[], Any], data: dict[str, Any]) -> Any:
    """What was typed, read through a schema of the wire. Raises Failure where it does not fit."""
    problems = schema().validate(data)
    if problems:
        raise Unusable(InvalidForm(problems).plainly())
    return schema().load(data)
