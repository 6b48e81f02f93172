"""What a person may choose when launching a run: the launchpad's form, typed, with what each choice does."""

from __future__ import annotations

from enum import Enum
from typing import Any

import dagster as dg
from pydantic import Field, create_model

from ingestion.run import PROVIDERS

OPTIONS = "options"


class Steps(Enum):
    """Which half of a run is wanted."""

    everything = "everything"
    ingest = "ingest"
    build = "build"


# A switch each, not a list of names: the launchpad completes them, and refuses a name that is none before anything runs.
SWITCHES: dict[str, Any] = {
    name: (bool, Field(default=True, description=f"Ask {name}, where it has credentials: {', '.join(spec.tables)}."))
    for name, spec in PROVIDERS.items()
}
Sources: Any = create_model("Sources", __base__=dg.Config, **SWITCHES)


class RunOptions(dg.ConfigurableResource):  # type: ignore[type-arg]
    """One set of choices for all steps of a run. The days are not among them: they are the run's partitions."""

    steps: Steps = Field(
        default=Steps.everything,
        description="all; ingest: read the providers only; build: build from raw only. "
        "The tenant directory is read in any case.",
    )
    sources: Sources = Field(
        default_factory=Sources,
        description="The providers to read. Stored rows of the others are kept and built from.",
    )
    only_changes: bool = Field(
        default=False,
        description="Build only where something that the marts are made of has changed since they were last built; "
        "otherwise they are kept and reported as unchanged. The rolling schedule sets it.",
    )
    failing_rows: int = Field(
        default=20,
        ge=0,
        le=200,
        description="How many rows of a failed dbt test to show in its check, at most 200; 0 shows none.",
    )

    def reads(self, provider: str) -> bool:
        """Whether this run asks a provider."""
        return self.steps is not Steps.build and bool(getattr(self.sources, provider))

    @property
    def builds(self) -> bool:
        """Whether this run builds the marts."""
        return self.steps is not Steps.ingest


def default_config(*, only_changes: bool = False) -> dict[str, Any]:
    """Return the run config that the launchpad opens with: every choice, at its default but for those named."""
    choices = {
        "steps": Steps.everything.value,
        "sources": dict.fromkeys(PROVIDERS, True),
        "only_changes": only_changes,
        "failing_rows": RunOptions().failing_rows,
    }
    return {"resources": {OPTIONS: {"config": choices}}}
