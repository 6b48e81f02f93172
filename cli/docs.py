"""`metering docs`: dbt's documentation of every model, column and test, with lineage, as one page without anything from elsewhere."""

from __future__ import annotations

import os
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rich.console import Console

from cli import folders
from cli.errors import CommandFailed

NAMES = ("static_index.html", "index.html")


def write_docs() -> Path:
    """Let dbt describe the project and what the database has of it; return the folder that has the page alone.

    Raises:
        CommandFailed: dbt cannot; its log says why.
    """
    from dbt.cli.main import dbtRunner

    target = folders.local_folder() / "dbt-docs"
    logs = ["--log-path", str(target), "--log-level", "none", "--quiet"]
    project = ["--project-dir", os.environ["DBT_PROJECT_DIR"], "--profiles-dir", os.environ["DBT_PROFILES_DIR"]]
    result = dbtRunner().invoke(["docs", "generate", "--static", "--target-path", str(target), *project, *logs])
    if not result.success:
        reason = str(result.exception).strip().splitlines() if result.exception else ["a model does not compile"]
        raise CommandFailed(f"dbt cannot describe the project ({reason[0]}): see {target / 'dbt.log'}")
    page = target / "page"
    page.mkdir(exist_ok=True)
    (target / NAMES[0]).replace(page / NAMES[1])
    return page


def serve(page: Path, host: str, port: int, console: Console) -> None:
    """Serve the folder until Ctrl+C.

    Raises:
        CommandFailed: the port is in use.
    """
    try:
        server = ThreadingHTTPServer((host, port), partial(_Quiet, directory=str(page)))
    except OSError as error:
        raise CommandFailed(f"port {port} cannot be opened ({error.strerror}): choose another --port") from None
    with server:
        console.print(f"dbt's docs: http://{host}:{server.server_address[1]} (Ctrl+C ends it)", highlight=False)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("stopping")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing of a request."""
