"""The API's settings: environment variables of the contract (section 2), read once and checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

API_ROLE = "metering_api"
OPERATOR_ROLE = "metering_operator"
MAX_LOOKBACK_DAYS = 366
"""As ingestion has it, which the API does not import."""
TARGET = "target_session_attrs"
"""Of several hosts, which one libpq takes."""
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
"""As browsers write them: in small letters, without a path. `*` is none."""
FIRST_YEAR, LAST_YEAR = 1970, 9998
"""Of "now", as the SDK has them: beyond these, adding days to it leaves the calendar."""


class SettingsError(Exception):
    """The environment does not allow the API to start: one line that names the variable and the remedy."""


class Settings(BaseSettings):
    """Everything the API takes from its environment. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    owner_database_url: SecretStr | None = Field(default=None, validation_alias="METERING_DATABASE_URL")
    api_database_url: SecretStr | None = Field(default=None, validation_alias="METERING_API_DATABASE_URL")
    jwt_secret: SecretStr | None = Field(default=None, validation_alias="METERING_JWT_SECRET")
    jwks_url: str | None = Field(default=None, validation_alias="METERING_JWKS_URL")
    jwt_audience: str = Field(default="usage-api", validation_alias="METERING_JWT_AUDIENCE")
    jwt_issuer: str | None = Field(default=None, validation_alias="METERING_JWT_ISSUER")
    as_of: str | None = Field(default=None, validation_alias="METERING_AS_OF")
    lookback_days: str = Field(default="3", validation_alias="METERING_LOOKBACK_DAYS")
    api_operations: str = Field(default="false", validation_alias="METERING_API_OPERATIONS")
    operator_database_url: SecretStr | None = Field(default=None, validation_alias="METERING_OPERATOR_DATABASE_URL")
    dagster_url: str | None = Field(default=None, validation_alias="METERING_DAGSTER_URL")
    dagster_internal_url: str | None = Field(default=None, validation_alias="METERING_DAGSTER_INTERNAL_URL")
    product_name: str | None = Field(default=None, validation_alias="METERING_PRODUCT_NAME")
    feature_labels: str | None = Field(default=None, validation_alias="METERING_FEATURE_LABELS")
    contact_url: str | None = Field(default=None, validation_alias="METERING_CONTACT_URL")
    session_secret: SecretStr | None = Field(default=None, validation_alias="METERING_SESSION_SECRET")
    auth_proxy_header: str | None = Field(default=None, validation_alias="METERING_AUTH_PROXY_HEADER")
    cors_origins: str = Field(default="", validation_alias="METERING_CORS_ORIGINS")

    def database_url(self) -> str:
        """Return the URL under which the API reads: of several hosts a replica, where the URL does not say otherwise.

        Raises:
            SettingsError: neither variable is set, or the one that is used is not a PostgreSQL URL.
        """
        if self.api_database_url is not None:
            url = _checked_url(self.api_database_url.get_secret_value(), "METERING_API_DATABASE_URL")
            return with_parameter(url, TARGET, "prefer-standby", keep=True) if _has_several_hosts(url) else url
        if self.owner_database_url is not None:
            url = _checked_url(self.owner_database_url.get_secret_value(), "METERING_DATABASE_URL")
            return with_options(url, role=API_ROLE)
        raise SettingsError(
            "METERING_DATABASE_URL (or METERING_API_DATABASE_URL) is not set: "
            'use `metering serve`, or run eval "$(metering env)" first'
        )

    def primary_url(self) -> str:
        """Return the URL for what must not be older than now, be it a cap's room or what has just been written: of several hosts
        the one that can be written to, else the URL that all else is read under.

        Raises:
            SettingsError: as `database_url`.
        """
        url = self.database_url()
        return with_parameter(url, TARGET, "read-write") if _has_several_hosts(url) else url

    @property
    def operations(self) -> bool:
        """Whether the two operator commands are mounted.

        Raises:
            SettingsError: METERING_API_OPERATIONS says neither yes nor no: what it guards is not guessed.
        """
        value = self.api_operations.strip().lower()
        if value not in ("true", "1", "yes", "on", "false", "0", "no", "off"):
            raise SettingsError("METERING_API_OPERATIONS must be true or false")
        return value in ("true", "1", "yes", "on")

    def operator_url(self) -> str:
        """Return the URL under which an acknowledgement is written.

        Raises:
            SettingsError: neither variable is set, or the one that is used is not a PostgreSQL URL.
        """
        if self.operator_database_url is not None:
            return _checked_url(self.operator_database_url.get_secret_value(), "METERING_OPERATOR_DATABASE_URL")
        if self.owner_database_url is not None:
            url = _checked_url(self.owner_database_url.get_secret_value(), "METERING_DATABASE_URL")
            return with_options(url, role=OPERATOR_ROLE)
        raise SettingsError(
            "METERING_API_OPERATIONS=true needs METERING_OPERATOR_DATABASE_URL (or METERING_DATABASE_URL):"
            " alerts are acknowledged as metering_operator"
        )

    def clock(self) -> Callable[[], datetime]:
        """Return the function that tells "now" (aware, UTC): METERING_AS_OF where set, else the clock.

        Raises:
            SettingsError: METERING_AS_OF is neither an ISO date nor an ISO timestamp.
        """
        if self.as_of is None:
            return lambda: datetime.now(UTC)
        pinned = parse_as_of(self.as_of)
        return lambda: pinned

    def lookback(self) -> int:
        """Return the number of trailing days that a build still treats as open.

        Raises:
            SettingsError: METERING_LOOKBACK_DAYS is not a whole number of 0 to 366.
        """
        if not self.lookback_days.strip().isdecimal() or int(self.lookback_days) > MAX_LOOKBACK_DAYS:
            raise SettingsError(f"METERING_LOOKBACK_DAYS must be a whole number of days from 0 to {MAX_LOOKBACK_DAYS}")
        return int(self.lookback_days)

    def allowed_origins(self) -> list[str]:
        """Return the origins whose scripts may read the API; none by default.

        Raises:
            SettingsError: METERING_CORS_ORIGINS names something else: a browser compares origins letter by letter.
        """
        origins = [origin for part in self.cors_origins.split(",") if (origin := part.strip())]
        for origin in origins:
            if not ORIGIN.fullmatch(origin):
                raise SettingsError(
                    "METERING_CORS_ORIGINS must be origins such as https://app.example.com, separated by commas:"
                    f" {origin} is not one"
                )
        return origins

    def contact_link(self) -> str | None:
        """Return where people ask for help, a web or mail address; None where none is set.

        Raises:
            SettingsError: METERING_CONTACT_URL is neither.
        """
        return _checked_link(self.contact_url, "METERING_CONTACT_URL", ("https", "http", "mailto"))

    def dagster_internal_link(self) -> str | None:
        """Return where this process reaches Dagster's web server, as `dagster_link`; None: where people do.

        Raises:
            SettingsError: METERING_DAGSTER_INTERNAL_URL is not a web address.
        """
        url = _checked_link(self.dagster_internal_url, "METERING_DAGSTER_INTERNAL_URL", ("https", "http"))
        return url.rstrip("/") if url else None

    def dagster_link(self) -> str | None:
        """Return the Dagster UI's address without a slash at its end; None where none is set.

        Raises:
            SettingsError: METERING_DAGSTER_URL is not a web address.
        """
        url = _checked_link(self.dagster_url, "METERING_DAGSTER_URL", ("https", "http"))
        return url.rstrip("/") if url else None


def parse_as_of(text: str) -> datetime:
    """Return the instant that METERING_AS_OF names: a date is midnight UTC at its start, a naive timestamp is
    UTC.

    Raises:
        SettingsError: the text is neither an ISO date nor an ISO timestamp, or not of the years 1970 to 9998.
    """
    try:
        instant = datetime.fromisoformat(text.strip())
        instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SettingsError(
            "METERING_AS_OF must be an ISO date or timestamp, such as 2026-11-20 or 2026-11-20T12:00:00Z"
        ) from error
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise SettingsError(f"METERING_AS_OF must be in the years {FIRST_YEAR} to {LAST_YEAR}")
    return instant


def with_options(url: str, **server_settings: str) -> str:
    """Return ``url`` with ``-cname=value`` server settings added to the ``options`` it may already have."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    options = " ".join(f"-c{name}={value}" for name, value in server_settings.items())
    query["options"] = f"{query['options']} {options}" if query.get("options") else options
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def with_parameter(url: str, name: str, value: str, *, keep: bool = False) -> str:
    """Return ``url`` with a parameter of libpq's; ``keep``: one that it has already stays."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    query = {name: value} | query if keep else query | {name: value}
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def _hosts(url: str) -> list[str]:
    parts = urlsplit(url)
    # As a parameter they count, for libpq.
    return (dict(parse_qsl(parts.query)).get("host") or parts.netloc.rpartition("@")[2]).split(",")


def _has_several_hosts(url: str) -> bool:
    return len(_hosts(url)) > 1


def _checked_url(url: str, variable: str) -> str:
    try:
        parts = urlsplit(url.strip())
        good = parts.scheme in ("postgresql", "postgres") and len(parts.path) > 1
        for host in _hosts(url.strip()):
            _ = urlsplit(f"//{host}").port  # a port that is not a number raises here
    except ValueError:
        good = False
    if not good:
        # Names the variable, never its value: that holds a password.
        raise SettingsError(f"{variable} is not a PostgreSQL URL: write postgresql://user:password@host:5432/database")
    return url.strip()


def _checked_link(url: str | None, variable: str, schemes: tuple[str, ...]) -> str | None:
    if url is None:
        return None
    if urlsplit(url.strip()).scheme not in schemes:
        raise SettingsError(f"{variable} must begin with one of {', '.join(f'{scheme}:' for scheme in schemes)}")
    return url.strip()
