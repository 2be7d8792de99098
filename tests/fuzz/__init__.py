"""A fuzzer of what comes from Kafka, through the production loop (D6): never a crash, never a wrong fold, always a
reason.

- bases: good records
- pieces: a record's Avro in pieces that can be exchanged
- mutations: what may be done to bytes and to Avro's structure
- values: what may be done to fields: at and beyond every bound
- inputs: from a seed to what comes in
- plain: what a record says and whether it may, by fastavro and the contract's sentences
- world: a partition that has lived, and good records around the input
- effects: what a fold must have added
- judge: what must hold of one input
- run: one seed, and many
"""
