"""Every Redis key, by function. All of a partition's keys carry the hash tag `{p}`, so one script covers them."""

from __future__ import annotations

from msgspec import Struct


class Keys(Struct, frozen=True):
    """The keys of one installation; `prefix` is LOYALTY_PREFIX."""

    prefix: str = "loyalty"

    def of(self, partition: int) -> str:
        """What all keys of a partition begin with."""
        return f"{self.prefix}:{{{partition}}}:"

    def customer(self, partition: int, customer_id: str) -> str:
        """Hash: the view, for any reader."""
        return f"{self.of(partition)}customer:{customer_id}"

    def state(self, partition: int, customer_id: str) -> str:
        """String: the state, ours alone."""
        return f"{self.of(partition)}state:{customer_id}"

    def due(self, partition: int) -> str:
        """Zset: customer id by `next_review` (ms); exactly one entry for each known customer."""
        return f"{self.of(partition)}due"

    def fence(self, partition: int) -> str:
        """Hash: epoch, seq, clock, policy, shares, and topic -> next fetch position."""
        return f"{self.of(partition)}fence"

    def outbox(self, partition: int) -> str:
        """Stream: Kafka records not yet published, id `<commit seq>-<n>`."""
        return f"{self.of(partition)}outbox"

    def values(self, partition: int) -> str:
        """Zset: customers whose view is not yet published, by the commit that changed it."""
        return f"{self.of(partition)}values"

    def erased(self, partition: int) -> str:
        """Hash: HMAC of an erased id to the instant up to which its events are dropped (ms)."""
        return f"{self.of(partition)}erased"

    def kpi(self, partition: int) -> str:
        """Hash: counters of this partition."""
        return f"{self.of(partition)}kpi"

    def meta(self) -> str:
        """Hash: partitions, layout, programme."""
        return f"{self.prefix}:meta"

    # Patterns for the ACLs of Redis users. No command of ours takes one, but that which empties an installation.

    def every(self) -> str:
        """All keys of this installation."""
        return f"{self.prefix}:*"

    def every_view(self) -> tuple[str, ...]:
        """All views, and `meta`, without which nobody knows a customer's partition.

        By the number of the partition's digits: a star there would also take in the state of a customer whose id goes
        `x}:customer:y`.
        """
        digits = ("[0-9]" * count for count in range(1, 5))
        return (self.meta(), *(f"{self.prefix}:{{{number}}}:customer:*" for number in digits))
