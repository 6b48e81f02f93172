"""Bearer tokens: what is let in, and each way in which one can be wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi.testclient import TestClient

from api.auth import tokens
from api.auth.tokens import RESERVED_TENANT_IDS, TokenVerifier, mint
from api.main import create_app
from api.settings import SettingsError
from tests.api.conftest import SECRET, AppStarter, Headers, bearer, make_settings

ROUTE = "/api/billing/usage/status"
HOUR = timedelta(hours=1)


def claims(**changes: Any) -> dict[str, Any]:
    good = {
        "sub": "someone",
        "role": "tenant_admin",
        "tenant_id": "acme",
        "aud": "usage-api",
        "exp": datetime.now(UTC) + HOUR,
    }
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


def signed(key: Any = SECRET, algorithm: str = "HS256", **changes: Any) -> Headers:
    headers = changes.pop("headers", None)
    return {"Authorization": f"Bearer {jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)}"}


def part(value: dict[str, Any]) -> str:
    """Return a token's part, encoded by hand."""
    text = json.dumps(value, default=lambda at: int(at.timestamp()))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unsigned() -> Headers:
    return {"Authorization": f"Bearer {part({'alg': 'none', 'typ': 'JWT'})}.{part(claims())}."}


def test_a_good_token_is_let_in(client: TestClient) -> None:
    assert client.get(ROUTE, headers=signed()).status_code == 200


def test_no_token_is_401_with_a_challenge(client: TestClient) -> None:
    answer = client.get(ROUTE)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="usage-metering"'
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic dTpw", "Token abc"])
def test_another_scheme_is_401(client: TestClient, value: str) -> None:
    assert client.get(ROUTE, headers={"Authorization": value}).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(signed("another secret that is long enough for HS256"), id="signature"),
        pytest.param(unsigned(), id="alg none"),
        pytest.param(signed(SECRET.ljust(64), "HS512"), id="another algorithm"),
        pytest.param(signed(exp=datetime.now(UTC) - timedelta(seconds=1)), id="expired"),
        pytest.param(signed(exp=None), id="no exp"),
        pytest.param(signed(aud="another-api"), id="audience"),
        pytest.param(signed(aud=None), id="no audience"),
        pytest.param(signed(sub=None), id="no sub"),
        pytest.param(signed(sub=""), id="empty sub"),
        pytest.param(signed(role=None), id="no role"),
        pytest.param(signed(role="owner"), id="unknown role"),
        pytest.param(signed(role=["tenant_admin"]), id="role not text"),
        pytest.param(signed(tenant_id=None), id="no tenant"),
        pytest.param(signed(tenant_id=""), id="empty tenant"),
        pytest.param(signed(tenant_id=7), id="tenant not text"),
        pytest.param(signed(tenant_id="ac\0me"), id="nul"),
        *(pytest.param(signed(tenant_id=name), id=f"reserved {name}") for name in sorted(RESERVED_TENANT_IDS)),
        pytest.param({"Authorization": "Bearer not.a.token"}, id="garbage"),
        pytest.param({"Authorization": "Bearer ä"}, id="not ascii"),
    ],
)
def test_a_wrong_token_is_401(client: TestClient, headers: Headers) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = client.get(ROUTE, headers=raw)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.json()["type"] == "urn:usage-metering:problem:invalid-token"


def test_an_issuer_is_checked_where_set(seeded: str, start_app: AppStarter) -> None:
    with start_app(seeded, METERING_JWT_ISSUER="https://id.example") as client:
        assert client.get(ROUTE, headers=signed(iss="https://id.example")).status_code == 200
        assert client.get(ROUTE, headers=signed(iss="https://evil.example")).status_code == 401
        assert client.get(ROUTE, headers=signed()).status_code == 401


def test_another_audience_can_be_set(seeded: str, start_app: AppStarter) -> None:
    with start_app(seeded, METERING_JWT_AUDIENCE="mine") as client:
        assert client.get(ROUTE, headers=signed(aud="mine")).status_code == 200
        assert client.get(ROUTE, headers=signed(aud=["x", "mine"])).status_code == 200
        assert client.get(ROUTE, headers=signed()).status_code == 401


def test_expiry_is_by_the_clock_not_by_as_of(seeded: str, start_app: AppStarter) -> None:
    with start_app(seeded, METERING_AS_OF="2036-01-01") as client:
        assert client.get(ROUTE, headers=signed()).status_code == 200


def test_a_short_secret_works_without_a_warning(seeded: str, start_app: AppStarter) -> None:
    with start_app(seeded, METERING_JWT_SECRET="short") as client:
        assert client.get(ROUTE, headers=bearer("tenant_admin", "acme", secret="short")).status_code == 200


class TestMint:
    def test_it_names_role_tenant_and_expiry(self) -> None:
        token = mint("tenant_admin", "acme", timedelta(minutes=5), SECRET, issuer="me")
        found = jwt.decode(token, SECRET, algorithms=["HS256"], audience="usage-api")
        assert (found["role"], found["tenant_id"], found["iss"]) == ("tenant_admin", "acme", "me")
        assert found["exp"] - found["iat"] == 300

    @pytest.mark.parametrize(
        ("role", "tenant", "ttl"),
        [
            ("owner", None, HOUR),
            ("tenant_admin", None, HOUR),
            ("tenant_admin", "unattributed", HOUR),
            ("root_admin", "acme", HOUR),
            ("root_admin", None, timedelta()),
        ],
    )
    def test_it_refuses_what_the_api_would_refuse(self, role: str, tenant: str | None, ttl: timedelta) -> None:
        with pytest.raises(ValueError):
            mint(role, tenant, ttl, SECRET)


RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def jwks() -> dict[str, Any]:
    rsa_key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key()))
    ec_key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY.public_key()))
    secret = base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")
    return {
        "keys": [
            {**rsa_key, "kid": "rsa", "use": "sig", "alg": "RS256"},
            {**ec_key, "kid": "ec", "use": "sig", "alg": "ES256"},
            {"kty": "oct", "k": secret, "kid": "oct", "alg": "HS256", "use": "sig"},
        ]
    }


@pytest.fixture(scope="module")
def jwks_url() -> Iterator[str]:
    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(jwks()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Keys) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def jwks_client(seeded: str, start_app: AppStarter, jwks_url: str) -> Iterator[TestClient]:
    with start_app(seeded, METERING_JWKS_URL=jwks_url) as client:
        yield client


class TestKeySets:
    @pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA_KEY, "RS256", "rsa"), (EC_KEY, "ES256", "ec")])
    def test_both_kinds_of_keys_are_let_in(self, jwks_client: TestClient, key: Any, algorithm: str, kid: str) -> None:
        assert jwks_client.get(ROUTE, headers=signed(key, algorithm, headers={"kid": kid})).status_code == 200

    def test_another_key_under_a_known_id_is_401(self, jwks_client: TestClient) -> None:
        headers = signed(OTHER_RSA_KEY, "RS256", headers={"kid": "rsa"})
        assert jwks_client.get(ROUTE, headers=headers).status_code == 401

    @pytest.mark.parametrize("kid", ["unknown", None])
    def test_an_unknown_key_is_401(self, jwks_client: TestClient, kid: str | None) -> None:
        headers = signed(RSA_KEY, "RS256", headers={"kid": kid} if kid else None)
        assert jwks_client.get(ROUTE, headers=headers).status_code == 401

    def test_a_public_key_does_not_serve_as_a_secret(self, jwks_client: TestClient) -> None:
        public = RSA_KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        # PyJWT refuses to sign with it: an attacker does it by hand.
        message = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'rsa'})}.{part(claims())}"
        digest = hmac.new(public, message.encode(), hashlib.sha256).digest()
        signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        headers = {"Authorization": f"Bearer {message}.{signature}"}
        assert jwks_client.get(ROUTE, headers=headers).status_code == 401

    def test_a_symmetric_key_in_the_set_is_not_used(self, jwks_client: TestClient) -> None:
        assert jwks_client.get(ROUTE, headers=signed(headers={"kid": "oct"})).status_code == 401

    def test_the_secret_is_not_used_beside_a_key_set(self, jwks_client: TestClient) -> None:
        assert jwks_client.get(ROUTE, headers=signed()).status_code == 401

    def test_an_unreachable_key_set_is_503(self, seeded: str, start_app: AppStarter) -> None:
        with start_app(seeded, METERING_JWKS_URL="http://127.0.0.1:9/jwks") as client:
            answer = client.get(ROUTE, headers=signed(RSA_KEY, "RS256", headers={"kid": "rsa"}))
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert client.get(ROUTE).status_code == 401


class TestRememberedTokens:
    @pytest.fixture
    def checked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The tokens whose signature is checked, as they are."""
        found: list[str] = []
        decode = jwt.decode

        def noted(token: str, *arguments: Any, **options: Any) -> Any:
            found.append(token)
            return decode(token, *arguments, **options)

        monkeypatch.setattr(jwt, "decode", noted)
        return found

    def test_a_good_token_s_signature_is_checked_once(
        self, seeded: str, start_app: AppStarter, checked: list[str]
    ) -> None:
        with start_app(seeded) as client:
            one, other = signed(), signed(tenant_id="bolt")
            told = [client.get(ROUTE, headers=who).json()["tenantId"] for who in (one, other, one, other)]
        assert told == ["acme", "bolt", "acme", "bolt"]
        assert len(checked) == 2

    def test_a_refused_one_s_every_time(self, seeded: str, start_app: AppStarter, checked: list[str]) -> None:
        with start_app(seeded) as client:
            for _ in range(2):
                assert client.get(ROUTE, headers=signed(aud="another-api")).status_code == 401
        assert len(checked) == 2

    def test_it_is_refused_from_its_expiry_on(
        self, seeded: str, start_app: AppStarter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expiry = (datetime.now(UTC) + HOUR).replace(microsecond=0)
        headers = signed(exp=expiry)

        class Clock(datetime):
            instant = expiry - timedelta(microseconds=1)

            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                return cls.instant

        with start_app(seeded) as client:
            assert client.get(ROUTE, headers=headers).status_code == 200
            monkeypatch.setattr(tokens, "datetime", Clock)
            assert client.get(ROUTE, headers=headers).status_code == 200
            Clock.instant = expiry
            answer = client.get(ROUTE, headers=headers)
        assert (answer.status_code, answer.json()["detail"]) == (401, "The token has expired.")

    def test_it_is_refused_once_its_key_is_another(
        self, seeded: str, start_app: AppStarter, jwks_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        headers = signed(RSA_KEY, "RS256", headers={"kid": "rsa"})
        with start_app(seeded, METERING_JWKS_URL=jwks_url) as client:
            assert client.get(ROUTE, headers=headers).status_code == 200
            changed = jwt.PyJWK(
                {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OTHER_RSA_KEY.public_key())), "alg": "RS256"}
            )
            monkeypatch.setattr(jwt.PyJWKClient, "get_signing_key_from_jwt", lambda *_: changed)
            assert client.get(ROUTE, headers=headers).status_code == 401


def test_without_any_key_the_api_does_not_start() -> None:
    with pytest.raises(SettingsError, match="METERING_JWT_SECRET"):
        create_app(make_settings("postgresql://x@127.0.0.1:1/x", METERING_JWT_SECRET=""))


def test_a_key_set_url_must_be_http() -> None:
    with pytest.raises(SettingsError, match="METERING_JWKS_URL"):
        TokenVerifier(make_settings("postgresql://x@127.0.0.1:1/x", METERING_JWKS_URL="file:///etc/passwd"))
