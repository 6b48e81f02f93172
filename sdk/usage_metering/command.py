"""`usage-metering`: what a product's host needs of the command line, and what `metering events` of the application runs as well.

`events import`, `events flush` and `events status` are about events from a file and about the spool of this host's trackers.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from usage_metering.failures import CommandFailed, ConfigError, UsageError
from usage_metering.flush import adopt
from usage_metering.importing import import_events, whole_lines
from usage_metering.redact import Redactor
from usage_metering.settings import spool_folder, tracker_url
from usage_metering.spool import Waiting, set_aside, survey
from usage_metering.store import Store, first_line

PROGRAM = "usage-metering"
POLL_SECONDS = 0.25
FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


@dataclass(frozen=True)
class Events:
    """The commands about events. ``program`` is what a message calls the command; ``say`` is given each line of the answer."""

    program: str = PROGRAM
    say: Callable[[str], object] = print

    def import_file(self, file: Path) -> None:
        """Bring a file's events (``-``: standard input) to the database. Lines that are not events are rejected, the others are stored.

        Raises:
            UsageError: there is no such file, or no database is named.
            CommandFailed: some lines were rejected, or the database or the file cannot be read.
        """
        if str(file) != "-" and not file.is_file():
            raise UsageError(f"there is no file {file}")
        with closing(_store()) as store, _answering(), _opened(file) as lines:
            imported = import_events(lines, store, Redactor())
        loaded = imported.loaded
        self._table(
            f"events of {file}",
            ("lines", "inserted", "duplicates", "conflicts", "unreadable"),
            [(imported.lines, loaded.inserted, loaded.duplicates, loaded.rejected, imported.unreadable)],
        )
        for number, complaint in imported.complaints:
            self.say(f"line {number}: {complaint}")
        if rejected := imported.unreadable + loaded.rejected:
            raise CommandFailed(f"{rejected} of {imported.lines} lines were rejected: see raw.rejected_records")

    def flush(self, spool_dir: Path | None = None, timeout: float = 10) -> None:
        """Bring what dead processes left to the database, and wait ``timeout`` seconds for the living to bring theirs.

        Raises:
            UsageError: no database is named.
            CommandFailed: events are left, or cannot be read, or the database does not take them.
        """
        folder = _folder(spool_dir)
        with closing(_store()) as store, _answering():
            loaded, _ = adopt(folder, store)
        deadline = time.monotonic() + timeout
        while (left := sum(waiting.lines for waiting in survey(folder))) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self._table(
            str(folder),
            ("flushed", "duplicates", "rejected", "left"),
            [(loaded.inserted, loaded.duplicates, loaded.rejected, left)],
        )
        unread = self._report_unread(folder)
        status = f"see `{self.program} events status`"
        if left:
            raise CommandFailed(f"{left} events are still in {folder}: their living processes flush them; {status}")
        if unread:
            raise CommandFailed(f"{unread} files in {folder} cannot be read: {status}")

    def status(self, spool_dir: Path | None = None) -> None:
        """Show what is waiting on this host's disk, by process.

        Raises:
            CommandFailed: the folder cannot be read.
        """
        folder = _folder(spool_dir)
        spools = survey(folder)
        if not spools:
            self.say(f"nothing waits in {folder}")
        else:
            self._table(
                str(folder),
                ("process", "state", "events", "oldest", "size"),
                [
                    (
                        waiting.writer.split("-")[0],
                        "alive" if waiting.is_alive else "gone",
                        waiting.lines,
                        _age(waiting),
                        f"{waiting.size_bytes / 1024:,.0f} KiB",
                    )
                    for waiting in spools
                ],
            )
        self._report_unread(folder)
        if gone := sum(waiting.lines for waiting in spools if not waiting.is_alive):
            self.say(
                f"{gone} events belong to ended processes: `{self.program} events flush`, or any tracker, delivers them"
            )

    def _report_unread(self, folder: Path) -> int:
        """Name the files that hold what cannot be read; return how many of them wait (the others were set aside)."""
        for kept in set_aside(folder):
            self.say(
                f"{kept.name}: set aside, {kept.damaged} pieces of its {kept.size_bytes:,} bytes are not whole lines;"
                f" its {kept.lines} good lines were delivered. Look at it, then delete it"
            )
        waiting = [writer for writer in survey(folder) if writer.damaged and not writer.is_alive]
        for writer in waiting:
            self.say(f"{writer.writer}: {writer.damaged} pieces or files of it cannot be read; they are kept")
        return len(waiting)

    def _table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        cells = [columns, *([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
        self.say(title)
        for row in cells:
            self.say("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def _age(waiting: Waiting) -> str:
    if waiting.oldest_at is None:
        return ""
    seconds = max(0, round(time.time() - waiting.oldest_at))
    hours, rest = divmod(seconds, 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s" if rest >= 60 else f"{rest} s"


def _folder(explicit: Path | None) -> Path:
    folder = spool_folder(tracker_url(), explicit)
    try:
        with os.scandir(folder):
            return folder
    except FileNotFoundError:
        return folder
    except OSError as error:
        # A tracker goes on without it; who asks what waits must not hear "nothing".
        raise CommandFailed(f"{folder} cannot be read: {error.strerror}") from None


def _store() -> Store:
    url = tracker_url()
    if url is None:
        raise UsageError("METERING_DATABASE_URL is not set: set it to the database that stores events")
    return Store(url)


@contextmanager
def _answering() -> Iterator[None]:
    """Turn what the database says into one line."""
    try:
        yield
    except psycopg.Error as error:
        raise CommandFailed(
            f"the database does not accept events: {first_line(error)}; check the database and METERING_DATABASE_URL"
        ) from None


@contextmanager
def _opened(file: Path) -> Iterator[Iterator[bytes]]:
    if str(file) == "-":
        yield whole_lines(sys.stdin.buffer)
        return
    try:
        with file.open("rb") as lines:
            yield whole_lines(lines)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}") from None


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 86_400:
        raise ValueError
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Usage events of this host.")
    commands = parser.add_subparsers(dest="command", required=True)
    events = commands.add_parser("events", help="usage events tracked at the source: import, flush, status")
    actions = events.add_subparsers(dest="action", required=True)
    read = actions.add_parser("import", help="import events from a file; safe to run again")
    read.add_argument("file", type=Path, help="CloudEvents 1.0, one JSON object a line; - is standard input")
    flush = actions.add_parser("flush", help="bring what dead processes left to the database")
    flush.add_argument("--timeout", type=_seconds, default=10, help="seconds to wait for living processes (10)")
    status = actions.add_parser("status", help="show what waits on this host's disk")
    for command in (flush, status):
        command.add_argument("--spool-dir", type=Path, help="default: METERING_SPOOL_DIR, else the user's state folder")
    commands.add_parser("sandbox", help="the providers' sandbox: says what to install")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    events = Events()
    if arguments.command == "sandbox":
        raise CommandFailed(
            'the sandbox comes with the application: pip install "usage-metering[pipeline]", then metering sandbox'
        )
    if arguments.action == "import":
        events.import_file(arguments.file)
    elif arguments.action == "flush":
        events.flush(arguments.spool_dir, arguments.timeout)
    else:
        events.status(arguments.spool_dir)


def run(arguments: Sequence[str] | None = None) -> None:
    """Entry point: an error is one line on stderr and an exit code (1 failed, 2 wrong usage)."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except (CommandFailed, ConfigError, UsageError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        raise SystemExit(FAILED if isinstance(error, CommandFailed) else WRONG_USAGE) from None


if __name__ == "__main__":
    run()
