"""Made-up R2 usage: a bucket per tenant, and a shared one that nobody in the directory owns. Each grows day by day."""

from __future__ import annotations

import random
from datetime import date

from sandbox.generate.cast import Cast
from sandbox.lists import Record

# Requests of a bucket's day at scale 1, by action; the last two are not billed.
REQUESTS = {
    ("PutObject", "success", 200): 120,
    ("ListObjects", "success", 200): 15,
    ("GetObject", "success", 200): 900,
    ("HeadObject", "userError", 404): 40,
    ("DeleteObject", "success", 204): 10,
    ("GetObject", "userError", 401): 5,
}
TIMES = ("02:00:00Z", "10:00:00Z", "18:00:00Z")
BYTES_AT_FIRST, BYTES_PER_DAY = 8_000_000_000, 350_000_000
OBJECT_BYTES, METADATA_BYTES = 400_000, 120


def records(cast: Cast, days: list[date], scale: float, seed: int) -> dict[str, list[Record]]:
    """Requests by bucket, action and part of the day, and what each bucket held at three times of it."""
    operations: list[Record] = []
    storage: list[Record] = []
    for bucket in [tenant.bucket for tenant in cast.tenants] + [cast.pool_bucket]:
        rng = random.Random(f"{seed}:r2:{bucket}")
        size = BYTES_AT_FIRST * scale * rng.uniform(0.3, 3)
        for day in days:
            for (action, status, code), usual in REQUESTS.items():
                for time in TIMES[::2]:
                    requests = int(usual * scale * rng.uniform(0.2, 0.8))
                    if requests:
                        operations.append(
                            {
                                "bucketName": bucket,
                                "datetime": f"{day}T{time}",
                                "actionType": action,
                                "actionStatus": status,
                                "responseStatusCode": code,
                                "requests": requests,
                            }
                        )
            for time in TIMES:
                size += BYTES_PER_DAY * scale * rng.uniform(-0.2, 0.9) / len(TIMES)
                objects = int(size / OBJECT_BYTES)
                storage.append(
                    {
                        "bucketName": bucket,
                        "datetime": f"{day}T{time}",
                        "payloadSize": int(size),
                        "metadataSize": objects * METADATA_BYTES,
                        "objectCount": objects,
                        "uploadCount": 0,
                    }
                )
    return {"r2_operations": operations, "r2_storage": storage}
