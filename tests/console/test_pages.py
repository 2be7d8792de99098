"""Pages as data: nothing unescaped, everything said in both languages, what an on-call person must see first."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.console import charts, words
from streams.console.charts import Frame, Series
from streams.console.jobs import Answer
from streams.console.markup import VOID, Html, el, path, query
from streams.console.pages import care, customer, letters, parts, risk, stream, tiers, today, whatif
from streams.console.pages.parts import Ask
from streams.console.pages.whatif import Asked
from streams.console.pipeline import lags_of, quantile
from streams.console.story import Story
from streams.console.supposing import Supposed
from streams.console.survey import Best
from streams.texts import read_policy
from tests.conftest import ROOT
from tests.console import samples
from tests.console.samples import EVIL, STEERS

CONSOLE = ROOT / "streams" / "console"


class Reader(HTMLParser):
    """A page as a browser takes it: elements by name, ids, text; raises where one is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def ask(language: str = "en", **more: object) -> Ask:
    return Ask(words=words.words(language), at=f"/risk?tier={EVIL}", mark="mark", problems=[EVIL], notice=EVIL, **more)  # type: ignore[arg-type]


ANSWERED = Answer(samples.diff())
MISSING = Supposed(None, EVIL)

MADE: dict[str, Callable[[Ask], Html]] = {
    "today": lambda one: today.content(one, samples.survey(), samples.story()),
    "today, nothing told": lambda one: today.content(one, samples.survey(risky=(), loads={}, counts={}), Story()),
    "risk": lambda one: risk.content(one, samples.survey(), risk.Wanted()),
    "risk, nobody": lambda one: risk.content(one, samples.survey(), risk.Wanted(tier=EVIL)),
    "care": lambda one: care.content(one, samples.survey(), EVIL, 1),
    "care of nobody": lambda one: care.content(one, samples.survey(), care.NOBODY, 9),
    "tiers": lambda one: tiers.content(one, samples.survey()),
    "customer": lambda one: customer.content(one, samples.person(), None),
    "customer, told": lambda one: customer.content(one, samples.person(), samples.told()),
    "unknown": lambda one: customer.unknown(one, EVIL, None),
    "merged": lambda one: customer.unknown(one, EVIL, EVIL),
    "stream": lambda one: stream.content(one, samples.pipeline(samples.part(0, 5, still_s=60.0), samples.part(1))),
    "stream, first": lambda one: stream.content(one, None),
    "stream, no worker": lambda one: stream.content(one, samples.pipeline(worker=None)),
    "letters": lambda one: letters.content(one, [samples.letter(), samples.letter(2, retried=True)], 2, [(EVIL, 1)]),
    "what if": lambda one: whatif.content(
        one, samples.policy(), Asked(text=EVIL, wrong=(EVIL,)), *samples.effects(), ANSWERED
    ),
    "what if, working": lambda one: whatif.content(one, samples.policy(), Asked(), None, None, Answer()),
    "what if, wrong": lambda one: whatif.content(one, samples.policy(), Asked(), MISSING, MISSING, Answer(error=EVIL)),
    "waiting": lambda one: parts.waiting(one.words),
}


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize("name", MADE)
def test_a_page_is_whole_and_what_others_wrote_is_text(name: str, language: str) -> None:
    asked = ask(language)
    html = str(parts.page(asked, "today", EVIL, MADE[name](asked), programme=EVIL, as_of=EVIL))
    read = Reader(html)
    assert read.names.count("script") == 1  # our own, by its address
    assert "img" not in read.names
    assert not [key for key, _ in read.attributes if key.startswith("on") or key == "style"]
    assert len(read.ids) == len(set(read.ids)), "an id is there twice"
    assert f'<html lang="{language}"' in html


def test_marks_that_turn_the_direction_of_writing_are_shown_not_obeyed() -> None:
    assert "\u202e" not in str(parts.customer(STEERS))
    assert "\\u202e" in Reader(str(parts.customer(STEERS))).text


@given(st.text(), st.text())
def test_any_text_comes_out_of_a_browser_as_it_went_in(text: str, value: str) -> None:
    text, value = (one.replace("\r", "").replace("\x00", "") for one in (text, value))
    read = Reader(str(el("p", {"title": value}, text)))
    assert (read.names, read.text, dict(read.attributes)["title"]) == (["p"], text, value)


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_an_id_is_one_part_of_a_path(id: str) -> None:
    assert path("customer", id).count("/") == 2
    assert query("/customer", id=id).count("=") == 1


# ---- both languages


def test_both_languages_say_the_same_things_of_the_same_numbers() -> None:
    texts = {name: words.words(name).codes() for name in words.LANGUAGES}
    assert texts["en"] == texts["zh"]


def test_every_sentence_that_the_code_asks_for_is_there_and_none_is_left_over() -> None:
    known = words.words("en").codes()
    asked: set[str] = set()
    patterns: list[str] = []
    for file in CONSOLE.rglob("*.py"):
        for code in re.findall(r'"([a-z_]+\.[a-zA-Z_.0-9]+)"', file.read_text("utf-8")):
            asked.add(code)
        for code in re.findall(r'f"([a-z_]+\.[^"]*\{[^"]*)"', file.read_text("utf-8")):
            patterns.append(re.sub(r"\\\{[^}]*\\\}", ".+", re.escape(code)))
        for table in re.findall(r'\.name\(\s*f?"([a-z_{}\[\].\'()]+)"', file.read_text("utf-8")):
            patterns.append(re.sub(r"\{[^}]*\}", ".+", table) + r"\..+")
    tables = {code.partition(".")[0] for code in known}
    missing = {code for code in asked - set(known) if code.partition(".")[0] in tables}
    assert not {code for code in missing if not code.endswith((".css", ".js", ".svg"))}
    unused = {code for code in known if code not in asked and not any(re.fullmatch(one, code) for one in patterns)}
    assert not unused


@pytest.mark.parametrize("file", ["policy.toml", "policy-completejourney.toml"])
def test_every_kind_of_care_that_is_shipped_has_a_name(file: str) -> None:
    for name in words.LANGUAGES:
        texts = words.words(name).codes()
        assert not [care.kind for care in read_policy(ROOT / "infra" / file).care if f"kind.{care.kind}" not in texts]


def test_a_code_without_a_name_is_shown_as_it_is() -> None:
    assert words.words("en").name("kind", "TEA_TIME") == "TEA_TIME"


def test_amounts_and_shares_are_written_for_people() -> None:
    said = words.words("en")
    assert said.money(-1_234_567, "USD") == "-12,345.67 USD"
    assert said.money(1_234_567, "JPY") == "1,234,567 JPY"
    assert said.money(21_300_000, "USD", short=True) == "213k USD"
    assert said.money(None, "USD") == "–"
    assert (said.percent(0.314), said.percent(None)) == ("31.4%", "–")
    assert (said.span(250), said.span(90_000), said.span(3 * 86_400_000)) == ("0.2 s", "90 s", "3 days")


# ---- charts


def test_a_chart_has_its_words_and_its_numbers_beneath() -> None:
    frame = Frame("c", "Alerts", "How many", lambda number: f"{number:.0f}", "Numbers", "Month")
    for draw in (charts.columns, charts.lines):
        made = draw(frame, ["a", "b"], [Series("raised", "s-risk", [3, None]), Series("lost", "s-lost", [0, 7])])
        read = Reader(str(made))
        assert {"svg", "title", "desc", "table", "caption"} <= set(read.names)
        assert "Alerts" in read.text
        for number in ("3", "7", "–"):
            assert number in read.text


@given(st.floats(min_value=1e-3, max_value=1e12))
def test_the_top_of_a_scale_is_round_and_not_far_above(most: float) -> None:
    top = charts._top(most)
    assert most * 0.999_999 <= top <= max(2.5 * most, 1.0)
    assert f"{top:.0e}".startswith(("1e", "2e", "4e", "6e", "8e"))


# ---- what an on-call person must see first


@pytest.mark.parametrize(
    ("seen", "css", "says"),
    [
        (samples.pipeline(), "good", "read to their ends"),
        (samples.pipeline(samples.part(3, 7, still_s=60.0)), "bad", "Partition 3 stands still"),
        (samples.pipeline(samples.part(0, 7), worker=None), "bad", "start `loyalty worker`"),
        (samples.pipeline(samples.part(0, 5, clock=samples.NOW - 120_000), samples.part(1)), "warn", "0 is more"),
        (samples.pipeline(samples.part(0, outbox=4), worker=None), "warn", "4 outputs wait"),
        (samples.pipeline(samples.part(0, 7, still_s=1.0)), "good", "7 records are being read"),
    ],
)  # fmt: skip
def test_the_stream_says_what_is_wrong_first(seen: object, css: str, says: str) -> None:
    found_css, found = stream.verdicts(words.words("en"), seen)[0]  # type: ignore[arg-type]
    assert found_css == css
    assert says in found


def test_lag_is_from_the_fence_to_the_end_and_never_of_what_is_gone() -> None:
    ends = {"purchases": {0: (0, 10), 1: (5, 8)}, "ticks": {0: (0, 3)}}
    assert lags_of({"purchases": 4, "ticks": 3}, 0, ends) == {"purchases": 6, "ticks": 0}
    assert lags_of({"purchases": 2}, 1, ends) == {"purchases": 3, "ticks": 0}


@given(st.lists(st.integers(0, 50), min_size=3, max_size=8).filter(any), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_that_holds_it(counts: list[int], part: float) -> None:
    bounds = [*(float(2**place) for place in range(len(counts) - 1)), float("inf")]
    running = [sum(counts[: place + 1]) for place in range(len(counts))]
    found = quantile(dict(zip(bounds, map(float, running), strict=True)), part)
    place = next(place for place, count in enumerate(running) if count >= part * running[-1])
    low, high = bounds[place - 1] if place else 0.0, min(bounds[place], bounds[-2])
    assert found is not None
    assert min(low, high) <= found <= high + 1e-9


@given(st.lists(st.integers(-9, 9)), st.integers(1, 5))
def test_the_best_are_those_of_a_plain_sort(ranks: list[int], most: int) -> None:
    best = Best(most)
    for place, rank in enumerate(ranks):
        best.put((rank, place), place)
    plain = sorted(range(len(ranks)), key=lambda place: (ranks[place], place), reverse=True)[:most]
    assert (list(best.best()), best.number) == (plain, len(ranks))


def test_months_are_without_a_gap() -> None:
    calendar = samples.policy().calendar
    found = samples.story().months("churn-risk:RAISED", calendar)
    assert list(found) == ["2017-02", "2017-03", "2017-04", "2017-05"]
    assert list(found.values()) == [3, 0, 0, 0]


def test_bytes_are_shown_sixteen_a_line_and_bounded() -> None:
    html = str(letters.content(ask(), [samples.letter(value=b"\x00" * 5_000)], 1, []))
    assert html.count("00 00 00 00") == 4 * letters.BYTES_SHOWN // 16
    assert "5,000 bytes" in html


def test_a_page_of_two_thousand_at_risk_shows_fifty() -> None:
    many = tuple(samples.risky(str(number), 10_000 - number) for number in range(2_000))
    html = str(risk.content(ask(), samples.survey(risky=many, risky_all=70_000), risk.Wanted(page=2)))
    assert html.count("<tr") == 1 + risk.PAGE
    assert ">50</a>" in html
    assert "70,000" in html


def test_nothing_of_the_console_is_asked_for_elsewhere() -> None:
    for file in (CONSOLE / "static").iterdir():
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"^\s*//.*$|//\s.*$", "", text, flags=re.M)), file
        assert Path(file).suffix in (".css", ".js", ".svg")
