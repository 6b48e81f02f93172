"""Who gets in, for how long, and what a stranger's form achieves."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from api.auth.tokens import Principal, mint
from api.dashboard.paths import safe_next
from api.dashboard.sessions import COOKIE, LONGEST_SESSION, Sessions, signing_key
from tests.api.conftest import SECRET, AppStarter, bearer
from tests.dashboard.conftest import ORIGIN, Page, sign_in

ACME = Principal("acme-admin", "tenant_admin", "acme")
PAGE = "/settings/billing-usage"


def token(**options: object) -> str:
    return mint("tenant_admin", "acme", timedelta(hours=1), SECRET, **options)  # type: ignore[arg-type]


class TestToken:
    def test_a_good_token_starts_a_session(self, anonymous: TestClient) -> None:
        answer = anonymous.post("/sign-in", data={"token": f"  Bearer {token()}\n"}, headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Secure" not in cookie
        assert anonymous.get(PAGE).status_code == 200

    def test_over_https_the_cookie_stays_there(self, seeded: str, start_app: AppStarter) -> None:
        with start_app(seeded) as client:
            client.base_url = "https://testserver"  # type: ignore[assignment]
            client.follow_redirects = False
            answer = client.post("/sign-in", data={"token": token()}, headers={"Origin": "https://testserver"})
            assert "Secure" in answer.headers["set-cookie"]
            assert "max-age" in answer.headers["strict-transport-security"]

    @pytest.mark.parametrize(
        ("text", "message", "status"),
        [
            (lambda: "", "Paste a token first.", 422),
            (lambda: "nonsense", "malformed", 401),
            (
                lambda: mint("root_admin", None, timedelta(hours=1), "another secret, long enough for it"),
                "signature",
                401,
            ),
            (lambda: token(now=datetime.now(UTC) - timedelta(hours=2)), "The token has expired.", 401),
        ],
        ids=["none", "nonsense", "forged", "expired"],
    )
    def test_a_bad_one_says_why(
        self, anonymous: TestClient, text: Callable[[], str], message: str, status: int
    ) -> None:
        answer = anonymous.post("/sign-in", data={"token": text()}, headers={"Origin": ORIGIN})
        assert answer.status_code == status
        assert message in answer.text
        assert "set-cookie" not in answer.headers

    def test_it_leads_back_to_where_one_wanted_to_go(self, anonymous: TestClient) -> None:
        away = anonymous.get(f"{PAGE}?period=2026-10")
        assert away.status_code == 303
        form = Page(anonymous.get(away.headers["location"]).text)
        answer = anonymous.post("/sign-in", data={"token": token(), **form.inputs}, headers={"Origin": ORIGIN})
        assert answer.headers["location"] == f"{PAGE}?period=2026-10"

    def test_behind_a_proxy_the_host_that_people_see_counts(self, anonymous: TestClient) -> None:
        headers = {"Origin": "https://usage.example.com", "X-Forwarded-Host": "usage.example.com"}
        assert anonymous.post("/sign-in", data={"token": token()}, headers=headers).status_code == 303

    def test_a_stranger_cannot_sign_somebody_in(self, anonymous: TestClient) -> None:
        answer = anonymous.post("/sign-in", data={"token": token()}, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "https://evil.example/settings/billing-usage",
        "//evil.example/settings/billing-usage",
        "/\\evil.example",
        "/settings/\tbilling-usage",
        "/api/billing/usage/summary",
        "/sign-out",
        "javascript:alert(1)",
    ],
)
def test_nobody_is_led_elsewhere(target: str | None) -> None:
    assert safe_next(target) is None


class TestLink:
    def test_it_works_once(self, anonymous: TestClient) -> None:
        sessions = Sessions(signing_key(None, SECRET))
        link = f"/sign-in/link/{sessions.link_code(ACME, timedelta(minutes=5))}"
        shown = anonymous.get(link)
        assert (shown.status_code, shown.headers["cache-control"]) == (200, "no-store")
        assert f'action="{link}"' in shown.text
        answer = anonymous.post(link, headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
        assert anonymous.get(PAGE).status_code == 200
        for again in (anonymous.get(link), anonymous.post(link, headers={"Origin": ORIGIN})):
            assert again.status_code == 401
            assert "was used before, or has expired" in again.text

    @pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(days=1)], ids=["an hour", "a day"])
    def test_a_clock_that_jumps_ahead_and_back_makes_nothing_good_again(
        self, monkeypatch: pytest.MonkeyPatch, jump: timedelta
    ) -> None:
        sessions = Sessions(b"key")
        used, other = (sessions.link_code(ACME, timedelta(minutes=5)) for _ in range(2))
        session = sessions.start(ACME)
        cookie = sessions.cookie(session)
        assert sessions.use_link(used) == ACME
        sessions.end(session)
        ahead = SimpleNamespace(time=lambda: time.time() + jump.total_seconds(), monotonic=time.monotonic)
        with monkeypatch.context() as clock:
            clock.setattr("api.dashboard.sessions.time", ahead)
            assert sessions.use_link(other) is None
            assert sessions.use_link(sessions.link_code(ACME, timedelta(days=6))) == ACME
        assert sessions.use_link(used) is None
        assert sessions.read(cookie) is None
        assert sessions.use_link(other) == ACME

    @pytest.mark.parametrize(
        ("key", "ttl"),
        [(b"another key", timedelta(minutes=5)), (signing_key(None, SECRET), timedelta(seconds=-1))],
        ids=["forged", "late"],
    )
    def test_a_forged_or_late_one_does_not(self, anonymous: TestClient, key: bytes, ttl: timedelta) -> None:
        link = f"/sign-in/link/{Sessions(key).link_code(ACME, ttl)}"
        assert anonymous.get(link).status_code == 401
        assert anonymous.post(link).status_code == 401

    def test_another_site_cannot_use_it(self, anonymous: TestClient) -> None:
        link = f"/sign-in/link/{Sessions(signing_key(None, SECRET)).link_code(ACME, timedelta(minutes=5))}"
        assert anonymous.post(link, headers={"Origin": "https://evil.example"}).status_code == 403
        assert anonymous.post(link).status_code == 303

    @pytest.mark.parametrize("headers", [{}, {"Sec-Purpose": "prefetch;prerender"}, {"User-Agent": "a mail previewer"}])
    def test_looking_does_not_use_it_up(self, anonymous: TestClient, headers: dict[str, str]) -> None:
        link = f"/sign-in/link/{Sessions(signing_key(None, SECRET)).link_code(ACME, timedelta(minutes=5))}"
        for method in ("GET", "HEAD", "GET", "HEAD"):
            answer = anonymous.request(method, link, headers=headers)
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers
        assert anonymous.post(link).status_code == 303

    def test_a_link_is_no_cookie_and_a_cookie_no_link(self) -> None:
        sessions = Sessions(b"key")
        assert sessions.read(sessions.link_code(ACME, timedelta(hours=1))) is None
        assert sessions.use_link(sessions.cookie(sessions.start(ACME))) is None

    def test_the_session_secret_has_its_own_key(self, seeded: str, start_app: AppStarter) -> None:
        with start_app(seeded, METERING_SESSION_SECRET="of the sessions") as client:
            client.follow_redirects = False
            wrong = Sessions(signing_key(None, SECRET)).link_code(ACME, timedelta(minutes=5))
            right = Sessions(signing_key("of the sessions", SECRET)).link_code(ACME, timedelta(minutes=5))
            assert client.post(f"/sign-in/link/{wrong}").status_code == 401
            assert client.post(f"/sign-in/link/{right}").status_code == 303


class TestSession:
    @pytest.mark.parametrize(
        ("headers", "secure"),
        [
            ({}, False),
            ({"Origin": ORIGIN}, False),
            ({"X-Forwarded-Proto": "http"}, False),
            ({"X-Forwarded-Proto": "https"}, True),
            ({"X-Forwarded-Proto": "HTTPS, http"}, True),
            ({"Origin": "https://testserver"}, True),
        ],
    )
    def test_behind_a_proxy_that_ends_tls_the_cookie_is_secure(
        self, anonymous: TestClient, headers: dict[str, str], secure: bool
    ) -> None:
        answer = anonymous.post("/sign-in", data={"token": token()}, headers=headers)
        assert answer.status_code == 303
        assert ("; Secure" in answer.headers["set-cookie"]) == secure
        assert ("strict-transport-security" in answer.headers) == secure

    def test_it_ends_with_its_token_and_never_lasts_longer_than_12_hours(self) -> None:
        sessions = Sessions(b"key")
        now = datetime.now(UTC)
        for hours, wanted in ((1, timedelta(hours=1)), (100, LONGEST_SESSION)):
            principal = Principal("a", "root_admin", None, now + timedelta(hours=hours))
            assert abs(sessions.start(principal).expires_at - now - wanted) < timedelta(seconds=5)

    def test_an_expired_forged_or_foreign_cookie_is_no_session(self, anonymous: TestClient) -> None:
        sessions = Sessions(signing_key(None, SECRET))
        late = Principal("acme-admin", "tenant_admin", "acme", datetime.now(UTC) - timedelta(seconds=5))
        good = sessions.cookie(sessions.start(ACME))
        for value in (
            sessions.cookie(sessions.start(late)),
            Sessions(b"another").cookie(sessions.start(ACME)),
            good[:-3] + "AAA",
            "nonsense",
        ):
            anonymous.cookies.set(COOKIE, value)
            assert anonymous.get(PAGE).status_code == 303, value

    def test_a_cookie_opens_no_json_route(self, as_acme: TestClient) -> None:
        assert as_acme.get("/api/billing/usage/summary").status_code == 401

    def test_signing_out_ends_it_for_every_copy(self, as_acme: TestClient) -> None:
        copy = as_acme.cookies[COOKIE]
        form = Page(as_acme.get(PAGE).text).inputs
        answer = as_acme.post("/sign-out", data=form, headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        as_acme.cookies.clear()
        as_acme.cookies.set(COOKIE, copy)
        assert as_acme.get(PAGE).status_code == 303

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    def test_a_forged_origin_is_refused(self, as_acme: TestClient, headers: dict[str, str]) -> None:
        form = Page(as_acme.get(PAGE).text).inputs
        answer = as_acme.post("/sign-out", data=form, headers=headers)
        assert answer.status_code == 403
        assert as_acme.get(PAGE).status_code == 200

    def test_so_is_a_form_without_this_sessions_token(self, as_acme: TestClient) -> None:
        of_another = Page(as_acme.get(PAGE).text).inputs
        sign_in(as_acme, "tenant_admin", "acme")
        for form in ({}, {"csrf_token": "x"}, {"csrf_token": "é"}, of_another):
            assert as_acme.post("/sign-out", data=form, headers={"Origin": ORIGIN}).status_code == 403


class TestProxyAndBearer:
    def test_a_bearer_token_opens_a_page(self, anonymous: TestClient) -> None:
        assert anonymous.get(PAGE, headers=bearer("tenant_admin", "acme")).status_code == 200

    def test_a_bad_one_is_a_page_that_says_so(self, anonymous: TestClient) -> None:
        answer = anonymous.get(PAGE, headers={"Authorization": "Bearer nonsense"})
        assert answer.status_code == 401
        assert "The token is not valid" in answer.text

    def test_the_proxys_header_counts_where_it_is_named(self, seeded: str, start_app: AppStarter) -> None:
        with start_app(seeded, METERING_AUTH_PROXY_HEADER="X-Auth-Token") as client:
            client.follow_redirects = False
            assert client.get(PAGE, headers={"X-Auth-Token": token()}).status_code == 200
            assert client.get(PAGE, headers={"X-Auth-Token": "nonsense"}).status_code == 401
            assert client.get(PAGE).status_code == 303

    def test_and_nowhere_else(self, anonymous: TestClient) -> None:
        assert anonymous.get(PAGE, headers={"X-Auth-Token": token()}).status_code == 303
