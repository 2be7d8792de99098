"""C2-C5, C8: the life of a reminder, and which may go: one pure step of a customer's care book at a review.

A cause that comes up is wanted. It waits until it may go, the lowest priority number first; then it is DUE, or
HELD_OUT for the control group. A reminder that is DUE ends once: FULFILLED by a CARE contact that names it or by any
CARE contact of ours within its time, WITHDRAWN when it was declined, is no longer true or no longer allowed, EXPIRED.
In between it may be ESCALATED. What never came to go is dropped, and counted with what held it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from processors.care import ideas, slots
from processors.care.book import Book, Closed, Reminder, reminder_id
from processors.care.due import candidates
from processors.care.look import HOUR_MS, Look
from processors.care.people import assigned, held_out
from processors.care.promises import inner_target, kept_at, promised, unbounded
from processors.care.sections import Care
from processors.customer import FOREVER
from processors.days import DAY_MS
from processors.outputs import CareReminder
from processors.policy import Policy
from processors.predicate import holds

DUE, HELD_OUT = "DUE", "HELD_OUT"
FULFILLED, WITHDRAWN, EXPIRED, ESCALATED = "FULFILLED", "WITHDRAWN", "EXPIRED", "ESCALATED"
UNPROFITABLE, SMALL, WHEN = "unprofitable", "small_stake", "when"


Ended = dict[tuple[str, str], Closed]
"""Causes that have ended, by their key."""


class Cared(NamedTuple):
    """book: from now on. outputs: what is told. dropped: (kind, reason) of causes that never went. until: the next
    instant at which, by time alone, anything of it changes; FOREVER: none. pooled: who is in charge was warned, and did
    not get in touch (E3). untold: promises kept before anybody had to be reminded, for the figures alone."""

    book: Book
    outputs: tuple[CareReminder, ...]
    dropped: tuple[tuple[str, str], ...]
    until: int
    pooled: bool = False
    untold: tuple[CareReminder, ...] = ()


def care_of(customer_id: str, look: Look, field: Callable[[str], Any]) -> Cared:
    """The care book of a customer after a review at `look.now`. field: of the view as it is now, by name; asked for
    where a kind's `when` or `min_value_at_stake` decides."""
    return _Step(customer_id, look, field).done()


def kinds_of(policy: Policy) -> dict[str, Care]:
    """The kinds of care by name, looked up once a policy."""
    found = _KINDS.get(policy.key)
    if found is None:
        found = _KINDS[policy.key] = {care.kind: care for care in policy.care}
    return found


_KINDS: Final[dict[str, dict[str, Care]]] = {}


def held_back(care: Care, look: Look) -> tuple[int | None, str]:
    """(until when, by what) a reminder that waits is held back; None: for as long as they do not consent."""
    at, reason = _Step("", look, lambda name: None).held(care, look.now)
    return (None if at == FOREVER else at), reason


class _Step:
    """One review's work on the book; lives for that review."""

    def __init__(self, customer_id: str, look: Look, field: Callable[[str], Any]) -> None:
        self.customer_id, self.look, self.field = customer_id, look, field
        self.kinds = kinds_of(look.policy)
        self.book, self.now = look.told.care, look.now
        self.heard = self.book.heard
        self.outputs: list[CareReminder] = []
        self.dropped: list[tuple[str, str]] = []
        self.until = FOREVER
        self.pooled = False
        self.untold: list[CareReminder] = []
        self.true, self.next = self._candidates()

    def _candidates(self) -> tuple[dict[tuple[str, str], Reminder], int]:
        """What is true now by its key, and when more will be by time alone."""
        now, until = self.now, FOREVER
        true: dict[tuple[str, str], Reminder] = {}
        for one in candidates(self.look):
            if one.wanted_at <= now:
                true[one.key] = one
            elif one.wanted_at < until:
                until = one.wanted_at
        return true, until

    def done(self) -> Cared:
        if not self.true and not self.book.open and not self.book.waiting:
            return Cared(self.book, (), (), self.next)
        closed = {(one.kind, one.cause): one for one in self.book.closed if one.until > self.now}
        opened = self._living(self.book.open, closed)
        if self.pooled:  # in this very review: nobody is warned of whom they have lost
            self.look = self.look.pooled()
            self.true, self.next = self._candidates()
            self.until = FOREVER  # the ladder begins with somebody else
            opened = self._living(opened, closed)
        waiting = [kept for one in self.book.waiting if (kept := self._waits(one, closed)) is not None]
        held = {one.key for one in (*opened, *waiting)}
        for key, one in self.true.items():
            if key not in held and key not in closed:
                why = self._not_worth(one)
                if why:
                    closed[key] = self._end(one, why)
                    self.dropped.append((one.kind, why))
                elif (waits := self._waits(one, closed)) is not None:  # a promise may be kept already
                    waiting.append(waits)
        sent = self.book.sent
        if waiting:
            waiting, sent = self._send(waiting, opened, closed)
        book = self._book(opened, waiting, closed, sent)
        return Cared(
            book, tuple(self.outputs), tuple(self.dropped), min(self.until, self.next), self.pooled, tuple(self.untold)
        )

    def _book(self, opened: list[Reminder], waiting: list[Reminder], closed: Ended, sent: tuple[int, ...]) -> Book:
        """The book as it now is; the very same where nothing but time has passed."""
        book, had = self.book, {(one.kind, one.cause): one for one in self.book.closed}
        same = all(had.get(key) == one for key, one in closed.items())
        if same and tuple(opened) == book.open and tuple(waiting) == book.waiting and sent == book.sent:
            return book
        ended = tuple(closed[key] for key in sorted(closed))
        return Book(tuple(opened), tuple(waiting), ended, sent, self.heard)

    def _again(self, at: int) -> None:
        if self.now < at < self.until:
            self.until = at

    def _end(self, one: Reminder, reason: str = "") -> Closed:
        """A cause that has ended. What is called back is told once, however often they buy of it later; and who was
        welcomed for the purchases of an id merged into theirs has a first one again when that is undone (D5)."""
        care = self.kinds.get(one.kind)
        return _closed(one, reason, for_good=care is not None and care.on in ("bought", "first_purchase"))

    def _lapses(self, one: Reminder) -> int:
        """When a reminder ends by time alone (ms): its cause may end before it, where the customer has moved zones."""
        true = self.true.get(one.key)
        return one.expires_at if true is None else min(one.expires_at, true.expires_at)

    # -- what is open

    def _living(self, held: Sequence[Reminder], closed: Ended) -> list[Reminder]:
        """Those that go on after this review; the others are `closed`."""
        opened = []
        for one in held:
            kept = self._lives(one)
            if kept is None:
                closed[one.key] = self._end(one)
            else:
                opened.append(kept)
        return opened

    def _lives(self, one: Reminder) -> Reminder | None:
        """An open reminder after this review; None: it has ended, and that is told."""
        status, done_at = self._ended(one)
        if status:
            self._tell(one, status, done_at)
            self.pooled |= status == EXPIRED and one.kind in self.kinds and self.kinds[one.kind].on == "owner"
            return None
        care = self.kinds[one.kind]
        if care.internal:
            one = replace(one, expires_at=self.true[one.key].expires_at)
        else:
            one = replace(one, channel=self._channel_left(care, one) or one.channel)
        step = self._escalated(one)
        if step > one.step:
            for number in range(one.step + 1, step + 1):
                self._tell(replace(one, step=number), ESCALATED)
            one = replace(one, step=step)
        self._again(self._lapses(one))
        return one

    def _ended(self, one: Reminder) -> tuple[str, int | None]:
        """How an open reminder has ended, "": it has not; and when it was done, if it was."""
        care = self.kinds.get(one.kind)
        if care is not None and care.internal:
            return ("", None) if one.key in self.true else (FULFILLED, self.now)
        done_at = self._fulfilled(one)
        if done_at is not None:
            return FULFILLED, done_at
        mine = reminder_id(self.customer_id, one.kind, one.cause)
        if any(touch.kind == "DECLINED" and touch.reminder_id == mine for touch in self.look.facts.touches):
            return WITHDRAWN, None
        if self.now >= one.expires_at:
            return EXPIRED, None
        if care is None or one.key not in self.true or self._channel_left(care, one) is None:
            return WITHDRAWN, None
        return "", None

    def _fulfilled(self, one: Reminder) -> int | None:
        """When it was done (ms): by a contact of ours that names it, or any CARE contact of ours within its time; a
        reply to a complaint by its settlement, and silence by whatever contact ended it. None: it was not."""
        mine = reminder_id(self.customer_id, one.kind, one.cause)
        care = self.kinds.get(one.kind)
        promise = promised(care) if care is not None and care.shape == "promise" else ""
        mend = self.look.by_owner if care is not None and care.on == "owner" else None
        for touch in self.look.facts.touches:  # by time
            if kept_at(one, promise, touch, mine) and (mend is None or mend(touch)):
                return touch.at
        if promise == "follow_up" and (said_at := self._content(one)) is not None:
            return said_at
        if care is None or one.key in self.true:
            return None
        if care.shape == "silence":
            last = self.look.facts.last_touch_at
            return last if last is not None and one.told_at <= last < one.expires_at else None
        if promise == "complaint":
            name = one.cause.rpartition(":")[0]
            for state in self.look.facts.complaints:
                if state.complaint_id == name and state.status == "RESOLVED" and state.at < one.expires_at:
                    return state.at
        return None

    def _content(self, one: Reminder) -> int | None:
        """When, since a follow-up was due, the customer said how content they are with the remedy (ms)."""
        name = one.cause.rpartition(":")[0]
        for state in self.look.facts.complaints:
            if (
                state.complaint_id == name
                and state.satisfaction is not None
                and max(one.told_at, one.wanted_at) <= state.at < one.expires_at
            ):
                return state.at
        return None

    def _escalated(self, one: Reminder) -> int:
        """How many levels up a reminder has gone by now; when it goes further is noted."""
        care = self.kinds[one.kind]
        ladder = self.look.policy.complaints.escalate_to
        levels = len(ladder) - (bool(ladder) and first_in_charge(one, care, self.look) == ladder[0])
        if care.shape == "promise":
            self._again(one.due_at)
            return max(self._climbed(one.due_at, max(int(one.usual), 1) * HOUR_MS, levels), one.step)
        if care.internal:
            return max(self._climbed(one.due_at, one.due_at - one.wanted_at, levels), one.step)
        if care.escalate_days is None or self.look.tier.care_every_days is None:
            return one.step  # of tiers that matter: those whose customers must not be forgotten
        return max(self._climbed(one.told_at + care.escalate_days * DAY_MS, FOREVER, 1), one.step)

    def _climbed(self, first: int, every: int, levels: int) -> int:
        """Of steps at `first` and each `every` ms later how many have come, at most `levels`."""
        come = 0 if self.now < first else min((self.now - first) // every + 1, levels)
        if come < levels:
            self._again(first + come * every)
        return come

    def _channel_left(self, care: Care, one: Reminder) -> str | None:
        """On which an open reminder may be followed; None: on none. Of a promise another one, where the customer
        refuses its own: what is owed stays owed."""
        profile = self.look.profile
        if profile is None or (not profile.do_not_contact and profile.consent.get(one.channel, True)):
            return one.channel
        return slots.channel_for(care, profile, self.look.policy.care_rules) if care.shape == "promise" else None

    # -- what waits

    def _waits(self, one: Reminder, closed: Ended) -> Reminder | None:
        """A waiting reminder, if it still waits: else it is dropped, with what held it back where its time is over."""
        true = self.true.get(one.key)
        if true is not None and one.kind in self.kinds:
            if true.expires_at != one.expires_at:  # the same was agreed again, to be done by another time
                one = replace(one, due_at=true.due_at, expires_at=true.expires_at)
            done_at = self._fulfilled(one) if self.kinds[one.kind].shape == "promise" else None
            if done_at is None:
                return one
            self.untold.append(said(self.customer_id, one, FULFILLED, self.look, done_at))
        if self.now >= one.expires_at and one.kind in self.kinds:
            self.dropped.append((one.kind, self.held(self.kinds[one.kind], one.expires_at - 1)[1]))
        closed[one.key] = self._end(one)
        return None

    def _not_worth(self, one: Reminder) -> str:
        """Why a cause is to have no reminder, decided once, when it comes up; "": it is to (V2, C1)."""
        care = self.kinds[one.kind]
        least = care.min_value_at_stake
        if least is not None and (self.field("value_at_stake") or 0) < least:
            return SMALL
        if care.when is not None and not holds(care.when, self.field):
            return WHEN
        facts = self.look.facts
        if not care.free and care.shape != "promise" and facts.margin - facts.serve < 0:
            return UNPROFITABLE
        return ""

    def held(self, care: Care, at: int, sent: tuple[int, ...] | None = None) -> tuple[int, str]:
        """(the first instant from `at` on at which a reminder of the kind may go, what holds it until then)."""
        look = self.look
        if care.internal:
            return at, ""
        if slots.channel_for(care, look.profile, look.policy.care_rules) is None:
            return FOREVER, slots.CONSENT
        if unbounded(care):
            return at, ""
        return slots.first_allowed(at, self._counted(sent), look.policy.care_rules, look.local)

    def _counted(self, sent: tuple[int, ...] | None) -> list[int]:
        return sorted((*(self.book.sent if sent is None else sent), *slots.campaigns(self.look.facts)))

    def _send(
        self, waiting: list[Reminder], opened: list[Reminder], closed: Ended
    ) -> tuple[list[Reminder], tuple[int, ...]]:
        """Who may go now goes, by priority; of the others when is noted. (who waits on, when any went)."""
        left, sent = [], self.book.sent
        for one in sorted(waiting, key=self._first):
            care = self.kinds[one.kind]
            at, _ = self.held(care, self.now, sent)
            if at > self.now:
                self._again(min(at, self._lapses(one)))
                left.append(one)
                continue
            channel = slots.channel_for(care, self.look.profile, self.look.policy.care_rules) or ""
            gone = self._addressed(replace(one, told_at=self.now, channel=channel))
            if not (care.internal or unbounded(care)):
                sent = (*(at for at in sent if at > self.now - slots.SPAN_MS), self.now)
            programme = self.look.policy.programme
            if care.held_out and not care.internal and held_out(programme.name, self.customer_id, programme.holdout):
                closed[one.key] = self._end(one)
                self._tell(gone, HELD_OUT)
                continue
            self._tell(gone, DUE)
            lived = self._lives_on(gone)
            opened.append(lived)
        return left, sent

    def _addressed(self, one: Reminder) -> Reminder:
        """A reminder that goes now, with who is to do it (C7) and what to say (C6)."""
        look = self.look
        store = one.store or look.facts.last_store
        one = replace(one, day=look.local.iso_day(look.local.day_of(one.due_at)), store=store)
        if look.owner is None and look.policy.roster:
            one = replace(one, employee=assigned(self.customer_id, one.kind, store, look.policy.roster))
        idea = ideas.fresh(one.kind, look.told.tier, look.facts, self.heard, look.policy) if look.policy.ideas else None
        if idea is None:
            return one
        self.heard = ideas.remembered(self.heard, one.kind, idea.name, look.policy)
        return replace(one, idea=idea.name)

    def _lives_on(self, one: Reminder) -> Reminder:
        """A reminder that has just gone: a promise may be broken already, when its cause came late."""
        step = self._escalated(one)
        for number in range(1, step + 1):
            self._tell(replace(one, step=number), ESCALATED)
        self._again(self._lapses(one))
        return replace(one, step=step)

    def _first(self, one: Reminder) -> tuple[int, int, int, str, str]:
        """Who comes first (C3): the policy's priority, then what ends sooner."""
        return self.kinds[one.kind].priority, one.expires_at, one.wanted_at, one.kind, one.cause

    # -- what is said

    def _tell(self, one: Reminder, status: str, done_at: int | None = None) -> None:
        self.outputs.append(said(self.customer_id, one, status, self.look, done_at))


def _closed(one: Reminder, reason: str = "", *, for_good: bool = False) -> Closed:
    """A cause that has ended, kept until two days after it can't come up again: the customer may move zones."""
    return Closed(*one.key, FOREVER if for_good else one.expires_at + 2 * DAY_MS, reason)


def said(customer_id: str, one: Reminder, status: str, look: Look, done_at: int | None = None) -> CareReminder:
    """What is told of a reminder; done_at: ms, of one that is FULFILLED."""
    care = kinds_of(look.policy).get(one.kind)
    return CareReminder(
        customer_id=customer_id,
        at=look.now,
        policy=look.policy.label,
        reminder_id=reminder_id(customer_id, one.kind, one.cause),
        kind=one.kind,
        shape="" if care is None else care.shape,
        status=status,
        step=one.step,
        due_at=one.due_at,
        expires_at=one.expires_at,
        priority=PRIORITY_LAST if care is None else care.priority,
        channel=one.channel,
        employee_id=in_charge(one, care, look),
        tier=look.told.tier,
        have=one.have,
        usual=one.usual,
        what=one.what,
        day=one.day,
        idea=one.idea,
        category=ideas.last_category(look.facts) if one.idea else "",
        language=None if look.profile is None else look.profile.language,
        target_at=inner_target(one, look) if care is not None and care.shape == "promise" else None,
        done_at=done_at,
        store_id=one.store,
        owed_by=first_in_charge(one, care, look),
    )


PRIORITY_LAST: Final = 5


def in_charge(one: Reminder, care: Care | None, look: Look) -> str | None:
    """Who is to do it (C7, K1): once escalated, the ladder's next after whose it was."""
    first, ladder = first_in_charge(one, care, look), look.policy.complaints.escalate_to
    if not one.step or not ladder:
        return first
    return ladder[min(one.step - (first != ladder[0]), len(ladder) - 1)]


def first_in_charge(one: Reminder, care: Care | None, look: Look) -> str | None:
    """Whose it is before anybody hears of it (C7): who is in charge of the customer, else whom the roster gave it to,
    else of a promise, or an action, the first of the ladder."""
    ladder = look.policy.complaints.escalate_to
    owed = care is not None and (care.internal or care.shape == "promise")
    return look.owner or one.employee or (ladder[0] if owed and ladder else None)


def withdrawn(customer_id: str, book: Book, look: Look) -> Iterator[CareReminder]:
    """What is told of the open reminders of a customer who is forgotten (D4), or merged into another (D5)."""
    for one in book.open:
        yield said(customer_id, one, WITHDRAWN, look)


def ended(book: Book) -> Book:
    """The book once all its open reminders are withdrawn: none of them comes again, and nothing waits (D5)."""
    closed = {(one.kind, one.cause): one for one in book.closed} | {one.key: _closed(one) for one in book.open}
    return replace(book, open=(), waiting=(), closed=tuple(closed[key] for key in sorted(closed)))
