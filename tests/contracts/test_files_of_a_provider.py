"""In how many files a provider stands: the more, the more a new one must be written into."""

from __future__ import annotations

import re
from pathlib import Path

from builds import meters, variables

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "add-a-provider.md"
AT_MOST = 12
ROOMS = ("api", "builds", "cli", "costs", "dbt_project", "docs", "ingestion", "orchestration", "warehouse")
KINDS = {".css", ".csv", ".html", ".js", ".md", ".py", ".sql", ".toml", ".yml"}
# Its own folders; dbt's tests; what dbt leaves behind; the recipe, to which it is an example.
LEFT_OUT = re.compile(
    r"/anthropic/|^dbt_project/(tests|target|logs|dbt_packages)/|^docs/(add-a-provider\.md$|examples/)"
)
# The wrapper of its client is no part of the provider, nor are that client's package and the gateways to it.
TRACKING = {"cli/missing.py", "docs/metered_calls.csv", "docs/operations.md", "docs/tracking.md"}
COPIES = {str(path.relative_to(ROOT)) for path in {*meters.copies(""), *variables.copies()}}


def naming_anthropic() -> set[str]:
    """Return the files that know Anthropic as a provider, beside its own folders and tests."""
    files = [ROOT / "README.md", *ROOT.glob("*.yml"), *(file for room in ROOMS for file in (ROOT / room).rglob("*.*"))]
    paths = {file: file.relative_to(ROOT).as_posix() for file in files if file.suffix in KINDS}
    return {
        path
        for file, path in paths.items()
        if not LEFT_OUT.search(path) and ("anthropic" in path or "anthropic" in file.read_text("utf-8").lower())
    } | {path for path in COPIES if "anthropic" in (ROOT / path).read_text("utf-8").lower()}


def listed(how: str) -> set[str]:
    """Return the files that the recipe lists for Anthropic as written ``how``."""
    entry = re.search(rf"^- {how}: (.*?)(?=^\S|\n\n)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert entry is not None
    return set(re.findall(r"`([^`]+)`", entry[1]))


def test_a_provider_of_sums_stands_in_few_files_and_the_recipe_lists_them() -> None:
    found = naming_anthropic() - TRACKING
    assert found - COPIES == listed("by hand")
    assert found & COPIES == listed("by `make copies`")
    assert len(found) <= AT_MOST, "what lists providers again should follow from the catalogue"
