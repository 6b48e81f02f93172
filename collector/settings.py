"""The collector's settings: environment variables, read once and checked."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1024 * 1024


class SettingsError(Exception):
    """The environment does not allow the collector to start: one line that names the variable and the remedy."""


class Settings(BaseSettings):
    """What the collector takes from its environment beside the API's settings for tokens and the SDK's for the database.

    A field that not every text fits has a ``description``: what its variable must be, for the error.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    largest_body: int = Field(
        default=4 * MEBIBYTE,
        ge=1024,
        validation_alias="METERING_COLLECTOR_MAX_BYTES",
        description="a whole number of bytes, at least 1024",
    )
    requests_per_second: float = Field(
        default=200,
        gt=0,
        validation_alias="METERING_COLLECTOR_REQUESTS_PER_SECOND",
        description="a number above 0",
    )
    connections: int = Field(
        default=4,
        ge=1,
        le=100,
        validation_alias="METERING_COLLECTOR_CONNECTIONS",
        description="a whole number from 1 to 100",
    )
    tenant_attributes: str = Field(
        default="metering.tenant_id,tenant.id,tenant_id,traceloop.association.properties.tenant_id",
        validation_alias="METERING_COLLECTOR_TENANT_ATTRIBUTES",
    )
    feature_attributes: str = Field(
        default="metering.feature,feature,traceloop.association.properties.feature",
        validation_alias="METERING_COLLECTOR_FEATURE_ATTRIBUTES",
    )
    twilio_token: SecretStr | None = Field(default=None, validation_alias="TWILIO_AUTH_TOKEN")
    sendgrid_key: str | None = Field(default=None, validation_alias="SENDGRID_WEBHOOK_PUBLIC_KEY")
    stripe_secret: SecretStr | None = Field(default=None, validation_alias="STRIPE_WEBHOOK_SECRET")
    public_url: str | None = Field(
        default=None,
        pattern="^https?://[^/?#]+$",
        validation_alias="METERING_COLLECTOR_PUBLIC_URL",
        description="an address without a path, such as https://collector.example.com",
    )
    types_file: Path | None = Field(default=None, validation_alias="METERING_COLLECTOR_TYPES")

    @classmethod
    def from_environment(cls) -> Settings:
        """Return the settings.

        Raises:
            SettingsError: a variable cannot be read.
        """
        try:
            return cls.model_validate({})
        except ValidationError as error:
            variable = error.errors()[0]["loc"][0]
            fields = cls.model_fields.values()
            wanted = next(field.description for field in fields if field.validation_alias == variable)
            raise SettingsError(f"{variable} must be {wanted}") from None
