"""What a click writes to Kafka. Each is what a command of `loyalty` does; none is done twice, whatever is clicked."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from schemas import topics
from sinks.dead_letters import TooScattered, Wanted
from sinks.dead_letters import retry as send_again
from streams.closing import declined, done, open_reminder, send_contact
from streams.customers_now import CustomersNow
from streams.leader import wall_ms
from streams.reading import TopicReader
from streams.settings import LoyaltyError, Settings

DONE: Final = "done"
DECLINED: Final = "declined"


class Written(Struct, frozen=True):
    """A contact that lies in Kafka, for a customer."""

    customer_id: str
    kind: str
    partition: int
    offset: int


def close(settings: Settings, reminder_id: str, how: str) -> Written:
    """Write the contact that fulfils a reminder, or declines it. how: DONE or DECLINED. Raises LoyaltyError."""
    with CustomersNow(settings) as now:
        seen, row = open_reminder(reminder_id, now.one)
    at = seen["as_of"] if settings.clock == "data" else wall_ms()
    contact = declined(row, at) if how == DECLINED else done(row, at, None, None, None)
    partition, offset = send_contact(settings, contact)
    return Written(row["customer_id"], row["kind"], partition, offset)


def retry(settings: Settings, wanted: Wanted) -> int:
    """Send dead letters again that were not sent yet; how many. Raises LoyaltyError."""
    with TopicReader(settings.kafka) as reader:
        partitions = {topic: reader.partitions(topic) for topic in topics.INPUTS}
    try:
        return sum(1 for _ in send_again(settings.kafka.options(), settings.group, partitions, wanted))
    except TooScattered as error:
        raise LoyaltyError(str(error)) from error
