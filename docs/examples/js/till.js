// Sends a till's sales: node till.js KAFKA SCHEMAS STORE CURRENCY < journal.tsv
//
// A line is a sale: event id, customer, UTC milliseconds, category, quantity, net amount in cents; tab between them.
import { createInterface } from 'node:readline'
import { Producer, compatibilityPartitioner } from '@platformatic/kafka'
import { writer } from './avro.js'

const [kafka, schemas, store, currency] = process.argv.slice(2)
const write = writer(schemas, 'purchases')
const producer = new Producer({
  clientId: 'till',
  bootstrapBrokers: kafka.split(','),
  // As in Java. The library's default keeps the hash's sign bit, which puts half of all customers elsewhere.
  partitioner: compatibilityPartitioner,
  idempotent: true // and acks: all
})

const sales = []
for await (const line of createInterface({ input: process.stdin })) {
  const [id, customer, at, category, quantity, amount] = line.split('\t')
  const sale = {
    event_id: id, customer_id: customer, occurred_at: Number(at), kind: 'SALE', store_id: store, currency,
    lines: [{ category, quantity: Number(quantity), net_amount: Number(amount) }]
  }
  sales.push({ topic: 'purchases', key: Buffer.from(customer), value: write(sale) })
}
if (sales.length) await producer.send({ messages: sales }) // resolves when the brokers have them, else throws
await producer.close()
console.log(`${sales.length} sales sent`)
