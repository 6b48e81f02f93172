"""How a step fails in Dagster: transient faults ask for another try, everything else says at once that it is no use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import psycopg

from builds.build import BuildFailed
from builds.scratch import ScratchFailed
from costs.rules.price_book import PriceBookError
from ingestion.failures import IngestionError
from usage_metering.failures import ConfigError

TRANSIENT = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.AdminShutdown,
    psycopg.errors.CannotConnectNow,
    psycopg.errors.ConnectionException,
)
MAX_RETRIES = 2
SECONDS_BETWEEN = 5.0


@contextmanager
def classified() -> Iterator[None]:
    """Turn what the other rooms raise into what Dagster acts on.

    Providers' own transient faults are retried where they happen, request by request; what arrives here as an
    `IngestionError` has outlived that. A lost database connection or a deadlock is worth the whole step again.
    """
    try:
        yield
    except TRANSIENT as error:
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=SECONDS_BETWEEN) from error
    except psycopg.OperationalError as error:
        # Raised by a lost or refused connection, which has no SQLSTATE.
        if error.sqlstate is None:
            raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=SECONDS_BETWEEN) from error
        raise
    except (ConfigError, IngestionError, BuildFailed, PriceBookError, ScratchFailed) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
