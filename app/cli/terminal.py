"""Common parts of all commands: exit codes, questions, and output without hidden characters.

Exit codes   0  done
             1  no user or session matched; `doctor`: there are warnings
             2  the command line, or a typed value, cannot be used
             3  Redis is away
             4  refused: by a rule, by the answer to a question, or because nobody could be asked
             5  partly done, such as an import with bad lines; `doctor`: something is wrong
"""

import json
import logging
import os
import pwd
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from logging.handlers import SysLogHandler
from pathlib import Path
from typing import Any, TypeVar

import click
from flask.cli import AppGroup, ScriptInfo

from app import times
from app.config import Settings
from app.errors import ApiError, Unconfirmed
from app.form_errors import InvalidForm
from app.stores.connection.connect import StoreError
from app.stores.connection.refusals import describe
from app.stores.user_records import User
from app.text import visible
from app.watch import context, logs
from app.web.services import EXTENSION, Services, services

PARTLY = 5
_SYSTEM_LOG = Path("/dev/log")

T = TypeVar("T")


class Failure(click.ClickException):
    """The end of a command, with a sentence on the error output and an exit code."""

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
def by_an_operator(services: Services) -> Iterator[None]:
    """Record the actions in the `with` block as the operator's, in audit lines. Their endings wait once, at its end.

    Raises:
        Failure: The actions were refused, or Redis is away. The user sees its sentence instead of a traceback.
    """
    try:
        with context.operator(_find_operator_name()), _audit_on_record(services.settings), _wait_once(services):
            try:
                yield
            except NothingThere:
                # A repeated command may have nothing left to do, although the first try is unconfirmed.
                if not context.is_unconfirmed():
                    raise
            if context.is_unconfirmed():
                raise Unconfirmed
    except StoreError as problem:
        raise RedisAway(f"Redis is away or refuses: {describe(problem)}.") from None
    except InvalidForm as refusal:
        raise Refused(refusal.plainly()) from None
    except ApiError as refusal:
        raise Refused(refusal.message) from None
    except (click.Abort, KeyboardInterrupt, EOFError):
        raise Refused("Stopped.") from None


def _wait_once(services: Services) -> AbstractContextManager[None]:
    return services.endings.wait_once() if services.endings else nullcontext()


def _find_operator_name() -> str:
    """Return KEYRACK_OPERATOR, else the name of the login on this terminal, even after su or sudo, else SUDO_USER.

    Without all of these, as in a container, return the name of the user who runs this process.
    """
    if named := os.environ.get("KEYRACK_OPERATOR"):
        return named
    try:
        return os.getlogin()
    except OSError:
        uid = os.getuid()
    if invoking := os.environ.get("SUDO_USER"):
        return invoking
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


@contextmanager
def _audit_on_record(settings: Settings) -> Iterator[None]:
    """Write audit lines to the system's log, where there is one, and to the error output.

    On a terminal they go to the system's log alone, because they would run into the bar of the progress.
    """
    log = logging.getLogger(logs.AUDIT)
    handlers = [*_system_log()]
    if not handlers or not sys.stderr.isatty():
        handlers.append(logs.make_handler(settings, sys.stderr))
    for handler in handlers:
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            if isinstance(handler, SysLogHandler):
                handler.close()


class _SystemLog(SysLogHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as in the module logging
        """Write the line to the error output instead, so that none is lost."""
        click.echo(self.format(record), err=True)


def _system_log() -> Iterator[logging.Handler]:
    """Yield a handler that writes JSON lines to the system's log; nothing if there is no such log."""
    if _SYSTEM_LOG.is_socket():
        handler = _SystemLog(str(_SYSTEM_LOG))
        handler.ident, handler.append_nul = "keyrack: ", False
        handler.setFormatter(logs.JsonLine())
        yield handler


def _services_of(ctx: click.Context) -> Services:
    """Return the services of the application that the command belongs to."""
    found: Services = ctx.ensure_object(ScriptInfo).load_app().extensions[EXTENSION]
    return found


class CommandGroup(AppGroup):
    """A group of commands. Their acts are recorded as an operator's. A failure prints one sentence, no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        with by_an_operator(_services_of(ctx)):
            return super().invoke(ctx)


class SingleCommand(click.Command):
    """A command outside a group. It is recorded and reports failures like the commands of a CommandGroup."""

    def invoke(self, ctx: click.Context) -> Any:
        with by_an_operator(_services_of(ctx)):
            return super().invoke(ctx)


class TimeOrSpan(click.ParamType[str]):
    """A date or time, or a span before now. It is converted later, because only the application has the clock."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            times.before(value, time.time())
        except (ValueError, OverflowError):
            self.fail("must be a date or time in ISO 8601, or a span such as 30d", param, ctx)
        return str(value)


as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
yes = click.option("--yes", is_flag=True, help="Do not ask.")


def find_user(named: str) -> User:
    """Return a user by id or e-mail address.

    Raises:
        NothingThere: There is no such user.
    """
    user = services().operators.find(named)
    if user is None:
        raise NothingThere(f"No user has the id or e-mail address {named}.")
    return user


def require_still_there(done: bool) -> None:
    """Raise NothingThere if nothing was done, because the user was deleted after the look-up."""
    if not done:
        raise NothingThere("The user is gone.")


def confirm(question: str, yes: bool) -> None:
    """Ask a question, and return after a yes.

    Args:
        yes: The option --yes was given, so do not ask.

    Raises:
        Refused: The answer is no, or there is no terminal to ask on.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} There is no terminal to ask on; --yes answers it.")
    if not click.confirm(visible(question), err=_asks_on_the_error_output()):
        raise Refused("Nothing was done.")


def _asks_on_the_error_output() -> bool:
    """Tell whether questions go to the error output, so that standard output has only results.

    If only the error output goes into a file, questions go to standard output, or nobody would see them.
    """
    return sys.stderr.isatty() or not sys.stdout.isatty()


def read_new_password() -> str:
    """Ask for a password twice on a terminal. Without a terminal read the first line of the input.

    The password is never an argument, because `ps` shows arguments to everybody.
    """
    if sys.stdin.isatty():
        return click.prompt(
            "Password", hide_input=True, confirmation_prompt=True, err=_asks_on_the_error_output(), type=str
        )
    return sys.stdin.readline().rstrip("\r\n")


def say(*cells: str) -> None:
    """Print a line of cells, two spaces apart."""
    click.echo("  ".join(visible(cell) for cell in cells).rstrip())


def say_json(record: dict[str, Any]) -> None:
    """Print a line of JSON in printable ASCII, so that it cannot move a terminal's cursor."""
    click.echo(json.dumps(record).replace("\x7f", "\\u007f"))


def iso(at: float | None) -> str | None:
    return None if at is None else times.iso(at)


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, as in "1 session" and "2 sessions"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def progress(steps: Iterable[T], label: str, length: int | None = None) -> Iterator[T]:
    """Yield the steps. On a terminal a bar shows how many were yielded.

    Args:
        length: The number of steps, if it is known.
    """
    if not sys.stderr.isatty():
        yield from steps
        return
    with click.progressbar(steps, length, label, show_pos=True, file=sys.stderr) as bar:
        yield from bar


def load_typed(schema: Callable[[], Any], data: dict[str, Any]) -> Any:
    """Check typed values by a schema of wire/, and return the object that the schema builds.

    Raises:
        Unusable: A value is wrong.
    """
    problems = schema().validate(data)
    if problems:
        raise Unusable(InvalidForm(problems).plainly())
    return schema().load(data)
