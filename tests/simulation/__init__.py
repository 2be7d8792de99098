"""The production loop in a small world: Kafka, Redis and the workers as models, time and faults from one seed.

- kafka: logs with offsets, transactions, markers, gaps; fenced producers
- shop: a year and more of a shop, good and bad, as input logs
- faults: which faults there are, how often, and what happened
- publisher: the outbox to Kafka, in transactions, with its position
- world: workers that own partitions, one small step at a time, in any order
- judge: what must hold when all is quiet
- run: one seed
- mutants: the loop broken on purpose; the seeds must notice
"""
