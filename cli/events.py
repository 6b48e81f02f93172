"""`metering events`: the SDK's commands about events (`usage_metering.command`), on the database that the application prepares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import environment

if TYPE_CHECKING:
    from usage_metering.command import Events

events = typer.Typer(no_args_is_help=True, help="Usage events tracked at the source: import, flush, status.")

SpoolOption = Annotated[
    Path | None,
    typer.Option("--spool-dir", help="Default: METERING_SPOOL_DIR, else the user's state folder for this database."),
]


@events.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CloudEvents 1.0, one JSON object a line; - is standard input.")],
) -> None:
    """Import events from a file. A line that is not an event is rejected, the others are taken; safe to run again."""
    _prepared().import_file(file)


@events.command()
def flush(
    spool_dir: SpoolOption = None,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait for living processes to flush theirs.", min=0)
    ] = 10,
) -> None:
    """Bring what dead processes left to the database, and wait for the living ones to bring theirs."""
    _prepared().flush(spool_dir, timeout)


@events.command()
def status(spool_dir: SpoolOption = None) -> None:
    """Show what is waiting on this host's disk, by process."""
    _prepared().status(spool_dir)


def _prepared() -> Events:
    from usage_metering.command import Events

    environment.prepare()
    return Events("metering")
