"""What goes between a partition's loop and the outside: what it loads, what it commits, and the fence.

The fence is where exactly-once lives. A commit names the owner's epoch, the commit number and the positions it started
from; `commit.lua` writes all of it or nothing, and answers a repeat with "already".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from msgspec import Struct

from processors.customer import Customer
from processors.view import Values


class Fence(Struct, frozen=True, kw_only=True):
    """What Redis holds of a partition's progress.

    epoch: of the owner; seq: number of the last commit; clock: last applied tick (ms), None before the first;
    policy: key of the policy in force, "" before the first commit; shares: thresholds last carried by a tick;
    since: the tick (ms) that brought policy or shares in force, -1: none did;
    positions: topic to next fetch position; erased: how many erase marks there are;
    recovers: a recovery is under way, so what was published lies ahead whatever `seq` says; senders: those that have
    counters of their own (D7), read by who takes an epoch.
    """

    epoch: int
    seq: int = 0
    clock: int | None = None
    policy: str = ""
    shares: Mapping[str, int] = {}
    since: int = -1
    positions: Mapping[str, int] = {}
    erased: int = 0
    recovers: bool = False
    senders: tuple[str, ...] = ()


SENT: Final = "sent:"
"""So begin the counters of how producers do: `sent:<what>:<sender>`."""


def senders_of(counters: Iterable[str]) -> tuple[str, ...]:
    """The senders that any of `counters` is about."""
    found = (name.removeprefix(SENT).partition(":")[2] for name in counters if name.startswith(SENT))
    return tuple(dict.fromkeys(found))


class Load(Struct, frozen=True):
    """Asks for states. ids: customers named by events. due_until: also those due up to this instant (ms), at most
    `due_limit` of them, earliest first; None: none. epoch, seq: where the fence must stand; epoch None: anywhere."""

    ids: tuple[str, ...]
    due_until: int | None = None
    due_limit: int = 0
    epoch: int | None = None
    seq: int = 0

    @property
    def asks(self) -> bool:
        """Whether there is anything to load."""
        return bool(self.ids) or self.due_until is not None


class Loaded(Struct, frozen=True):
    """customers: state of each id asked for and of each due one, None for the unknown. due: ids due, earliest first;
    reach: where more are due than these, the instant (ms) up to which there are no more; None: these are all.
    not_before: erase instants (ms) of the unknown ones that have one. fenced: the fence stands elsewhere, and nothing
    was loaded. A zombie must not see what a later owner wrote: were Redis to fall back behind that, it would commit
    upon states that are gone."""

    customers: Mapping[str, Customer | None]
    due: tuple[str, ...] = ()
    reach: int | None = None
    not_before: Mapping[str, int] = {}
    fenced: bool = False

    def holds(self, clock: int | None) -> bool:
        """Whether all who are due at `clock` (ms; None: before the first tick) are among these."""
        return self.reach is None or (clock is not None and self.reach >= clock)


class Record(Struct, frozen=True, array_like=True, gc=False):
    """A Kafka record that leaves by the outbox, ready made; key None only where the topic has none."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    customer_id: str | None = None  # decides the partition; None: the outbox's own partition


class Write(Struct, frozen=True, gc=False):
    """One customer's new state, view and due instant. view, was: its values, and those that this owner
    wrote last, so that only what changed goes out; None: not known, all goes out. An empty view: none is kept, nobody
    reads one of a place (K5); hidden: what was kept goes, the id is merged into another (D5)."""

    customer: Customer
    view: Values
    was: Values | None = None
    hidden: bool = False


class Commit(Struct, frozen=True, kw_only=True):
    """All that one batch changes, all or nothing: numbered `seq` = the fence's + 1, but for a leap."""

    partition: int
    epoch: int
    seq: int
    positions_from: Mapping[str, int]
    positions_to: Mapping[str, int]
    clock: int | None
    policy: str
    shares: Mapping[str, int]
    since: int
    writes: tuple[Write, ...]
    erased: Mapping[str, int]  # customer id -> instant up to which its events are dropped
    outbox: tuple[Record, ...]
    counts: Mapping[str, int]
    all_due: bool = False  # a new policy: every customer of the partition is due now
    recovers: bool = False  # of a recovery that has not ended
    marks: Mapping[str, int] = {}  # of a recovery: as `erased`, of ids of which only the mark is known
    leaps_from: int | None = None  # the end of a recovery: the commit it follows, however far below `seq`
    records: int = 0  # how many input records it covers, for the metrics
    recorded: Mapping[int, int] = {}  # Kafka timestamp (ms) of their events to how many have it

    @property
    def follows(self) -> int:
        """Number of the commit that must be the last one done."""
        return self.seq - 1 if self.leaps_from is None else self.leaps_from


class Answer(Enum):
    """What the commit script says. FENCED: another owner, or the fence is not where this commit started from."""

    DONE = "done"
    ALREADY = "already"
    FENCED = "fenced"
