"""One figure of the programme, and the catalogue of those there are: name, kind, unit, help. Told by `loyalty kpi`, the
exporter and the console alike, so that all three say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Figure(NamedTuple):
    """name: as in Prometheus, counters end in `_total`. labels: never a customer's id. value: amounts in minor units of
    the programme's currency; None: there is nothing to tell, as a ratio of nobody. kind: gauge or counter. group: the
    heading under which people find it."""

    name: str
    labels: Mapping[str, str]
    value: int | float | None
    unit: str
    help: str
    kind: str
    group: str


class Sort(NamedTuple):
    """What all figures of one name share."""

    unit: str
    help: str
    group: str
    kind: str = "gauge"


CUSTOMERS, MONEY, RATIO, SECONDS = "customers", "minor units", "ratio", "seconds"
_PEOPLE, _VALUE, _LEFT, _CARE, _STORES = "Customers", "Value", "Risk and exits", "Care and complaints", "Stores"
_ARMS, _MOUTH, _STAFF = "Return on care", "Word of mouth", "Those who serve"

CATALOGUE: Final[Mapping[str, Sort]] = {
    "loyalty_customers": Sort(CUSTOMERS, "Customers by tier.", _PEOPLE),
    "loyalty_prospects": Sort(CUSTOMERS, "Known people who have not bought yet.", _PEOPLE),
    "loyalty_inquiring_prospects": Sort(CUSTOMERS, "Prospects who asked something in the last 365 days.", _PEOPLE),
    "loyalty_active_customers": Sort(CUSTOMERS, "Customers who bought in the last 365 days.", _PEOPLE),
    "loyalty_repeat_customers": Sort(CUSTOMERS, "Customers who bought more than once in the last 365 days.", _PEOPLE),
    "loyalty_new_customers": Sort(CUSTOMERS, "Customers whose first purchase was in the last 365 days.", _PEOPLE),
    "loyalty_funnel_customers": Sort(CUSTOMERS, "How far people have come, each stage with all beyond it.", _PEOPLE),
    "loyalty_retention_ratio": Sort(
        RATIO, "Of those who bought in the 365 days before, the share that bought in the last 365 days.", _PEOPLE
    ),
    "loyalty_churn_ratio": Sort(
        RATIO, "Of those who bought in the 365 days before, the share that did not in the last 365 days.", _PEOPLE
    ),
    "loyalty_repeat_purchase_ratio": Sort(RATIO, "Of the active customers the share that bought again.", _PEOPLE),
    "loyalty_gained_total": Sort(CUSTOMERS, "First purchases that came in.", _PEOPLE, "counter"),
    "loyalty_cohort_customers": Sort(CUSTOMERS, "Customers by the month of their first purchase.", _PEOPLE),
    "loyalty_cohort_active_customers": Sort(CUSTOMERS, "Of a month's customers, those who are active.", _PEOPLE),
    "loyalty_cohort_lost_customers": Sort(CUSTOMERS, "Of a month's customers, those who are lost.", _PEOPLE),
    "loyalty_cohort_value_365d": Sort(MONEY, "Net sales of the last 365 days with a month's customers.", _PEOPLE),
    "loyalty_value_365d": Sort(MONEY, "Net sales of the last 365 days, by tier.", _VALUE),
    "loyalty_margin_365d": Sort(MONEY, "Margin of the last 365 days, by tier.", _VALUE),
    "loyalty_cost_to_serve_365d": Sort(MONEY, "Cost to serve of the last 365 days, by tier.", _VALUE),
    "loyalty_customer_equity": Sort(MONEY, "Sum of all customers' expected contribution (clv).", _VALUE),
    "loyalty_customer_equity_by_tier": Sort(MONEY, "Customer equity by tier.", _VALUE),
    "loyalty_value_share": Sort(RATIO, "Share of the last 365 days' net sales that the top share brings.", _VALUE),
    "loyalty_value_at_share": Sort(MONEY, "Least net sales of the last 365 days in the top share.", _VALUE),
    "loyalty_contribution_share": Sort(
        RATIO, "Share of all positive contribution that the top share by contribution brings.", _VALUE
    ),
    "loyalty_decile_value_share": Sort(RATIO, "Share of net sales by decile of customers, 1 the best.", _VALUE),
    "loyalty_decile_care_share": Sort(RATIO, "Share of our contacts by decile of customers, 1 the best.", _VALUE),
    "loyalty_layer_customers": Sort(CUSTOMERS, "Customers who have bought, by layer of loyalty.", _VALUE),
    "loyalty_layer_value_365d": Sort(MONEY, "Net sales of the last 365 days by layer of loyalty.", _VALUE),
    "loyalty_segment_customers": Sort(CUSTOMERS, "Customers by segment; one may be in several.", _VALUE),
    "loyalty_segment_value_365d": Sort(MONEY, "Net sales of the last 365 days by segment.", _VALUE),
    "loyalty_preferring_value_share": Sort(RATIO, "Share of net sales from PREFERENCE and LOYAL.", _VALUE),
    "loyalty_contribution_per_customer": Sort(MONEY, "Contribution of the last 365 days an active customer.", _VALUE),
    "loyalty_returning_value_share": Sort(RATIO, "Share of net sales by customers who came back.", _VALUE),
    "loyalty_break_even_customers": Sort(
        CUSTOMERS, "Active customers whose margin covers the cost to serve and to win of the last 365 days.", _VALUE
    ),
    "loyalty_cost_of_winning": Sort(MONEY, "Acquisition cost of a customer who had one and has bought.", _VALUE),
    "loyalty_cost_of_keeping": Sort(MONEY, "Cost to serve of the last 365 days an active customer.", _VALUE),
    "loyalty_winning_to_keeping_ratio": Sort(RATIO, "Cost of winning one over cost of keeping one.", _VALUE),
    "loyalty_customers_at_risk": Sort(CUSTOMERS, "Customers by level of risk.", _LEFT),
    "loyalty_value_at_stake": Sort(MONEY, "What leaving would lose, by level of risk.", _LEFT),
    "loyalty_lost_total": Sort(CUSTOMERS, "Customers lost, by the reason known when they were.", _LEFT, "counter"),
    "loyalty_lost_customers": Sort(CUSTOMERS, "Exits by reason: the one told since, else the strongest.", _LEFT),
    "loyalty_lost_customers_365d": Sort(CUSTOMERS, "Customers lost in the last 365 days.", _LEFT),
    "loyalty_lost_value_ratio": Sort(
        RATIO, "Year's value that the lost of the last 365 days had, of it and the value there is now.", _LEFT
    ),
    "loyalty_lost_untouched_ratio": Sort(RATIO, "Of the lost those without a contact by us in their year.", _LEFT),
    "loyalty_lost_complaining_ratio": Sort(RATIO, "Of the lost those with a complaint open.", _LEFT),
    "loyalty_lost_unpaid_ratio": Sort(RATIO, "Of the lost those who had not paid back what winning them cost.", _LEFT),
    "loyalty_lost_by_tier": Sort(CUSTOMERS, "Exits so far by the tier that was lost with them.", _LEFT),
    "loyalty_lost_by_store": Sort(CUSTOMERS, "Exits so far by the store of the last purchase.", _LEFT),
    "loyalty_won_back_total": Sort(CUSTOMERS, "Lost customers who bought again.", _LEFT, "counter"),
    "loyalty_won_back_customers_365d": Sort(CUSTOMERS, "Lost customers won back in the last 365 days.", _LEFT),
    "loyalty_won_back_value": Sort(MONEY, "What was at stake with those won back.", _LEFT),
    "loyalty_win_back_attempts_total": Sort("contacts", "Contacts by us with the lost.", _LEFT, "counter"),
    "loyalty_win_back_cost": Sort(MONEY, "What contacts with the lost cost.", _LEFT),
    "loyalty_referred_customers": Sort(CUSTOMERS, "Customers who have bought and came through others.", _MOUTH),
    "loyalty_referred_ratio": Sort(RATIO, "Of those who have bought the share that came through others.", _MOUTH),
    "loyalty_referred_leads": Sort(CUSTOMERS, "People brought by others who have not bought yet.", _MOUTH),
    "loyalty_referred_purchases": Sort("purchases", "Purchases of those who came through others.", _MOUTH),
    "loyalty_referrers": Sort(CUSTOMERS, "Customers who brought others.", _MOUTH),
    "loyalty_unhappy_referrers": Sort(CUSTOMERS, "Of the referrers those who are lost or not content.", _MOUTH),
    "loyalty_care_reminders": Sort("reminders", "Reminders told so far, by kind and status.", _CARE),
    "loyalty_longest_untouched_seconds": Sort(
        SECONDS, "Longest time without a contact by us, in whole days, by tier, the control group apart.", _CARE
    ),
    "loyalty_promises_kept_ratio": Sort(RATIO, "Of the promises that ended the share kept in time, by kind.", _CARE),
    "loyalty_promises_overdue": Sort("promises", "Promises open past their due, by kind.", _CARE),
    "loyalty_complaints_open": Sort("complaints", "Open complaints by severity.", _CARE),
    "loyalty_complaints_overdue": Sort("complaints", "Open complaints whose promise is past its due.", _CARE),
    "loyalty_complaints_resolved": Sort("complaints", "Resolved complaints by severity.", _CARE),
    "loyalty_complaints_recovered_ratio": Sort(
        RATIO, "Of the complainants who rated the remedy the share that is content (4 or 5 of 5).", _CARE
    ),
    "loyalty_employees": Sort("employees", "Employees by grade.", _CARE),
    "loyalty_employee_customers": Sort(CUSTOMERS, "Customers in charge, by employee.", _STAFF),
    "loyalty_employee_lost_customers": Sort(CUSTOMERS, "Of an employee's customers those who are lost.", _STAFF),
    "loyalty_employee_retention_ratio": Sort(RATIO, "Of an employee's buyers the share that is not lost.", _STAFF),
    "loyalty_employee_renewal_ratio": Sort(
        RATIO, "Of an employee's customers who bought before the last 365 days the share that bought in them.", _STAFF
    ),
    "loyalty_employee_value_365d": Sort(
        MONEY, "Net sales of the last 365 days with an employee's customers who are not lost.", _STAFF
    ),
    "loyalty_employee_equity": Sort(MONEY, "Customer equity with an employee's customers who are not lost.", _STAFF),
    "loyalty_employee_in_time_ratio": Sort(
        RATIO, "Of an employee's reminders that ended the share done in time.", _STAFF
    ),
    "loyalty_employee_promises_kept_ratio": Sort(
        RATIO, "Of an employee's promises that ended the share kept in time.", _STAFF
    ),
    "loyalty_employee_satisfaction": Sort(
        "score", "How content people are with an employee's remedies, 1 to 5 on average.", _STAFF
    ),
    "loyalty_arm_customers": Sort(CUSTOMERS, "Customers who have bought, cared for or in the control group.", _ARMS),
    "loyalty_arm_retention_ratio": Sort(RATIO, "Retention of those cared for and of the control group.", _ARMS),
    "loyalty_arm_contribution": Sort(MONEY, "Contribution of the last 365 days a customer, by arm.", _ARMS),
    "loyalty_care_retention_effect": Sort(
        RATIO, "Retention of those cared for less the control group's, with its 95% interval.", _ARMS
    ),
    "loyalty_care_contribution_effect": Sort(
        MONEY, "Contribution a customer cared for less the control group's, with its 95% interval.", _ARMS
    ),
    "loyalty_care_incremental_contribution": Sort(
        MONEY, "That effect times the customers cared for, with its 95% interval.", _ARMS
    ),
    "loyalty_care_cost": Sort(MONEY, "What serving those cared for cost beyond the control group.", _ARMS),
    "loyalty_care_return_ratio": Sort(RATIO, "Incremental contribution over that cost.", _ARMS),
    "loyalty_care_verdict": Sort(
        "state", "1 for what may be said of care: nothing while the interval covers zero.", _ARMS
    ),
    "loyalty_constant": Sort(
        "number", "Constants of this programme, their 95% interval, and the textbook's.", "Constants"
    ),
    "loyalty_store_customers": Sort(CUSTOMERS, "Customers by the store of their last purchase.", _STORES),
    "loyalty_store_active_customers": Sort(CUSTOMERS, "Of a store's customers those who are active.", _STORES),
    "loyalty_store_lost_customers": Sort(CUSTOMERS, "Of a store's customers those who are lost.", _STORES),
    "loyalty_store_value_365d": Sort(MONEY, "Net sales of the last 365 days with a store's customers.", _STORES),
    "loyalty_store_contribution_365d": Sort(MONEY, "Contribution of the last 365 days by store.", _STORES),
    "loyalty_region_customers": Sort(CUSTOMERS, "Customers by the region of that store.", _STORES),
    "loyalty_region_active_customers": Sort(CUSTOMERS, "Of a region's customers those who are active.", _STORES),
    "loyalty_region_lost_customers": Sort(CUSTOMERS, "Of a region's customers those who are lost.", _STORES),
    "loyalty_region_value_365d": Sort(MONEY, "Net sales of the last 365 days with a region's customers.", _STORES),
    "loyalty_region_contribution_365d": Sort(MONEY, "Contribution of the last 365 days by region.", _STORES),
}
"""All figures there are."""


_STANDING: Final = (
    "customers", "customers_at_risk", "gained_total", "lost_total", "lost_customers", "lost_customers_365d",
    "lost_untouched_ratio", "lost_complaining_ratio", "lost_unpaid_ratio", "lost_by_tier", "lost_by_store",
    "won_back_total", "won_back_customers_365d", "won_back_value", "win_back_attempts_total", "win_back_cost",
    "referred_customers", "referred_ratio", "referred_leads", "referred_purchases", "referrers", "unhappy_referrers",
    "care_reminders", "promises_kept_ratio", "promises_overdue", "complaints_open", "complaints_overdue",
    "complaints_resolved", "complaints_recovered_ratio",
)  # fmt: skip
WITHOUT_SUMS: Final = frozenset(f"loyalty_{name}" for name in _STANDING)
"""What is told under a policy that keeps no sums of all customers, `[programme] figures = false`."""


def figure(name: str, value: int | float | None, **labels: str) -> Figure:
    """A figure of the catalogue."""
    sort = CATALOGUE[name]
    return Figure(name, labels, value, sort.unit, sort.help, sort.kind, sort.group)
