"""What to install where a command needs a library that is not there: the SDK's extra brings a few of the commands only."""

from __future__ import annotations

OURS = ("api", "cli", "costs", "ingestion", "orchestration", "warehouse")
API = frozenset(
    {
        "babel",
        "fastapi",
        "heroicons",
        "httpx",
        "itsdangerous",
        "jinja2",
        "jwt",
        "multipart",
        "prometheus_fastapi_instrumentator",
        "pygal",
        "pygaljs",
        "python_multipart",
        "rfc9457",
        "swagger_ui_bundle",
        "uvicorn",
    }
)
"""Modules that the extra `api` brings; any other one comes with `pipeline`."""


def remedy(error: ModuleNotFoundError) -> str | None:
    """Return the line that says what to install; None where one of our own modules is missing, which is a bug."""
    name = (error.name or "").partition(".")[0]
    if not name or name in OURS:
        return None
    extra = "api" if name in API else "pipeline"
    return f'this command needs {name}, which is not installed: pip install "usage-metering[{extra}]"'
