"""What happened, as the core sees it: frozen, checked once where bytes become events, trusted after.

Every event has `event_id` (unique at its producer), `customer_id`, `occurred_at` (UTC ms) and `content` (20 bits that
tell two contents under one id apart; 0 where nobody computed them). Amounts are integers in minor units.
`name` is the kind under which repeats of an id are recognised.

None of these structs can be part of a cycle, so Python's collector need not track them: it would take half of a fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct

if TYPE_CHECKING:
    from processors.history import History

TIME_END_MS = 4_102_444_800_000
"""Times lie in 0 <= ms < 2100-01-01: beyond it is a unit mistake (seconds, microseconds), not a date."""


class Line(Struct, frozen=True, gc=False):
    """One receipt line. `net_amount`: minor units for the whole line, after discounts, >= 0."""

    category: str
    quantity: int
    net_amount: int
    cost: int | None = None  # None: the policy's margin rate decides
    sku: str | None = None


class Purchase(Struct, frozen=True, kw_only=True, gc=False):
    """A sale, or a return: a return's amounts are positive and count negative on the return's own day (D2)."""

    name: ClassVar[str] = "Purchase"
    event_id: str
    customer_id: str
    occurred_at: int
    kind: str  # SALE | RETURN
    store_id: str
    channel: str = "store"
    currency: str
    lines: tuple[Line, ...]
    original_event_id: str | None = None
    coupon_ids: tuple[str, ...] = ()
    referrer_id: str | None = None
    employee_id: str | None = None
    content: int = 0


class Complaint(Struct, frozen=True, kw_only=True, gc=False):
    """One record in the life of a complaint; its state follows its records by (`occurred_at`, `event_id`)."""

    name: ClassVar[str] = "Complaint"
    event_id: str
    customer_id: str
    occurred_at: int
    complaint_id: str
    status: str  # OPENED | UPDATED | RESOLVED | REOPENED
    severity: int  # 1..5
    about: str  # PRODUCT | SERVICE | DELIVERY | PRICE | STAFF | OTHER
    satisfaction: int | None = None  # 1..5, with the remedy
    compensation: int = 0
    store_id: str | None = None
    reward: int = 0  # paid because it helped us, apart from compensation
    content: int = 0


class Contact(Struct, frozen=True, kw_only=True, gc=False):
    """Any other touch between the customer and us. `cost` None: the policy's cost of the channel."""

    name: ClassVar[str] = "Contact"
    event_id: str
    customer_id: str
    occurred_at: int
    kind: str  # CARE | INQUIRY | VISIT | SURVEY | RECOMMENDATION | REFERRAL | CAMPAIGN | SERVICE | DECLINED
    direction: str  # IN | OUT
    channel: str
    reminder_id: str | None = None
    score: int | None = None  # 0..10, SURVEY
    referred_customer_id: str | None = None
    employee_id: str | None = None
    cost: int | None = None
    item: str | None = None  # what a SURVEY asked: WOULD_RECOMMEND | WILL_BUY_AGAIN; another, or none: in general
    reason: str | None = None  # why they left, as they say it
    due_at: int | None = None  # by when what `item` names was agreed to be done
    content: int = 0


class Anniversary(Struct, frozen=True, gc=False):
    name: str
    date: str  # MM-DD or YYYY-MM-DD


class Profile(Struct, frozen=True, kw_only=True, gc=False):
    """What the record on `customers` says; the latest by (`occurred_at`, `event_id`) wins."""

    name: ClassVar[str] = "Customer"
    event_id: str
    customer_id: str
    occurred_at: int
    joined_at: int
    birthday: str | None = None
    anniversaries: tuple[Anniversary, ...] = ()
    consent: dict[str, bool] = {}
    do_not_contact: bool = False
    key_account: bool = False
    employee_id: str | None = None
    time_zone: str | None = None
    language: str | None = None
    acquisition_cost: int = 0
    preferred_channel: str | None = None
    merged_into: str | None = None
    staff: bool = False  # one of those who serve, no customer in any figure
    content: int = 0


class Referral(Struct, frozen=True, kw_only=True, gc=False):
    """Another customer named this one as who brought them; comes by `relay` from that customer's partition."""

    name: ClassVar[str] = "Referral"
    event_id: str
    customer_id: str  # the referrer
    occurred_at: int
    referred_customer_id: str
    content: int = 0


class Claim(Struct, frozen=True, kw_only=True, gc=False):
    """Another customer says to have brought this one; comes by `relay` from that customer's partition (W1)."""

    name: ClassVar[str] = "Claim"
    event_id: str
    customer_id: str  # who was brought
    occurred_at: int
    referrer_id: str
    content: int = 0


class Withdrawal(Struct, frozen=True, kw_only=True, gc=False):
    """Another claim on the one whom this customer brought is the first; comes by `relay` from that one's partition."""

    name: ClassVar[str] = "Withdrawal"
    event_id: str
    customer_id: str  # whose claim is later
    occurred_at: int  # of the first claim
    referred_customer_id: str
    referrer_id: str  # whose claim is the first
    content: int = 0


STANDINGS = ("OK", "UNHAPPY", "LOST")
"""How somebody stands who brought a customer, or whom a customer brought."""


class Standing(Struct, frozen=True, kw_only=True, gc=False):
    """How somebody stands who brought this customer, or whom this customer brought (W2, W3): one of the two ids is
    there, and says which. Comes by `relay` from that one's partition, each time anew."""

    name: ClassVar[str] = "Standing"
    event_id: str
    customer_id: str  # who is to know
    occurred_at: int  # of the review at which it was so
    level: str  # one of STANDINGS
    clv: int  # expected contribution, minor units
    referred_customer_id: str | None = None
    referrer_id: str | None = None
    content: int = 0

    @property
    def other(self) -> str:
        """Whose standing it is."""
        return self.referrer_id or self.referred_customer_id or ""


class Mishap(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody complained about something at a place (K5): the place is folded like a customer, under an id of its own.
    Comes by `relay` from the partition of who complained."""

    name: ClassVar[str] = "Mishap"
    event_id: str  # hashes of who complained of what, and of the record that says so, with a colon between
    customer_id: str  # the place
    occurred_at: int
    content: int = 0

    @property
    def complaint(self) -> str:
        """What stands for the complaint: it counts once."""
        return self.event_id.partition(":")[0]


class Link(Struct, frozen=True, array_like=True, gc=False):
    """An id is merged into another since `since` (ms, of the profile that says so)."""

    into: str
    since: int


class Part(Struct, frozen=True, kw_only=True, gc=False):
    """The facts of another id that is merged into this one, as they now are, all of them; facts None: it no longer is
    (D5). Comes by `relay` from that id's partition, each time anew. links: of `source` and of all that are in its
    facts."""

    name: ClassVar[str] = "Part"
    event_id: str
    customer_id: str  # the new id
    occurred_at: int  # of the review of the old id
    source: str  # the old id
    links: dict[str, Link] = {}
    facts: History | None = None
    content: int = 0

    @property
    def since(self) -> int:
        """Since when `source` is merged (ms)."""
        return self.links[self.source].since


class Forgotten(Struct, frozen=True, kw_only=True, gc=False):
    """The customer into whom this id is merged was erased, up to `occurred_at`, and takes it along (D4, D5). Comes by
    `relay` from that one's partition."""

    name: ClassVar[str] = "Forgotten"
    event_id: str
    customer_id: str  # the old id
    occurred_at: int
    into: str
    content: int = 0


class Erase(Struct, frozen=True, gc=False):
    """The null on `customers`: forget this customer. Carries no time of its own."""

    name: ClassVar[str] = "Erase"
    customer_id: str


class Misplaced(Struct, frozen=True, kw_only=True, gc=False):
    """A record that came to the wrong partition, on its way by `relay` to the right one: the event and where it lay."""

    name: ClassVar[str] = "Misplaced"
    event: Purchase | Complaint | Contact | Profile | Erase
    topic: str  # the original topic: repeats are recognised under it
    recorded_at: int  # the original record's timestamp, ms
    customer_id: str


class Served(Struct, frozen=True, gc=False):
    """How an employee serves (E1), over all partitions. customers: in charge of now; of them buyers, and kept: buyers
    who are not lost. in_time, missed: of their reminders those that ended by being done, or not. rated: remedies that
    who complained has rated; satisfaction: the sum of these ratings, 1 to 5 each."""

    employee_id: str
    customers: int = 0
    buyers: int = 0
    kept: int = 0
    in_time: int = 0
    missed: int = 0
    rated: int = 0
    satisfaction: int = 0


class Tick(Struct, frozen=True, kw_only=True, gc=False):
    """Stream time of one partition, and what all partitions must agree on. served: of the employees whose grades are
    decided in this partition (E2)."""

    name: ClassVar[str] = "Tick"
    at: int
    value_at_share: dict[str, int] = {}
    policy: str = ""  # name@version#first 8 hex digits of the text's SHA-256; empty: unchanged
    served: tuple[Served, ...] = ()


class Serving(Struct, frozen=True, kw_only=True, gc=False):
    """What a tick says of an employee, who is folded like a customer under an id of their own (E2)."""

    name: ClassVar[str] = "Serving"
    event_id: str  # names the tick: two at one instant are two
    customer_id: str  # the employee's, as `grade.inside` makes it
    occurred_at: int
    served: Served
    content: int = 0


Relayed = Referral | Claim | Withdrawal | Standing | Mishap | Part | Forgotten
"""What the partition of one customer tells that of another, by `relay`."""

Dated = Purchase | Complaint | Contact | Profile | Serving | Relayed
"""Events that are folded into a customer's history under their own time."""

Event = Dated | Erase | Misplaced | Tick
