// Avro's single-object encoding: c3 01, the CRC-64-AVRO fingerprint of the writer's schema, the body.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import avro from 'avsc'

const EMPTY = 0xc15d213aa4d7a795n
const TABLE = Array.from({ length: 256 }, (_, byte) => {
  let mark = BigInt(byte)
  for (let bit = 0; bit < 8; bit++) mark = (mark >> 1n) ^ (mark & 1n ? EMPTY : 0n)
  return mark
})

/** The ten bytes before a record that was written under `type`. */
function head(type) {
  let mark = EMPTY
  for (const byte of Buffer.from(JSON.stringify(type.schema()))) { // the schema in parsing canonical form
    mark = (mark >> 8n) ^ TABLE[Number(mark & 0xffn) ^ byte]
  }
  const bytes = Buffer.from([0xc3, 0x01, 0, 0, 0, 0, 0, 0, 0, 0])
  bytes.writeBigUInt64LE(mark, 2)
  return bytes
}

const load = path => avro.Type.forSchema(JSON.parse(readFileSync(path, 'utf8')))

/** A function from objects to bytes, for `topic`. */
export function writer(folder, topic) {
  const type = load(join(folder, `${topic}.avsc`))
  const start = head(type)
  return datum => Buffer.concat([start, type.toBuffer(datum)])
}

/** A function from bytes, written under any released schema of `topic`, to objects of the newest. */
export function reader(folder, topic) {
  const mine = load(join(folder, `${topic}.avsc`))
  const releases = join(folder, 'released', topic)
  const known = new Map(readdirSync(releases).map(name => {
    const type = load(join(releases, name))
    return [head(type).toString('hex'), mine.createResolver(type)]
  }))
  return bytes => {
    const resolver = known.get(bytes.toString('hex', 0, 10))
    if (!resolver) throw new Error(`no release in ${releases} has the mark ${bytes.toString('hex', 2, 10)}: fetch it`)
    return mine.fromBuffer(bytes.subarray(10), resolver)
  }
}
