"""The board of alerts: who is on it, in which order, and what fits a screen."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from streams.cli import board as model
from streams.cli.board import Board, strongest
from streams.cli.output import Output, Part, screen

DAY_MS = 86_400_000
AT = 17_000 * DAY_MS  # 2016-07-18
TALL = 200


def reason(code: str, weight: float, text: str = "") -> dict[str, Any]:
    return {"code": code, "weight": weight, "text": text or code}


def alert(name: str = "anna", stake: int = 10_000, level: str = "AT_RISK", **more: Any) -> dict[str, Any]:
    return {
        "customer_id": name,
        "at": AT,
        "transition": "LOST" if level == "LOST" else "RAISED",
        "level": level,
        "score": 0.834,
        "value_at_stake": stake,
        "currency": "USD",
        "last_purchase_at": AT - 31 * DAY_MS,
        "reasons": [reason("silence", 1.9, "bought every 9 days, silent for 31"), reason("base", -0.3)],
        "holdout": False,
        **more,
    }


def board(*alerts: dict[str, Any], **bounds: int) -> Board:
    made = Board(**bounds)
    for one in alerts:
        made.take(one)
    return made


def names(shown: Board, title: str = "May leave", height: int = TALL) -> list[str]:
    found = [part for part in shown.parts(height) if part.title.startswith(title)]
    return [row.cells[0][0] for part in found for row in part.rows]


def titles(shown: Board) -> list[str]:
    return [part.title for part in shown.parts(TALL) if part.columns]


def note(shown: Board) -> str:
    return shown.parts(TALL)[-1].note


def drawn(parts: list[Part], width: int = 100) -> str:
    console = Console(record=True, width=width, file=io.StringIO(), highlight=False)
    console.print(screen(parts, width))
    return console.export_text()


# ---- who is on it


def test_those_first_of_whom_most_is_at_stake() -> None:
    shown = board(alert("anna", 5_000), alert("bo", 90_000), alert("cy", 20_000), alert("ann", 5_000))
    assert names(shown) == ["bo", "cy", "ann", "anna"]
    assert titles(shown) == ["May leave: 4 customers, 1200.00 USD at stake"]


def test_only_the_latest_alert_of_a_customer_counts() -> None:
    shown = board(alert(level="WATCH", stake=7_000), alert(transition="WORSENED", stake=9_000))
    (row,) = shown.parts(TALL)[0].rows
    assert row.cells == (
        ("anna", "2016-06-17"),
        ("90.00 USD", "0.83"),
        ("AT RISK", "worsened"),
        ("bought every 9 days, silent for 31",),
    )


@pytest.mark.parametrize("transition", ["CLEARED", "EASED", "WON_BACK", "RECOVERED"])
@pytest.mark.parametrize("before", ["AT_RISK", "LOST"])
def test_who_is_safe_again_leaves_it(before: str, transition: str) -> None:
    shown = board(alert(level=before), alert("bo"), alert(level="OK", transition=transition))
    assert (names(shown), names(shown, "Lost")) == (["bo"], [])


def test_who_eased_or_came_back_to_a_level_stays() -> None:
    assert names(board(alert(), alert(level="WATCH", transition="EASED"))) == ["anna"]
    came_back = board(alert(level="LOST"), alert(level="WATCH", transition="WON_BACK"))
    assert (names(came_back), names(came_back, "Lost")) == (["anna"], [])


def test_R6_who_fades_is_on_it_though_no_level_says_so_until_recovered() -> None:
    fading = alert(level="OK", transition="FADING")
    assert board(fading).parts(TALL)[0].rows[0].cells[2] == ("OK", "fading")
    assert names(board(fading, alert(level="OK", transition="RECOVERED"))) == []
    assert names(board(alert(), alert(transition="RECOVERED"))) == ["anna"]


def test_the_lost_have_their_own_part() -> None:
    shown = board(alert("anna"), alert("bo"), alert("bo", 4_000, "LOST"))
    assert (names(shown), names(shown, "Lost")) == (["anna"], ["bo"])
    assert titles(shown)[1] == "Lost: 1 customer, 40.00 USD at stake"


def test_held_out_customers_are_marked_and_the_mark_is_explained() -> None:
    shown = board(alert("anna", holdout=True), alert("bo"))
    assert names(shown) == ["○ anna", "bo"]
    assert "○ held out for comparison: leave them alone" in note(shown)
    assert "held out" not in note(board(alert()))


def test_a_forgotten_customer_an_unknown_level_and_what_cannot_be_read_do_no_harm() -> None:
    shown = board(alert("anna"), alert("bo"), {"customer_id": "anna", "value": None}, {"error": "BrokenAvro"})
    shown.take(alert("bo", level="UNKNOWN", transition="UNKNOWN"))
    assert names(shown) == ["bo"]
    assert note(shown) == "3 alerts; the last of 2016-07-18; 1 could not be read"


def test_an_empty_board_says_so() -> None:
    assert [(part.title, part.note) for part in Board().parts(TALL)] == [("", "no alerts yet")]


def test_a_customer_without_a_purchase_and_an_odd_currency_are_shown() -> None:
    (row,) = board(alert(last_purchase_at=None, currency="XXX", stake=5)).parts(TALL)[0].rows
    assert (row.cells[0], row.cells[1][0]) == (("anna", "never"), "5 XXX")
    both = board(alert("anna"), alert("bo", 100, currency="EUR"))
    assert titles(both) == ["May leave: 2 customers, 100.00 USD + 1.00 EUR at stake"]


# ---- reasons


def test_the_strongest_reasons_are_those_that_speak_for_leaving() -> None:
    given = [reason("a", 2.0), reason("b", 1.0), reason("c", 0.5), reason("d", -0.5), reason("base", 3.0)]
    assert strongest(given) == ("a", "b")
    assert strongest([reason("d", -0.5), reason("base", 3.0)]) == ("d",)
    assert strongest([reason("a", 2.0), reason("lost", 0.0), reason("d", -0.5), reason("base", 0.0)]) == ("lost", "a")
    assert strongest([reason("base", 3.0)]) == ("base",)


# ---- bounds


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 50), st.sampled_from(["WATCH", "AT_RISK", "LOST", "OK"]))),
    st.integers(1, 60),
    st.integers(20, 160),
)
def test_it_fits_any_screen_with_room_for_a_row_of_each_part(
    told: list[tuple[int, int, str]], height: int, width: int
) -> None:
    shown = board(*(alert(f"c{number}", stake, level) for number, stake, level in told))
    parts = shown.parts(height)
    assert len(drawn(parts, width).splitlines()) <= max(height, sum(bool(part.columns) for part in parts) * 5 + 1)
    for part in parts:
        assert part.rows or not part.columns
    latest = {f"c{number}": (-stake, f"c{number}") for number, stake, level in told}
    for title in ("May leave", "Lost"):
        order = [latest[name] for name in names(shown, title, height)]
        assert order == sorted(order)


def test_a_screen_is_filled_and_the_lost_get_a_third_of_it() -> None:
    many = board(*(alert(f"a{number}", number) for number in range(50)),
                 *(alert(f"b{number}", number, "LOST") for number in range(50)))  # fmt: skip
    assert (len(names(many, height=48)), len(names(many, "Lost", 48))) == (14, 6)
    few = board(alert(), *(alert(f"b{number}", number, "LOST") for number in range(50)))
    assert (len(names(few, height=48)), len(names(few, "Lost", 48))) == (1, 19)


def test_no_more_customers_are_kept_than_the_bound_and_the_best_of_them() -> None:
    shown = board(*(alert(f"c{number}", number) for number in range(40)), kept_max=10, slack=5)
    assert len(names(shown)) <= 15
    assert names(shown)[:10] == [f"c{number}" for number in range(39, 29, -1)]
    assert titles(shown)[0].startswith("May leave: at least ")


# ---- drawing


def test_it_is_drawn_with_sentences_and_what_is_too_wide_is_cut() -> None:
    why = [reason("silence", 1.9, "平时每9天买一次，已有31天没来"), reason("narrowing", 0.3, "short")]
    text = drawn(board(alert("x" * 128, holdout=True), alert("bo", level="LOST", reasons=why)).parts(40), 100)
    assert max(map(len, text.splitlines())) <= 100
    assert "bought every 9 days, silent for 31" in text
    assert "平时每9天买一次" in text
    assert "…" in text
    assert "May leave: 1 customer" in text
    assert "Lost: 1 customer" in text


def test_what_would_move_the_cursor_is_not_drawn() -> None:
    evil = [reason("silence", 1.9, "\x1b]0;title\x07")]
    text = drawn(board(alert("anna\x1b[2J\n", reasons=evil)).parts(40))
    assert "\x1b" not in text
    assert "anna·[2J·" in text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_redrawn_and_keeps_the_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal, shown = Terminal(), Board()
    out = Output(stdout=terminal)
    assert out.can_redraw
    with out.live(shown.parts):
        shown.take(alert("anna"))
    assert "anna" in terminal.getvalue().split("no alerts yet")[-1]


@pytest.mark.parametrize(
    ("out", "term"),
    [(Output(stdout=io.StringIO()), "xterm"), (Output(True, Terminal()), "xterm"), (Output(stdout=Terminal()), "dumb")],
)
def test_a_pipe_a_program_and_a_dumb_terminal_get_lines(
    out: Output, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    assert not out.can_redraw


def test_the_least_bound_is_above_any_screen() -> None:
    assert model.KEPT_MAX > 1_000
