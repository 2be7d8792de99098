"""C4, C5, K0, K4: reminders, who was left alone the longest, promises, complaints; customers by store, region (M6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from processors.days import DAY_MS
from processors.policy import Policy
from processors.sections import Region
from streams.programme.figure import Figure, figure
from streams.programme.sums import Sums
from streams.serving import promises
from streams.summary import share

SEVERITIES = ("1", "2", "3", "4", "5")


def care(sums: Sums, clock: int | None) -> Iterator[Figure]:
    """The figures of care and complaints. clock: ms."""
    for name, number in sums.named("care:").items():
        kind, _, status = name.partition(":")
        yield figure("loyalty_care_reminders", number, kind=kind, status=status)
    for tier, day in sorted(_left_alone(sums).items()):
        alone = None if clock is None else max(clock // DAY_MS - day, 0) * DAY_MS // 1_000
        yield figure("loyalty_longest_untouched_seconds", alone, tier=tier)
    for line in promises(sums.counts, "kind"):
        yield figure("loyalty_promises_kept_ratio", line.kept_rate, kind=line.name)
        yield figure("loyalty_promises_overdue", line.overdue, kind=line.name)
    for name, what in (
        ("loyalty_complaints_open", "complaints_open"),
        ("loyalty_complaints_overdue", "complaints_overdue"),
        ("loyalty_complaints_resolved", "complaints_resolved"),
    ):
        held = sums.named(f"{what}:severity:")
        for severity in SEVERITIES:
            yield figure(name, held.get(severity, 0), severity=severity)
    recovered, rated = (sums.named(f"complaints_{what}:severity:") for what in ("recovered", "rated"))
    for severity in SEVERITIES:
        yield figure(
            "loyalty_complaints_recovered_ratio",
            share(recovered.get(severity, 0), rated.get(severity, 0)),
            severity=severity,
        )


def _left_alone(sums: Sums) -> dict[str, int]:
    """Tier to the earliest UTC day of a customer's last contact by us, else of their first purchase."""
    found: dict[str, int] = {}
    for row, numbers in sums.rows("untouched").items():
        tier, _, day = row.rpartition(":")
        if numbers["customers"] > 0:
            found[tier] = min(found.get(tier, int(day)), int(day))
    return found


def stores(sums: Sums, policy: Policy) -> Iterator[Figure]:
    """Customers by store and by the policy's regions, the one with the most value first (M6)."""
    rows = sums.rows("store")
    yield from _places("store", rows)
    yield from _places("region", {one.name: _together(rows, one) for one in policy.regions})


def _together(rows: Mapping[str, Counter[str]], region: Region) -> Counter[str]:
    total: Counter[str] = Counter()
    for store in region.stores:
        total.update(rows.get(store, {}))  # not +=, which drops what is below 0
    return total


def _places(sort: str, rows: Mapping[str, Counter[str]]) -> Iterator[Figure]:
    ranked = sorted(rows.items(), key=lambda item: (-item[1]["value"], item[0]))
    for name, what in (
        ("customers", "customers"),
        ("active_customers", "active"),
        ("lost_customers", "lost"),
        ("value_365d", "value"),
        ("contribution_365d", "contribution"),
    ):
        for place, row in ranked:
            yield figure(f"loyalty_{sort}_{name}", row[what], **{sort: place})
