"""One seed: a shop, an undisturbed run, a disturbed one, and the verdict."""

from __future__ import annotations

import traceback
from collections import Counter
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from tests.simulation.faults import Faults, none
from tests.simulation.judge import judge
from tests.simulation.shop import Shop, shop_year
from tests.simulation.world import BIG, World, line, some_sizes

STEPS_MAX = 60_000


class Outcome(Struct):
    """What one seed came to. error: None where all held; history: what happened, the last of it."""

    seed: int
    happened: Counter[str]
    error: str | None = None
    history: list[str] = []

    def report(self) -> str:
        """For a person: what does not hold, the way to see it again, and what went before."""
        return "\n".join((*self.history[-200:], f"{self.error}", f"seed {self.seed}: make simulate SEED={self.seed}"))


def run(seed: int) -> Outcome:
    """Never raises: what does not hold is in `error`."""
    rng = Random(seed)
    shop = shop_year(rng)
    strength = rng.choice((0.5, 1.0, 2.0))
    rewinds = 0.008 if rng.random() < 0.5 else 0.0
    left = rng.randint(5, 40) * (1 if rewinds == 0.0 else 3)  # some late in the year, behind erases and compaction
    faults = Faults(rng, strength, left=left, redis_rewind=rewinds)
    world = World(shop, rng, faults, some_sizes(rng))
    outcome = Outcome(seed, faults.happened)
    try:
        undisturbed = quiet_run(shop)
        world.run_until_quiet(STEPS_MAX)
        judge(world, undisturbed)
    except Exception as wrong:
        outcome.error = "".join(traceback.format_exception(wrong)[-3:])
        outcome.history = list(map(line, world.log))
    outcome.happened |= Counter(
        fenced=world.fenced, recovered=world.recovered, compacted=world.compacted, misplaced=shop.misplaced
    )
    return outcome


def quiet_run(shop: Shop) -> World:
    """All of the shop there from the start, one worker, big batches, each record set once, no fault."""
    return World(replace(shop, live=False), Random(0), none(Random(0)), BIG).run_until_quiet(STEPS_MAX)
