"""One seed: a shop, an undisturbed run, a disturbed one, and the verdict."""

from __future__ import annotations

from collections import Counter
from random import Random

from msgspec import Struct

from tests.simulation import faults
from tests.simulation.judge import judge
from tests.simulation.shop import shop_year
from tests.simulation.world import BIG, World, some_sizes


class Outcome(Struct):
    """What one seed came to. error: None where all held."""

    seed: int
    happened: Counter[str]
    error: str | None
    history: list[str]


def run(seed: int) -> Outcome:
    """Never raises: what went wrong is in `error`, with the history of effects."""
    rng = Random(seed)
    shop = shop_year(rng)
    strength = rng.choice((0.5, 1.0, 2.0))
    world = None
    rewinds = 0.002 if rng.random() < 0.2 else 0.0
    disturbed = faults.Faults(rng, strength, left=rng.randint(5, 40), redis_rewind=rewinds)
    try:
        undisturbed = World(_lying(shop), Random(0), faults.none(Random(0)), BIG).run_until_quiet()
        world = World(shop, rng, disturbed, some_sizes(rng))
        world.run_until_quiet()
        judge(world, undisturbed)
        error = None
    except Exception as wrong:
        error = f"{type(wrong).__name__}: {wrong}"
        import traceback

        error += "\n" + "".join(traceback.format_exception(wrong)[-3:])
    happened = disturbed.happened.copy()
    if world is not None:
        happened["fenced"] = world.fenced
        happened["misplaced"] = shop.misplaced
    return Outcome(seed, happened, error, list(world.log) if world is not None else [])


def _lying(shop):
    """The shop with all its rows there from the start."""
    from msgspec.structs import replace

    return replace(shop, live=False)
