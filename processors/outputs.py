"""What the core tells the world. Ids are deterministic (customer, kind, cause), so that a reader can drop repeats.

An output carries codes and numbers; sentences are made where it is encoded. Amounts: minor units; times: UTC ms.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class ToNext(Struct, frozen=True, gc=False):
    """One condition of the next tier: what the customer has and what it needs."""

    condition: str
    have: int
    need: int


class TierChange(Struct, frozen=True, kw_only=True, gc=False):
    """A tier was won or lost (T1-T5).

    `code`, `have`, `need`: the condition that decided. `keep_until`: the instant at which the tier would be lost if
    nothing but time happened (None: it would not, within the window). `to_next`: what the next tier asks.
    `cause`: what decided, where the customer had been reviewed at this very instant before, for the id alone: late
    events may take a customer up, down and up again at one instant.
    """

    customer_id: str
    at: int
    policy: str
    from_tier: str
    to_tier: str
    direction: str  # UP | DOWN
    code: str
    have: int
    need: int
    value_365d: int
    currency: str
    keep_until: int | None
    next_tier: str | None
    to_next: tuple[ToNext, ...]
    benefits: tuple[str, ...]
    cause: str = ""

    @property
    def event_id(self) -> str:
        told = f"tier-changes:{self.customer_id}:{self.at}:{self.from_tier}:{self.to_tier}"
        return f"{told}:{self.cause}" if self.cause else told


class Reason(Struct, frozen=True, gc=False):
    """One signal's part in a score of risk (R2).

    `weight`: its part of the score's logit, negative where it speaks against leaving: the score is
    1 / (1 + exp(-sum of all reasons' weights)). `have`, `usual`: the numbers of its sentence, by code.
    """

    code: str
    weight: float
    have: float
    usual: float


class ChurnRisk(Struct, frozen=True, kw_only=True, gc=False):
    """A customer's risk of leaving crossed a level (R3), or spending fades or has recovered (R6).

    `transition`: RAISED, WORSENED, EASED, CLEARED, LOST, WON_BACK; FADING and RECOVERED change no level.
    `score`, `p_alive`, `p_no_purchase`: 0 to 1; of a customer without any purchase the model says nothing: 1.0, 1.0 and
    `expected_purchases` (next 365 days) 0.0. `value_at_stake`: minor units that leaving would lose (R4).
    `usual_gap_days`: median days between purchase days, None below three of them. `reasons`: sorted by weight, the
    strongest first, the intercept `base` always last; never empty. `holdout`: of the control group, nobody acts on it.
    `fading`: the share of the own expectation for the last 90 days that is missing, 0 to 1.
    `cause`: as in TierChange.
    """

    customer_id: str
    at: int
    policy: str
    transition: str
    level: str  # OK | WATCH | AT_RISK | LOST
    previous_level: str
    score: float
    p_alive: float
    p_no_purchase: float
    expected_purchases: float
    value_at_stake: int
    currency: str
    tier: str
    last_purchase_at: int | None
    usual_gap_days: float | None
    reasons: tuple[Reason, ...]
    holdout: bool
    fading: float = 0.0
    cause: str = ""

    @property
    def event_id(self) -> str:
        levels = f"{self.previous_level}:{self.level}"
        what = self.transition if self.transition in ("FADING", "RECOVERED") else levels
        told = f"churn-risk:{self.customer_id}:{self.at}:{what}"
        return f"{told}:{self.cause}" if self.cause else told


class CareReminder(Struct, frozen=True, kw_only=True, gc=False):
    """A step in the life of a reminder to care for somebody (C4): DUE, FULFILLED, ESCALATED, EXPIRED, WITHDRAWN, or
    HELD_OUT, which no channel reads (C8).

    `due_at`: what it is for (the birthday, the end of a promise), or when it came up; `day`: the same by the customer's
    calendar. `channel`: on which to reach them. `employee_id`: who is to do it. `step`: how often it was escalated.
    `target_at`: by when a promise is aimed to be kept (K0), `done_at`: when what was to be done was, of FULFILLED.
    `store_id`: where it is about. `owed_by`: whose it was before it was escalated. `shape`, `have`, `usual`, `what`:
    for its sentence, by kind. `idea`: of the policy, by name, in the customer's `language`; `category`: last bought.
    """

    customer_id: str
    at: int
    policy: str
    reminder_id: str
    kind: str
    shape: str
    status: str
    step: int
    due_at: int
    expires_at: int
    priority: int
    channel: str
    employee_id: str | None
    tier: str
    have: float
    usual: float
    what: str
    day: str
    idea: str = ""
    category: str = ""
    language: str | None = None
    target_at: int | None = None
    done_at: int | None = None
    store_id: str | None = None
    owed_by: str | None = None
    cause: str = ""

    @property
    def event_id(self) -> str:
        told = f"care-reminders:{self.reminder_id}:{self.status}"
        return f"{told}:{self.step}" if self.status == "ESCALATED" else told


class GradeStep(Struct, frozen=True, gc=False):
    """One condition of the next grade: what there is, None: nothing to measure by, and what it needs."""

    condition: str
    have: float | None
    need: float


class GradeChange(Struct, frozen=True, kw_only=True, gc=False):
    """An employee's grade was won or lost (E2).

    `customer_id`: the employee, who is a customer inside under the same id (E3). `code`, `have`, `need`: the condition
    that decided, as in TierChange; None: nothing to measure by, or the policy changed. `figures`: those behind it, by
    name. `to_next`: what the next grade asks. `cause`: as in TierChange.
    """

    customer_id: str
    at: int
    policy: str
    from_grade: str
    to_grade: str
    direction: str  # UP | DOWN
    code: str
    have: float | None
    need: float | None
    figures: Mapping[str, float]
    next_grade: str | None
    to_next: tuple[GradeStep, ...]
    cause: str = ""

    @property
    def event_id(self) -> str:
        told = f"employee-grades:{self.customer_id}:{self.at}:{self.from_grade}:{self.to_grade}"
        return f"{told}:{self.cause}" if self.cause else told


Output = TierChange | ChurnRisk | CareReminder | GradeChange
