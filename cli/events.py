"""`metering events`: events from a file, and the spool of this host's trackers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli import environment
from cli.errors import CommandFailed, UsageError

if TYPE_CHECKING:
    from usage_metering.spool import Waiting
    from usage_metering.store import Store

events = typer.Typer(no_args_is_help=True, help="Usage events tracked at the source: import, flush, status.")
out = Console(width=None if sys.stdout.isatty() else 140)

SpoolOption = Annotated[
    Path | None,
    typer.Option("--spool-dir", help="Default: METERING_SPOOL_DIR, else the user's state folder for this database."),
]


@events.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CloudEvents 1.0, one JSON object a line; - is standard input.")],
) -> None:
    """Import events from a file. A line that is not an event is rejected, the others are taken; safe to run again."""
    from usage_metering.importing import import_events
    from usage_metering.redact import Redactor

    if str(file) != "-" and not file.is_file():
        raise UsageError(f"there is no file {file}")
    environment.prepare()
    with closing(_store()) as store, _answering(), _opened(file) as lines:
        found = import_events(lines, store, Redactor())
    table = _table(f"events of {file}", "lines", "inserted", "duplicates", "conflicts", "unreadable")
    loaded = found.loaded
    table.add_row(
        *(
            f"{count:,}"
            for count in (found.lines, loaded.inserted, loaded.duplicates, loaded.rejected, found.unreadable)
        )
    )
    out.print(table)
    for number, complaint in found.complaints:
        out.print(f"line {number}: {complaint}", markup=False, highlight=False)
    rejected = found.unreadable + loaded.rejected
    if rejected:
        raise CommandFailed(f"{rejected} of {found.lines} lines were rejected: see raw.rejected_records")


@events.command()
def flush(
    spool_dir: SpoolOption = None,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait for living processes to flush theirs.", min=0)
    ] = 10,
) -> None:
    """Bring what dead processes left to the database, and wait for the living ones to bring theirs."""
    from usage_metering.flush import adopt
    from usage_metering.spool import survey

    environment.prepare()
    folder = _folder(spool_dir)
    with closing(_store()) as store, _answering():
        loaded, _ = adopt(folder, store)
    deadline = time.monotonic() + timeout
    while left := sum(waiting.lines for waiting in survey(folder)):
        if time.monotonic() >= deadline:
            break
        time.sleep(0.25)
    table = _table(str(folder), "flushed", "duplicates", "rejected", "left")
    table.add_row(*(f"{count:,}" for count in (loaded.inserted, loaded.duplicates, loaded.rejected, left)))
    out.print(table)
    unread = _tell_of_unread(folder)
    if left:
        raise CommandFailed(
            f"{left} events are still in {folder}: their living processes flush them; see `metering events status`"
        )
    if unread:
        raise CommandFailed(f"{unread} files in {folder} cannot be read: see `metering events status`")


@events.command()
def status(spool_dir: SpoolOption = None) -> None:
    """Show what is waiting on this host's disk, by process."""
    from usage_metering.spool import survey

    environment.prepare()
    folder = _folder(spool_dir)
    found = survey(folder)
    table = _table(str(folder), "process", "state", "events", "oldest", "size")
    for waiting in found:
        table.add_row(
            waiting.writer.split("-")[0],
            "alive" if waiting.is_alive else "gone",
            f"{waiting.lines:,}",
            _age(waiting),
            f"{waiting.size_bytes / 1024:,.0f} KiB",
        )
    if not found:
        out.print(f"nothing waits in {folder}", highlight=False)
        _tell_of_unread(folder)
        return
    out.print(table)
    _tell_of_unread(folder)
    gone = sum(waiting.lines for waiting in found if not waiting.is_alive)
    if gone:
        out.print(f"{gone} events belong to ended processes: `metering events flush`, or any tracker, delivers them")


def _tell_of_unread(folder: Path) -> int:
    """Name the files that hold what cannot be read; return how many of them wait (the others were set aside)."""
    from usage_metering.spool import set_aside, survey

    for kept in set_aside(folder):
        out.print(
            f"{kept.name}: set aside, {kept.damaged} pieces of its {kept.size_bytes:,} bytes are not whole lines;"
            f" its {kept.lines} good lines were delivered. Look at it, then delete it",
            markup=False,
            highlight=False,
        )
    waiting = [found for found in survey(folder) if found.damaged and not found.is_alive]
    for found in waiting:
        out.print(
            f"{found.writer}: {found.damaged} pieces or files of it cannot be read; they are kept",
            markup=False,
            highlight=False,
        )
    return len(waiting)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in ("process", "state") else "right")
    return table


def _age(waiting: Waiting) -> str:
    if waiting.oldest_at is None:
        return ""
    seconds = max(0, round(time.time() - waiting.oldest_at))
    hours, rest = divmod(seconds, 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s" if rest >= 60 else f"{rest} s"


def _folder(explicit: Path | None) -> Path:
    from usage_metering.settings import spool_folder, tracker_url

    return spool_folder(tracker_url(), explicit)


def _store() -> Store:
    from usage_metering.settings import tracker_url
    from usage_metering.store import Store

    url = tracker_url()
    if url is None:
        raise UsageError("METERING_DATABASE_URL is not set: events go there")
    return Store(url)


@contextmanager
def _answering() -> Iterator[None]:
    """Turn what the database says into one line."""
    import psycopg

    from usage_metering.store import first_line

    try:
        yield
    except psycopg.Error as error:
        raise CommandFailed(f"the database does not take events: {first_line(error)} (try `metering doctor`)") from None


@contextmanager
def _opened(file: Path) -> Iterator[Iterator[bytes]]:
    from usage_metering.importing import whole_lines

    if str(file) == "-":
        yield whole_lines(sys.stdin.buffer)
        return
    try:
        with file.open("rb") as lines:
            yield whole_lines(lines)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}") from None
