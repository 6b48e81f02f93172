"""How a load gets into the database."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ingestion.database import loader_url
from ingestion.load.staging import Credentials


@pytest.mark.parametrize("password", ["plain", "p%40ss%3Aw%2Frd", "two%20words", "100%25", "p%C3%A4ss"])
def test_dlt_connects_with_whatever_password_libpq_takes(password: str) -> None:
    url = f"postgresql://me:{password}@db.example.com:5433/metering"
    said = conninfo_to_dict(Credentials.of(loader_url(url)).to_native_representation())
    wanted = conninfo_to_dict(url)
    assert {name: said[name] for name in wanted} == wanted
    assert said["options"] == "-crole=metering_loader"
    own = Credentials.of(loader_url(f"{url}?options=-c%20statement_timeout%3D1%2B1")).to_native_representation()
    assert conninfo_to_dict(own)["options"] == "-c statement_timeout=1+1 -crole=metering_loader"


def test_the_loaders_sessions_keep_the_urls_own_options(database: str) -> None:
    mark = "&" if "?" in database else "?"
    url = loader_url(f"{database}{mark}options=-cstatement_timeout%3D7s")
    with psycopg.connect(url) as connection:
        assert connection.execute("select current_user, current_setting('statement_timeout')").fetchone() == (
            "metering_loader",
            "7s",
        )
