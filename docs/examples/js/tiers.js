// Prints who rose or fell, and why: node tiers.js KAFKA SCHEMAS [TIER]
//
// TIER: only changes to that tier. Ctrl-C ends it; started again it goes on where it was.
import { Consumer, FetchIsolationLevels, MessagesStreamFallbackModes, MessagesStreamModes } from '@platformatic/kafka'
import { reader } from './avro.js'

const [kafka, schemas, tier] = process.argv.slice(2)
const read = reader(schemas, 'tier-changes')
const consumer = new Consumer({ clientId: 'tiers', groupId: 'tiers-js', bootstrapBrokers: kafka.split(',') })
const stream = await consumer.consume({
  topics: ['tier-changes'],
  isolationLevel: FetchIsolationLevels.READ_COMMITTED, // what a crash left half told is never seen
  mode: MessagesStreamModes.COMMITTED,
  fallbackMode: MessagesStreamFallbackModes.EARLIEST,
  autocommit: false
})
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stream.close())

for await (const message of stream) {
  if (!tier || header(message, 'tier') === tier) act(read(message.value)) // the others need no decoding
  await message.commit() // after the work: what a crash leaves undone comes again
}
await consumer.close()

function header(message, wanted) {
  for (const [name, value] of message.headers) if (name.toString() === wanted) return value.toString()
}

/** May be called again for a change that it has seen: keep `event_id` beside what you do about it. */
function act(change) {
  console.log([change.customer_id, change.from_tier, change.to_tier, change.reason].join('\t'))
}
