"""What the two media send, held against the providers' own clients, and what they make of answers that are none."""

from __future__ import annotations

import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import urllib3
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Content, CustomArg, Email, Header, Mail, To
from twilio.rest import Client

from bench.sending import ACCOUNT, settings_of
from costs.alerts.requesting import Outgoing, SendFailed
from costs.alerts.senders import AlertSettings, SendGridMail, TwilioSms

MESSAGE = Outgoing("alert-1-1-sms", "⚠️ Usage Alert for Acme & Söhne: 100 %", "Tenant acme, alert 1.", datetime.now(UTC))
SENT = {"sid": "SM1", "body": MESSAGE.body, "status": "sent", "date_created": None}


@dataclass
class Server:
    """A provider that gives one answer to everything, and remembers what it was asked."""

    status: int = 201
    body: bytes = json.dumps(SENT).encode()
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, Any], str, str]] = field(default_factory=list)
    """Method, path, the content read (query, form or JSON), Authorization, Idempotency-Key."""

    @contextmanager
    def serve(self) -> Iterator[str]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                url = urlsplit(self.path)
                is_json = "json" in self.headers.get("Content-Type", "")
                content = json.loads(text) if is_json else parse_qs(text or url.query)
                keys = (self.headers.get("Authorization", ""), self.headers.get("Idempotency-Key", ""))
                server.requests.append((self.command, url.path, content, *keys))
                self.send_response(server.status)
                for name, value in {"Content-Length": str(len(server.body)), **server.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(server.body)

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None: ...

        made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{made.server_address[1]}"
        finally:
            made.shutdown()
            made.server_close()


def settings(url: str) -> AlertSettings:
    return AlertSettings.model_validate(settings_of(url))


def test_an_sms_is_what_twilio_s_client_sends() -> None:
    server, numbers = Server(), {"to": "+15550001111", "from_": "+15550002222"}
    with server.serve() as url:
        client = Client(ACCOUNT, "token")
        client.api.base_url = url
        client.messages.create(body=MESSAGE.body, **numbers)
        assert TwilioSms(settings(url)).send(MESSAGE) == "SM1"
        server.status, server.body = 200, b'{"messages": []}'
        client.messages.list(limit=200, **numbers)
        assert TwilioSms(settings(url)).find(MESSAGE, set()) is None
    from_client, ours = server.requests[::2], server.requests[1::2]
    assert [request[:4] for request in ours] == [request[:4] for request in from_client]
    assert ours[0][3] == f"Basic {b64encode(f'{ACCOUNT}:token'.encode()).decode()}"
    assert {request[4] for request in ours} == {MESSAGE.idempotency_id}


def test_a_mail_is_what_sendgrid_s_client_sends() -> None:
    server = Server(202, b"", {"X-Message-Id": "mail-1"})
    mail = Mail(
        from_email=Email("alerts@example.com"),
        to_emails=To("admin@example.com"),
        subject=MESSAGE.body,
        plain_text_content=Content("text/plain", f"{MESSAGE.body}\n\n{MESSAGE.reference}\n"),
    )
    mail.add_custom_arg(CustomArg("idempotency_id", MESSAGE.idempotency_id))
    mail.add_header(Header("X-Idempotency-Key", MESSAGE.idempotency_id))
    with server.serve() as url:
        SendGridAPIClient(api_key="SG.key", host=url).send(mail)
        assert SendGridMail(settings(url)).send(MESSAGE) == "mail-1"
    from_client, ours = server.requests
    assert ours == from_client
    assert ours[3] == "Bearer SG.key"


def test_a_password_kept_for_the_host_is_not_sent_instead_of_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password hush\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = Server(202, b"")
    with server.serve() as url:
        SendGridMail(settings(url)).send(MESSAGE)
    assert server.requests[0][3] == "Bearer SG.key"


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"null", b'{"sid": null}', b'{"sid": 7}', b"[" * 100_000])
def test_an_answer_that_names_no_message_is_in_doubt(body: bytes) -> None:
    with Server(200, body).serve() as url, pytest.raises(SendFailed, match="does not name the message") as failed:
        TwilioSms(settings(url)).send(MESSAGE)
    assert failed.value.in_doubt


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"[]",
        b'{"messages": null}',
        b'{"messages": [7]}',
        b'{"messages": [{"body": "x"}]}',
        json.dumps({"messages": [{**SENT, "date_created": "yesterday"}]}).encode(),
    ],
)
def test_a_list_that_cannot_be_read_says_nothing_about_a_message(body: bytes) -> None:
    with Server(200, body).serve() as url, pytest.raises(SendFailed, match="cannot be read"):
        TwilioSms(settings(url)).find(MESSAGE, set())


@pytest.mark.parametrize(
    ("status", "body", "message", "in_doubt", "everything"),
    [
        (400, b'{"code": 21211, "message": "to +15550001111"}', "HTTP 400, code 21211", False, False),
        (400, b'{"code": "+15550001111"}', "HTTP 400", False, False),
        (403, b"<html>", "HTTP 403", False, True),
        (503, b"[]", "HTTP 503", True, True),
    ],
)
def test_a_refusal_says_status_and_code_only(
    status: int, body: bytes, message: str, in_doubt: bool, everything: bool
) -> None:
    with Server(status, body).serve() as url, pytest.raises(SendFailed) as failed:
        TwilioSms(settings(url)).send(MESSAGE)
    assert str(failed.value) == f"Twilio answered {message}"
    assert (failed.value.in_doubt, failed.value.everything) == (in_doubt, everything)


def test_a_redirection_is_not_followed_with_the_credentials() -> None:
    elsewhere = Server()
    with elsewhere.serve() as target, Server(307, b"", {"Location": target}).serve() as url:
        for medium, provider in ((TwilioSms, "Twilio"), (SendGridMail, "SendGrid")):
            with pytest.raises(SendFailed, match=f"{provider} answered HTTP 307"):
                medium(settings(url)).send(MESSAGE)
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("error", "in_doubt", "message"),
    [
        (requests.ConnectTimeout(urllib3.exceptions.ConnectTimeoutError(None, "x")), False, "reached (ConnectTimeout"),
        (
            requests.exceptions.ProxyError(urllib3.exceptions.ProxyError("x", OSError("x"))),
            False,
            "reached (ProxyError)",
        ),
        (
            requests.exceptions.SSLError(urllib3.exceptions.SSLError(ssl.SSLCertVerificationError(1, "x"))),
            False,
            "reached (SSLCertVerificationError)",
        ),
        (requests.exceptions.SSLError(urllib3.exceptions.SSLError(ssl.SSLEOFError(8, "x"))), True, "answer (SSLError)"),
        (requests.ReadTimeout("x"), True, "answer (ReadTimeout)"),
        (requests.ConnectionError(ConnectionResetError()), True, "answer (ConnectionError)"),
        (requests.exceptions.ChunkedEncodingError("x"), True, "answer (ChunkedEncodingError)"),
    ],
)
def test_only_what_had_no_connection_certainly_never_left(
    monkeypatch: pytest.MonkeyPatch, error: requests.RequestException, in_doubt: bool, message: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(requests.Session, "request", fail)
    for medium in (TwilioSms, SendGridMail):
        with pytest.raises(SendFailed) as failed:
            medium(settings("http://127.0.0.1:1")).send(MESSAGE)
        assert failed.value.in_doubt is in_doubt
        assert message in str(failed.value)
