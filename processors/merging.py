"""D5: ids that are one customer. Whose history is whose, and what the partitions of two ids tell each other of it.

An id whose profile says `merged_into` keeps its own facts, and goes on folding its events where they come. It is
silent: no view, no outputs, in no figure. Its facts, all of them, travel as a `Part` to the new id's partition, and
again whenever they change; there they lie apart, and the customer's history is the union. So no event is in flight
between two ids, a repeat changes nothing, and to take it apart is to take the part away.

A part bears the links of all ids in it, so whoever holds one knows the chain that leads to them. Merges that lead in a
circle are refused: the latest of them, by (`since`, id), which each of the circle finds by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from msgspec import Struct
from msgspec.msgpack import encode
from msgspec.structs import replace
from xxhash import xxh3_64_hexdigest

from processors.events import Forgotten, Link, Part, Profile
from processors.history import History, within
from processors.union import union

PART_BYTES_MAX: Final = 1_000_000
"""Of the facts of an id, as they travel: a record of `relay` takes twice as much. A merge of more is refused."""

SELF, LOOP, SIZE = "self", "loop", "size"


class Held(Struct, frozen=True, array_like=True, gc=False):
    """What another id brought along. links: as of its `Part`."""

    facts: History
    links: dict[str, Link]


class Merge(Struct, frozen=True, array_like=True, gc=False):
    """Of those alone whom a merge concerns. into: the id to whom this one's facts belong, since `since` (ms, -1: no
    merge); None: to itself; "": there are none, it was known by its parts alone, and they are gone. refused: why not,
    "" where it is not. own: this id's own facts, where `parts`, those of others by id, are not empty: then the
    customer's history is the union of all."""

    into: str | None = None
    refused: str = ""
    since: int = -1
    own: History | None = None
    parts: dict[str, Held] = {}


def settled(customer_id: str, own: History, parts: Mapping[str, Held]) -> tuple[History, Merge | None]:
    """(history, merge) of an id with these facts of its own and of others: a pure function of them, in any order."""
    links = {name: link for held in parts.values() for name, link in held.links.items()}
    history = own
    if parts:
        ids = {customer_id, *links}
        history = union(customer_id, own, [(name, held.facts) for name, held in parts.items()], ids)
    profile = own.profile
    if not parts and profile is None and replace(own, not_before=-1) == History():
        return own, Merge(into="")
    if profile is None or profile.merged_into is None:
        return history, Merge(own=own, parts=dict(parts)) if parts else None
    merge = Merge(profile.merged_into, "", profile.occurred_at, own if parts else None, dict(parts))
    refused = _refused(customer_id, profile, links)
    if not refused and len(encode(_facts(customer_id, history, merge))) > PART_BYTES_MAX:
        refused = SIZE
    return history, replace(merge, into=None, refused=refused) if refused else merge


def _refused(customer_id: str, profile: Profile, links: Mapping[str, Link]) -> str:
    """Why the merge that the profile says does not hold; "": it does."""
    name, path = profile.merged_into or "", dict[str, int]()
    if name == customer_id:
        return SELF
    while name in links and name not in path:
        path[name] = links[name].since
        name = links[name].into
        if name == customer_id:
            latest = max((since, other) for other, since in path.items())
            return LOOP if (profile.occurred_at, customer_id) > latest else ""
    return ""


def joined(held: Mapping[str, Held], part: Part) -> Mapping[str, Held]:
    """The parts after what another id's partition says; the very same where that is known."""
    if part.facts is None:
        return {name: one for name, one in held.items() if name != part.source} if part.source in held else held
    one = Held(part.facts, part.links)
    return held if held.get(part.source) == one else dict(sorted({**held, part.source: one}.items()))


def as_of(history: History, merge: Merge, day: int) -> tuple[History, Merge]:
    """Both without the days that have left the window ending on `day`."""
    parts = {name: replace(held, facts=within(held.facts, day)) for name, held in merge.parts.items()}
    own = None if merge.own is None else within(merge.own, day)
    return within(history, day), replace(merge, own=own, parts=parts)


def own_facts(history: History, merge: Merge | None) -> History:
    """Of a customer the facts that came under their own id."""
    return history if merge is None or merge.own is None else merge.own


def _facts(customer_id: str, history: History, merge: Merge) -> History:
    """What a merged id sends: its own facts with those of others, but for a part in which the new id is itself (a
    circle of which another merge is refused). Ids seen and the bound of an erase are of its own partition alone."""
    along = {name: held for name, held in merge.parts.items() if merge.into not in held.links}
    if len(along) != len(merge.parts):
        ids = {customer_id, *(name for held in along.values() for name in held.links)}
        own = own_facts(history, merge)
        history = union(customer_id, own, [(name, held.facts) for name, held in along.items()], ids) if along else own
    return replace(history, seen=b"", not_before=-1)


def _part(customer_id: str, history: History, merge: Merge | None, now: int, day: int) -> Part | None:
    """What the new id is to know; None: it has no part of this one."""
    if merge is None or not merge.into:
        return None
    links = {name: link for held in merge.parts.values() for name, link in held.links.items()}
    links = dict(sorted((links | {customer_id: Link(merge.into, merge.since)}).items()))
    facts = _facts(customer_id, *as_of(history, merge, day))
    said = xxh3_64_hexdigest(encode((links, facts)))
    return Part(
        event_id=f"{customer_id}:{now}:{said}",
        customer_id=merge.into,
        occurred_at=now,
        source=customer_id,
        links=links,
        facts=facts,
    )


class Side(Protocol):
    """A customer, as far as it matters here."""

    @property
    def history(self) -> History: ...
    @property
    def now(self) -> int: ...
    @property
    def merge(self) -> Merge | None: ...


def news(customer_id: str, before: Side | None, after: Side | None, day: int) -> Iterator[Part]:
    """What new ids are to know once `before` has become `after` (None: not there), as of the later review's programme
    day; nothing is kept of what was told."""
    now = max(one.now for one in (before, after) if one is not None)
    was, part = (
        None if one is None else _part(customer_id, one.history, one.merge, now, day) for one in (before, after)
    )
    if was is not None and (part is None or part.customer_id != was.customer_id):
        yield Part(event_id=f"{was.event_id}:gone", customer_id=was.customer_id, occurred_at=now, source=customer_id)
    if part is not None and part != was:
        yield part


def forgotten(customer_id: str, merge: Merge | None, until: int) -> Iterator[Forgotten]:
    """What the ids merged into a customer are told whose events up to `until` (ms) were erased."""
    for source in () if merge is None else merge.parts:
        yield taken_along(source, customer_id, until)


def taken_along(source: str, customer_id: str, until: int) -> Forgotten:
    """Tells `source` that it is erased with the customer into whom it was merged before `until` (ms)."""
    return Forgotten(
        event_id=f"{source}:{customer_id}:{until}", customer_id=source, occurred_at=until, into=customer_id
    )


def goes_along(merge: Merge | None, event: Forgotten) -> bool:
    """Whether the erase of another takes this id along: it is still merged into that one, and was before."""
    return merge is not None and merge.into == event.into and merge.since <= event.occurred_at
