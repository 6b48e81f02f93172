"""The environment of ingestion: credentials, places and options, read once and typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingestion.windows import DEFAULT_LOOKBACK_DAYS, LOOKBACK_RULE, MAX_LOOKBACK_DAYS
from usage_metering.failures import ConfigError

_WHOLE = "a whole number, at least 1"
_SECONDS = "a number of seconds above 0"


@dataclass(frozen=True)
class ProviderVariables:
    """The environment variables of one provider.

    Attributes:
        required: without them the provider is skipped.
        options: what else may be set; `<PROVIDER>_BASE_URL` always may.
        meaning: what the credentials are and must be allowed to read, for .env.example.
    """

    required: tuple[str, ...]
    meaning: str
    options: tuple[str, ...] = ()


PROVIDER_VARIABLES = {
    "twilio": ProviderVariables(
        ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"),
        "Twilio (a restricted key reads messages, calls, recordings, phone numbers; better also accounts, usage records)",
    ),
    "openai": ProviderVariables(("OPENAI_ADMIN_KEY",), "OpenAI usage and costs"),
    "anthropic": ProviderVariables(
        ("ANTHROPIC_ADMIN_KEY",),
        "Anthropic usage and costs, by its `usage_report` (default) or its `analytics`, for which a key with read:analytics will do",
        ("METERING_ANTHROPIC_REPORTS",),
    ),
    "sendgrid": ProviderVariables(
        ("SENDGRID_API_KEY",),
        "SendGrid; the parent's stats are the `total` with its subusers (default), or its `own`",
        ("METERING_SENDGRID_PARENT_STATS",),
    ),
    "stripe": ProviderVariables(
        ("STRIPE_API_KEY",), "Stripe (a restricted key reads balance transactions, charges, accounts)"
    ),
    "cloudflare": ProviderVariables(
        ("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"),
        "Cloudflare R2 (token: read Account Analytics); read it at least monthly",
    ),
}


class IngestSettings(BaseSettings):
    """Settings of a run. A variable that is set but empty counts as unset (compose files pass those).

    A field that not every text fits has a ``description``: what its variable must be, for the error.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", case_sensitive=False)

    tenant_directory: str = Field(validation_alias=AliasChoices("METERING_TENANT_DIRECTORY"))
    pii_key: SecretStr = Field(validation_alias=AliasChoices("METERING_PII_KEY"))
    lookback_days: int = Field(
        DEFAULT_LOOKBACK_DAYS,
        ge=0,
        le=MAX_LOOKBACK_DAYS,
        validation_alias=AliasChoices("METERING_LOOKBACK_DAYS"),
        description=LOOKBACK_RULE,
    )

    twilio_account_sid: str = Field("", validation_alias=AliasChoices("TWILIO_ACCOUNT_SID"))
    twilio_auth_token: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("TWILIO_AUTH_TOKEN"))
    twilio_base_url: str = Field("https://api.twilio.com", validation_alias=AliasChoices("TWILIO_BASE_URL"))

    openai_admin_key: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("OPENAI_ADMIN_KEY"))
    openai_base_url: str = Field("https://api.openai.com/v1", validation_alias=AliasChoices("OPENAI_BASE_URL"))

    anthropic_admin_key: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("ANTHROPIC_ADMIN_KEY"))
    anthropic_base_url: str = Field("https://api.anthropic.com", validation_alias=AliasChoices("ANTHROPIC_BASE_URL"))
    anthropic_reports: Literal["usage_report", "analytics"] = Field(
        "usage_report",
        validation_alias=AliasChoices("METERING_ANTHROPIC_REPORTS"),
        description="usage_report or analytics",
    )

    sendgrid_api_key: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("SENDGRID_API_KEY"))
    sendgrid_base_url: str = Field("https://api.sendgrid.com", validation_alias=AliasChoices("SENDGRID_BASE_URL"))
    sendgrid_parent_stats: Literal["total", "own"] = Field(
        "total", validation_alias=AliasChoices("METERING_SENDGRID_PARENT_STATS"), description="total or own"
    )

    stripe_api_key: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("STRIPE_API_KEY"))
    stripe_base_url: str = Field("https://api.stripe.com", validation_alias=AliasChoices("STRIPE_BASE_URL"))

    cloudflare_api_token: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("CLOUDFLARE_API_TOKEN"))
    cloudflare_account_id: str = Field("", validation_alias=AliasChoices("CLOUDFLARE_ACCOUNT_ID"))
    cloudflare_base_url: str = Field(
        "https://api.cloudflare.com/client/v4", validation_alias=AliasChoices("CLOUDFLARE_BASE_URL")
    )

    # How a failing request is tried again; tests make it quick.
    request_attempts: int = Field(
        5, ge=1, validation_alias=AliasChoices("METERING_REQUEST_ATTEMPTS"), description=_WHOLE
    )
    request_backoff_seconds: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        validation_alias=AliasChoices("METERING_REQUEST_BACKOFF_SECONDS"),
        description="a number of seconds, at least 0",
    )

    # What ends a list that does not end by itself; far above what any account's day needs.
    request_seconds: float = Field(
        120, gt=0, validation_alias=AliasChoices("METERING_REQUEST_MAX_SECONDS"), description=_SECONDS
    )
    list_seconds: float = Field(
        1800, gt=0, validation_alias=AliasChoices("METERING_LIST_MAX_SECONDS"), description=_SECONDS
    )
    list_pages: int = Field(10_000, ge=1, validation_alias=AliasChoices("METERING_LIST_MAX_PAGES"), description=_WHOLE)
    list_bytes: int = Field(2**33, ge=1, validation_alias=AliasChoices("METERING_LIST_MAX_BYTES"), description=_WHOLE)

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment.

        Raises:
            ConfigError: names the variables that are missing or unusable, without their values.
        """
        try:
            return cls()  # type: ignore[call-arg]
        except ValidationError as error:
            missing = [str(item["loc"][0]) for item in error.errors() if item["type"] == "missing"]
            if missing:
                raise ConfigError(f"{' and '.join(missing)} not set: {_WHY.get(missing[0], 'set it')}") from None
            variable = error.errors()[0]["loc"][0]
            raise ConfigError(f"{variable} must be {cls._wanted(variable)}") from None

    @classmethod
    def _wanted(cls, variable: object) -> str | None:
        fields = cls.model_fields.values()
        return next(field.description for field in fields if field.validation_alias == AliasChoices(str(variable)))

    def credentialed(self, provider: str) -> bool:
        """Whether every required variable of the provider is set."""
        return all(self._value(variable) for variable in PROVIDER_VARIABLES[provider].required)

    def base_url(self, provider: str) -> str:
        """Return the provider's base URL without a slash at its end."""
        return str(getattr(self, f"{provider}_base_url")).rstrip("/")

    def _value(self, variable: str) -> str:
        value = getattr(self, variable.lower())
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


_WHY = {
    "METERING_TENANT_DIRECTORY": "give a folder with tenants.csv, or the URL of a database with a table tenants",
    "METERING_PII_KEY": "phone numbers are hashed with it; keep it as long as the data",
}
