"""The commands exist where METERING_API_OPERATIONS says so, and nowhere else."""

from __future__ import annotations

import pytest

from api.main import create_app
from api.settings import SettingsError
from tests.api.conftest import AppStarter, Headers, make_settings
from tests.api.operations.conftest import OperatorStarter

COMMANDS = {
    "/api/admin/usage/rebuild": "post",
    "/api/admin/usage/rebuild/{id}": "get",
    "/api/admin/usage/alerts/{id}/acknowledge": "post",
}
URL = "postgresql://owner:pw@db:5432/metering"


@pytest.mark.parametrize("word", ["", "false", "0", "FALSE", "off"])
def test_without_the_setting_there_is_neither_route_nor_openapi_entry(
    seeded: str, start_app: AppStarter, root: Headers, word: str
) -> None:
    with start_app(seeded, METERING_API_OPERATIONS=word) as client:
        for path in COMMANDS:
            assert client.post(path.replace("{id}", "1"), headers=root).status_code in (404, 405)
        assert client.get("/api/admin/usage/rebuild/1", headers=root).status_code == 404
        document = client.get("/openapi.json").json()
    assert not COMMANDS.keys() & document["paths"].keys()
    assert {method for path in document["paths"].values() for method in path} == {"get"}
    assert "Operator commands" not in [tag["name"] for tag in document["tags"]]


def test_with_it_they_are_in_openapi(seeded: str, start_operator: OperatorStarter) -> None:
    with start_operator(seeded) as client:
        document = client.get("/openapi.json").json()
    for path, method in COMMANDS.items():
        assert document["paths"][path][method]["tags"] == ["Operator commands"]
    assert "202" in document["paths"]["/api/admin/usage/rebuild"]["post"]["responses"]


def test_a_path_of_two_routes_allows_what_both_do(seeded: str, start_operator: OperatorStarter, root: Headers) -> None:
    with start_operator(seeded) as client:
        answer = client.delete("/api/admin/usage/alerts", headers=root)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


def test_a_body_that_is_no_text_is_a_documented_400(
    seeded: str, start_operator: OperatorStarter, root: Headers
) -> None:
    with start_operator(seeded) as client:
        json = {**root, "content-type": "application/json"}
        answer = client.post("/api/admin/usage/alerts", content=b'"\xff"', headers=json)
        documented = client.get("/openapi.json").json()["paths"]["/api/admin/usage/alerts"]["post"]["responses"]
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:usage-metering:problem:unreadable-body")
    assert "400" in documented


def test_a_word_that_is_neither_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="METERING_API_OPERATIONS must be true or false"):
        create_app(make_settings(URL, METERING_API_OPERATIONS="perhaps"))


def test_the_operator_s_url_is_derived_from_the_owner_s_or_must_be_said() -> None:
    assert "role%3Dmetering_operator" in make_settings(URL).operator_url()
    own = "postgresql://metering_operator:x@db/metering"
    assert make_settings(URL, METERING_OPERATOR_DATABASE_URL=own).operator_url() == own
    only_reading = {"METERING_DATABASE_URL": "", "METERING_API_DATABASE_URL": "postgresql://metering_api:x@db/metering"}
    create_app(make_settings(URL, **only_reading))
    with pytest.raises(SettingsError, match="METERING_OPERATOR_DATABASE_URL"):
        create_app(make_settings(URL, **only_reading, METERING_API_OPERATIONS="true"))


@pytest.mark.parametrize("variable", ["METERING_DAGSTER_URL", "METERING_DAGSTER_INTERNAL_URL"])
def test_an_address_that_is_none_stops_the_start(variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        create_app(make_settings(URL, METERING_API_OPERATIONS="true", **{variable: "localhost:3000"}))
