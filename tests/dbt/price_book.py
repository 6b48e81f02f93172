"""A dbt project of a test's own whose price book the test writes, and builds without data tests for tests of many builds."""

from __future__ import annotations

import csv
import functools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from types import CodeType
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from dbt.adapters.contracts.connection import Credentials
from dbt.adapters.events import types as adapter_events
from dbt.cli.main import dbtRunner
from dbt.clients.jinja import MacroGenerator
from dbt.compilation import Linker
from dbt.config.profile import Profile
from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder
from dbt.contracts.graph.nodes import Macro
from dbt.plugins.manager import PluginManager
from dbt_common.behavior_flags import BehaviorFlagRendered
from dbt_common.clients import agate_helper
from dbt_common.clients.jinja import MacroFuzzEnvironment
from dbt_common.events.base_types import BaseEvent, DebugLevel, EventLevel
from dbt_common.events.event_manager import EventManager

from builds import ledger
from builds.code_version import code_version
from builds.ctes import quick_ctes
from builds.dbt_command import build_arguments
from builds.dbt_manifest import PROJECT, ParsedProject, global_arguments, parsed_project, project_files, project_folder
from builds.sessions import kept_sessions
from builds.static_nodes import STATIC, TAG, standing_version, static_nodes, tag_static
from ingestion.windows import Window

BOOK, BOOK_FILE = "seed.usage_metering.price_book", "price_book.csv"
LONG_AGO = Window.of_days(date(2000, 1, 1), date(2000, 1, 1))
FIELDS = (
    "service",
    "operation",
    "model",
    "plan",
    "component",
    "unit_price_usd",
    "per",
    "effective_from",
    "effective_to",
    "source",
    "tier",
)


class PriceBook:
    """The seed `price_book.csv` of a copied project, which builds use from here on; ``folder`` is the test's own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # Beside the tests' own folders: a folder of its own for each would be parsed anew for each (4 s of CPU time), and only
        # the seeds, which builds read from disk, differ between them.
        project = folder.parent / "price_book" / "dbt_project"
        shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"), dirs_exist_ok=True)
        monkeypatch.setenv("DBT_PROJECT_DIR", str(project))
        monkeypatch.setenv("DBT_PROFILES_DIR", str(project))
        self.path = project / "seeds" / "price_book.csv"

    def replace(self, old: str, new: str) -> None:
        """Replace text that stands in the file once."""
        text = self.path.read_text()
        assert text.count(old) == 1, old
        self.path.write_text(text.replace(old, new))

    def write(self, rows: Iterable[dict[str, str]]) -> None:
        """Write the whole book; what a row leaves out is empty."""
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, restval="")
            writer.writeheader()
            writer.writerows(rows)


# To say in a message where a flag of dbt's adapter comes from, dbt looks at all frames and all modules, nine times before each
# command: a quarter of a build's CPU time in Python. No test asks.
BehaviorFlagRendered._default_source = staticmethod(lambda: "dbt.adapters.base.impl")  # type: ignore[method-assign]

# dbt makes a Jinja environment for each text, and so compiles the same models and macros for each command: a fifth of a build's
# CPU time in Python. Environments of one class differ in what an undefined name becomes, which is no part of compiled text.
compiled: dict[tuple[Any, ...], CodeType] = {}
compile_text = MacroFuzzEnvironment.compile


def compile_once(environment: MacroFuzzEnvironment, source: str, *arguments: Any) -> CodeType:
    """Return what Jinja makes of ``source``, of this process's first time."""
    key = (type(environment), source, *arguments)
    if key not in compiled:
        compiled[key] = compile_text(environment, source, *arguments)
    return compiled[key]


MacroFuzzEnvironment.compile = compile_once  # type: ignore[assignment, method-assign]


# dbt makes a message of two structures of each event, of those for debugging too, which no test reads and production does not log.
fire_event = EventManager.fire_event


def fire_unless_debug(
    manager: EventManager,
    e: BaseEvent,
    level: EventLevel | None = None,
    node: Any = None,
    *arguments: Any,
    **options: Any,
) -> None:
    """As dbt's own, of events that are more than for debugging."""
    if (level or e.level_tag()) is not EventLevel.DEBUG:
        fire_event(manager, e, level, node, *arguments, **options)


EventManager.fire_event = fire_unless_debug  # type: ignore[method-assign]
# Nor is what they would say put together; of dbt's own some are fired as warnings, of its adapters' none.
begin_event = BaseEvent.__init__


def begin_unless_debug(event: DebugLevel, *arguments: Any, **fields: Any) -> None:
    """As dbt's own, of events that are not its adapters'."""
    if type(event).__module__ != adapter_events.__name__:
        begin_event(event, *arguments, **fields)


DebugLevel.__init__ = begin_unless_debug  # type: ignore[method-assign]


# Beside other workers two threads of a build wait for each other: a tenth of its CPU time. The command line's builds have both.
make_profile = Profile.from_credentials


def of_one_thread(credentials: Credentials, threads: int, profile_name: str, target_name: str) -> Profile:
    """As dbt's own, whatever the project's profile says of threads."""
    return make_profile(credentials, 1, profile_name, target_name)


Profile.from_credentials = of_one_thread  # type: ignore[assignment, method-assign]


# For each node dbt makes each macro's function by three calls, twice: a tenth of a build's CPU time in Python.
def namespace_of(
    builder: MacroNamespaceBuilder, macros_by_package: dict[str, dict[str, Macro]], ctx: dict[str, Any]
) -> MacroNamespace:
    """As dbt's own, of packages that do not define a macro twice."""
    functions: dict[str, dict[str, Any]] = {
        package: {name: MacroGenerator(macro, ctx, builder.node, builder.thread_ctx) for name, macro in macros.items()}
        for package, macros in macros_by_package.items()
    }
    of_dbt: dict[str, Any] = {}
    for package in reversed(builder.internal_package_names_order):
        of_dbt.update(functions.pop(package, {}))
    own = functions.get(builder.search_package, {})
    root = functions.get(builder.root_package, {}) if builder.root_package != builder.search_package else {}
    return MacroNamespace(root, own, of_dbt, functions)


MacroNamespaceBuilder.build_namespace = namespace_of  # type: ignore[assignment, method-assign]


# For each command dbt sums its graph up in a file of its target folder, looks for circles in it and for plugins among all packages that
# can be imported: a sixth of the CPU time of a build of few days. The command line's builds (test_build.py) have all of it.
Linker.get_graph_summary = lambda linker, manifest: {}  # type: ignore[method-assign]
Linker.find_cycles = lambda linker: None  # type: ignore[method-assign]
PluginManager.from_modules = functools.cache(PluginManager.from_modules)  # type: ignore[method-assign]
# agate makes a reader of dates for each result of a query, of all that its library knows about the language.
dates = agate_helper.agate.data_types.date.parsedatetime  # type: ignore[attr-defined]
dates.Constants = functools.cache(dates.Constants)


def is_only_the_book() -> bool:
    """Whether the project that builds look for is a copy of the repository's with another price book, and nothing else."""
    folder = project_folder()
    others = [path.relative_to(folder) for path in project_files(folder) if path.name != BOOK_FILE]
    return folder != PROJECT.resolve() and all((folder / o).read_bytes() == (PROJECT / o).read_bytes() for o in others)


@contextmanager
def parsed_but_for_the_book() -> Iterator[ParsedProject]:
    """The repository's parse, with the book where builds look for it: a parse of the copy (4 s of CPU time) would say the same."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("DBT_PROJECT_DIR")
        environment.delenv("DBT_PROFILES_DIR", raising=False)
        project = parsed_project()
    with patch.object(project.manifest.nodes[BOOK], "root_path", str(project_folder())):
        yield project


@functools.cache
def static_of(project: ParsedProject) -> list[str]:
    """As `static_nodes`, found once for each parse."""
    return static_nodes(project.data)


def places(static_version: str | None) -> str | None:
    """Return the second part of a version: which relations stand there, without the code that they are of."""
    return static_version and static_version.split()[1]


def build_models(
    window: Window, *, as_of: datetime, select: str = "*", tables: Sequence[str] = ("twilio_messages",)
) -> None:
    """Build seeds and models, and what ``select`` says of them, as production does but without its data tests."""
    build_id, only_the_book = uuid.uuid4().hex, is_only_the_book()
    with (
        psycopg.connect(os.environ["METERING_DATABASE_URL"], autocommit=True) as connection,
        tempfile.TemporaryDirectory() as target,
        parsed_but_for_the_book() if only_the_book else nullcontext(parsed_project()) as project,
    ):
        static = static_of(project)
        tag_static(project, static)
        standing = standing_version(connection, project.data, static)
        before = ledger.static_version(connection)
        if select == "*" and only_the_book and places(standing) == places(before) is not None:
            # What else stands is of the same text.
            project.manifest.nodes[BOOK].tags.remove(TAG)
            before = standing
        stands = select == "*" and standing is not None and standing == before
        ledger.begin_build(connection, build_id, window, as_of, tables, static_version=standing if stands else None)
        arguments = build_arguments(
            window,
            as_of=as_of,
            build_id=build_id,
            target_path=Path(target),
            code_version=code_version(),
            select=[select],
            exclude=[STATIC] if stands else (),
            is_same_code=stands,
        )
        arguments[2:3] = ["unit_test", "test"]
        with quick_ctes(), kept_sessions():
            outcome = dbtRunner(manifest=project.manifest).invoke([*arguments, *global_arguments()])
        if outcome.success and select == "*" and not stands:
            standing = standing_version(connection, project.data, static)
        ledger.end_build(connection, build_id, ok=outcome.success, static_version=standing if select == "*" else None)
    assert outcome.success, outcome.exception or [
        result.message for result in outcome.result.results if result.status == "error"
    ]


def stand(database_url: str) -> None:
    """Build what only code changes (`builds.static_nodes`), and nothing else: half of the first build of a fresh database.

    No day is built and the marts are empty, but they are there: that builds make them, the templates of built worlds show.
    """
    build_models(LONG_AGO, as_of=datetime(2000, 1, 2, tzinfo=UTC))
    with psycopg.connect(database_url, autocommit=True) as connection:
        ((filled,),) = connection.execute(
            "select string_agg(format('%I.%I', schemaname, tablename), ', ') from pg_tables"
            " where schemaname in ('marts', 'intermediate') or (schemaname, tablename) in (('ops', 'built_days'), ('ops', 'price_books'),"
            "   ('ops', 'price_book_rows'))"
        ).fetchall()
        connection.execute(f"truncate {filled}".encode())
        connection.execute(
            "update ops.builds set started_at = as_of, finished_at = as_of, inputs_seen = null, seeds_seen = null"
        )
