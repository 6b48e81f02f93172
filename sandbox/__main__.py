"""`python -m sandbox`: a sandbox of its own process, over a folder of data or a generated set.

Prints its URL once it listens. `metering sandbox` is the command for people; this one is what
`running(process=True)` starts.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from datetime import UTC, date, datetime, timedelta

from sandbox.dataset import Dataset
from sandbox.running import _server, listen
from sandbox.state import State
from sandbox.times import utc_now


def _leave_at_end_of_input() -> None:
    sys.stdin.read()
    os._exit(0)  # nothing to save: all state is in memory


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox")
    parser.add_argument("--data", help="folder of JSON files; without it 60 generated days are served")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8020)
    parser.add_argument("--now", type=datetime.fromisoformat, help="stop the sandbox's clock here")
    parser.add_argument("--until-eof", action="store_true", help="leave when standard input ends")
    options = parser.parse_args()
    if options.until_eof:
        threading.Thread(target=_leave_at_end_of_input, daemon=True).start()
    if options.data:
        dataset = Dataset.load(options.data)
    else:
        today: date = (options.now or utc_now()).astimezone(UTC).date()
        dataset = Dataset.generate(first=today - timedelta(days=59), last=today)
    state = State(dataset, options.now)
    state.warm()
    with listen(options.host, options.port) as listener:
        print(f"http://{options.host}:{listener.getsockname()[1]}", flush=True)
        _server(state, options.host, options.port).run(sockets=[listener])


if __name__ == "__main__":
    main()
