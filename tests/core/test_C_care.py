"""C8: who is in the control group."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.care.people import held_out
from processors.money import Rate
from tests.oracle import whole


@given(st.text(min_size=1), st.text(min_size=1), st.decimals(0, 1, places=4))
def test_C8_held_out_is_the_share_of_the_contracts_hash(programme, customer_id, share):
    policy = {"programme": {"name": programme, "holdout": share}}
    assert held_out(programme, customer_id, Rate.of(share)) == whole.held_out(customer_id, policy)


def test_C8_about_the_share_is_held_out_and_another_programme_holds_out_others():
    ids = [f"c{n}" for n in range(20_000)]
    share = Rate.of("0.05")
    ours, theirs = ({name for name in ids if held_out(of, name, share)} for of in ("ours", "theirs"))
    assert 900 < len(ours) < 1_100  # 1,000 expected; three standard deviations are 92
    assert 0 < len(ours & theirs) < 150
    assert not any(held_out("ours", name, Rate.of("0")) for name in ids[:100])
