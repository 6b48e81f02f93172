"""docs/add-a-provider.md as steps: what it does to which file, read from its sentences, fenced blocks and examples, and done to a copy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

STEP = re.compile(
    r"^(?:(?P<whole>Create|Append to) `(?P<file>[^`]+)`"
    r"|In `(?P<part>[^`]+)`, (?P<where>after|before|instead of) (?P<ticks>`+)(?P<line>.+?)(?P=ticks)):$"
)
BLOCK = re.compile(
    r"(?P<sentence>[^\n]*)\n\n```[a-z]+\n(?P<text>.*?)^```$"
    r"|^Create `(?P<file>[^`]+)`, a copy of \[[^\]]+\]\((?P<example>[^)]+)\)\.$",
    re.MULTILINE | re.DOTALL,
)
DOCS = Path(__file__).resolve().parents[2] / "docs"


class RecipeError(AssertionError):
    """The recipe cannot be followed: the message names file and line."""


@dataclass(frozen=True)
class Step:
    """One sentence and its block. ``line``: what the line begins with that ``how`` (after, before, instead of) is about."""

    how: str
    path: str
    text: str
    line: str = ""

    def do(self, root: Path) -> None:
        """Do it to the files under ``root``.

        Raises:
            RecipeError: the file or the line is not there, or there twice.
        """
        path = root / self.path
        if self.how == "Create":
            if path.exists():
                raise RecipeError(f"{self.path} is there already")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text)
            return
        if not path.exists():
            raise RecipeError(f"{self.path} is not there")
        before = path.read_text()
        if self.how == "Append to":
            path.write_text(before + self.text)
            return
        lines = before.splitlines(keepends=True)
        matching = [number for number, line in enumerate(lines) if line.strip().startswith(self.line)]
        if len(matching) != 1:
            raise RecipeError(f"{self.path} has {len(matching)} lines that begin with {self.line}, not one")
        (index,) = matching
        start, end = {"after": (index + 1, index + 1), "before": (index, index), "instead of": (index, index + 1)}[
            self.how
        ]
        path.write_text("".join([*lines[:start], self.text, *lines[end:]]))


def steps_of(page: str) -> list[Step]:
    """Return the steps of a page of `docs/`, in order.

    Raises:
        RecipeError: a fenced block follows no sentence that says what to do with it.
    """
    found = []
    for block in BLOCK.finditer(page):
        if block["example"]:
            found.append(Step("Create", block["file"], (DOCS / block["example"]).read_text()))
            continue
        sentence = STEP.match(block["sentence"])
        if sentence is None:
            raise RecipeError(f"what is to be done with the block after: {block['sentence']}")
        found.append(
            Step(
                sentence["whole"] or sentence["where"],
                sentence["file"] or sentence["part"],
                block["text"],
                (sentence["line"] or "").strip(),
            )
        )
    return found
