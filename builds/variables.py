"""The providers' variables where a deployment is set up: docker-compose.yml passes them on, .env.example says what they are.

`ingestion/config.py` states them. `make copies` writes them between two lines that each file has.
"""

from __future__ import annotations

import re
from pathlib import Path

from ingestion.config import PROVIDER_VARIABLES

ROOT = Path(__file__).parents[1]
COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
BETWEEN = re.compile(r"(?P<head>from ingestion/config\.py:[^\n]*\n).*?(?P<foot>[^\n]*End of providers\.)", re.DOTALL)


def copies() -> dict[Path, str]:
    """Return the text of each file as it should be."""
    texts = ((COMPOSE, compose_text()), (EXAMPLE, example_text()))
    return {path: _replaced(path, text) for path, text in texts}


def names(provider: str) -> tuple[str, ...]:
    """Return all variables of a provider, the required ones first."""
    variables = PROVIDER_VARIABLES[provider]
    return (*variables.required, f"{provider.upper()}_BASE_URL", *variables.options)


def compose_text() -> str:
    """Return the lines by which a container gets what is set; what is not is empty there, which counts as unset."""
    return "".join(f"  {name}: ${{{name}:-}}\n" for provider in PROVIDER_VARIABLES for name in names(provider))


def example_text() -> str:
    """Return the lines that a deployment uncomments and completes."""
    return "".join(
        f"# {variables.meaning}\n" + "".join(f"#{name}=\n" for name in names(provider))
        for provider, variables in PROVIDER_VARIABLES.items()
    )


def _replaced(path: Path, text: str) -> str:
    content, count = BETWEEN.subn(lambda match: match["head"] + text + match["foot"], path.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{path.name} has {count} places for the providers' variables, not one")
    return content
