"""What has been fitted as a policy's sections, ready to paste, standard errors as comments."""

from __future__ import annotations

from math import isnan

from processors.days import Calendar
from processors.policy import Policy
from processors.signals import Signals
from streams.study.fit import LEAST_PURCHASE_DAYS, Fitted, Weighed


def section(fitted: Fitted, policy: Policy) -> str:
    """TOML: [clv] and [risk] with [risk.weights], each whole, so that they replace those of the policy.

    What has not been fitted stays as the policy has it. An unfitted weight's comment says so.
    """
    clv, risk, lost = policy.clv, policy.risk, policy.risk.lost
    fit, spend = fitted.model, fitted.spend
    made = [
        f"# Fitted by `loyalty fit` to purchase days up to {Calendar.iso_day(fitted.end)}. The model: {fit.verdict}.",
        f"# Gamma-Gamma: {spend.verdict}.",
        *(f"# {words}." for words in fitted.missing),
        "",
        "[clv]",
        f"horizon_days = {clv.horizon_days}",
        f"discount_rate = {clv.discount_rate}",
        f"network_share = {clv.network_share}",
    ]
    if spend.spend is not None and spend.trusted:
        found = zip(("p", "q", "v"), (spend.spend.p, spend.spend.q, spend.spend.v), spend.errors, strict=True)
        made.append(_inline("spend", list(found)))
    elif clv.spend is not None:
        kept = (("p", clv.spend.p), ("q", clv.spend.q), ("v", clv.spend.v))
        made.append(f"spend = {{ {', '.join(f'{name} = {value!r}' for name, value in kept)} }}  # as it was")
    weighed = fitted.weighed
    made += ["", "[risk]", *_model(fitted, policy)]
    made += [f"horizon_days = {risk.horizon_days}", *_levels(weighed, policy), f"fading = {risk.fading!r}"]
    if weighed is not None:
        made.append(f"typical_value_365d = {fitted.typical_value_365d}")
    elif risk.typical_value_365d:
        made.append(f"typical_value_365d = {risk.typical_value_365d}")
    made.append(f"lost = {{ gaps = {lost.gaps!r}, least_days = {lost.least_days}, most_days = {lost.most_days} }}")
    return "\n".join([*made, "", *_weights(weighed, policy), ""])


def _model(fitted: Fitted, policy: Policy) -> list[str]:
    """The fitted model, in force if it can be trusted, or if weights were fitted with it; else a comment."""
    fit, old = fitted.model, policy.risk.parameters
    m = fit.model
    found = zip(("r", "alpha", "a", "b"), (m.r, m.alpha, m.a, m.b), fit.errors, strict=True)
    line = _inline("parameters", list(found))
    if fit.trusted or fitted.weighed is not None:
        return [f'model = "{m.kind}"', line]
    kept = ", ".join(f"{name} = {getattr(old, name)!r}" for name in ("r", "alpha", "a", "b"))
    return [
        f"# of {m.kind}, not to be trusted: {line}",
        f'model = "{policy.risk.model}"',
        f"parameters = {{ {kept} }}  # as they were",
    ]


def _inline(name: str, found: list[tuple[str, float, float]]) -> str:
    values = ", ".join(f"{key} = {_number(value)}" for key, value, _ in found)
    errors = ", ".join(f"{key} {_error(error)}" for key, _, error in found)
    return f"{name} = {{ {values} }}  # standard errors: {errors}"


def _levels(weighed: Weighed | None, policy: Policy) -> list[str]:
    risk = policy.risk
    if weighed is None:
        return [f"watch = {risk.watch!r}", f"at_risk = {risk.at_risk!r}", f"ease = {risk.ease!r}"]
    of_leavers = [f"{100 * share:.0f} % of those who left" for share in weighed.caught]
    return [
        f"watch = {weighed.watch!r}  # a fifth of the reviews are above, and {of_leavers[0]}",
        f"at_risk = {weighed.at_risk!r}  # a tenth of the reviews are above, and {of_leavers[1]}",
        f"ease = {round(weighed.watch / 4, 4)!r}",
    ]


def _weights(weighed: Weighed | None, policy: Policy) -> list[str]:
    names, old = Signals._fields, policy.risk.weights
    if weighed is None:
        kept = [f"{name} = {getattr(old, name)!r}" for name in ("intercept", *names)]
        return ["[risk.weights]                    # as they were", *kept]
    fit, made = weighed.weights, ["[risk.weights]"]
    made.append(
        f"# of {fit.cases} reviews of customers with {LEAST_PURCHASE_DAYS} purchase days or more, {fit.happened} left"
    )
    made.append(f"intercept = {_number(fit.intercept)}  # +- {_error(fit.errors[0])}")
    for name, weight, error in zip(names, fit.weights, fit.errors[1:], strict=True):
        if name in weighed.silent:
            made.append(f"{name} = {weight!r}  # as it was: the history never speaks of it")
        elif isnan(error):
            made.append(f"{name} = 0.0  # the history would have it the other way round")
        else:
            made.append(f"{name} = {_number(weight)}  # +- {_error(error)}")
    return made


def _number(value: float) -> str:
    """Five digits, as TOML has a float."""
    text = f"{value:.5g}"
    return text if any(sign in text for sign in ".en") else f"{text}.0"


def _error(value: float) -> str:
    return "unknown" if isnan(value) else f"{value:.2g}"
