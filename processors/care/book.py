"""What is kept of a customer's care: the reminders that are open or wait, those that have ended, and when any went."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

WAITING: Final = -1


class Reminder(Struct, frozen=True, array_like=True, gc=False):
    """Somebody is to care for the customer. `kind`: of the policy; `cause`: what it is about, unique within the kind.

    wanted_at: from when on; due_at: what it is for (the birthday, the end of a promise); expires_at: when it is
    pointless. told_at: when it went, `WAITING` if it has not yet. All ms. have, usual, what: numbers and name of its
    sentence. step: levels it was escalated by. employee: of the roster, idea: its name, day: of `due_at`, the
    customer's; all three of when it went. store: where it is about, else of the last purchase. owed: it is a promise.
    """

    kind: str
    cause: str
    wanted_at: int
    due_at: int
    expires_at: int
    have: float = 0.0
    usual: float = 0.0
    what: str = ""
    told_at: int = WAITING
    channel: str = ""
    step: int = 0
    employee: str | None = None
    idea: str = ""
    day: str = ""
    store: str | None = None
    owed: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.cause


class Closed(Struct, frozen=True, array_like=True, gc=False):
    """A cause that has had its reminder, or is not to have one, and why not; kept until it can't come up again (ms)."""

    kind: str
    cause: str
    until: int
    reason: str = ""


class Heard(Struct, frozen=True, array_like=True, gc=False):
    """An idea that went with a kind of care."""

    kind: str
    idea: str


class Book(Struct, frozen=True, array_like=True, gc=False):
    """sent: when reminders that count against the caps went, of the last 30 days before the latest (ms, sorted). heard:
    the ideas that went with the last reminders of each kind."""

    open: tuple[Reminder, ...] = ()
    waiting: tuple[Reminder, ...] = ()
    closed: tuple[Closed, ...] = ()
    sent: tuple[int, ...] = ()
    heard: tuple[Heard, ...] = ()


EMPTY: Final = Book()


def reminder_id(customer_id: str, kind: str, cause: str) -> str:
    """The id that all records of one reminder share, and that a CARE contact names."""
    return f"{customer_id}:{kind}:{cause}"
