"""How a message leaves: SMS through Twilio, mail through SendGrid, with the providers' own SDKs and our ingest credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingestion.config import IngestSettings
from orchestration.alerts.outbox import Message, Sender

TIMEOUT_SECONDS = 20


class AlertSettings(BaseSettings):
    """Where critical alerts go, and from. Empty counts as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", case_sensitive=False)

    admin_phone_number: str = Field("", validation_alias=AliasChoices("ADMIN_PHONE_NUMBER"))
    twilio_phone_number: str = Field("", validation_alias=AliasChoices("TWILIO_PHONE_NUMBER"))
    admin_email: str = Field("", validation_alias=AliasChoices("ADMIN_EMAIL"))
    sendgrid_from_email: str = Field("", validation_alias=AliasChoices("SENDGRID_FROM_EMAIL"))

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment."""
        return cls()  # type: ignore[call-arg]

    def media(self) -> list[str]:
        """Return where somebody wants to be told."""
        wanted = {"sms": self.admin_phone_number, "email": self.admin_email}
        return [medium for medium, address in wanted.items() if address]


def make_senders(alerts: AlertSettings, providers: IngestSettings) -> Mapping[str, Sender]:
    """Return a sender for each medium of ``alerts``. What one lacks it says when it is asked to send."""
    senders: dict[str, Sender] = {"sms": _Sms(alerts, providers), "email": _Email(alerts, providers)}
    return {medium: senders[medium] for medium in alerts.media()}


def _require(**values: str) -> None:
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise LookupError(f"{' and '.join(missing)} not set")


class _Sms:
    def __init__(self, alerts: AlertSettings, providers: IngestSettings) -> None:
        self._alerts, self._providers = alerts, providers

    def __call__(self, message: Message) -> str:
        from twilio.http.http_client import TwilioHttpClient
        from twilio.rest import Client

        alerts, providers = self._alerts, self._providers
        token = providers.twilio_auth_token.get_secret_value()
        _require(
            TWILIO_ACCOUNT_SID=providers.twilio_account_sid,
            TWILIO_AUTH_TOKEN=token,
            TWILIO_PHONE_NUMBER=alerts.twilio_phone_number,
        )

        class Http(TwilioHttpClient):  # type: ignore[misc]
            def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
                kwargs["headers"] = {**(kwargs.get("headers") or {}), "Idempotency-Key": message.idempotency_id}
                return super().request(method, url, *args, **kwargs)

        client = Client(providers.twilio_account_sid, token, http_client=Http(timeout=TIMEOUT_SECONDS))
        client.api.base_url = providers.base_url("twilio")
        sent = client.messages.create(to=alerts.admin_phone_number, from_=alerts.twilio_phone_number, body=message.body)
        return str(sent.sid)


class _Email:
    def __init__(self, alerts: AlertSettings, providers: IngestSettings) -> None:
        self._alerts, self._providers = alerts, providers

    def __call__(self, message: Message) -> str:
        from sendgrid import SendGridAPIClient
        from sendgrid.helpers.mail import CustomArg, Mail

        alerts, providers = self._alerts, self._providers
        key = providers.sendgrid_api_key.get_secret_value()
        _require(SENDGRID_API_KEY=key, SENDGRID_FROM_EMAIL=alerts.sendgrid_from_email)
        client = SendGridAPIClient(key, host=providers.base_url("sendgrid"))
        client.client.timeout = TIMEOUT_SECONDS
        mail = Mail(alerts.sendgrid_from_email, alerts.admin_email, message.subject, plain_text_content=message.body)
        mail.custom_arg = CustomArg("idempotency_id", message.idempotency_id)
        headers = {"Idempotency-Key": message.idempotency_id}
        answer = client.client.mail.send.post(request_body=mail.get(), request_headers=headers)
        return str(answer.headers.get("X-Message-Id", ""))
