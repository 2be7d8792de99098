"""A worker whose runners only take note, as a process: `python -m tests.live.noting_worker [--until-caught-up]`.

The environment is a worker's. NOTING_FAIL=crash|stopped makes the runner of partition 1 fail so.
"""

import os
import sys

from prometheus_client import CollectorRegistry

from processors.policy import load_policy
from sinks.metrics import Seen
from streams import worker
from streams.app import LoyaltyApp
from streams.partition import PartitionStopped
from streams.settings import LoyaltyError, Settings
from tests.live.running import Notes, NotingRunner

POLICY = '[programme]\nname = "t"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n'


class Failing(NotingRunner):
    """Fails as NOTING_FAIL says."""

    async def run(self) -> None:
        if os.environ["NOTING_FAIL"] == "crash":
            raise RuntimeError("the runner fell over")
        raise PartitionStopped("partition 1 needs a person")


class NotingParts:
    """Parts without Redis. `forgotten`: the partitions that were handed over."""

    def __init__(self) -> None:
        self.policy = load_policy(POLICY)
        self.registry = CollectorRegistry()
        self.schema_ids = None
        self.notes = Notes()
        self.runners: list[NotingRunner] = []
        self.forgotten: list[int] = []
        self.looks: list[Seen] = []
        self.away: Exception | None = None
        self.refused = 0

    def runner(self, partition: int, app: LoyaltyApp) -> NotingRunner:
        kind = Failing if partition == 1 and "NOTING_FAIL" in os.environ else NotingRunner
        self.runners.append(kind(self.notes, partition))
        return self.runners[-1]

    async def open(self) -> None: ...

    async def writable(self) -> None:
        if self.away is not None:
            self.refused += 1
            raise self.away

    def seen(self, seen: Seen) -> None:
        self.looks.append(seen)

    def lag(self, place: tuple[str, int]) -> int | None:
        """As last told of a topic-partition."""
        return self.looks[-1].lags.get(place) if self.looks else None

    def forget(self, partition: int) -> None:
        self.forgotten.append(partition)

    async def close(self) -> None: ...


def main() -> int:
    parts: list[NotingParts] = []

    def make() -> NotingParts:
        parts.append(NotingParts())
        return parts[0]

    try:
        code = worker.run(Settings.from_env(), make, until_caught_up="--until-caught-up" in sys.argv)
    except LoyaltyError as error:
        sys.stderr.write(f"loyalty: {error}\n")
        return 1
    sys.stdout.write(f"{parts[0].notes.count()}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
