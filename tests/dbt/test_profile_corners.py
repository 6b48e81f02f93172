"""What a URL may hold besides the usual: the profile reads it as libpq does."""

from __future__ import annotations

import os

import psycopg
import pytest
import yaml
from dbt.config.renderer import ProfileRenderer
from dbt_common.context import set_invocation_context
from psycopg.conninfo import conninfo_to_dict

from builds.dbt_manifest import PROJECT


def rendered(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Return the profile's values for METERING_DATABASE_URL = ``url``."""
    monkeypatch.setenv("METERING_DATABASE_URL", url)
    raw = yaml.safe_load((PROJECT / "profiles.yml").read_text())["usage_metering"]["outputs"]["default"]
    set_invocation_context(os.environ)
    found = ProfileRenderer({}).render_data(raw)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:p%C3%A4ss%E2%82%AC@db/metering",
        "postgresql://me:pässwörd@db/metering",
        "postgresql://me:12345@db/67890",
        "postgresql://me:007@db/metering",
        "postgresql://me:true@db/null",
        "postgresql://me:x@[::1]:5433/metering",
        "postgresql://me:x@[fe80::1]/metering?sslmode=disable",
        "postgresql://me:x@/metering?host=/tmp/sockets",
        "postgresql://me:x@/metering?application_name=a&host=%2Ftmp%2Fsockets&port=5999",
        "postgresql://me:x%7B%7B%20y%20%7D%7D@db/metering",
        "postgresql://me:a%2Bb%20c@db.example.com:5432/my%20db?sslmode=verify-ca&connect_timeout=3",
        "postgresql://me:x@db/metering?options=-c%20statement_timeout%3D0&sslmode=require",
    ],
)
def test_the_profile_reads_a_url_as_libpq_does(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = conninfo_to_dict(url)
    found = rendered(url, monkeypatch)
    assert {name: found[name] for name in ("host", "user", "password", "dbname")} == {
        name: wanted[name] for name in ("host", "user", "password", "dbname")
    }
    assert found["port"] == int(wanted.get("port") or 5432)
    assert found["sslmode"] == wanted.get("sslmode", "prefer")


def test_the_profile_of_the_servers_own_url_connects(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rendered(database, monkeypatch)
    with psycopg.connect(
        host=str(found["host"]),
        port=str(found["port"]),
        user=str(found["user"]),
        password=str(found["password"]),
        dbname=str(found["dbname"]),
    ) as connection:
        connection.execute("set role metering_transformer")
