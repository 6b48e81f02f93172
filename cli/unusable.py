"""Which variables of the environment have a value that the process which takes them would refuse."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial


def unusable_settings() -> dict[str, str]:
    """Return, by variable, the line with which its process would end. One that several processes take is there once."""
    from api.logs import UnknownFormat
    from usage_metering.failures import ConfigError

    refusals: tuple[type[Exception], ...] = (ConfigError, UnknownFormat)
    with suppress(ModuleNotFoundError):
        from api.settings import SettingsError

        refusals += (SettingsError,)
    with suppress(ModuleNotFoundError):
        from collector.settings import SettingsError as CollectorSettingsError

        refusals += (CollectorSettingsError,)
    lines: dict[str, str] = {}
    for read in _readers():
        try:
            read()
        except refusals as refusal:
            line = str(refusal)
            variable = re.search(r"[A-Z]+(_[A-Z0-9]+)+", line)
            lines.setdefault(variable[0] if variable else "environment", line)
    return lines


def _readers() -> Iterator[Callable[[], object]]:
    """Yield what reads a setting, as each process does. A process that is not installed here does not run here."""
    from api.logs import handler
    from ingestion.windows import lookback_days
    from orchestration.partitions import start_date
    from usage_metering.clock import as_of
    from usage_metering.settings import FailModes, guard_timeout

    yield from (as_of, start_date, lookback_days, FailModes.from_environment, guard_timeout, handler)
    with suppress(ModuleNotFoundError):
        from archive.settings import URL, archive_store, retention_months

        yield retention_months
        if os.environ.get(URL):
            yield archive_store
    with suppress(ModuleNotFoundError):
        from costs.alerts.senders import AlertSettings

        for variable, rule in AlertSettings.from_environment().unusable().items():
            yield partial(_refuse, f"{variable} must be {rule}")
    with suppress(ModuleNotFoundError):
        from api.auth.tokens import TokenVerifier
        from api.settings import Settings

        settings = Settings.model_validate({})
        yield settings.contact_link
        yield settings.allowed_origins
        if settings.jwks_url:
            yield partial(TokenVerifier, settings)
    with suppress(ModuleNotFoundError):
        from collector.main import event_types, sendgrid_key
        from collector.settings import Settings as CollectorSettings

        yield CollectorSettings.from_environment
        yield lambda: event_types(CollectorSettings.from_environment())
        yield lambda: sendgrid_key(CollectorSettings.from_environment())


def _refuse(line: str) -> None:
    from usage_metering.failures import ConfigError

    raise ConfigError(line)
