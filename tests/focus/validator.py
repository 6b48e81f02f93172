"""The official FOCUS validator over an exported file: `python -m tests.focus.validator FILE…`, or `make focus`.

It runs in an environment of its own (Python 3.12, `.ci/focus-requirements.txt`), which the first call makes. Its exit code says
nothing (0 whatever failed), so its JUnit report is read: what failed must be excused in `.ci/focus-excused.csv`, with a
reason, and what is excused must have failed, or the list is out of date.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import fasteners

from tests.focus.requirements import PRESENT, RULES, broken, charges, spec_of

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / ".ci" / "focus-requirements.txt"
EXCUSED = ROOT / ".ci" / "focus-excused.csv"
ENVIRONMENT = "METERING_FOCUS_ENVIRONMENT"
SPEC = "1.2.0.1"
SECONDS = 300
MAKING = threading.Lock()

# What this data has, so that the rules about it are checked: without them the validator skips three of four.
CRITERIA = (
    "ACCOUNT_NAMING_SUPPORTED",
    "MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED",
    "MULTIPLE_PRICING_CATEGORIES_SUPPORTED",
    "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED",
    "PRICING_BILLING_CURRENCY_DIFFERENCES_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "TAGGING_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "USAGE_MEASUREMENT_SUPPORTED",
    "VIRTUAL_CURRENCY_SUPPORTED",
)


class ValidatorUnavailable(Exception):
    """The validator's environment cannot be made."""


class NoPython(ValidatorUnavailable):
    """There is no Python 3.12 here."""


@dataclass(frozen=True)
class Verdict:
    """What the validator says of a file: how many rules passed, and those that did not, by id."""

    passed: int
    skipped: int
    failed: tuple[str, ...]

    def complaints(self, excused: Sequence[str]) -> list[str]:
        """Return what is wrong: rules that failed without an excuse, and excuses that nothing needs."""
        return [f"{rule} failed" for rule in self.failed if rule not in excused] + [
            f"{rule} is excused and did not fail: take it off {EXCUSED.name}"
            for rule in excused
            if rule not in self.failed
        ]


def excused_rules() -> dict[str, str]:
    """Return the excused rules' ids with their reasons."""
    with EXCUSED.open(newline="", encoding="utf-8") as file:
        return {row["rule"]: row["reason"] for row in csv.DictReader(file)}


def find_python() -> str | None:
    """Return a Python 3.12, of PATH or of pyenv; None where there is none."""
    candidates = [shutil.which("python3.12"), sys.executable]
    candidates += map(str, sorted((Path.home() / ".pyenv" / "versions").glob("3.12.*/bin/python"), reverse=True))
    for candidate in candidates:
        if candidate is None:
            continue
        answer = subprocess.run(
            [candidate, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
        )
        if answer.returncode == 0 and answer.stdout.split() == ["3", "12"]:
            return candidate
    return None


def environment() -> Path:
    """Return the validator's environment, made if it is not there: METERING_FOCUS_ENVIRONMENT, else `.local/focus`.

    Raises:
        NoPython: there is no Python 3.12.
        ValidatorUnavailable: its packages cannot be installed.
    """
    folder = Path(os.environ.get(ENVIRONMENT) or ROOT / ".local" / "focus")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # The lock of files holds other processes back, not other threads.
    with MAKING, fasteners.InterProcessLock(folder.with_suffix(".lock")):
        return _made(folder)


def _made(folder: Path) -> Path:
    stamp = folder / "requirements.txt"
    if stamp.exists() and stamp.read_text() == REQUIREMENTS.read_text():
        return folder
    python = find_python()
    if python is None:
        raise NoPython("the FOCUS validator needs Python 3.12: install it, or put python3.12 on PATH")
    steps = [
        [python, "-m", "venv", "--clear", str(folder)],
        [
            str(folder / "bin" / "python"),
            *["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "-r"],
            str(REQUIREMENTS),
        ],
    ]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise ValidatorUnavailable(f"the FOCUS validator's environment cannot be made: {last}")
    shutil.copyfile(REQUIREMENTS, stamp)
    return folder


def validate(file: Path) -> Verdict:
    """Return the validator's verdict on a CSV or Parquet file.

    Raises:
        ValidatorUnavailable: it cannot be run here.
        RuntimeError: it ended without a report.
    """
    folder = environment()
    (packages,) = (folder / "lib").glob("python3.12/site-packages")
    with tempfile.TemporaryDirectory(prefix="metering-focus-") as temporary:
        report = Path(temporary) / "report.xml"
        command = [str(folder / "bin" / "focus-validator"), "--data-file", str(file.resolve()), "--block-download"]
        command += ["--validate-version", SPEC, "--focus-dataset", "CostAndUsage"]
        command += ["--output-type", "unittest", "--output-destination", str(report)]
        command += ["--applicability-criteria", ",".join(CRITERIA)]
        # From its own folder: it looks for its list of currencies there. In a session of its own: it asks its terminal
        # things for which a job in the background is stopped.
        done = subprocess.run(
            command,
            cwd=packages,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            timeout=SECONDS,
            check=False,
        )
        if not report.exists():
            raise RuntimeError(f"the FOCUS validator made no report of {file}: {done.stderr.strip()[-500:]}")
        return read_report(report)


def read_report(report: Path) -> Verdict:
    """Return the verdict of a JUnit report."""
    passed = skipped = 0
    failed = set()
    for case in ET.parse(report).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(case.attrib["name"].split(" ::")[0])
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return Verdict(passed, skipped, tuple(sorted(failed)))


def main(arguments: Sequence[str]) -> int:
    """Check the files by our rules (`requirements.py`) and by the validator; print a verdict each; return 0 if nothing is against them.

    Of a file of a later version of FOCUS the validator checks what 1.2 has in common with it.
    """
    files = [Path(name) for name in arguments]
    bad = sum([_check_by_our_rules(file) for file in files])
    excused = excused_rules()
    try:
        # It uses one core: of several files as many at once as there are.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for file, verdict in zip(files, pool.map(validate, files), strict=True):
                complaints = verdict.complaints(list(excused))
                bad += len(complaints)
                print(
                    f"{file}: {verdict.passed} rules of {SPEC} passed, {verdict.skipped} not applicable or not checkable,",
                    end=" ",
                )
                print("; ".join(complaints) or f"failed and excused: {', '.join(verdict.failed) or 'none'}")
    except NoPython as error:
        # Not a fault of the file. CI says so and goes on: the rest of the project needs no 3.12.
        print(f"focus: not validated: {error}", file=sys.stderr)
    except ValidatorUnavailable as error:
        print(f"focus: {error}", file=sys.stderr)
        return 1
    return int(bad > 0)


def _check_by_our_rules(file: Path) -> int:
    """Print what is against our rules; return how many are broken."""
    rows = charges(file)
    first = next(rows, None)
    if first is None:
        print(f"{file}: no charges")
        return 0
    spec = spec_of(first)
    counts = broken(chain([first], rows), spec)
    complaints = "; ".join(f"{rule} broken by {count:,} charges" for rule, count in counts.items())
    print(
        f"{file}: FOCUS {spec}, {len(RULES[spec]) + len(PRESENT[spec])} rules of our own: {complaints or 'none broken'}"
    )
    return len(counts)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
