"""Dagster's code server, whose runs are copies of a process that has imported the code already.

Dagster starts a new process for each run, 96 times a day for the rolling run alone, and each imports Dagster, dlt and this project: five
seconds of CPU time, more than a run takes in which nothing has changed. Here the server keeps one process that has imported them and does
nothing else (it has no thread and no connection); the process of a run is a fork of it. What is worked out of files and settings is not
among it: each run parses the project and reads its environment anew. How a run is launched, ended and told of stays Dagster's.

    python -m orchestration.code_server api grpc -h 0.0.0.0 -p 4000 -m orchestration.definitions --location-name orchestration
"""

from __future__ import annotations

import multiprocessing
from typing import Any

from dagster._cli import main
from dagster._grpc import server

PRELOADED = "orchestration.preloaded"


class CodeServer(server.DagsterApiServer):
    """Dagster's, with another way to start the process of a run."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([PRELOADED])
        self._mp_ctx = context


if __name__ == "__main__":
    # `dagster api grpc` takes the class from its module when it starts.
    vars(server)["DagsterApiServer"] = CodeServer
    main()  # type: ignore[no-untyped-call]
