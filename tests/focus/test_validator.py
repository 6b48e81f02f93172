"""Reading the validator's report: what it hides behind exit code 0."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.focus.test_requirements import CHARGE, NEW
from tests.focus.validator import Verdict, excused_rules, main, read_report

REPORT = """<testsuites tests="4" failures="1" errors="1" skipped="1"><testsuite name="s">
<testcase name="A-C-001-M :: Validation"/>
<testcase name="B-C-001-M :: Nullability"><failure message="no"/></testcase>
<testcase name="C-C-001-M :: None"><error message="column missing"/></testcase>
<testcase name="D-C-001-M :: None"><skipped/></testcase>
</testsuite></testsuites>"""


def test_failures_and_errors_are_told_from_the_rest(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert read_report(report) == Verdict(passed=1, skipped=1, failed=("B-C-001-M", "C-C-001-M"))


@pytest.mark.parametrize(
    ("failed", "excused", "complaints"),
    [
        ((), [], 0),
        (("A",), ["A"], 0),
        (("A", "B"), ["A"], 1),
        ((), ["A"], 1),
    ],
)
def test_only_what_is_excused_may_fail_and_must(failed: tuple[str, ...], excused: list[str], complaints: int) -> None:
    assert len(Verdict(1, 0, failed).complaints(excused)) == complaints


def test_every_excuse_has_a_reason() -> None:
    excused = excused_rules()
    assert list(excused) == ["InvoiceId-C-005-C"]
    assert all(len(reason) > 40 for reason in excused.values())


def test_without_python_312_it_says_so_and_blames_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.focus.validator.find_python", lambda: None)
    monkeypatch.setenv("METERING_FOCUS_ENVIRONMENT", str(tmp_path / "none"))
    file = written(tmp_path / "x.csv", CHARGE)
    assert main([str(file)]) == 0
    printed = capsys.readouterr()
    assert "not validated: the FOCUS validator needs Python 3.12" in printed.err
    assert printed.out == f"{file}: FOCUS 1.2, 6 rules of our own: none broken\n"


def test_what_the_validator_passes_is_seen_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.focus.validator.validate", lambda file: Verdict(1, 0, ("InvoiceId-C-005-C",)))
    reversed_period = {"ChargePeriodEnd": "2026-11-19T00:00:00Z"}
    files = [written(tmp_path / "a.csv", CHARGE | reversed_period), written(tmp_path / "b.csv", CHARGE | NEW)]
    assert main([str(file) for file in files]) == 1
    printed = capsys.readouterr().out
    assert "a.csv: FOCUS 1.2, 6 rules of our own: ChargePeriodEnd-C-004-M broken by 1 charges" in printed
    assert "b.csv: FOCUS 1.3, 23 rules of our own: none broken" in printed
    assert main([str(files[1])]) == 0


def written(file: Path, charge: dict[str, Any]) -> Path:
    with file.open("w", newline="") as text:
        writer = csv.DictWriter(text, list(charge))
        writer.writeheader()
        writer.writerow(charge)
    return file
