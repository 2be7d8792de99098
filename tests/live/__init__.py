"""Against the real Kafka and Redis of the local stack."""
