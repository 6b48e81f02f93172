"""Bodies of the operator's commands."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api.kit.parameters import NO_NUL
from api.kit.schemas import Body, ResponseBody

RebuildStatus = Literal["queued", "running", "succeeded", "failed", "canceled"]
MOST_ALERTS = 500
LONGEST_SNOOZE_HOURS = 24 * 31
LONGEST_COMMENT = 2_000


class Acknowledgement(ResponseBody):
    """Who has acknowledged an alert, and when: the first one."""

    id: int = Field(examples=[42])
    tenant_id: str = Field(examples=["acme"])
    acknowledged: Literal[True]
    acknowledged_at: datetime
    acknowledged_by: str = Field(description="The token's `sub`.", examples=["kim@example.com"])


class Handling(Body):
    """What is to become of alerts; at least one of the last three."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, max_length=MOST_ALERTS, examples=[[41, 42]])
    acknowledge: bool = Field(default=False, description="They have been seen: they are not sent again.")
    snooze_hours: int | None = Field(
        default=None, ge=1, le=LONGEST_SNOOZE_HOURS, description="No message about them for so long.", examples=[24]
    )
    comment: Annotated[str, Field(pattern=NO_NUL)] | None = Field(
        default=None, min_length=1, max_length=LONGEST_COMMENT, examples=["Talked to them: a campaign, until Friday."]
    )


class HandledAlert(Body):
    """An alert after it was handled. One whose condition has ended is only commented on."""

    id: int = Field(examples=[42])
    acknowledged: bool
    acknowledged_by: str | None
    resolved_at: datetime | None
    snoozed_until: datetime | None


class HandledAlerts(ResponseBody):
    """Alerts as they are now, in the order of their ids."""

    items: list[HandledAlert]


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
