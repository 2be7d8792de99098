"""Prints who may leave now, those first of whom most is at stake: a subscriber with this project's own codec.

    source .venv/bin/activate
    python docs/examples/alerts_with_loyalty.py

Where Kafka is: LOYALTY_KAFKA, by default the local stack.
"""

from processors.money import major
from schemas.codec import read
from schemas.topics import CHURN_RISK
from streams.reading import TopicReader
from streams.schema_ids import asking
from streams.settings import Settings


def main() -> None:
    latest, settings = {}, Settings.from_env()
    registered = asking(settings)  # a schema registry, where LOYALTY_SCHEMA_REGISTRY_URL names one
    with TopicReader(settings.kafka) as reader:  # read_committed, all partitions
        for record in reader.stream(CHURN_RISK, from_beginning=True, until_end=True):
            if dict(record.headers)["holdout"] == b"false":
                alert = read(CHURN_RISK, record.value, registered)
                latest[alert["customer_id"]] = alert  # a customer's alerts come in their order
    for alert in sorted(latest.values(), key=lambda alert: -alert["value_at_stake"]):
        if alert["level"] in ("WATCH", "AT_RISK"):
            stake = major(alert["value_at_stake"], alert["currency"])
            print(alert["customer_id"], alert["level"], stake, alert["reasons"][0]["text"], sep="\t")


main()
