"""The programme's counters by family, row and number, as `processors/census.py` names them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from processors import segments
from processors.census import CARED, FAMILIES, HELD
from processors.history import WINDOW_DAYS
from processors.sketch import Class, Spread


class Sums:
    """counts: of all partitions together. day: the programme's day of the clock, None before the first tick."""

    def __init__(self, counts: Mapping[str, int], day: int | None) -> None:
        self.counts, self.day = counts, day
        self._rows: dict[str, dict[str, Counter[str]]] = {
            family: defaultdict(Counter) for family in (*FAMILIES, *segments.FAMILIES)
        }
        for name, number in counts.items():
            family, _, rest = name.partition(":")
            if number and family in self._rows:
                row, _, what = rest.rpartition(":")
                self._rows[family][row][what] += number

    def rows(self, family: str) -> Mapping[str, Counter[str]]:
        """Each row of a family with its numbers."""
        return dict(sorted(self._rows[family].items()))

    def of(self, family: str, row: str, what: str) -> int:
        """One number; 0 where nothing was counted."""
        held = self._rows[family].get(row)
        return 0 if held is None else held[what]

    def total(self, family: str, what: str) -> int:
        """A number over all rows."""
        return sum(row[what] for row in self._rows[family].values())

    def named(self, prefix: str) -> dict[str, int]:
        """Counters whose name begins with `prefix`, by the rest of it."""
        return {name[len(prefix) :]: n for name, n in sorted(self.counts.items()) if n and name.startswith(prefix)}

    @property
    def customers(self) -> int:
        """All of them, those who have not bought too."""
        return sum(self.named("customers:").values())

    def spread(self, family: str = "spread") -> Spread:
        """Customers by what they brought: `spread` by value (value, touches), `worth` by contribution."""
        whats = FAMILIES[family][1:]
        classes = (
            Class(int(number), row["customers"], tuple(row[what] for what in whats))
            for number, row in self._rows[family].items()
        )
        return Spread(self.customers, classes)

    def orders(self) -> Spread:
        """Those who have an average order, by it (V6)."""
        classes = [Class(int(number), row["customers"], ()) for number, row in self._rows["order"].items()]
        return Spread(sum(one.customers for one in classes), classes)

    def since(self, family: str) -> int:
        """Customers of a family by programme day whose day lies in the last 365 days."""
        if self.day is None:
            return 0
        first = self.day - WINDOW_DAYS
        return sum(row["customers"] for day, row in self._rows[family].items() if first < int(day) <= self.day)

    def stayed(self, *arms: str) -> tuple[int, int]:
        """(of those who bought in the 365 days before the last 365 those who bought in these too, all of those)."""
        kept = there = 0
        for arm, day, active, number in self._bases():
            if arm in (arms or (CARED, HELD)) and self.day is not None and int(day) > self.day - 2 * WINDOW_DAYS:
                there += number
                kept += number if active == "1" else 0
        return kept, there

    def _bases(self) -> Iterator[tuple[str, str, str, int]]:
        for row, numbers in self._rows["base"].items():
            arm, day, active = row.split(":")
            yield arm, day, active, numbers["customers"]
