"""Bodies of the operator's commands."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from api.kit.schemas import Body, ResponseBody

RebuildStatus = Literal["queued", "running", "succeeded", "failed", "canceled"]


class Acknowledgement(ResponseBody):
    """Who has acknowledged an alert, and when: the first one."""

    id: int = Field(examples=[42])
    tenant_id: str = Field(examples=["acme"])
    acknowledged: Literal[True]
    acknowledged_at: datetime
    acknowledged_by: str = Field(description="The token's `sub`.", examples=["kim@example.com"])


class RebuildRun(Body):
    """One Dagster run of a backfill; a rebuild is one run, however many days."""

    id: str
    status: str = Field(description="Dagster's status of the run.", examples=["STARTED"])
    url: str = Field(description="In the Dagster UI.")
    steps: int | None = Field(description="How many steps it has; null until Dagster has planned them.")
    steps_succeeded: int
    failed_steps: list[str] = Field(examples=[["twilio"]])
    started_at: datetime | None
    finished_at: datetime | None


class Rebuild(ResponseBody):
    """A Dagster backfill of the job `rebuild`, and how far it is."""

    id: str = Field(description="The backfill's id at Dagster.", examples=["yvxdzkqe"])
    days: int = Field(description="How many days are rebuilt.", examples=[7])
    first_day: date
    last_day: date = Field(description="Included.")
    status: RebuildStatus
    requested_by: str | None = Field(description="The `sub` of the requester's token.")
    requested_at: datetime
    finished_at: datetime | None
    url: str = Field(description="The backfill in the Dagster UI.")
    status_url: str = Field(description="Where to ask how far it is.", examples=["/api/admin/usage/rebuild/yvxdzkqe"])
    note: str | None = Field(description="What somebody should know or do, where it does not just run.")
    runs: list[RebuildRun]


class LaunchedRebuild(Rebuild):
    """The answer to a command."""

    launched: bool = Field(description="False: a rebuild of the same days was under way, and this is it.")
