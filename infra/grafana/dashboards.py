"""The dashboards: the pipeline for who is on call, the programme for who runs it. A list of rows each.

On call one reads from left to right and from top to bottom: is anybody there, does each partition move, does what is
told leave, and where does the time go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from infra.grafana.panels import Panel, Query, Row, dashboard

HERE: Final = Path(__file__).resolve().parent

_RATE: Final = "$__rate_interval"
_WALL: Final = '(time() - loyalty_stream_time_seconds) and on (job, instance) loyalty_build_info{clock="wall"}'
_BY_PARTITION: Final = "partition {{partition}}"

_NOW: Final = Row(
    "Now",
    (
        Panel(
            "Workers",
            "How many answer Prometheus.",
            (Query('sum(up{job="loyalty-worker"})'),),
            stat=True,
            bad_from=1,
            low_is_bad=True,
        ),
        Panel(
            "Without an owner",
            "Partitions at whose fence no worker stands. Runbook LoyaltyPartitionWithoutOwner.",
            (Query("count(max by (partition) (loyalty_partition_owned) == 0) or vector(0)"),),
            stat=True,
            bad_from=1,
        ),
        Panel(
            "Standing still",
            "Partitions where records wait and nothing was committed for a minute. Runbook LoyaltyPartitionStuck.",
            (
                Query(
                    "count(sum by (partition) (loyalty_records_lag) > 0 and on (partition) "
                    "sum by (partition) (increase(loyalty_commits_total[1m])) == 0) or vector(0)"
                ),
            ),
            stat=True,
            bad_from=1,
        ),
        Panel(
            "Last tick",
            "How long ago the clock's leader wrote one. Runbook LoyaltyClockMissing.",
            (Query("time() - max(loyalty_last_tick_timestamp_seconds)"),),
            unit="s",
            stat=True,
            bad_from=15,
        ),
        Panel(
            "Redis takes writes",
            "1: every worker may write. Runbook LoyaltyRedisUnwritable.",
            (Query("min(loyalty_redis_writable)"),),
            stat=True,
            bad_from=1,
            low_is_bad=True,
        ),
        Panel(
            "Oldest output",
            "How long outputs wait without any going out. Runbook LoyaltyOutboxStuck.",
            (Query("max(loyalty_outbox_age_seconds)"),),
            unit="s",
            stat=True,
            bad_from=60,
        ),
        Panel(
            "Dead letters, 1 h",
            "Records that could not become events. Runbook LoyaltyPoisonRecords.",
            (Query("sum(increase(loyalty_dead_letters_total[1h])) or vector(0)"),),
            stat=True,
            bad_from=1,
        ),
    ),
)
_PARTITIONS: Final = Row(
    "Partitions",
    (
        Panel(
            "Records that wait",
            "By partition, over all input topics. One line that climbs alone is a partition that stands still.",
            (Query("sum by (partition) (loyalty_records_lag)", _BY_PARTITION),),
        ),
        Panel(
            "Commits",
            "By partition. A line at zero while records wait: it stands still.",
            (Query(f"sum by (partition) (rate(loyalty_commits_total[{_RATE}]))", _BY_PARTITION),),
            unit="ops",
        ),
        Panel(
            "Behind the wall clock",
            "Stream time of each partition, where the wall clock makes the ticks.",
            (Query(f"max by (partition) ({_WALL})", _BY_PARTITION),),
            unit="s",
            bad_from=60,
        ),
    ),
)
_OWNERS: Final = Row(
    "Who has what",
    (
        Panel(
            "Partitions by worker",
            "The sum is the number of partitions.",
            (Query("sum by (instance) (loyalty_partition_owned)", "{{instance}}"),),
            stacked=True,
        ),
        Panel(
            "Deals and refusals",
            "How often partitions were dealt out anew, and an older owner refused.",
            (
                Query("sum by (instance) (increase(loyalty_assignments_total[5m]))", "dealt, {{instance}}"),
                Query("sum by (instance) (increase(loyalty_fenced_total[5m]))", "refused, {{instance}}"),
            ),
        ),
        Panel(
            "Who sets the clock",
            "Exactly one is 1.",
            (Query("loyalty_clock_leader", "{{instance}}"),),
        ),
    ),
)
_FLOW: Final = Row(
    "What comes in",
    (
        Panel(
            "Records",
            "Committed a second, by topic.",
            (Query(f"sum by (topic) (rate(loyalty_records_total[{_RATE}]))", "{{topic}}"),),
            unit="ops",
            stacked=True,
        ),
        Panel(
            "Odd records",
            "Known already, late, of another partition, unusable: a second.",
            (
                Query(f"sum by (topic) (rate(loyalty_duplicates_total[{_RATE}]))", "known, {{topic}}"),
                Query(f"sum by (topic) (rate(loyalty_late_total[{_RATE}]))", "late, {{topic}}"),
                Query(f"sum by (topic) (rate(loyalty_rerouted_total[{_RATE}]))", "rerouted, {{topic}}"),
                Query(f"sum by (topic, error) (rate(loyalty_dead_letters_total[{_RATE}]))", "{{error}}, {{topic}}"),
            ),
            unit="ops",
        ),
        Panel(
            "From the sale's record to Redis",
            "Half, 95 and 99 of a hundred events.",
            tuple(
                Query(
                    f"histogram_quantile({share}, sum by (le) (rate(loyalty_event_latency_seconds_bucket[{_RATE}])))",
                    f"{share}",
                )
                for share in (0.5, 0.95, 0.99)
            ),
            unit="s",
            bad_from=30,
        ),
    ),
)
_OUT: Final = Row(
    "What goes out",
    (
        Panel(
            "Outputs",
            "Published a second, by topic.",
            (Query(f"sum by (topic) (rate(loyalty_outputs_total[{_RATE}]))", "{{topic}}"),),
            unit="ops",
            stacked=True,
        ),
        Panel(
            "Outputs that wait",
            "By partition.",
            (Query("max by (partition) (loyalty_outbox_entries)", _BY_PARTITION),),
        ),
        Panel(
            "Reviews that are late",
            "How far the earliest due review lies behind stream time.",
            (Query("max by (partition) (loyalty_due_lateness_seconds)", _BY_PARTITION),),
            unit="s",
            bad_from=300,
        ),
    ),
)
_TIME: Final = Row(
    "Where the time goes",
    (
        Panel(
            "By stage",
            "Seconds a second, over all workers; load and commit include waiting for Redis.",
            (Query(f"sum by (stage) (rate(loyalty_stage_seconds_total[{_RATE}]))", "{{stage}}"),),
            unit="s",
            stacked=True,
        ),
        Panel(
            "Commits",
            "How long one takes in Redis, 50 and 99 of a hundred.",
            tuple(
                Query(
                    f"histogram_quantile({share}, sum by (le) (rate(loyalty_commit_seconds_bucket[{_RATE}])))",
                    f"{share}",
                )
                for share in (0.5, 0.99)
            ),
            unit="s",
        ),
        Panel(
            "Records a commit",
            "The mean.",
            (
                Query(
                    f"sum(rate(loyalty_commit_records_sum[{_RATE}])) / sum(rate(loyalty_commit_records_count[{_RATE}]))"
                ),
            ),
        ),
    ),
)

_PEOPLE: Final = Row(
    "Customers",
    (
        Panel("By tier", "Customers known.", (Query("sum by (tier) (loyalty_customers)", "{{tier}}"),), stacked=True),
        Panel(
            "By risk",
            "Customers by level of risk.",
            (Query("sum by (level) (loyalty_customers_at_risk)", "{{level}}"),),
        ),
        Panel(
            "Retention",
            "Over the rolling year. Runbook LoyaltyRetentionFalling.",
            (Query("min(loyalty_retention_ratio)", "retention"),),
            unit="percentunit",
        ),
        Panel(
            "By segment",
            "Customers in each segment of the policy; one may be in several.",
            (Query("sum by (segment) (loyalty_segment_customers)", "{{segment}}"),),
        ),
        Panel(
            "Value by segment",
            "Of the last 365 days, minor units of the programme's currency.",
            (Query("sum by (segment) (loyalty_segment_value_365d)", "{{segment}}"),),
        ),
        Panel(
            "Those who serve",
            "Employees by grade.",
            (Query("sum by (grade) (loyalty_employees)", "{{grade}}"),),
            stacked=True,
        ),
    ),
)
_WORTH: Final = Row(
    "Value",
    (
        Panel(
            "Value of the last 365 days",
            "By tier, minor units of the programme's currency.",
            (Query("sum by (tier) (loyalty_value_365d)", "{{tier}}"),),
            stacked=True,
        ),
        Panel("Customer equity", "Expected, minor units.", (Query("sum(loyalty_customer_equity)", "equity"),)),
        Panel(
            "Share of the best",
            "Of the value, what the top share of customers brings.",
            (Query("max by (top) (loyalty_value_share)", "top {{top}}"),),
            unit="percentunit",
        ),
    ),
)
_GAINS: Final = Row(
    "Gained and lost",
    (
        Panel(
            "A week",
            "Gained, lost and won back within seven days.",
            (
                Query("sum(increase(loyalty_gained_total[7d]))", "gained"),
                Query("sum(increase(loyalty_lost_total[7d]))", "lost"),
                Query("sum(increase(loyalty_won_back_total[7d]))", "won back"),
            ),
        ),
        Panel(
            "Lost, by reason",
            "Within seven days.",
            (Query("sum by (reason) (increase(loyalty_lost_total[7d]))", "{{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Lost, by store",
            "Within seven days, the ten with most. Runbook LoyaltyStoreChurn.",
            (Query("topk(10, sum by (store) (delta(loyalty_lost_by_store[7d])))", "{{store}}"),),
        ),
    ),
)
_CARE: Final = Row(
    "Care",
    (
        Panel(
            "Longest untouched",
            "The customer of each tier whom we have left alone for longest. Runbook LoyaltyCustomerUntouched.",
            (Query("max by (tier) (loyalty_longest_untouched_seconds)", "{{tier}}"),),
            unit="s",
        ),
        Panel(
            "Complaints",
            "Open, and of them overdue. Runbook LoyaltyComplaintOverdue.",
            (
                Query("sum by (severity) (loyalty_complaints_open)", "open, severity {{severity}}"),
                Query("sum(loyalty_complaints_overdue)", "overdue"),
            ),
        ),
        Panel(
            "Reminders",
            "By status.",
            (Query("sum by (status) (loyalty_care_reminders)", "{{status}}"),),
        ),
    ),
)


def dashboards() -> Mapping[str, dict[str, Any]]:
    """File name to the dashboard's JSON."""
    pipeline = dashboard(
        "loyalty-pipeline",
        "Loyalty: pipeline",
        "For who is on call: from top to bottom. Each red tile names its runbook (docs/runbooks).",
        (_NOW, _PARTITIONS, _OWNERS, _FLOW, _OUT, _TIME),
    )
    programme = dashboard(
        "loyalty-programme",
        "Loyalty: programme",
        "For who runs the programme: the figures of the one exporter.",
        (_PEOPLE, _WORTH, _GAINS, _CARE),
    )
    return {"pipeline.json": pipeline, "programme.json": programme}


def text_of(board: Mapping[str, Any]) -> str:
    """A dashboard's file: the same bytes for the same dashboard."""
    return json.dumps(board, indent=2, ensure_ascii=False) + "\n"


def write_all(folder: Path = HERE) -> None:
    """Write every dashboard's file."""
    for name, board in dashboards().items():
        (folder / name).write_text(text_of(board), encoding="utf-8")
