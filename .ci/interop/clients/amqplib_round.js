// amqplib against a broker: each function is one thing that programs rely on.
//
// usage: node amqplib_round.js URL PREFIX
//
// PREFIX begins every name that is declared. Prints one line for each function
// that passed; ends with code 1 at the first that did not.
'use strict'
const assert = require('assert')
const amqp = require('amqplib')

const [url, prefix] = process.argv.slice(2)
const name = (what) => prefix + what
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// get waits up to a minute for one message.
async function get(ch, queue) {
  for (let i = 0; i < 6000; i++) {
    const m = await ch.get(queue)
    if (m) return m
    await pause(10)
  }
  throw new Error('nothing in ' + queue)
}

async function confirmsAndConsumes(connection) {
  const ch = await connection.createConfirmChannel()
  const q = name('flow')
  await ch.assertQueue(q, { durable: true })
  await ch.bindQueue(q, 'amq.topic', 'flow.*')
  await ch.prefetch(10)
  const got = []
  const all = new Promise((resolve) => ch.consume(q, (m) => {
    got.push(m.content.toString())
    ch.ack(m)
    if (got.length === 500) resolve()
  }, { consumerTag: 'reader' }))
  for (let i = 0; i < 500; i++) ch.publish('amq.topic', 'flow.x', Buffer.from(String(i)), { persistent: true })
  await ch.waitForConfirms()
  await all
  await ch.cancel('reader')
  assert.deepStrictEqual(got, Array.from({ length: 500 }, (_, i) => String(i)))
  assert.deepStrictEqual(await ch.deleteQueue(q), { messageCount: 0 })
}

async function propertiesComeBack(connection) {
  const ch = await connection.createChannel()
  const { queue } = await ch.assertQueue('', { exclusive: true })
  const headers = { text: 'x', small: 7, big: 2 ** 40, real: 1.5, yes: true, list: [1, 'two'], table: { deep: { er: 1 } } }
  ch.sendToQueue(queue, Buffer.alloc(0), { contentType: 'a/b', correlationId: 'c', replyTo: 'r', messageId: 'm', type: 't', appId: 'a', timestamp: 1234567890, headers })
  const m = await get(ch, queue)
  assert.deepStrictEqual(m.properties.headers, headers)
  assert.strictEqual(m.properties.contentType, 'a/b')
  assert.strictEqual(m.properties.timestamp, 1234567890)
  assert.strictEqual(m.content.length, 0)
}

async function nackedOnesComeAgain(connection) {
  const ch = await connection.createChannel()
  const { queue } = await ch.assertQueue('', { exclusive: true })
  ch.sendToQueue(queue, Buffer.from('x'))
  const first = await get(ch, queue)
  assert.strictEqual(first.fields.redelivered, false)
  ch.nack(first)
  const again = await get(ch, queue)
  assert.strictEqual(again.fields.redelivered, true)
  ch.nack(again, false, false)
  assert.strictEqual(await ch.get(queue), false)
}

async function unroutableOnesReturn(connection) {
  const ch = await connection.createConfirmChannel()
  const returned = new Promise((resolve) => ch.on('return', resolve))
  ch.publish('amq.direct', name('nowhere'), Buffer.from('x'), { mandatory: true })
  const m = await returned
  assert.strictEqual(m.fields.replyCode, 312)
  await ch.waitForConfirms()
}

async function exchangeTypesRoute(connection) {
  const ch = await connection.createConfirmChannel()
  for (const [type, binding, key, args, headers] of [
    ['direct', 'a', 'a'], ['fanout', '', 'any'], ['topic', '#.c', 'a.b.c'],
    ['headers', '', '', { 'x-match': 'any', h: 1 }, { h: 1 }]]) {
    const x = name('x.' + type)
    await ch.assertExchange(x, type, { durable: false })
    const { queue } = await ch.assertQueue('', { exclusive: true })
    await ch.bindQueue(queue, x, binding, args)
    ch.publish(x, key, Buffer.from(type), { headers })
    await ch.waitForConfirms()
    assert.strictEqual((await get(ch, queue)).content.toString(), type)
    await ch.deleteExchange(x)
  }
}

async function refusalsCloseTheChannelOnly(connection) {
  const ch = await connection.createChannel()
  ch.on('error', () => {}) // told again below
  await assert.rejects(ch.checkQueue(name('missing')), /404/)
  const next = await connection.createChannel()
  await next.close()
}

async function main() {
  for (const step of [confirmsAndConsumes, propertiesComeBack, nackedOnesComeAgain, unroutableOnesReturn,
    exchangeTypesRoute, refusalsCloseTheChannelOnly]) {
    const connection = await amqp.connect(url)
    await step(connection)
    await connection.close()
    console.log('ok', step.name)
  }
}

main().catch((err) => {
  console.error(err)
  process.exit(1)
})
