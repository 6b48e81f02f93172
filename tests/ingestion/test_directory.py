"""The tenant directory: every error names its row, history is kept, and a load is whole or not at all."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingestion.config import IngestSettings
from ingestion.database import connect, loader_url
from ingestion.directory import DirectoryResult, load_directory
from ingestion.directory.history import Version, next_resources, next_versions
from ingestion.directory.parse import Resource, TenantRow
from ingestion.failures import DirectoryError
from usage_metering.pii import Hasher

TENANTS = "tenant_id,name,plan,status,usage_hard_stop_enabled"
DATED = f"{TENANTS},valid_from,valid_to"
RESOURCES = "tenant_id,provider,resource_type,resource_id,valid_from,valid_to"
LIMITS = "tenant_id,channel,metric,monthly_cap,warning_threshold_pct"
ACME = "acme,Acme,pro,active,true"
BOREAL = "boreal,Boreal,,active,false"
PLANS = {"starter", "pro"}
DAY = date(2026, 11, 21)


def write(
    folder: Path,
    tenants: list[str] | None = None,
    resources: list[str] | None = None,
    limits: list[str] | None = None,
    header: str = TENANTS,
) -> Path:
    folder.mkdir(exist_ok=True)
    tables = {
        "tenants": [header, *([ACME, BOREAL] if tenants is None else tenants)],
        "tenant_resources": [RESOURCES, *(resources or [])],
        "tenant_limits": [LIMITS, *(limits or [])],
    }
    for table, lines in tables.items():
        (folder / f"{table}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def load(directory: object, database: str, day: date = DAY) -> DirectoryResult:
    settings = IngestSettings.model_validate({"METERING_TENANT_DIRECTORY": str(directory), "METERING_PII_KEY": "key"})
    as_of = datetime(day.year, day.month, day.day, 8, tzinfo=UTC)
    return load_directory(settings=settings, database_url=database, as_of=as_of, known_plans=PLANS)


def rows(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


STORED = """
    select tenant_id, name, plan, status, usage_hard_stop_enabled, valid_from, valid_to
    from raw.tenants order by tenant_id, valid_from nulls first
"""


# What is read


def test_a_directory_is_stored(tmp_path: Path, database: str) -> None:
    write(
        tmp_path,
        resources=[
            "acme,twilio,phone_number,whatsapp:+1 (415) 555-0101,,2026-11-01",
            "boreal,twilio,phone_number,4155550101,2026-11-01,",
            "acme,openai,project,proj_1,,",
            "acme,stripe,account,acct_1,,",
            "acme,cloudflare,bucket,b,,",
        ],
        limits=["acme,sms,units,1500.5,75", "boreal,storage_ops,cost_cents,,"],
    )
    assert load(tmp_path, database) == DirectoryResult(tenants=2, resources=5, limits=2, changed=9)
    assert rows(database, STORED) == [
        ("acme", "Acme", "pro", "active", True, None, None),
        ("boreal", "Boreal", None, "active", False, None, None),
    ]
    numbers = """
        select tenant_id, resource_id, resource_hash from raw.tenant_resources where resource_hash is not null
    """
    # The hash of usage, whatever its spelling: this is what it is joined on.
    usage_hash = Hasher("key").hash("whatsapp:+14155550101")
    assert sorted(rows(database, numbers)) == [
        ("acme", "+14155550101", usage_hash),
        ("boreal", "+14155550101", usage_hash),
    ]
    assert sorted(rows(database, "select tenant_id, monthly_cap::float8 from raw.tenant_limits")) == [
        ("acme", 1500.5),
        ("boreal", None),
    ]
    assert load(tmp_path, database).changed == 0
    assert load(tmp_path, database, date(2026, 12, 1)).changed == 0


def test_a_spreadsheets_file_is_read(tmp_path: Path, database: str) -> None:
    write(tmp_path)
    lines = [
        "Status, name ,note,tenant_id,plan,usage_hard_stop_enabled",
        "",
        ' active ,"Acme, ""Ltd""\nand Sons",x, acme , pro ,YES',
        ",,,,,",
        "suspended,Boreal,,boreal",
    ]
    (tmp_path / "tenants.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    (tmp_path / "tenant_limits.csv").unlink()
    assert load(tmp_path, database).tenants == 2
    assert rows(database, STORED) == [
        ("acme", 'Acme, "Ltd"\nand Sons', "pro", "active", True, None, None),
        ("boreal", "Boreal", None, "suspended", False, None, None),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("T", True),
        ("1", True),
        ("Yes", True),
        ("", False),
        ("0", False),
        ("FALSE", False),
        ("n", None),
    ],
)
def test_booleans(tmp_path: Path, database: str, text: str, expected: bool | None) -> None:
    write(tmp_path, [f"acme,Acme,,active,{text}"])
    if expected is None:
        with pytest.raises(DirectoryError, match=r"tenants\.csv row 2: usage_hard_stop_enabled"):
            load(tmp_path, database)
    else:
        load(tmp_path, database)
        assert rows(database, "select usage_hard_stop_enabled from raw.tenants") == [(expected,)]


def test_a_tenant_s_webhook_is_today_s_and_goes_with_the_tenant(tmp_path: Path, database: str) -> None:
    header, stored = f"{TENANTS},webhook_url", "select webhook_url from raw.tenants where tenant_id = 'acme'"
    write(tmp_path, [f"{ACME},", BOREAL], header=header)
    load(tmp_path, database)
    assert rows(database, stored) == [(None,)]
    changed = "acme,Acme,starter,active,true,https://acme.example:8443/hook?x=1"
    write(tmp_path, [changed, BOREAL], header=header)
    load(tmp_path, database, date(2026, 11, 22))
    assert rows(database, stored) == [("https://acme.example:8443/hook?x=1",)] * 2
    write(tmp_path, [BOREAL])
    load(tmp_path, database, date(2026, 11, 23))
    assert rows(database, stored) == [(None,)] * 3


@pytest.mark.parametrize(
    "url",
    [
        "acme.example",
        "ftp://acme.example",
        "https://ada:pw@acme.example/",
        "https://",
        "https://a\\@b/",
        "http://a/#x",
        "https://acme.example:99999/",
        "http://[::::]/",
        "http://a..b/",
    ],
)
def test_a_webhook_that_is_no_web_address(tmp_path: Path, database: str, url: str) -> None:
    write(tmp_path, [f"{ACME},{url}"], header=f"{TENANTS},webhook_url")
    with pytest.raises(DirectoryError, match=r"tenants\.csv row 2: webhook_url is not an http") as raised:
        load(tmp_path, database)
    assert "pw" not in str(raised.value).replace("password", "")


# What is wrong

OWNED = "acme,twilio,phone_number,+14155550101"


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"tenants": [ACME, ",X,,active,"]}, "tenants.csv row 3: tenant_id is empty"),
        ({"tenants": ["summary,X,,active,"]}, "tenants.csv row 2: tenant_id summary is reserved"),
        ({"tenants": ["Unattributed,X,,active,"]}, "tenants.csv row 2: tenant_id Unattributed is reserved"),
        ({"tenants": ["acme,,,active,"]}, "tenants.csv row 2: name is empty"),
        ({"tenants": ["acme,Acme,gold,active,"]}, "tenants.csv row 2: unknown plan gold"),
        ({"tenants": ["acme,Acme,,removed,"]}, "tenants.csv row 2: status must be one of active, suspended"),
        ({"tenants": ["acme,Acme,,,"]}, "tenants.csv row 2: status must be one of active, suspended, not empty"),
        ({"tenants": ["acme,Acme, Ltd,pro,active,true"]}, "tenants.csv row 2: 6 cells under 5 columns"),
        ({"tenants": [ACME, "", ACME]}, "tenants.csv row 4: tenant acme is also in row 2"),
        (
            {"tenants": [f"{ACME},21.11.2026,"], "header": DATED},
            "tenants.csv row 2: valid_from must be a date such as 2026-11-21, not 21.11.2026",
        ),
        ({"tenants": [f"{ACME},2026-02-30,"], "header": DATED}, "tenants.csv row 2: valid_from must be a date"),
        (
            {"tenants": [f"{ACME},2026-02-02,2026-02-02"], "header": DATED},
            "tenants.csv row 2: valid_to 2026-02-02",
        ),
        (
            {"tenants": [f"{ACME},,2026-02-02", f"{ACME},2026-02-01,"], "header": DATED},
            "tenants.csv row 3: tenant acme has two versions on one day (row 2)",
        ),
        (
            {"tenants": [f"{ACME},2026-02-01,", f"{ACME},,"], "header": DATED},
            "tenants.csv row 3: tenant acme has two versions on one day (row 2)",
        ),
        ({"resources": ["nobody,openai,project,p,,"]}, "tenant_resources.csv row 2: unknown tenant nobody"),
        ({"resources": [",openai,project,p,,"]}, "tenant_resources.csv row 2: tenant_id is empty"),
        ({"resources": ["acme,aws,bucket,p,,"]}, "tenant_resources.csv row 2: provider must be one of"),
        (
            {"resources": ["acme,openai,bucket,p,,"]},
            "tenant_resources.csv row 2: resource_type of openai must be one of",
        ),
        ({"resources": ["acme,openai,project,,,"]}, "tenant_resources.csv row 2: resource_id is empty"),
        ({"resources": ["acme,twilio,phone_number,whatsapp:,,"]}, "tenant_resources.csv row 2: resource_id"),
        ({"resources": ["acme,openai,project,p,soon,"]}, "tenant_resources.csv row 2: valid_from must be a date"),
        (
            {"resources": ["acme,openai,project,p,2026-01-02,2026-01-01"]},
            "tenant_resources.csv row 2: valid_to",
        ),
        (
            {"resources": [f"{OWNED},,2026-01-02", "boreal,twilio,phone_number,(415) 555-0101,2026-01-01,"]},
            "tenant_resources.csv row 3: twilio phone_number +14155550101 of boreal belongs to acme",
        ),
        (
            {"resources": [f"{OWNED},2026-05-01,", f"{OWNED},,2026-05-01", f"{OWNED},2026-04-30,2026-05-01"]},
            "tenant_resources.csv row 4: twilio phone_number +14155550101 of acme belongs to acme",
        ),
        ({"resources": [f"{OWNED},,", f"{OWNED},,"]}, "tenant_resources.csv row 3: twilio phone_number"),
        ({"limits": ["nobody,sms,units,1,"]}, "tenant_limits.csv row 2: unknown tenant nobody"),
        ({"limits": ["acme,fax,units,1,"]}, "tenant_limits.csv row 2: channel must be one of"),
        ({"limits": ["acme,sms,tokens,1,"]}, "tenant_limits.csv row 2: metric must be one of"),
        ({"limits": ["acme,sms,units,-1,"]}, "tenant_limits.csv row 2: monthly_cap must be a number"),
        ({"limits": ["acme,sms,units,many,"]}, "tenant_limits.csv row 2: monthly_cap must be a number"),
        ({"limits": ["acme,sms,units,NaN,"]}, "tenant_limits.csv row 2: monthly_cap must be a number"),
        ({"limits": [f"acme,sms,units,{10**21},"]}, "tenant_limits.csv row 2: monthly_cap must be a number"),
        ({"limits": ["acme,sms,units,1,0"]}, "tenant_limits.csv row 2: warning_threshold_pct must be above 0"),
        ({"limits": ["acme,sms,units,1,101"]}, "tenant_limits.csv row 2: warning_threshold_pct must be above 0"),
        (
            {"limits": ["acme,sms,units,1,", "acme,SMS,units,2,"]},
            "tenant_limits.csv row 3: the limit acme sms units is also in row 2",
        ),
        ({"header": "tenant_id,name,status,usage_hard_stop_enabled"}, "tenants.csv has no column plan"),
        ({"header": f"{TENANTS},name"}, "tenants.csv has the column name twice"),
    ],
)
def test_an_error_names_its_row_and_nothing_is_stored(
    tmp_path: Path, database: str, tables: dict[str, Any], message: str
) -> None:
    load(write(tmp_path / "good", ["kept,Kept,,active,"]), database)
    with pytest.raises(DirectoryError) as caught:
        load(write(tmp_path / "bad", **tables), database)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert rows(database, "select tenant_id, status from raw.tenants") == [("kept", "active")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tenants.csv", None, "tenants.csv is missing"),
        ("tenant_resources.csv", None, "tenant_resources.csv is missing"),
        ("tenants.csv", b"", "tenants.csv is empty"),
        ("tenants.csv", TENANTS.encode() + b"\nacme,\xff,,active,\n", "tenants.csv is not UTF-8"),
        ("tenants.csv", TENANTS.encode() + b'\nacme,"A"b,,active,\n', "tenants.csv is not CSV"),
        ("tenants.csv", TENANTS.encode() + b"\nacme,A\x00,,active,\n", "tenants.csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, database: str, name: str, content: bytes | None, message: str
) -> None:
    path = write(tmp_path) / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DirectoryError, match=message):
        load(tmp_path, database)


def test_a_missing_folder_is_named(tmp_path: Path, database: str) -> None:
    with pytest.raises(DirectoryError, match="nowhere is not a folder"):
        load(tmp_path / "nowhere", database)


# History


def version(plan: str | None, since: str | None, until: str | None = None, **other: Any) -> Version:
    facts = {"tenant_id": "acme", "name": "Acme", "status": "active", "hard_stop": False} | other
    return Version(
        plan=plan,
        valid_from=date.fromisoformat(since) if since else None,
        valid_to=date.fromisoformat(until) if until else None,
        **facts,
    )


def row(plan: str | None, since: str | None = None, until: str | None = None, **other: Any) -> TenantRow:
    values = version(plan, since, until, **other)
    return TenantRow("tenants.csv row 2", **vars(values))


SPLIT = [version("pro", None, "2026-11-10"), version("starter", "2026-11-10")]


@pytest.mark.parametrize(
    ("stored", "now", "expected"),
    [
        pytest.param([], [row("pro")], [version("pro", None)], id="new"),
        pytest.param([version("pro", None)], [row("pro")], [version("pro", None)], id="unchanged"),
        pytest.param(SPLIT, [row("starter")], SPLIT, id="unchanged with a past"),
        pytest.param(
            [version("pro", None)],
            [row("starter")],
            [version("pro", None, "2026-11-21"), version("starter", "2026-11-21")],
            id="another plan",
        ),
        pytest.param(
            [version("pro", None)],
            [row("pro", hard_stop=True)],
            [version("pro", None, "2026-11-21"), version("pro", "2026-11-21", hard_stop=True)],
            id="another hard stop",
        ),
        pytest.param(
            [version("pro", None, "2026-11-21"), version("starter", "2026-11-21")],
            [row(None)],
            [version("pro", None, "2026-11-21"), version(None, "2026-11-21")],
            id="a second change on one day",
        ),
        pytest.param(
            [version("pro", None, "2026-11-21"), version("starter", "2026-11-21")],
            [row("pro")],
            [version("pro", None)],
            id="changed back on one day",
        ),
        pytest.param(
            [version("pro", None, "2026-12-01"), version("starter", "2026-12-01")],
            [row(None)],
            [version("pro", None, "2026-11-21"), version(None, "2026-11-21")],
            id="as of an earlier day",
        ),
        pytest.param([version("pro", "2026-12-01")], [row(None)], [version(None, None)], id="all of it later"),
        pytest.param(
            SPLIT,
            [row("starter", name="Acme Ltd")],
            [
                version("pro", None, "2026-11-10", name="Acme Ltd"),
                version("starter", "2026-11-10", name="Acme Ltd"),
            ],
            id="another name",
        ),
        pytest.param(
            SPLIT,
            [row("pro", "2026-11-05"), row(None, "2026-01-01", "2026-02-01")],
            [version(None, "2026-01-01", "2026-02-01"), version("pro", "2026-11-05")],
            id="dated rows are the history",
        ),
        pytest.param(
            [version("pro", None, "2026-11-01")],
            [row("pro")],
            [version("pro", None, "2026-11-01"), version("pro", "2026-11-21")],
            id="an ended one goes on",
        ),
        pytest.param(
            [version("pro", None)],
            [],
            [version("pro", None, "2026-11-21"), version("pro", "2026-11-21", status="removed")],
            id="gone",
        ),
        pytest.param(
            [version("pro", None, "2026-11-11"), version("pro", "2026-11-11", status="removed")],
            [],
            [version("pro", None, "2026-11-11"), version("pro", "2026-11-11", status="removed")],
            id="still gone",
        ),
        pytest.param(
            [version("pro", None, "2026-11-11"), version("pro", "2026-11-11", status="removed")],
            [row("pro")],
            [
                version("pro", None, "2026-11-11"),
                version("pro", "2026-11-11", "2026-11-21", status="removed"),
                version("pro", "2026-11-21"),
            ],
            id="back again",
        ),
    ],
)
def test_history(stored: list[Version], now: list[TenantRow], expected: list[Version]) -> None:
    after = next_versions(stored, {"acme": now} if now else {}, DAY)
    assert after == expected
    assert next_versions(reversed(after), {"acme": now} if now else {}, DAY) == expected


def test_history_is_stored(tmp_path: Path, database: str) -> None:
    load(write(tmp_path), database, date(2026, 11, 1))
    write(tmp_path, ["acme,Acme,starter,active,true"])
    assert load(tmp_path, database).changed == 4
    after = [
        ("acme", "Acme", "pro", "active", True, None, DAY),
        ("acme", "Acme", "starter", "active", True, DAY, None),
        ("boreal", "Boreal", None, "active", False, None, DAY),
        ("boreal", "Boreal", None, "removed", False, DAY, None),
    ]
    assert rows(database, STORED) == after
    assert load(tmp_path, database, date(2026, 11, 22)).changed == 0
    assert rows(database, STORED) == after


def owned(tenant_id: str, since: str | None = None, until: str | None = None, resource_id: str = "p") -> Resource:
    return Resource(
        location="",
        tenant_id=tenant_id,
        provider="openai",
        resource_type="project",
        resource_id=resource_id,
        resource_hash=None,
        valid_from=date.fromisoformat(since) if since else None,
        valid_to=date.fromisoformat(until) if until else None,
    )


LEFT = [version("pro", None, "2026-11-11"), version("pro", "2026-11-11", status="removed")]
STAYS = [version("pro", None), version("pro", None, tenant_id="boreal")]
ACME_GONE = [*LEFT, version("pro", None, tenant_id="boreal")]


@pytest.mark.parametrize(
    ("stored", "given", "tenants", "expected"),
    [
        pytest.param(
            [owned("acme")], [], ACME_GONE, [owned("acme", None, "2026-11-11")], id="it leaves with its tenant"
        ),
        pytest.param(
            [owned("acme", "2026-11-01", "2026-12-01"), owned("acme", None, "2026-10-01", "q")],
            [],
            ACME_GONE,
            [owned("acme", "2026-11-01", "2026-11-11"), owned("acme", None, "2026-10-01", "q")],
            id="with dates",
        ),
        pytest.param([owned("acme")], [], STAYS, [owned("acme", None, "2026-11-21")], id="it alone is gone"),
        pytest.param(
            [owned("acme", None, "2026-11-11")], [], STAYS, [owned("acme", None, "2026-11-11")], id="gone before"
        ),
        pytest.param([owned("acme", "2026-11-21")], [], STAYS, [], id="it had no day"),
        pytest.param([owned("acme", None, "2026-11-11")], [owned("acme")], STAYS, [owned("acme")], id="back again"),
        pytest.param(
            [owned("acme")],
            [owned("boreal")],
            ACME_GONE,
            [owned("acme", None, "2026-11-11"), owned("boreal", "2026-11-11")],
            id="somebody else's from then on",
        ),
        pytest.param(
            [owned("acme", None, "2026-11-11"), owned("boreal", "2026-11-11")],
            [owned("boreal")],
            ACME_GONE,
            [owned("acme", None, "2026-11-11"), owned("boreal", "2026-11-11")],
            id="still somebody else's",
        ),
        pytest.param(
            [owned("acme")],
            [owned("boreal", "2026-11-05")],
            ACME_GONE,
            [owned("acme", None, "2026-11-05"), owned("boreal", "2026-11-05")],
            id="somebody else's by its dates",
        ),
        pytest.param(
            [owned("acme")],
            [owned("boreal", "2026-11-05", "2026-11-07")],
            STAYS,
            [
                owned("acme", None, "2026-11-05"),
                owned("acme", "2026-11-07", "2026-11-21"),
                owned("boreal", "2026-11-05", "2026-11-07"),
            ],
            id="somebody else's for two days",
        ),
        pytest.param([owned("acme")], [owned("boreal")], STAYS, [owned("boreal")], id="it was said wrongly"),
        pytest.param(
            [owned("acme", "2026-01-01", "2026-05-01")],
            [owned("acme", "2026-02-01", "2026-05-01")],
            STAYS,
            [owned("acme", "2026-02-01", "2026-05-01")],
            id="its dates were said wrongly",
        ),
    ],
)
def test_what_leaves_keeps_its_past(
    stored: list[Resource], given: list[Resource], tenants: list[Version], expected: list[Resource]
) -> None:
    after = next_resources(stored, given, tenants, DAY)
    assert after == expected
    assert next_resources(after, given, tenants, DAY) == expected
    assert next_resources(after, given, tenants, date(2026, 12, 24)) == expected


def test_a_tenant_that_leaves_keeps_its_past(tmp_path: Path, database: str) -> None:
    write(tmp_path, resources=["acme,openai,project,p,,", "acme,twilio,phone_number,+14155550101,2026-03-01,"])
    load(tmp_path, database, date(2026, 11, 1))
    write(tmp_path, [BOREAL], resources=["boreal,openai,project,q,,"])
    load(tmp_path, database)
    stored = "select tenant_id, resource_id, valid_from, valid_to from raw.tenant_resources order by resource_id"
    after = [
        ("acme", "+14155550101", date(2026, 3, 1), DAY),
        ("acme", "p", None, DAY),
        ("boreal", "q", None, None),
    ]
    assert rows(database, stored) == after
    assert load(tmp_path, database, date(2026, 12, 1)).changed == 0
    assert rows(database, stored) == after
    hashed = Hasher("key").hash("+14155550101")
    assert rows(database, f"select ops.tenant_of_number('{hashed}', '2026-11-20')") == [("acme",)]
    assert rows(database, f"select ops.tenant_of_number('{hashed}', '2026-11-21')") == [(None,)]


# A database as the directory


def sqlite(path: Path, *statements: str) -> str:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"create table tenants ({TENANTS}, note)")
        connection.execute(f"create table tenant_resources ({RESOURCES})")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return f"sqlite:///{path}"


def test_a_sqlite_directory(tmp_path: Path, database: str) -> None:
    url = sqlite(
        tmp_path / "directory.db",
        f"create table tenant_limits ({LIMITS})",
        "insert into tenants values ('acme', 'Acme', null, 'active', 1, 'x')",
        "insert into tenant_resources values ('acme', 'openai', 'project', 'p', '2026-01-01', null)",
        "insert into tenant_limits values ('acme', 'ai', 'units', 1e6, 80)",
    )
    assert load(url, database) == DirectoryResult(tenants=1, resources=1, limits=1, changed=3)
    assert rows(database, STORED) == [("acme", "Acme", None, "active", True, None, None)]
    assert rows(database, "select valid_from, valid_to from raw.tenant_resources") == [(date(2026, 1, 1), None)]
    assert rows(database, "select monthly_cap::int from raw.tenant_limits") == [(1_000_000,)]


def test_an_error_in_a_database_names_table_and_row(tmp_path: Path, database: str) -> None:
    url = sqlite(
        tmp_path / "directory.db",
        "insert into tenants values ('b', 'B', 'gold', 'active', 1, null)",
        "insert into tenants values ('a', 'A', null, 'active', 1, null)",
    )
    with pytest.raises(DirectoryError, match=r"^tenants row 2: unknown plan gold"):
        load(url, database)


def test_a_database_without_tenants(tmp_path: Path, database: str) -> None:
    with pytest.raises(DirectoryError, match="has no table tenants"):
        load(f"sqlite:///{tmp_path}/empty.db", database)


def test_a_postgresql_directory(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            b"""
            create table public.tenants (tenant_id uuid, name text, plan text, status text,
                usage_hard_stop_enabled boolean, valid_from date, valid_to timestamptz);
            create table public.tenant_resources (tenant_id uuid, provider text, resource_type text,
                resource_id text, valid_from date, valid_to date);
            insert into public.tenants values
                ('00000000-0000-0000-0000-000000000001', 'Acme', 'pro', 'active',
                true, '2026-01-01', '2026-02-01T00:00Z')
            """
        )
    assert load(database, database).tenants == 1
    assert rows(database, "select plan, usage_hard_stop_enabled, valid_from, valid_to from raw.tenants") == [
        ("pro", True, date(2026, 1, 1), date(2026, 2, 1))
    ]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://jane:hunter2@127.0.0.1:1/crm",
        "postgresql+psycopg2://jane:hunter2@127.0.0.1:1/crm",
        "postgres://127.0.0.1:1/crm?user=jane&password=hunter2",
        "postgresql://jane:hunter2@127.0.0.1:port/crm",
        "nosuch://jane:hunter2@127.0.0.1/crm",
    ],
)
def test_a_database_that_is_down_is_named_without_credentials(database: str, url: str) -> None:
    with pytest.raises(DirectoryError) as caught:
        load(url, database)
    assert "hunter2" not in str(caught.value)
    assert "jane" not in str(caught.value)
    assert "\n" not in str(caught.value)


# The database that is loaded


def test_loads_are_the_loaders(database: str) -> None:
    with connect(database) as connection:
        assert connection.execute("select current_user").fetchone() == ("metering_loader",)
    url = loader_url("postgresql://u:p%40w@%2Ftmp%2Fpg/metering?options=-ctimezone%3DUTC&sslmode=disable")
    assert url == (
        "postgresql://u:p%40w@%2Ftmp%2Fpg/metering?options=-ctimezone%3DUTC%20-crole%3Dmetering_loader&sslmode=disable"
    )


def test_loads_at_once_make_one_history(tmp_path: Path, database: str) -> None:
    load(write(tmp_path / "old"), database, date(2026, 11, 1))
    write(tmp_path / "new", ["acme,Acme,starter,active,true"], ["acme,openai,project,p,,"])
    together = threading.Barrier(8)

    def one() -> int:
        together.wait()
        return load(tmp_path / "new", database).changed

    with ThreadPoolExecutor(8) as pool:
        changed = [future.result() for future in [pool.submit(one) for _ in range(8)]]
    assert sorted(changed) == [0] * 7 + [5]
    assert len(rows(database, STORED)) == 4
    assert rows(database, "select count(*) from raw.tenant_resources") == [(1,)]


def test_a_load_that_fails_leaves_everything(tmp_path: Path, database: str) -> None:
    load(write(tmp_path, limits=["acme,sms,units,1,"]), database)
    with psycopg.connect(database) as connection:
        connection.execute("alter table raw.tenant_limits add constraint broken check (monthly_cap < 2)")
    write(tmp_path, [ACME], ["acme,openai,project,p,,"], ["acme,sms,units,2,"])
    with pytest.raises(psycopg.errors.CheckViolation):
        load(tmp_path, database)
    assert rows(database, "select count(*) from raw.tenants") == [(2,)]
    assert rows(database, "select count(*) from raw.tenant_resources") == [(0,)]
    assert rows(database, "select count(*) from raw.tenant_limits") == [(1,)]


def test_a_directory_that_says_the_same_is_not_written_again(tmp_path: Path, database: str) -> None:
    row_ids = "select 'tenants', ctid::text, xmin::text from raw.tenants union all select 'limits', ctid::text, xmin::text from raw.tenant_limits"
    folder = write(tmp_path / "directory")
    load(folder, database)
    before = rows(database, row_ids)
    load(folder, database)
    assert rows(database, row_ids) == before
    write(folder, [ACME])
    load(folder, database)
    assert rows(database, row_ids) != before
