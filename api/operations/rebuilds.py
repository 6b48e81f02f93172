"""Rebuilding days: which ones, as a partition backfill of Dagster's job `rebuild`, and how far that is.

A backfill of ours carries its days in a tag: by it a second click finds the rebuild that is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from api.kit.periods import DayRange
from api.kit.problems import DaysNotRebuildable, SchedulerUnavailable, UnknownObject
from api.operations.dagster import Dagster, refused
from api.operations.schemas import Rebuild, RebuildRun, RebuildStatus

JOB = "rebuild"
DAYS_TAG = "metering/rebuild"
BY_TAG = "metering/requested_by"
STATUS_PATH = "/api/admin/usage/rebuild/{id}"

# What Dagster calls a backfill's state; one that asks for runs has them queued or running.
STATUSES: Mapping[str, RebuildStatus] = {
    "REQUESTED": "running",
    "COMPLETED": "succeeded",
    "COMPLETED_SUCCESS": "succeeded",
    "COMPLETED_FAILED": "failed",
    "FAILING": "failed",
    "FAILED": "failed",
    "CANCELING": "canceled",
    "CANCELED": "canceled",
}
WAITING_RUNS = frozenset({"QUEUED", "NOT_STARTED", "STARTING"})

PLAN = """
query($running: BulkActionsFilter!) {
  repositoriesOrError {
    ... on RepositoryConnection {
      nodes {
        name
        location { name }
        partitionSets { name pipelineName partitionsOrError { ... on Partitions { results { name } } } }
      }
    }
  }
  partitionBackfillsOrError(filters: $running, limit: 100) {
    ... on PartitionBackfills { results { id tags { key value } } }
  }
}
"""

LAUNCH = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
  }
}
"""

PROGRESS = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill {
      id
      status
      timestamp
      endTimestamp
      tags { key value }
      runs(limit: 25) {
        runId
        status
        startTime
        endTime
        executionPlan { steps { key } }
        stepStats { stepKey status }
      }
    }
  }
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
}
"""


@dataclass(frozen=True, slots=True)
class JobPartitions:
    """Where Dagster has the job, and its partitions: days, oldest first."""

    location: str
    repository: str
    partition_set: str
    days: Sequence[str]


class Rebuilds:
    """Launches rebuilds one at a time: of two clicks at once, the second finds the first's."""

    def __init__(self, dagster: Dagster) -> None:
        self._dagster = dagster
        self._one_at_a_time = asyncio.Lock()

    async def launch(self, requested: DayRange, by: str) -> tuple[str, bool]:
        """Launch a rebuild of those of the wanted days that are partitions; return its id and whether it is new.

        Raises:
            SchedulerUnavailable: Dagster is away, does not know the job, or refuses.
            DaysNotRebuildable: Dagster's days are not the API's.
        """
        async with self._one_at_a_time:
            answered = await self._dagster.query(PLAN, running={"statuses": ["REQUESTED"]})
            partitions = job_partitions(answered["repositoriesOrError"].get("nodes", []))
            days = rebuildable(requested, partitions.days)
            tag = days_tag(days)
            for backfill in answered["partitionBackfillsOrError"].get("results", []):
                if _tags(backfill).get(DAYS_TAG) == tag:
                    return str(backfill["id"]), False
            return await self._launch(partitions, days, by), True

    async def _launch(self, partitions: JobPartitions, days: Sequence[str], by: str) -> str:
        response = await self._dagster.query(
            LAUNCH,
            params={
                "selector": {
                    "partitionSetName": partitions.partition_set,
                    "repositorySelector": {
                        "repositoryLocationName": partitions.location,
                        "repositoryName": partitions.repository,
                    },
                },
                "partitionNames": list(days),
                "tags": [{"key": DAYS_TAG, "value": days_tag(days)}, {"key": BY_TAG, "value": by}],
                "title": f"Rebuild {days[0]} to {days[-1]}",
                "description": f"Requested over the usage API by {by}.",
            },
        )
        launched = response["launchPartitionBackfill"]
        if launched["__typename"] == "PartitionKeysNotFoundError":
            raise DaysNotRebuildable(
                "Dagster's partitions changed just now (midnight, or a new deployment): try again."
            )
        if "backfillId" not in launched:
            raise refused(f"refused to launch the rebuild ({launched['__typename']})")
        return str(launched["backfillId"])

    async def progress(self, backfill_id: str, data_as_of: datetime | None) -> Rebuild:
        """Return how far a rebuild is.

        Raises:
            UnknownObject: Dagster has no such backfill, or it was not launched from here.
            SchedulerUnavailable: Dagster is away.
        """
        answered = await self._dagster.query(PROGRESS, id=backfill_id)
        backfill = answered["partitionBackfillOrError"]
        if _days(backfill) is None:
            raise UnknownObject("There is no such rebuild.")
        daemons = answered["instance"]["daemonHealth"]["allDaemonStatuses"]
        return as_rebuild(backfill, daemons, self._dagster, data_as_of)


def job_partitions(repositories: Iterable[Mapping[str, Any]]) -> JobPartitions:
    """Return the job among the repositories that Dagster has loaded.

    Raises:
        SchedulerUnavailable: it is in none of them.
    """
    for repository in repositories:
        for partition_set in repository["partitionSets"]:
            if partition_set["pipelineName"] == JOB:
                partitions = partition_set["partitionsOrError"].get("results", [])
                return JobPartitions(
                    location=repository["location"]["name"],
                    repository=repository["name"],
                    partition_set=partition_set["name"],
                    days=sorted(partition["name"] for partition in partitions),
                )
    raise SchedulerUnavailable(
        f"Dagster has no job `{JOB}`: it must load orchestration.definitions; its page Deployment says what it loaded and why not."
    )


def rebuildable(requested: DayRange, partitions: Sequence[str]) -> list[str]:
    """Return the wanted days from the first partition on, as partition names.

    Raises:
        DaysNotRebuildable: the last wanted day is not among the partitions: Dagster and the API disagree about today, or
        the first partition is later.
    """
    days = [day.isoformat() for day in requested.days()]
    known = set(partitions)
    if days[-1] not in known:
        of_dagster = f"{partitions[0]} to {partitions[-1]}" if partitions else "none"
        raise DaysNotRebuildable(
            f"Dagster has no partition for {days[-1]}, the API's today (its partitions: {of_dagster}):"
            " set METERING_AS_OF and METERING_START_DATE alike for both, and start them again."
        )
    return [day for day in days if day in known]


def days_tag(days: Sequence[str]) -> str:
    """Return the tag's value that tells one range of days from another: ``2026-11-15/2026-11-21``."""
    return f"{days[0]}/{days[-1]}"


def as_rebuild(
    backfill: Mapping[str, Any], daemons: Iterable[Mapping[str, Any]], dagster: Dagster, data_as_of: datetime | None
) -> Rebuild:
    """Return the body for a backfill as Dagster describes it."""
    days = _days(backfill)
    assert days is not None
    runs = [_run(run, dagster) for run in backfill["runs"]]
    status = STATUSES.get(backfill["status"], "running")
    if status == "running" and all(run.status in WAITING_RUNS for run in runs):
        status = "queued"
    return Rebuild(
        data_as_of=data_as_of,
        id=backfill["id"],
        days=len(days.days()),
        first_day=days.first,
        last_day=days.last,
        status=status,
        requested_by=_tags(backfill).get(BY_TAG),
        requested_at=_instant(backfill["timestamp"]),
        finished_at=_instant_or_none(backfill["endTimestamp"]),
        url=dagster.ui(f"runs/b/{backfill['id']}"),
        status_url=STATUS_PATH.format(id=backfill["id"]),
        note=_note(status, runs, daemons),
        runs=runs,
    )


def _run(run: Mapping[str, Any], dagster: Dagster) -> RebuildRun:
    plan = run["executionPlan"]
    ended = [(step["stepKey"], step["status"]) for step in run["stepStats"]]
    return RebuildRun(
        id=run["runId"],
        status=run["status"],
        url=dagster.ui(f"runs/{run['runId']}"),
        steps=len(plan["steps"]) if plan else None,
        steps_succeeded=sum(status == "SUCCESS" for _, status in ended),
        failed_steps=[key for key, status in ended if status == "FAILURE"],
        started_at=_instant_or_none(run["startTime"]),
        finished_at=_instant_or_none(run["endTime"]),
    )


def _note(status: RebuildStatus, runs: Sequence[RebuildRun], daemons: Iterable[Mapping[str, Any]]) -> str | None:
    if status == "queued":
        silent = [daemon["daemonType"] for daemon in daemons if daemon["required"] and not daemon["healthy"]]
        if silent:
            return (
                "It waits for the Dagster daemon, which does not answer: start `dagster-daemon run` (or `dagster dev`)."
            )
        return "It waits for its turn: two runs at a time, one build at a time."
    if status == "failed":
        failed = sorted({step for run in runs for step in run.failed_steps})
        where = f"at {', '.join(failed)}" if failed else "before its first step"
        return (
            f"It failed {where}: the run's page in the Dagster UI says why. Days that were not done stay as they were."
        )
    return None


def _tags(backfill: Mapping[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in backfill.get("tags", [])}


def _days(backfill: Mapping[str, Any]) -> DayRange | None:
    first, _, last = _tags(backfill).get(DAYS_TAG, "").partition("/")
    try:
        return DayRange(date.fromisoformat(first), date.fromisoformat(last))
    except ValueError:
        return None


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _instant_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else _instant(seconds)
