"""The two media: SMS through Twilio's SDK, mail through SendGrid's. Who is told, and through what, is the environment's.

An error says the provider's status and code and nothing else: what a provider answers may quote the number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any, Protocol, Self
from urllib.error import URLError
from urllib.parse import urlsplit, urlunsplit

import requests
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from python_http_client.exceptions import HTTPError
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Content, CustomArg, Email, Header, Mail, To
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client
from urllib3.exceptions import NewConnectionError

SECONDS = 10.0
IDEMPOTENCY_HEADER = "Idempotency-Key"
# Provider's clock and ours: a message made a little "before" our attempt is still that attempt's.
CLOCK_SKEW = timedelta(minutes=2)
NOT_SENT = ("failed", "undelivered", "canceled")


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


class _Http(TwilioHttpClient):  # type: ignore[misc]
    """Twilio's transport with another scheme and host where one is named, and with the message's idempotency id."""

    def __init__(self, base_url: str, idempotency_id: str) -> None:
        super().__init__(timeout=SECONDS)
        self._base = urlsplit(base_url) if base_url else None
        self._idempotency_id = idempotency_id

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        if self._base is not None:
            asked = urlsplit(url)
            url = urlunsplit((self._base.scheme, self._base.netloc, asked.path, asked.query, ""))
        headers = {**(options.pop("headers", None) or {}), IDEMPOTENCY_HEADER: self._idempotency_id}
        return super().request(method, url, *args, headers=headers, **options)


class TwilioSms:
    """SMS to ADMIN_PHONE_NUMBER. Twilio lists what it has sent: a message in doubt can be looked up before it is sent again."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings

    def _client(self, idempotency_id: str) -> Client:
        return Client(
            self._settings.twilio_account_sid,
            self._settings.twilio_auth_token.get_secret_value(),
            http_client=_Http(self._settings.twilio_base_url, idempotency_id),
        )

    def send(self, message: Outgoing) -> str:
        settings = self._settings
        try:
            made = self._client(message.idempotency_id).messages.create(
                to=settings.admin_phone_number, from_=settings.twilio_phone_number, body=message.body
            )
        except (TwilioRestException, requests.RequestException) as error:
            raise _twilio_failed(error) from None
        return str(made.sid)

    def find(self, message: Outgoing, known: set[str]) -> str | None:
        settings = self._settings
        if message.in_doubt_since is None:
            return None
        since = message.in_doubt_since - CLOCK_SKEW
        try:
            sent = self._client(message.idempotency_id).messages.list(
                to=settings.admin_phone_number, from_=settings.twilio_phone_number, limit=200
            )
        except (TwilioRestException, requests.RequestException) as error:
            raise _twilio_failed(error) from None
        for found in sent:
            is_it = found.sid not in known and str(found.status) not in NOT_SENT
            # A trial account puts a line of its own before the text.
            if is_it and (found.body or "").endswith(message.body) and (found.date_created or since) >= since:
                return str(found.sid)
        return None


class SendGridMail:
    """Mail to ADMIN_EMAIL. SendGrid cannot be asked what was sent: the id goes along for whoever receives a second copy."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings

    def send(self, message: Outgoing) -> str:
        settings = self._settings
        client = SendGridAPIClient(
            api_key=settings.sendgrid_api_key.get_secret_value(), host=settings.sendgrid_base_url.rstrip("/")
        )
        client.client.timeout = SECONDS
        mail = Mail(
            from_email=Email(settings.sendgrid_from_email),
            to_emails=To(settings.admin_email),
            subject=message.body,
            plain_text_content=Content("text/plain", f"{message.body}\n\n{message.reference}\n"),
        )
        mail.add_custom_arg(CustomArg("idempotency_id", message.idempotency_id))
        mail.add_header(Header(f"X-{IDEMPOTENCY_HEADER}", message.idempotency_id))
        try:
            answer = client.send(mail)
        except HTTPError as error:
            status = int(error.status_code)
            raise _failed(f"SendGrid answered HTTP {status}", status) from None
        except (OSError, HTTPException) as error:
            raise _unreachable("SendGrid", error) from None
        return str(answer.headers.get("X-Message-Id") or "")

    def find(self, message: Outgoing, known: set[str]) -> str | None:
        return None


def _twilio_failed(error: Exception) -> SendFailed:
    if isinstance(error, TwilioRestException):
        return _failed(f"Twilio answered HTTP {error.status}, code {error.code}", int(error.status))
    return _unreachable("Twilio", error)


def _failed(text: str, status: int) -> SendFailed:
    everything = status in (401, 403, 429) or status >= 500
    return SendFailed(text, in_doubt=status >= 500, everything=everything)


def _unreachable(provider: str, error: Exception) -> SendFailed:
    if _never_left(error):
        text = f"{provider} could not be reached ({_reason(error)})"
        return SendFailed(text, in_doubt=False, everything=True)
    return SendFailed(f"{provider} did not answer ({type(error).__name__})", in_doubt=True, everything=True)


def _never_left(error: Exception) -> bool:
    """True: there was no connection, or it ended before the request was whole. Nothing can have been taken."""
    if isinstance(error, requests.ConnectionError):
        # No name, no route, refused, or no connection in time; a proxy that refuses is no answer of the provider's either.
        return isinstance(error, requests.ConnectTimeout) or isinstance(_cause(error), NewConnectionError)
    # urllib wraps what happens until it has handed the whole request over, and nothing of what comes later.
    return isinstance(error, URLError)


def _cause(error: Exception) -> object:
    wrapped = error.args[0] if error.args else None
    return getattr(wrapped, "reason", wrapped)


def _reason(error: Exception) -> str:
    """The class of the innermost error: its text may hold addresses."""
    return type(error.reason if isinstance(error, URLError) else _cause(error)).__name__
