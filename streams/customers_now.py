"""Customers as of now, for people and programs: the pure view at each partition's clock, nothing written.

What the hash in Redis holds is as of each customer's last review. Here the same function evaluates the state at the
clock of the partition, under the policy that is in force there (its text is in the topic `policies`).
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from processors.capitals import Capitals, Ranking, points
from processors.care.why import Why, why
from processors.charge import CUSTOMERS, GRADES, PLACES, sort_of
from processors.customer import Customer
from processors.grade import inside
from processors.outputs import Reason
from processors.policy import Policy
from processors.review import evaluated
from processors.view import View, from_hash, view
from schemas import library
from schemas.topics import CUSTOMER_VALUE
from sinks.commit import Fence
from sinks.keys import Keys
from sinks.lookup import Lookup
from streams.export import grade_held
from streams.export import held as all_held
from streams.policies import TopicPolicies
from streams.settings import LoyaltyError, Settings
from streams.texts import read_policy, wording

FIELDS: Final[tuple[str, ...]] = tuple(
    field["name"] for field in library.source(CUSTOMER_VALUE)["fields"] if field["name"] not in ("event_id", "at")
)
"""All fields of the view, whatever this release fills in."""

JSON_FIELDS: Final = frozenset(
    {"risk_reasons", "loyalty_signs", "segments", "benefits", "open_reminders", "exit", "entitlements"}
)
"""Fields that are JSON in the hash and on the topic: lists and objects for whoever asks here."""


class Held(NamedTuple):
    """A customer as held in Redis. clock: their partition's (ms), their own time before the first tick. since, shares:
    of the last tick that brought a policy or thresholds, as `tier.surroundings` takes them."""

    customer: Customer
    clock: int
    policy: Policy
    since: int
    shares: Mapping[str, int]


class CustomersNow:
    """Reads for one command; a context manager. Raises LoyaltyError where a policy is missing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lookup = Lookup(settings.redis, Keys(settings.prefix))
        self._policies: dict[str, Policy] = {}
        self._read: Mapping[int, Fence] | None = None
        self._ranking: Ranking | None = None

    def __enter__(self) -> CustomersNow:
        return self

    def __exit__(self, *_: object) -> None:
        self._lookup.close()

    @property
    def worked(self) -> bool:
        """Whether a worker has been here at all."""
        return self._lookup.partitions > 0

    def one(self, customer_id: str) -> dict[str, Any] | None:
        """The view of a customer as of the clock; None for an unknown id, or one that is merged into another."""
        found = self._person(customer_id)
        if found is None or found[1].moved_to is not None:
            return None
        partition, customer = found
        clock, policy = self._at(partition, customer)
        return self._seen(evaluated(customer, clock, policy), policy)

    def _person(self, customer_id: str) -> tuple[int, Customer] | None:
        """Partition and state of a customer or a place; None for an unknown id, and that of a grade (E2)."""
        found = self._lookup.customer(customer_id)
        return None if found is None or sort_of(found[1].history) == GRADES else found

    def _seen(self, customer: Customer, policy: Policy) -> dict[str, Any]:
        """The view with words, and with the three capitals (V7), null of who is ranked nowhere."""
        made = _worded(whole(view(customer, policy)), policy)
        ranked = sort_of(customer.history) == CUSTOMERS
        found = self._ranks().of(points(customer.history, made["clv"])) if ranked else None
        made.update((f"capital_{name}", None if found is None else getattr(found, name)) for name in Capitals._fields)
        return made

    def _ranks(self) -> Ranking:
        """Everybody's ranks, read once."""
        if self._ranking is None:
            self._ranking = Ranking(self._lookup.figures())
        return self._ranking

    def moved_to(self, customer_id: str) -> str | None:
        """The id into which a customer is merged (D5)."""
        found = self._lookup.customer(customer_id)
        return None if found is None else found[1].moved_to

    def clock_of(self, customer_id: str) -> int | None:
        """The clock of a customer's partition (ms), never before their last review; None for an unknown id."""
        found = self._lookup.customer(customer_id)
        return None if found is None else max(self._at(*found)[0], found[1].now)

    def export(self, customer_id: str) -> dict[str, Any] | None:
        """All that Redis holds of a customer (D4), with the grade of who serves (E2); None for an unknown id."""
        found, grade = self._person(customer_id), self.several([inside(customer_id)])
        made: dict[str, Any] | None = None
        if found is not None:
            _, policy = self._at(*found)
            made = all_held(found[1], self.one(customer_id), policy.calendar)
        for one in grade.values():
            made = (made or {"customer_id": customer_id}) | {"grade": grade_held(one)}
        return made

    def merged(self, customer_id: str) -> list[str]:
        """The ids merged into a customer, by themselves or by others in between."""
        found = self._lookup.customer(customer_id)
        parts = {} if found is None or found[1].merge is None else found[1].merge.parts
        return sorted({name for part in parts.values() for name in part.links} - {customer_id})

    def stored(self, customer_id: str) -> dict[str, Any] | None:
        """The view as its hash has it; None for an unknown id."""
        fields = self._lookup.view(customer_id)
        return None if fields is None else _worded(whole(from_hash(dict(fields))), self.policy())

    def everybody(self) -> Iterator[tuple[Customer, Policy]]:
        """All customers as of the clocks, each with the policy in force there."""
        for partition, customer in self._lookup.customers():
            if customer.moved_to is None and sort_of(customer.history) not in (PLACES, GRADES):
                clock, policy = self._at(partition, customer)
                yield evaluated(customer, clock, policy), policy

    def everyone_stored(self) -> Iterator[dict[str, Any]]:
        """The views of all customers as their hashes have them, of each as of the last review."""
        policy = self.policy()
        for fields in self._lookup.views():
            yield _worded(whole(from_hash(fields)), policy)

    def why(self, customer_id: str) -> list[Why] | None:
        """Why the customer has a reminder of each kind of care, or none (C10), as of the clock; None: unknown id."""
        found = self._person(customer_id)
        if found is None or found[1].moved_to is not None:
            return None
        clock, policy = self._at(*found)
        return why(evaluated(found[1], clock, policy), policy)

    def everyone(self, *, places: bool = False) -> Iterator[dict[str, Any]]:
        """The views of all customers as of the clocks, partition by partition; `places`: and of places (K5)."""
        for partition, customer in self._lookup.customers():
            sort = sort_of(customer.history)
            if customer.moved_to is not None or sort == GRADES or (sort == PLACES and not places):
                continue
            clock, policy = self._at(partition, customer)
            yield self._seen(evaluated(customer, clock, policy), policy)

    def held(self) -> Iterator[Held]:
        """All customers as held, with their partition's clock, policy and thresholds: no place, nobody who serves."""
        for partition, customer in self._lookup.customers():
            if customer.moved_to is None and sort_of(customer.history) == CUSTOMERS:
                fence = self.fences[partition]
                yield Held(customer, *self._at(partition, customer), fence.since, fence.shares)

    def states(self) -> Iterator[tuple[Customer, Policy]]:
        """Everybody as of the clocks, places too, with the policy in force there; not those merged into others."""
        for partition, customer in self._lookup.customers():
            if customer.moved_to is None and sort_of(customer.history) != GRADES:
                clock, policy = self._at(partition, customer)
                yield evaluated(customer, clock, policy), policy

    def state(self, customer_id: str) -> tuple[Customer, Policy] | None:
        """One of these; None for an unknown id, or one that is merged into another."""
        found = self._person(customer_id)
        if found is None or found[1].moved_to is not None:
            return None
        clock, policy = self._at(*found)
        return evaluated(found[1], clock, policy), policy

    @property
    def partitions(self) -> int:
        """How many there are; 0: no worker has been here."""
        return self._lookup.partitions

    def several(self, ids: Iterable[str]) -> dict[str, Customer]:
        """The states of those of `ids` who are known, as they are held, of whatever sort."""
        return self._lookup.several(ids)

    def figures(self) -> Counter[str]:
        """The programme's counters."""
        return self._lookup.figures()

    def clock(self) -> int | None:
        """The latest clock of all partitions (ms); None before the first tick."""
        return max((fence.clock for fence in self.fences.values() if fence.clock is not None), default=None)

    def policy(self) -> Policy:
        """The policy in force, of the setting where none is yet."""
        keys = {fence.policy for fence in self.fences.values() if fence.policy}
        return self._policy(max(keys)) if keys else read_policy(self._settings.policy)

    def renew(self) -> None:
        """Read clocks and policies in force anew with the next call."""
        self._read = self._ranking = None

    @property
    def fences(self) -> Mapping[int, Fence]:
        """Of each partition, read once: all its customers are shown as of one clock."""
        if self._read is None:
            self._read = self._lookup.fences()
        return self._read

    def _at(self, partition: int, customer: Customer) -> tuple[int, Policy]:
        """The partition's clock (the customer's own time before the first tick) and policy."""
        fence = self.fences[partition]
        return customer.now if fence.clock is None else fence.clock, self._policy(fence.policy)

    def _policy(self, key: str) -> Policy:
        found = self._policies.get(key)
        if found is None:
            found = self._policies[key] = self._find(key)
        return found

    def _find(self, key: str) -> Policy:
        own = read_policy(self._settings.policy)
        if not key or own.key == key:
            return own
        found = asyncio.run(TopicPolicies(self._settings.kafka, own).find(key))
        if found is None:
            raise LoyaltyError(f"the policy in force, {key}, is not on topic policies: set LOYALTY_POLICY to its file")
        return found


def whole(held: View) -> dict[str, Any]:
    """All fields, absent ones None, JSON texts as what they say. Fields that a newer release wrote are kept."""
    made: dict[str, Any] = {name: held.get(name) for name in FIELDS}
    made.update((name, value) for name, value in held.items() if name not in made)
    for name in JSON_FIELDS:
        if isinstance(made[name], str):
            made[name] = json.loads(made[name])
    return made


def _worded(made: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """Each risk reason with its sentence in the programme's language: a hash keeps the numbers alone."""
    words = wording(policy.programme.language)
    for reason in made["risk_reasons"] or ():
        reason["text"] = words.risk_reason(Reason(**{name: reason[name] for name in Reason.__struct_fields__}))
    for one in made["open_reminders"] or ():
        one["text"] = words.care_of(
            one["kind"], one["have"], one["usual"], one["what"], made["tier"], one["day"], policy
        )
    return made
