"""The project as it was at a named commit, to be measured beside today's in one run.

A benchmark writes what it measures as a script that both sides can run (only names that both have), prints one
JSON value as its last line, and takes turns: ``A B A B``, so that what else the machine does falls on both.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from packaging.requirements import Requirement

# Not of cli/folders.py: what an older commit's sources run imports this file, too, and they may lack that one.
ROOT = Path(__file__).parents[1]
COMMIT = "23506b0df3c7907019d88f11cc268a8efc046c02"
"""The last commit before the work on speed."""
SITE = ".site"
"""Within a baseline: the packages that it needs and today's environment no longer has."""


@contextmanager
def sources(commit: str = COMMIT) -> Iterator[Path]:
    """Yield a temporary folder with the files of ``commit``, and beside them what it needs and is not installed.

    Raises:
        RuntimeError: git does not have the commit (a shallow clone), or this folder is not a clone; or a package cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="metering-baseline-") as name:
        archive = subprocess.run(["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True)
        if archive.returncode:
            reason = archive.stderr.decode(errors="replace").strip()
            raise RuntimeError(f"the baseline {commit[:7]} is not in this clone ({reason}): git fetch --unshallow")
        subprocess.run(["tar", "-x"], cwd=name, input=archive.stdout, check=True)
        install_missing(Path(name))
        yield Path(name)


def install_missing(root: Path) -> None:
    """Install into ``root`` what its lock names and this environment does not have, in whatever version."""
    lines = (root / "requirements.lock").read_text().splitlines()
    pinned = [Requirement(line.rstrip("\\ ")) for line in lines if line[:1].isalnum()]
    missing = [
        str(each) for each in pinned if (each.marker is None or each.marker.evaluate()) and not is_installed(each.name)
    ]
    if missing:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(root / SITE),
            *missing,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the baseline's {', '.join(missing)} cannot be installed:\n{done.stderr[-2000:]}")


def is_installed(name: str) -> bool:
    """Return whether this environment has the distribution ``name``."""
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def run_script(root: Path, script: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
    """Run ``script`` with the modules of ``root`` and return the JSON value of its last printed line."""
    # -P: not the script's own folder first, whose api.py is not the package `api`.
    command = [sys.executable, "-P", str(script), *arguments]
    path = os.pathsep.join([str(root), str(root / "sdk"), str(root / SITE)])
    variables = {**os.environ, **(environment or {}), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{script.name} failed with the sources of {root}:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def alternate(sides: Mapping[str, Callable[[], float]], rounds: int = 3) -> dict[str, list[float]]:
    """Call each side in turn, ``rounds`` times over, and return the results of each."""
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            figures[name].append(measure())
    return figures


def spread(figures: list[float], unit: str = "", digits: int = 2) -> str:
    """Return the median and the range of ``figures`` as text."""
    low, high = min(figures), max(figures)
    return f"{median(figures):,.{digits}f}{unit} ({low:,.{digits}f} to {high:,.{digits}f})"


def children_cpu() -> float:
    """Return the CPU seconds of all processes that this one has started and seen end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def postgres_cpu(data: Path) -> float:
    """Return the CPU seconds of the embedded server in ``data``: of its processes that live and of those that ended."""
    postmaster = int((data / "postmaster.pid").read_text().splitlines()[0])
    ticks = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        if int(process.name) == postmaster:
            ticks += sum(int(field) for field in fields[11:15])  # its own, and of the children that it waited for
        elif int(fields[1]) == postmaster:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
