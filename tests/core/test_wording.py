"""Sentences: the same codes in every language, and money as people read it."""

from pathlib import Path

import pytest

from processors.outputs import Reason
from processors.sections import CONDITIONS, Weights
from processors.wording import Wording

TEXTS = Path("processors/texts")
LANGUAGES = sorted(path.stem for path in TEXTS.glob("*.toml"))


def wording(language: str) -> Wording:
    return Wording((TEXTS / f"{language}.toml").read_text("utf-8"), language)


def test_english_and_chinese_are_there() -> None:
    assert {"en", "zh"} <= set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_sentences_with_the_same_numbers(language: str) -> None:
    assert wording(language).forms() == wording("en").forms()


@pytest.mark.parametrize("language", LANGUAGES)
def test_T4_every_condition_has_its_sentences(language: str) -> None:
    forms = wording(language).forms()
    for code in CONDITIONS:
        assert forms[f"reason.{code}"] == {"tier", "have", "need"}
        assert forms[f"missing.{code}"] == {"tier", "missing"}


def test_T4_a_reason_says_what_decided_with_have_and_need() -> None:
    say = wording("en").tier_reason
    assert say("UP", "gold", "min_value_365d", 61_200, 60_000, "USD") == (
        "bought for 612.00 USD in the last 365 days; gold needs 600.00 USD"
    )
    assert say("DOWN", "gold", "min_purchases_365d", 5, 6, "USD") == "purchases in the last 365 days: 5; gold needs 6"
    assert say("UP", "gold", "min_value_365d", 61_200, 60_000, "JPY") == (
        "bought for 61200 JPY in the last 365 days; gold needs 60000 JPY"
    )
    assert say("DOWN", "gold", "policy", 0, 0, "USD") == "the programme has changed what gold needs"


def test_T4_chinese_says_the_same() -> None:
    assert wording("zh").tier_reason("UP", "gold", "min_value_365d", 61_200, 60_000, "CNY") == (
        "最近365天消费612.00 CNY；gold需要600.00 CNY"
    )


def test_T4_what_is_missing_is_said_only_where_something_is() -> None:
    missing = wording("en").to_next
    assert missing("gold", "min_value_365d", 41_200, 60_000, "USD") == "buy for 188.00 USD more for gold"
    assert missing("gold", "min_purchases_365d", 6, 6, "USD") is None


def test_a_name_with_braces_is_only_a_name() -> None:
    assert "{have}" in wording("en").tier_reason("UP", "{have}", "min_value_365d", 1, 1, "USD")


@pytest.mark.parametrize("language", LANGUAGES)
def test_R2_every_reason_has_a_sentence_for_weights_and_numbers_of_either_sign(language: str) -> None:
    say = wording(language).risk_reason
    codes = {name.removeprefix("risk.") for name in wording(language).forms() if name.startswith("risk.")}
    for code in {code.removesuffix("_good").removesuffix("_more").removesuffix("_alone") for code in codes}:
        assert code in codes
        for weight in (-0.5, 0.0, 0.5):
            for have in (-20.0, 0.0, 1.0, 31.0):
                for usual in (0.0, 9.0):
                    assert "{" not in say(Reason(code, weight, have, usual))


@pytest.mark.parametrize("language", LANGUAGES)
def test_R2_every_signal_that_the_policy_weighs_and_what_decides_beside_them_has_its_sentence(language: str) -> None:
    signals = set(Weights.__struct_fields__) - {"intercept"}
    forms = wording(language).forms()
    assert {code for code in (*signals, "base", "lost", "fading") if f"risk.{code}" not in forms} == set()


@pytest.mark.parametrize(
    ("reason", "en", "zh"),
    [
        (Reason("silence", 1.9, 31.0, 9.0), "bought every 9 days, silent for 31", "平时每9天买一次，已有31天没来"),
        (Reason("silence", 0.8, 31.0, 0.0), "last bought 31 days ago", "上次购买在31天前"),
        (Reason("silence", 0.2, 1.0, 1.0), "bought every 1 day, silent for 1", "平时每1天买一次，已有1天没来"),
        (
            Reason("silence", -0.4, 1.0, 9.5),
            "last bought 1 day ago, usually every 9.5 days",
            "上次购买在1天前，平时每9.5天买一次",
        ),
        (
            Reason("spend_trend", 0.6, 37.2, 90.0),
            "spent 37% less than usual in the last 90 days",
            "最近90天的消费比平时少37%",
        ),
        (
            Reason("spend_trend", -0.1, -120.0, 90.0),
            "spent 120% more than usual in the last 90 days",
            "最近90天的消费比平时多120%",
        ),
        (
            Reason("open_complaint", 0.9, 1.0, 4.0),
            "1 complaint not settled, the gravest of severity 4 of 5",
            "有1件投诉尚未解决，最严重的为4级（最高5级）",
        ),
    ],
)
def test_R2_a_reason_is_said_in_the_customers_terms(reason: Reason, en: str, zh: str) -> None:
    assert (wording("en").risk_reason(reason), wording("zh").risk_reason(reason)) == (en, zh)


@pytest.mark.parametrize(
    ("number", "shown"),
    [(31.0, "31"), (9.5, "9.5"), (9.96, "10"), (9.94, "9.9"), (0.04, "0"), (-0.04, "0"), (12.5, "12"), (100.6, "101")],
)
def test_R2_numbers_are_shown_as_people_say_them(number: float, shown: str) -> None:
    assert wording("en").risk_reason(Reason("low_score", 0.1, number, 0.0)).endswith(f" {shown} of 10")


def test_R2_a_signal_without_a_sentence_is_named() -> None:
    with pytest.raises(KeyError, match=r"texts/en.toml: \[risk\] has no nonsense"):
        wording("en").risk_reason(Reason("nonsense", 1.0, 0.0, 0.0))


def test_plain_sentences_take_their_numbers() -> None:
    assert wording("en").plain("keep_until", tier="gold", date="2017-12-31") == "gold is kept until 2017-12-31"


def test_a_code_without_a_sentence_and_a_text_without_tables_are_named() -> None:
    with pytest.raises(KeyError, match=r"texts/en.toml: \[plain\] has no nonsense"):
        wording("en").plain("nonsense")
    with pytest.raises(ValueError, match=r"texts/xx.toml: \[reason\] is missing"):
        Wording("a = 1", "xx")
    with pytest.raises(ValueError, match=r"texts/xx.toml: is no TOML"):
        Wording("a = ", "xx")
