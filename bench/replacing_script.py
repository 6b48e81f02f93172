"""One side of `bench.replacing`, run with the sources of either commit: stage a day of messages, swap it in, print the seconds of that.

``change``: the percent of the day's stored records whose price is another, or ``new``: a day of as many records that are not stored.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from datetime import UTC, date, datetime

import psycopg

from ingestion.database import connect, loader_url
from ingestion.load.staging import dataset_name
from ingestion.load.swap import swap
from ingestion.sources.reading import Reading, SourceSpec, Unit
from usage_metering.pii import Hasher

TABLE = "twilio_messages"
SPEC = SourceSpec(tables=(TABLE,), keyed={TABLE: ("sid",)})
STAGED = """
create unlogged table {dataset}.twilio_messages as
select
    account_id, {day} as usage_date, {sid} as sid, messaging_service_sid, from_number_hash, to_number_hash, direction, status,
    num_segments, num_media, case when {is_changed} then price - 0.0001 else price end as price, price_unit, date_created,
    {sent} as date_sent, date_updated
from raw.twilio_messages
where usage_date = '{stored_day}'
"""


def main(url: str, day: date, change: str, times: int) -> None:
    """Swap ``day`` in ``times`` times and print the seconds of the last."""
    taken = 0.0
    for _ in range(times):
        is_new = change == "new"
        dataset, load_id = dataset_name("bench", uuid.uuid4().hex[:8]), uuid.uuid4().hex
        with psycopg.connect(loader_url(url), autocommit=True) as connection:
            # A new day: the day after all that are stored.
            ((account, last),) = connection.execute(
                f"select min(account_id), max(usage_date) + 1 from raw.{TABLE} where usage_date = %s or %s".encode(),
                (day, is_new),
            ).fetchall()
            wanted = last if is_new else day
            connection.execute(f"create schema {dataset}".encode())
            connection.execute(
                STAGED.format(
                    dataset=dataset,
                    stored_day=day,
                    day=f"date '{wanted}'",
                    sid=f"'SM' || md5(sid || '{load_id}')" if is_new else "sid",
                    sent=f"date_sent + interval '{(wanted - day).days} days'",
                    is_changed="false" if is_new else f"abs(hashtext(sid || '{load_id}')) % 100 < {change}",
                ).encode()
            )
        reading = Reading()
        reading.answer(Unit(TABLE, account, wanted), [])
        with connect(url) as connection:
            started = time.perf_counter()
            swap(
                connection,
                provider="twilio",
                spec=SPEC,
                reading=reading,
                dataset=dataset,
                load_id=load_id,
                as_of_day=datetime.now(UTC).date(),
                hasher=Hasher("bench"),
            )
            taken = time.perf_counter() - started
    print(json.dumps(taken))


if __name__ == "__main__":
    main(sys.argv[1], date.fromisoformat(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
