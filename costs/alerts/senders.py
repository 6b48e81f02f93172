"""Who is told, and by which media: the environment's word. SMS by Twilio's Messages and mail by SendGrid's mail API stand here,
what is posted to an address of yours in `webhooks`.

Each is one HTTP request; the providers' own clients would be 60 MB for that (docs/decisions/0016-libraries.md). An error says
the provider's status and code and nothing else: what a provider answers may quote the number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Self

import requests
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from requests.auth import AuthBase, HTTPBasicAuth

from costs.alerts.requesting import Outgoing, Sender, SendFailed, ask, is_consent, refused
from costs.alerts.webhooks import SECRET_RULE, Slack, TenantWebhook, Webhook, secret_of
from ingestion.directory.parse import WEB_ADDRESS_RULE, is_web_address
from usage_metering.taxonomy import NEVER_SENT

IDEMPOTENCY_HEADER = "Idempotency-Key"
# Provider's clock and ours: a message made a little "before" our attempt is still that attempt's.
CLOCK_SKEW = timedelta(minutes=2)
NOT_SENT = (*NEVER_SENT, "undelivered")
CHANNELS = ("sms", "email", "webhook", "slack")
TENANT = "tenant"
NEEDED = {
    "sms": ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER", "ADMIN_PHONE_NUMBER"),
    "email": ("SENDGRID_API_KEY", "SENDGRID_FROM_EMAIL", "ADMIN_EMAIL"),
    "webhook": ("METERING_ALERT_WEBHOOK_URL", "METERING_ALERT_WEBHOOK_SECRET"),
    "slack": ("METERING_ALERT_SLACK_URL",),
    TENANT: ("METERING_TENANT_WEBHOOK_KEY",),
}
"""By medium the variables that it cannot do without."""
ROUTES = {"critical": "METERING_ALERT_CHANNELS_CRITICAL", "warning": "METERING_ALERT_CHANNELS_WARNING"}
NOBODY = "none"


class AlertSettings(BaseSettings):
    """Where alerts go, and from. A variable that is set but empty counts as unset; one that cannot be used keeps its own medium
    from sending and no other (`unusable` names it).
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", case_sensitive=False)

    admin_phone_number: str = Field("", validation_alias=AliasChoices("ADMIN_PHONE_NUMBER"))
    twilio_phone_number: str = Field("", validation_alias=AliasChoices("TWILIO_PHONE_NUMBER"))
    twilio_account_sid: str = Field("", validation_alias=AliasChoices("TWILIO_ACCOUNT_SID"))
    twilio_auth_token: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("TWILIO_AUTH_TOKEN"))
    twilio_base_url: str = Field("", validation_alias=AliasChoices("TWILIO_BASE_URL"))

    admin_email: str = Field("", validation_alias=AliasChoices("ADMIN_EMAIL"))
    sendgrid_from_email: str = Field("", validation_alias=AliasChoices("SENDGRID_FROM_EMAIL"))
    sendgrid_api_key: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("SENDGRID_API_KEY"))
    sendgrid_base_url: str = Field("https://api.sendgrid.com", validation_alias=AliasChoices("SENDGRID_BASE_URL"))

    alert_webhook_url: str = Field("", validation_alias=AliasChoices("METERING_ALERT_WEBHOOK_URL"))
    alert_webhook_secret: SecretStr = Field(
        SecretStr(""), validation_alias=AliasChoices("METERING_ALERT_WEBHOOK_SECRET")
    )
    # Whoever knows it may post there.
    alert_slack_url: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("METERING_ALERT_SLACK_URL"))

    channels_critical: str = Field("", validation_alias=AliasChoices("METERING_ALERT_CHANNELS_CRITICAL"))
    channels_warning: str = Field("", validation_alias=AliasChoices("METERING_ALERT_CHANNELS_WARNING"))

    tenant_webhook_key: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("METERING_TENANT_WEBHOOK_KEY"))
    tenant_webhook_private: str = Field("", validation_alias=AliasChoices("METERING_TENANT_WEBHOOK_PRIVATE"))

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment now. Everything may be missing."""
        return cls()  # type: ignore[call-arg]

    def _value(self, variable: str) -> str:
        fields = type(self).model_fields.items()
        name = next(name for name, field in fields if field.validation_alias == AliasChoices(variable))
        value = getattr(self, name)
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

    def missing(self, medium: str) -> list[str]:
        """Return the variables that the medium cannot do without and that are not set."""
        return [name for name in NEEDED[medium] if not self._value(name)]

    def unusable(self) -> dict[str, str]:
        """Return what must be corrected: by variable what it has to be. No value is in it."""
        lines = {
            name: WEB_ADDRESS_RULE
            for name in ("METERING_ALERT_WEBHOOK_URL", "METERING_ALERT_SLACK_URL")
            if self._value(name) and not is_web_address(self._value(name))
        }
        for name in ("METERING_ALERT_WEBHOOK_SECRET", "METERING_TENANT_WEBHOOK_KEY"):
            if self._value(name) and secret_of(self._value(name)) is None:
                lines[name] = SECRET_RULE
        for name in ROUTES.values():
            if not set(self._listed(name)) <= {*CHANNELS, NOBODY}:
                lines[name] = f"a list of {', '.join(CHANNELS)}; or {NOBODY}"
        if self.tenant_webhook_private not in ("", "true", "false"):
            lines["METERING_TENANT_WEBHOOK_PRIVATE"] = "true or false"
        return lines

    def obstacle(self, medium: str) -> str | None:
        """Return why the medium cannot send, for people; None: it can."""
        if missing := self.missing(medium):
            return f"{' and '.join(missing)} not set"
        unusable = self.unusable()
        wrong = [name for name in NEEDED[medium] if name in unusable]
        return f"{wrong[0]} must be {unusable[wrong[0]]}" if wrong else None

    def senders(self) -> dict[str, Sender]:
        """Return a sender for each medium that is set up."""
        make: dict[str, Any] = {
            "sms": lambda: TwilioSms(self),
            "email": lambda: SendGridMail(self),
            "webhook": lambda: Webhook(
                self.alert_webhook_url, secret_of(self.alert_webhook_secret.get_secret_value()) or b""
            ),
            "slack": lambda: Slack(self.alert_slack_url.get_secret_value()),
            TENANT: lambda: TenantWebhook(
                secret_of(self.tenant_webhook_key.get_secret_value()) or b"",
                may_be_private=self.tenant_webhook_private == "true",
            ),
        }
        return {medium: made() for medium, made in make.items() if self.obstacle(medium) is None}

    def routes(self) -> Mapping[str, Sequence[str]]:
        """Return the media of each severity. Without a word about it: a critical alert takes all (an SMS and a mail wait for their
        settings), a warning what is posted.
        """
        posted = [medium for medium in ("webhook", "slack") if not self.missing(medium)]
        chosen: dict[str, Sequence[str]] = {"critical": ("sms", "email", *posted), "warning": posted}
        unusable = self.unusable()
        for severity, name in ROUTES.items():
            if (listed := self._listed(name)) and name not in unusable:
                chosen[severity] = [medium for medium in CHANNELS if medium in listed]
        if not self.missing(TENANT):
            chosen = {severity: (*media, TENANT) for severity, media in chosen.items()}
        return chosen

    def _listed(self, variable: str) -> list[str]:
        return [word for part in self._value(variable).split(",") if (word := part.strip().lower())]


class TwilioSms:
    """SMS to ADMIN_PHONE_NUMBER. Twilio lists what it has sent: a message in doubt can be looked up before it is sent again."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings

    def _request(self, method: str, message: Outgoing, **content: Any) -> Any:
        settings = self._settings
        base_url = (settings.twilio_base_url or "https://api.twilio.com").rstrip("/")
        response = ask(
            "Twilio",
            method,
            f"{base_url}/2010-04-01/Accounts/{settings.twilio_account_sid}/Messages.json",
            auth=HTTPBasicAuth(settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value()),
            headers={IDEMPOTENCY_HEADER: message.idempotency_id},
            **content,
        )
        body = _body(response)
        if not is_consent(response):
            code = body.get("code") if isinstance(body, dict) else None
            known = f", code {code}" if isinstance(code, int) else ""
            raise refused(f"Twilio answered HTTP {response.status_code}{known}", response)
        return body

    def send(self, message: Outgoing) -> str:
        settings = self._settings
        form = {"To": settings.admin_phone_number, "From": settings.twilio_phone_number, "Body": message.body}
        made = self._request("POST", message, data=form)
        if not isinstance(made, dict) or not isinstance(made.get("sid"), str):
            raise SendFailed("Twilio's answer does not name the message", in_doubt=True, everything=True)
        return str(made["sid"])

    def find(self, message: Outgoing, known: set[str]) -> str | None:
        settings = self._settings
        if message.in_doubt_since is None:
            return None
        since = message.in_doubt_since - CLOCK_SKEW
        numbers = {"To": settings.admin_phone_number, "From": settings.twilio_phone_number, "PageSize": 200}
        listed = self._request("GET", message, params=numbers)
        try:
            for sent in listed["messages"]:
                is_it = sent["sid"] not in known and sent.get("status") not in NOT_SENT
                # A trial account puts a line of its own before the text.
                if is_it and (sent.get("body") or "").endswith(message.body) and _made_at(sent, since) >= since:
                    return str(sent["sid"])
        except (TypeError, KeyError, ValueError, AttributeError):
            raise SendFailed("Twilio's list of messages cannot be read", in_doubt=True, everything=True) from None
        return None


class SendGridMail:
    """Mail to ADMIN_EMAIL. SendGrid cannot be asked what was sent: the id goes along for whoever receives a second copy."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings

    def send(self, message: Outgoing) -> str:
        settings = self._settings
        mail = {
            "from": {"email": settings.sendgrid_from_email},
            "personalizations": [{"to": [{"email": settings.admin_email}]}],
            "subject": message.body,
            "content": [{"type": "text/plain", "value": f"{message.body}\n\n{message.reference}\n"}],
            "custom_args": {"idempotency_id": message.idempotency_id},
            "headers": {f"X-{IDEMPOTENCY_HEADER}": message.idempotency_id},
        }
        response = ask(
            "SendGrid",
            "POST",
            f"{settings.sendgrid_base_url.rstrip('/')}/v3/mail/send",
            auth=_Bearer(settings.sendgrid_api_key),
            json=mail,
        )
        if not is_consent(response):
            raise refused(f"SendGrid answered HTTP {response.status_code}", response)
        return response.headers.get("X-Message-Id", "")

    def find(self, message: Outgoing, known: set[str]) -> str | None:
        return None


class _Bearer(AuthBase):
    """An API key in the Authorization header: as `auth`, because `requests` puts a .netrc's password over a plain header."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        return request


def _body(response: requests.Response) -> Any:
    """Return the JSON value; None where there is none."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def _made_at(sent: dict[str, Any], unknown: datetime) -> datetime:
    """Return when Twilio made a message."""
    made = sent.get("date_created")
    return parsedate_to_datetime(made).replace(tzinfo=UTC) if made else unknown
