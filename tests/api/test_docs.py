"""The OpenAPI document is valid, says what the routes do, and its page needs no network."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from tests.api.test_caching import caller
from tests.api.test_isolation import ROOT_ROUTES, TENANT_ROUTES, url


@pytest.fixture(scope="module")
def document(session_client: TestClient) -> dict[str, Any]:
    body: dict[str, Any] = session_client.get("/openapi.json").json()
    return body


def test_it_is_a_valid_document(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    validate(document)


@pytest.mark.parametrize("path", TENANT_ROUTES + ROOT_ROUTES)
class TestEveryRoute:
    def test_it_documents_access_and_problems(self, document: dict[str, Any], path: str) -> None:
        operation = document["paths"][path]["get"]
        assert operation["security"] == [{"bearer": []}]
        assert operation["description"]
        wanted = {"200", "401", "422", "503"} | ({"404"} if path in TENANT_ROUTES else {"403"})
        assert wanted <= set(operation["responses"])
        for status in wanted - {"200"}:
            content = operation["responses"][status]["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert content["example"]["status"] == int(status)

    def test_its_answer_is_what_the_document_says(
        self, client: TestClient, document: dict[str, Any], path: str
    ) -> None:
        content = document["paths"][path]["get"]["responses"]["200"]["content"]
        if path.endswith("/export"):
            assert "text/csv" in content
            return
        schema = {**content["application/json"]["schema"], "components": document["components"]}
        body = client.get(url(path), headers=caller(path)).json()
        jsonschema.validate(body, schema, cls=OAS31Validator)
        properties = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]["properties"]
        assert set(body) == set(properties)


def test_keys_are_camel_case(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        for key in schema.get("properties", {}):
            assert re.fullmatch(r"[a-z][a-zA-Z0-9]*", key), f"{name}.{key}"


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


def test_fields_have_examples(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["UsageSummary"]["properties"]["tenantId"]["examples"] == ["acme"]


def test_the_page_loads_from_here_only(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 3
    for link in links:
        assert client.get(link).status_code == 200, link


def test_there_is_no_redoc(client: TestClient) -> None:
    assert client.get("/redoc").status_code == 404
