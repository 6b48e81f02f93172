"""The two media: SMS by Twilio's Messages, mail by SendGrid's mail API. Recipients and media are the environment's.

Each is one HTTP request; the providers' own clients would be 60 MB for that (docs/decisions/0016-libraries.md). An error says
the provider's status and code and nothing else: what a provider answers may quote the number.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, Self

import requests
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import NewConnectionError

from usage_metering.taxonomy import NEVER_SENT

SECONDS = 10.0
IDEMPOTENCY_HEADER = "Idempotency-Key"
# Provider's clock and ours: a message made a little "before" our attempt is still that attempt's.
CLOCK_SKEW = timedelta(minutes=2)
NOT_SENT = (*NEVER_SENT, "undelivered")
NEVER_LEFT = (
    requests.ConnectTimeout,
    requests.exceptions.ProxyError,
    NewConnectionError,
    ssl.SSLCertVerificationError,
)


@dataclass(frozen=True)
class Outgoing:
    """A message of the outbox.

    Attributes:
        reference: which alert it is about, for the mail's second paragraph.
        in_doubt_since: when an attempt began whose end is not known; None: there is none.
    """

    idempotency_id: str
    body: str
    reference: str
    in_doubt_since: datetime | None = None


class SendFailed(Exception):
    """A message was not sent, or nobody knows.

    Attributes:
        in_doubt: the provider may have taken it all the same.
        everything: the next message would fail as well.
    """

    def __init__(self, message: str, *, in_doubt: bool, everything: bool) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt
        self.everything = everything


class Sender(Protocol):
    """One medium."""

    def send(self, message: Outgoing) -> str:
        """Send it and return the provider's id.

        Raises:
            SendFailed: with one line that may be stored.
        """
        ...

    def find(self, message: Outgoing, known: set[str]) -> str | None:
        """Return the provider's id of a message in doubt that went out after all; None: it did not, or cannot be known.

        Args:
            known: ids that belong to other messages.

        Raises:
            SendFailed: the provider did not say.
        """
        ...


class AlertSettings(BaseSettings):
    """Where critical alerts go, and from. A variable that is set but empty counts as unset."""

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

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment now. Everything may be missing."""
        return cls()  # type: ignore[call-arg]

    def missing(self, medium: str) -> list[str]:
        """Return the variables that the medium cannot do without and that are not set."""
        names = {
            "sms": ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER", "ADMIN_PHONE_NUMBER"),
            "email": ("SENDGRID_API_KEY", "SENDGRID_FROM_EMAIL", "ADMIN_EMAIL"),
        }[medium]
        values: dict[str, Any] = {name: getattr(self, name.lower()) for name in names}
        return [
            name
            for name, value in values.items()
            if not (value.get_secret_value() if isinstance(value, SecretStr) else value)
        ]

    def senders(self) -> dict[str, Sender]:
        """Return a sender for each medium that is set up."""
        made: dict[str, Sender] = {}
        if not self.missing("sms"):
            made["sms"] = TwilioSms(self)
        if not self.missing("email"):
            made["email"] = SendGridMail(self)
        return made


class TwilioSms:
    """SMS to ADMIN_PHONE_NUMBER. Twilio lists what it has sent: a message in doubt can be looked up before it is sent again."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings

    def _request(self, method: str, message: Outgoing, **content: Any) -> Any:
        settings = self._settings
        base_url = (settings.twilio_base_url or "https://api.twilio.com").rstrip("/")
        response = _send(
            "Twilio",
            method,
            f"{base_url}/2010-04-01/Accounts/{settings.twilio_account_sid}/Messages.json",
            auth=HTTPBasicAuth(settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value()),
            headers={IDEMPOTENCY_HEADER: message.idempotency_id},
            **content,
        )
        body = _body(response)
        if not _is_consent(response):
            code = body.get("code") if isinstance(body, dict) else None
            known = f", code {code}" if isinstance(code, int) else ""
            raise _refused(f"Twilio answered HTTP {response.status_code}{known}", response)
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
        response = _send(
            "SendGrid",
            "POST",
            f"{settings.sendgrid_base_url.rstrip('/')}/v3/mail/send",
            auth=_Bearer(settings.sendgrid_api_key),
            json=mail,
        )
        if not _is_consent(response):
            raise _refused(f"SendGrid answered HTTP {response.status_code}", response)
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


def _send(provider: str, method: str, url: str, **content: Any) -> requests.Response:
    """Ask once and return what the provider says. A redirection is not followed: its target would be sent the credentials.

    Raises:
        SendFailed: it did not answer.
    """
    try:
        return requests.request(method, url, timeout=SECONDS, allow_redirects=False, **content)
    except requests.RequestException as error:
        raise _unreachable(provider, error) from None


def _is_consent(response: requests.Response) -> bool:
    return 200 <= response.status_code < 300


def _refused(text: str, response: requests.Response) -> SendFailed:
    status = response.status_code
    return SendFailed(text, in_doubt=status >= 500, everything=status in (401, 403, 429) or status >= 500)


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


def _unreachable(provider: str, error: requests.RequestException) -> SendFailed:
    *_, innermost = errors = list(_wrapped(error))
    # No such name, no route, refused, no connection in time, a proxy that leads nowhere, or a certificate that is not the
    # provider's: there was no connection to the provider, so it can have taken nothing.
    if any(isinstance(one, NEVER_LEFT) for one in errors):
        # Only its class: its text may hold addresses.
        text = f"{provider} could not be reached ({type(innermost).__name__})"
        return SendFailed(text, in_doubt=False, everything=True)
    return SendFailed(f"{provider} did not answer ({type(error).__name__})", in_doubt=True, everything=True)


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, and what it wraps: `requests` wraps what urllib3 wraps, each in a way of its own."""
    yield error
    for inner in (getattr(error, "reason", None), error.__cause__, *error.args[:1]):
        if isinstance(inner, BaseException):
            yield from _wrapped(inner)
            return
