"""`flask users import`: users of another service, from a file. The rules: rules/imports.py."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import click
import orjson
from flask.cli import with_appcontext
from marshmallow import ValidationError

from app.cli.terminal import PARTLY, Unusable, as_json, counted, say, say_json
from app.form_errors import InvalidForm
from app.rules.import_lines import ImportedUser, Line, Result
from app.rules.passwords import MAX_EXTRA_ROUNDS, MAX_ROUNDS
from app.rules.relying_party import why_none
from app.text import visible
from app.web.services import services
from app.wire.imports import ImportedUserSchema

_MAX_LINE = 64 * 1024
_MOST_READ = 4 * _MAX_LINE  # of a line; some hundred lines are held at once
_BOM = b"\xef\xbb\xbf"
_NOTES_ON_TERMINAL = 20
_REASONS = 30
_new_file = click.Path(dir_okay=False, path_type=Path)


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Write nothing, and say what would be.")
@click.option("--rejects", type=_new_file, help="A new file for the lines that were left out, to mend them.")
@click.option("--ids", type=_new_file, help="A new file for the ids that users had and have. Then an id may be any.")
@click.option("--slow-hashes", is_flag=True, help="Take hashes that are far slower than BCRYPT_ROUNDS, too.")
@click.option("--drop-hashes", is_flag=True, help="Take users whose hash cannot be used, without a password.")
@click.option("--refuse-tokens", is_flag=True, help="Adopt no token that the service before gave these users.")
@as_json
@with_appcontext
def import_users(
    file: BinaryIO,
    dry_run: bool,
    rejects: Path | None,
    ids: Path | None,
    slow_hashes: bool,
    drop_hashes: bool,
    refuse_tokens: bool,
    as_json: bool,
) -> None:
    """Import users from FILE, or from the input with -. Each line is a JSON object.

    The fields are in docs/import.md. Bad lines are skipped and named on the error output.
    """
    if dry_run and ids:
        raise Unusable("--dry-run gives nobody an id, so there is nothing for --ids.")
    schema = _make_schema(slow_hashes=slow_hashes, drop_hashes=drop_hashes, takes_any_id=bool(ids))
    with _created(rejects) as rejected, _created(ids) as mapped:
        report = _Report(rejected, mapped)
        try:
            lines = _read_lines(file, schema)
            for result in services().imports.run(
                lines, refuse_tokens=refuse_tokens, dry_run=dry_run, finds_ids=bool(ids)
            ):
                report.add(result)
        finally:  # an interrupted run, or a run without Redis, has still written a part
            if not dry_run:
                services().operators.record_import(report.counts)
            report.show(as_json=as_json, dry_run=dry_run)
    if report.counts["bad"] or report.counts["double"]:
        click.get_current_context().exit(PARTLY)


def _make_schema(*, slow_hashes: bool, drop_hashes: bool, takes_any_id: bool) -> ImportedUserSchema:
    schema = ImportedUserSchema()
    schema.most_cost = MAX_ROUNDS if slow_hashes else services().settings.bcrypt_rounds + MAX_EXTRA_ROUNDS
    schema.drops_unusable = drop_hashes
    schema.takes_any_id = takes_any_id
    if services().passkeys.party is None:
        schema.why_no_passkeys = why_none(services().settings.public_url)
    return schema


class _Report:
    """What is told of an import: notes on lines, counts, reasons, and the two files."""

    def __init__(self, rejected: BinaryIO | None, mapped: BinaryIO | None) -> None:
        self.counts = {"imported": 0, "there": 0, "double": 0, "bad": 0, "without_password": 0}
        self._reasons: Counter[str] = Counter()
        self._held: list[str] = []  # on a terminal notes come after the bar, not into it
        self._held_back = 0
        self._rejected = rejected
        self._mapped = mapped

    def add(self, result: Result) -> None:
        """Count the result of a line, and tell what there is to tell of it."""
        self.counts[result.verdict] += 1
        user = result.line.user if result.line else None
        is_left_out = result.verdict in ("bad", "double")
        if is_left_out:
            self._reasons.update(_reasons(result))
            raw = result.line.raw.rstrip(b"\r\n") if result.line else b""
            _write(self._rejected, raw + b"\n" if raw else b"")
        elif isinstance(user, ImportedUser):
            if result.verdict == "imported" and not user.password_hash:
                self.counts["without_password"] += 1
            row = {"line": result.number, "old_id": user.old_id, "id": result.user_id}
            _write(self._mapped, orjson.dumps(row) + b"\n")
        if result.note:
            self._tell(f"line {result.number}: {result.note}")

    def show(self, *, as_json: bool, dry_run: bool) -> None:
        """Print the notes that were held back, why lines were left out, and the counts."""
        for note in self._held:
            click.echo(note, err=True)
        if self._held_back:
            rest = "--rejects FILE keeps the lines, 2> FILE what is said of them"
            click.echo(f"… and {counted(self._held_back, 'more note')}: {rest}.", err=True)
        if as_json:
            say_json({**self.counts, "reasons": dict(self._reasons.most_common())})
            return
        if sum(self._reasons.values()) > 1:
            click.echo("Left out, by reason:", err=True)
            for reason, count in self._reasons.most_common(_REASONS):
                click.echo(f"{count:>9}  {visible(reason)}", err=True)
        self._show_counts(dry_run=dry_run)

    def _show_counts(self, *, dry_run: bool) -> None:
        counts = self.counts
        doubles = f"{counted(counts['double'], 'double')}, " if counts["double"] else ""
        say(
            f"{counts['imported']} {'would be ' if dry_run else ''}imported, {counts['there']} already there, "
            f"{doubles}{counted(counts['bad'], 'bad line')}."
        )
        if counts["without_password"]:
            can = (
                "set one by “Forgot password”" if services().notices.are_sent else "cannot sign in: SMTP_URL is not set"
            )
            say(f"{counts['without_password']} of them without a password: they {can}.")

    def _tell(self, note: str) -> None:
        if not sys.stderr.isatty():
            click.echo(note, err=True)
        elif len(self._held) < _NOTES_ON_TERMINAL:
            self._held.append(note)
        else:
            self._held_back += 1


def _reasons(result: Result) -> list[str]:
    if result.verdict == "double":
        return ["email: is that of an earlier line"]
    return result.note.rstrip(".").split("; ")


@contextmanager
def _created(path: Path | None) -> Iterator[BinaryIO | None]:
    """Create a file that its owner alone can read, and remove it in the end if it is empty.

    A file that is there already stays as it is.

    Raises:
        Unusable: It is there, or cannot be created.
    """
    if path is None:
        yield None
        return
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Unusable(f"{path} is there already. Name a new file.") from None
    except OSError as problem:
        raise Unusable(f"{path} cannot be written: {problem.strerror}.") from None
    try:
        with os.fdopen(number, "wb") as file:
            yield file
    finally:
        with suppress(OSError):
            if not path.stat().st_size:
                path.unlink()


def _write(file: BinaryIO | None, row: bytes) -> None:
    if file is None:
        return
    try:
        file.write(row)
        file.flush()  # what is imported is mapped, though the next line is the last before a crash
    except OSError as problem:
        raise Unusable(f"{file.name} cannot be written: {problem.strerror}.") from None


def _read_lines(file: BinaryIO, schema: ImportedUserSchema) -> Iterator[Line]:
    """Yield each line that is not blank. On a terminal a bar shows the progress."""
    size = _size(file) if sys.stderr.isatty() else None
    if size is None:
        yield from _read_each(_lines_of(file), schema)
        return
    with click.progressbar(length=size, label="Importing", file=sys.stderr) as bar:
        yield from _read_each(_lines_of(file, bar.update), schema)


def _lines_of(file: BinaryIO, note: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    """Yield each line; of one that is far too long its begin alone, because a whole file may be one line."""
    while line := file.readline(_MOST_READ):
        yield line
        note(len(line))
        while _is_cut(line):
            line = file.readline(_MOST_READ)
            note(len(line))


def _is_cut(line: bytes) -> bool:
    return len(line) == _MOST_READ and not line.endswith(b"\n")


def _read_each(file: Iterable[bytes], schema: ImportedUserSchema) -> Iterator[Line]:
    for number, line in enumerate(file, 1):
        raw = line.removeprefix(_BOM)  # also where files that have one each were put together
        if raw.strip():
            read = _read_line(number, raw, schema)
            yield replace(read, raw=b"") if _is_cut(line) else read


def _size(file: BinaryIO) -> int | None:
    return file.seek(0, 2) - file.seek(0) if file.seekable() else None


def _read_line(number: int, raw: bytes, schema: ImportedUserSchema) -> Line:
    """Return the user that a line describes, or a sentence that says what is wrong. Never repeat the line's text."""
    data = _parse(raw)
    if isinstance(data, str):
        return Line(number, data, raw)
    try:
        user: ImportedUser = schema.load(data)
    except ValidationError as problem:
        return Line(number, InvalidForm(problem.messages_dict).plainly(), raw)
    return Line(number, user, raw)


def _parse(raw: bytes) -> dict[str, Any] | str:
    """Return the JSON object of a line, or a sentence that says why it is none."""
    if raw.lstrip().startswith(b"["):
        return "is an array, but each user must be a JSON object on a line of their own (jq -c '.[]')"
    if len(raw) > _MAX_LINE:
        return "is no JSON object of 64 KB at most"
    if b"\0" in raw:
        return "is no JSON object in UTF-8, but perhaps in UTF-16 (iconv -f UTF-16 -t UTF-8)"
    try:
        raw.decode()
    except UnicodeDecodeError:
        return "is no JSON object in UTF-8"
    try:
        data = orjson.loads(raw)
    except ValueError:
        has_cr = b"\r" in raw.strip()
        return "is no JSON object: lines must not end with CR alone" if has_cr else "is no JSON object"
    return data if isinstance(data, dict) else "is no JSON object"
