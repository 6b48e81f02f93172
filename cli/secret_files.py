"""Secrets in files, as Docker and Kubernetes hand them over: NAME_FILE names a file that holds what NAME would.

`metering` reads them before any command, so that whatever it starts finds plain variables; `metering run COMMAND` starts anything
else so, and is the image's entry point.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from cli.errors import UsageError

# Other variables that end with _FILE belong to others (SSL_CERT_FILE).
SECRETS = (
    "METERING_DATABASE_URL",
    "METERING_API_DATABASE_URL",
    "METERING_TRACKER_DATABASE_URL",
    "METERING_OPERATOR_DATABASE_URL",
    "METERING_ANALYST_DATABASE_URL",
    "METERING_DAGSTER_STORAGE_URL",
    "METERING_PII_KEY",
    "METERING_JWT_SECRET",
    "METERING_SESSION_SECRET",
    "METERING_ALERT_WEBHOOK_SECRET",
    "METERING_ALERT_SLACK_URL",
    "METERING_TENANT_WEBHOOK_KEY",
    "METERING_ARCHIVE_URL",
    "AWS_SECRET_ACCESS_KEY",
    "SENDGRID_WEBHOOK_PUBLIC_KEY",
    "STRIPE_WEBHOOK_SECRET",
)
"""Settings that are secrets or hold one, beside the providers' credentials."""


def secrets() -> tuple[str, ...]:
    """Return every variable that a file may stand for."""
    from ingestion.config import PROVIDER_VARIABLES

    return (*SECRETS, *(name for variables in PROVIDER_VARIABLES.values() for name in variables.required))


def read_secret_files(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set each secret whose file is named, without the line end that editors add, and forget the file's name.

    Raises:
        UsageError: a file is missing, unreadable or empty, or the variable is set as well. No content is in it.
    """
    # Most have none, and need not wait until the providers are known.
    if not any(name.endswith("_FILE") for name in environ):
        return
    for name in secrets():
        variable = f"{name}_FILE"
        path = environ.get(variable)
        if not path:
            continue
        if environ.get(name):
            raise UsageError(f"{name} and {variable} are both set: keep one of them")
        try:
            text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError(f"{variable} names {path}, which is not text") from None
        except OSError as error:
            raise UsageError(f"{variable} names {path}, which cannot be read: {error.strerror}") from None
        if not text.strip():
            raise UsageError(f"{variable} names {path}, which is empty")
        environ[name] = text
        # A process started from here would find both.
        del environ[variable]
