"""Cloudflare R2 by bucket and day: operations by their class, storage by the day's peak.

AMBIGUITY marks the readings of the words that were taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from tests.oracle.records import EXACT, UNATTRIBUTED, Directory, Operations, Stored
from tests.oracle.rules import Line

# Cloudflare's r2/pricing page, in its order.
CLASS_A = (
    "ListBuckets",
    "PutBucket",
    "ListObjects",
    "PutObject",
    "CopyObject",
    "CompleteMultipartUpload",
    "CreateMultipartUpload",
    "LifecycleStorageTierTransition",
    "ListMultipartUploads",
    "UploadPart",
    "UploadPartCopy",
    "ListParts",
    "PutBucketEncryption",
    "PutBucketCors",
    "PutBucketLifecycleConfiguration",
)
CLASS_B = (
    "HeadBucket",
    "HeadObject",
    "GetObject",
    "UsageSummary",
    "GetBucketEncryption",
    "GetBucketLocation",
    "GetBucketCors",
    "GetBucketLifecycleConfiguration",
)
FREE = ("DeleteObject", "DeleteBucket", "AbortMultipartUpload")
REFUSED = (401, 403)
GIGABYTE = Decimal(10) ** 9
UNCLASSIFIED = "unclassified"


def class_of(action: str) -> str:
    """AMBIGUITY: an action that the price list does not have is none of its classes, and so has no price."""
    if action in CLASS_A:
        return "class_a"
    if action in CLASS_B:
        return "class_b"
    return "free" if action in FREE else UNCLASSIFIED


def r2_lines(operations: Iterable[Operations], stored: Iterable[Stored], directory: Directory) -> list[Line]:
    """A line for each bucket, day and class, and one for each bucket and day with a measurement."""
    counts: dict[tuple[date, str, str], int] = defaultdict(int)
    for o in operations:
        if o.status_code not in REFUSED:
            counts[o.at.date(), o.bucket, class_of(o.action)] += o.requests
    peaks: dict[tuple[date, str], int] = defaultdict(int)
    for s in stored:
        peaks[s.at.date(), s.bucket] = max(peaks[s.at.date(), s.bucket], s.size)
    lines = [
        _line(directory, day, bucket, "storage_ops", operation, requests)
        for (day, bucket, operation), requests in sorted(counts.items())
    ]
    lines += [
        _line(directory, day, bucket, "storage", "storage", EXACT.divide(Decimal(peak), GIGABYTE))
        for (day, bucket), peak in sorted(peaks.items())
    ]
    return [line for line in lines if line.units]


def _line(directory: Directory, day: date, bucket: str, channel: str, operation: str, units: int | Decimal) -> Line:
    """AMBIGUITY: R2's operations are requests to it; what is stored is none."""
    return Line(
        tenant_id=directory.owner("cloudflare", "bucket", bucket, day) or UNATTRIBUTED,
        day=day,
        channel=channel,
        service="cloudflare_r2",
        operation=operation,
        direction="none",
        source="cloudflare_r2",
        evidence="residual",
        units=units,
        requests=units if channel == "storage_ops" else 0,
        project=bucket,
    )
