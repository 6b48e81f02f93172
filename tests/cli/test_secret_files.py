"""Secrets in files: read in one place, before any command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from api.settings import Settings as ApiSettings
from cli.errors import UsageError
from cli.secret_files import read_secret_files, secrets
from collector.settings import Settings as CollectorSettings
from costs.alerts.senders import AlertSettings
from ingestion.config import IngestSettings
from tests.e2e.system import ROOT
from tests.paths import python_path


def test_a_file_stands_for_its_variable_without_the_line_end(tmp_path: Path) -> None:
    path = tmp_path / "stripe"
    path.write_text("sk_live_1 \n")
    environ = {"STRIPE_API_KEY_FILE": str(path), "SSL_CERT_FILE": "/nowhere", "METERING_PII_KEY_FILE": ""}
    read_secret_files(environ)
    assert environ == {"STRIPE_API_KEY": "sk_live_1 ", "SSL_CERT_FILE": "/nowhere", "METERING_PII_KEY_FILE": ""}
    read_secret_files(environ)


@pytest.mark.parametrize(
    ("content", "also", "message"),
    [
        (None, {}, "cannot be read: No such file"),
        (b"", {}, "which is empty"),
        (b" \n\n", {}, "which is empty"),
        (b"\xff\xfe", {}, "is not text"),
        (b"secret", {"METERING_PII_KEY": "other"}, "both set"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(
    tmp_path: Path, content: bytes | None, also: dict[str, str], message: str
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as refused:
        read_secret_files({"METERING_PII_KEY_FILE": str(path), **also})
    assert "METERING_PII_KEY_FILE" in str(refused.value)
    assert "secret" not in str(refused.value).replace(str(path), "")


def test_an_empty_variable_counts_as_unset_as_compose_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("k")
    environ = {"METERING_PII_KEY": "", "METERING_PII_KEY_FILE": str(path)}
    read_secret_files(environ)
    assert environ == {"METERING_PII_KEY": "k"}


@pytest.mark.parametrize("settings", [IngestSettings, ApiSettings, CollectorSettings, AlertSettings])
def test_every_secret_that_a_process_declares_may_be_in_a_file(settings: type[BaseSettings]) -> None:
    declared = {
        name
        for field in settings.model_fields.values()
        if "SecretStr" in str(field.annotation)
        for name in _names(field.validation_alias)
    }
    assert declared
    assert declared <= set(secrets())


def _names(alias: Any) -> list[str]:
    return [str(name) for name in alias.choices] if isinstance(alias, AliasChoices) else [str(alias)]


@pytest.mark.parametrize("words", [["token", "--role", "root_admin"], ["run", sys.executable, "-c", "pass"]])
def test_every_command_reads_them_first(tmp_path: Path, words: list[str]) -> None:
    done = _metering(words, METERING_JWT_SECRET_FILE=str(tmp_path / "none"))
    assert (done.returncode, done.stderr) == (
        2,
        f"metering: METERING_JWT_SECRET_FILE names {tmp_path / 'none'}, which cannot be read: No such file or directory\n",
    )


def test_run_hands_them_to_the_command_and_returns_what_it_returns(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k\n")
    program = "import os, sys; print(os.environ['METERING_PII_KEY'], sys.argv[1:]); sys.exit(7)"
    done = _metering(["run", sys.executable, "-c", program, "--port", "1"], METERING_PII_KEY_FILE=str(tmp_path / "key"))
    assert (done.returncode, done.stdout) == (7, "k ['--port', '1']\n")


def test_run_says_which_command_is_not_there() -> None:
    done = _metering(["run", "no-such-command"])
    assert (done.returncode, done.stderr) == (
        2,
        "metering: no-such-command cannot be started: No such file or directory\n",
    )


def _metering(words: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from cli.main import run; run()", *words]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": python_path(), **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
