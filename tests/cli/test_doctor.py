"""What the doctor says of the operator commands."""

from __future__ import annotations

import pytest

from cli.doctor import OK, WARNING, WRONG, _operations

VARIABLES = ("METERING_API_OPERATIONS", "METERING_DAGSTER_URL", "METERING_DAGSTER_INTERNAL_URL")


@pytest.mark.parametrize(
    ("operations", "dagster", "internal", "state", "says"),
    [
        ("", "", "", OK, "the API only reads"),
        ("false", "http://127.0.0.1:1", "", OK, "the API only reads"),
        ("perhaps", "", "", WRONG, "must be true or false"),
        ("true", "", "", WARNING, "set METERING_DAGSTER_URL"),
        ("true", "127.0.0.1:3000", "", WRONG, "METERING_DAGSTER_URL must begin with"),
        ("true", "http://127.0.0.1:1", "", WRONG, "start Dagster's web server"),
        ("true", "https://dagster.example", "http://127.0.0.1:1", WRONG, "start Dagster's web server"),
    ],
)
def test_the_operator_commands(
    monkeypatch: pytest.MonkeyPatch, operations: str, dagster: str, internal: str, state: str, says: str
) -> None:
    for name, value in zip(VARIABLES, (operations, dagster, internal), strict=True):
        monkeypatch.setenv(name, value)
    (finding,) = _operations()
    assert finding.state == state
    assert says in finding.detail
