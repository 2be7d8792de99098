"""The oracle itself: that it imports nothing of the project, and that its comparison finds what differs."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from processors.review import evaluated
from processors.view import view
from tests.core.driving import Partition, plainly
from tests.core.events import ny, sale
from tests.core.test_T_tier import THREE, ladder
from tests.oracle.completejourney import END_MS, differences
from tests.strategies import parsed, policy_of

FOLDER = Path(__file__).parents[1] / "oracle"
OURS = ("processors", "schemas", "sinks", "streams", "infra")


def test_the_oracle_imports_nothing_of_what_it_judges():
    files = list(FOLDER.glob("*.py"))
    assert len(files) > 4
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in OURS], f"{file.name}:{node.lineno}"


def test_the_comparison_of_a_year_names_household_field_and_both_values():
    text, at = ladder(*THREE), ny("2017-03-01T12:00")
    policy, events = policy_of(text), [sale(at, 300), sale(at, 1, customer_id="bob")]
    partition = Partition(policy).run([*plainly(events), END_MS])
    shown = [view(evaluated(one, END_MS, policy), policy) for one in partition.customers.values()]
    rows = json.loads(json.dumps(shown))
    told = [{"customer_id": "anna", "at": one.at, "from_tier": one.from_tier, "to_tier": one.to_tier,
             "value_365d": one.value_365d} for one in partition.told]  # fmt: skip
    assert list(differences(events, parsed(text), rows, told)) == []
    wrong = [{**rows[0], "value_365d": 299}]
    assert list(differences(events, parsed(text), wrong, [{**told[0], "to_tier": "gold"}])) == [
        "bob: is missing",
        "anna: value_365d is 299, should be 300",
        f"anna: was told [({at}, 'member', 'gold', 300)], should be [({at}, 'member', 'silver', 300)]",
    ]
