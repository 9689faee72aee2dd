// The common patterns of programs on a broker, in amqplib.
//
// usage: node amqplib_patterns.js URL PREFIX
//
// PREFIX begins every name that is declared. Prints one line for each pattern
// that passed; ends with code 1 at the first that did not.
'use strict'
const assert = require('assert')
const amqp = require('amqplib')

const [url, prefix] = process.argv.slice(2)
const name = (what) => prefix + what
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// until waits up to a minute for a condition.
async function until(what, ok) {
  for (let i = 0; i < 6000; i++) {
    if (ok()) return
    await pause(10)
  }
  throw new Error(what + ': not within a minute')
}

// collect is what a queue of its own, bound with the keys, gets.
async function collect(ch, exchange, ...keys) {
  const { queue } = await ch.assertQueue('', { exclusive: true })
  for (const key of keys) await ch.bindQueue(queue, exchange, key)
  const got = []
  await ch.consume(queue, (m) => got.push(m.content.toString()), { noAck: true })
  return got
}

async function workQueue(connection) {
  const [slow, quick, ch] = await Promise.all([1, 2, 3].map(() => connection.createChannel()))
  const { queue } = await ch.assertQueue(name('work'), { durable: true })
  await slow.prefetch(1)
  await quick.prefetch(1)
  const held = []
  let done = 0
  await slow.consume(queue, (m) => held.push(m))
  await quick.consume(queue, (m) => { if (m) { done++; quick.ack(m) } })
  for (let i = 0; i < 20; i++) ch.sendToQueue(queue, Buffer.from(String(i)), { persistent: true })
  await until('the quick worker does the rest', () => done === 19 && held.length === 1)
  await slow.close() // it never acknowledged: the other does its work
  await until('the quick worker does all', () => done === 20)
  await ch.deleteQueue(queue)
}

async function publishSubscribeAndRoute(connection) {
  const ch = await connection.createChannel()
  const cases = [
    ['fanout', [''], ['a', 'b'], ['a', 'b']],
    ['direct', ['error', 'info'], ['info', 'debug', 'error'], ['info', 'error']],
    ['topic', ['*.temp', 'pump.#'], ['pump', 'mixer.temp', 'pump.temp', 'x.y.temp'], ['pump', 'mixer.temp', 'pump.temp']]
  ]
  for (const [type, keys, sent, want] of cases) {
    const { exchange } = await ch.assertExchange(name(type), type, { autoDelete: true })
    const first = await collect(ch, exchange, ...keys)
    const second = await collect(ch, exchange, ...keys)
    for (const key of sent) ch.publish(exchange, key, Buffer.from(key))
    await until(type, () => first.length >= want.length && second.length >= want.length)
    assert.deepStrictEqual([first, second], [want, want])
  }
}

async function rpcWithDirectReplyTo(connection) {
  const [server, client] = await Promise.all([connection.createChannel(), connection.createChannel()])
  const { queue } = await server.assertQueue('', { exclusive: true })
  await server.consume(queue, (m) => {
    const { replyTo, correlationId } = m.properties
    server.sendToQueue(replyTo, Buffer.from(m.content.toString().toUpperCase()), { correlationId })
  }, { noAck: true })
  const replies = new Map()
  await client.consume('amq.rabbitmq.reply-to', (m) => replies.set(m.properties.correlationId, m.content.toString()), { noAck: true })
  for (let i = 0; i < 10; i++) client.sendToQueue(queue, Buffer.from('call ' + i), { replyTo: 'amq.rabbitmq.reply-to', correlationId: String(i) })
  await until('replies', () => replies.size === 10)
  for (let i = 0; i < 10; i++) assert.strictEqual(replies.get(String(i)), 'CALL ' + i)
}

async function delayedRetry(connection) {
  const ch = await connection.createChannel()
  const [work, wait] = [name('jobs'), name('jobs.wait')]
  await ch.assertQueue(work, { deadLetterExchange: '', deadLetterRoutingKey: wait })
  await ch.assertQueue(wait, { messageTtl: 300, deadLetterExchange: '', deadLetterRoutingKey: work })
  const tries = []
  await ch.consume(work, (m) => {
    if (!m) return // the queue was deleted
    tries.push(Date.now())
    if (tries.length < 3) ch.reject(m, false)
    else ch.ack(m)
  })
  ch.sendToQueue(work, Buffer.from('job'))
  await until('the third try', () => tries.length === 3)
  assert(tries[2] - tries[0] >= 580, 'two waits of 300 ms took ' + (tries[2] - tries[0]) + ' ms')
  await ch.deleteQueue(work)
  await ch.deleteQueue(wait)
}

async function priorityQueue(connection) {
  const ch = await connection.createConfirmChannel()
  const { queue } = await ch.assertQueue('', { exclusive: true, maxPriority: 5 })
  for (const priority of [1, 5, 0, 3, 5]) ch.sendToQueue(queue, Buffer.from(String(priority)), { priority })
  await ch.waitForConfirms()
  const got = []
  for (let i = 0; i < 5; i++) got.push((await ch.get(queue, { noAck: true })).content.toString())
  assert.deepStrictEqual(got, ['5', '5', '3', '1', '0'])
}

async function main() {
  for (const pattern of [workQueue, publishSubscribeAndRoute, rpcWithDirectReplyTo, delayedRetry, priorityQueue]) {
    const connection = await amqp.connect(url)
    await pattern(connection)
    await connection.close()
    console.log('ok ' + pattern.name)
  }
}

main().catch((err) => {
  console.error(err)
  process.exit(1)
})
