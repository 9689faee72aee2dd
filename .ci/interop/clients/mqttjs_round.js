// The round of MQTT.js in one version of the protocol.
//
// usage: node mqttjs_round.js URL VERSION(4|5) PREFIX
//
// URL is mqtt://host:port or ws://host:port/path.
'use strict'
const assert = require('assert')
const mqtt = require('mqtt')

const [url, version, prefix] = process.argv.slice(2)
const v5 = version === '5'
const quietMs = 300
const waitMs = 60000

const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

// Client keeps what came in, in order.
class Client {
  static async open (name, { keep = false, ...options } = {}) {
    const c = new Client()
    c.got = []
    c.link = mqtt.connect(url, {
      clientId: prefix + name,
      protocolVersion: Number(version),
      clean: !keep,
      reconnectPeriod: 0,
      properties: v5 && keep ? { sessionExpiryInterval: 3600 } : undefined,
      ...options
    })
    c.link.on('message', (topic, payload, packet) => c.got.push({ topic, text: payload.toString(), packet }))
    c.connack = await new Promise((resolve, reject) => {
      c.link.once('connect', resolve)
      c.link.once('error', reject)
      setTimeout(() => reject(new Error('no CONNACK')), waitMs).unref()
    })
    c.link.on('error', () => {})
    return c
  }

  async subscribe (topic, qos, options) {
    const granted = await this.link.subscribeAsync(topic, { qos, ...options })
    assert.deepStrictEqual(granted.map(g => g.qos), [qos])
  }

  publish (topic, text, options) { return this.link.publishAsync(topic, text, { qos: 1, ...options }) }

  // take waits for n messages.
  async take (n) {
    for (const end = Date.now() + waitMs; this.got.length < n; await pause(5)) {
      assert(Date.now() < end, `${this.got.length} of ${n} messages came`)
    }
    return this.got.splice(0, n)
  }

  async texts (n) { return (await this.take(n)).map(m => m.text) }

  async nothing () {
    await pause(quietMs)
    assert.deepStrictEqual(this.got.map(m => m.text), [])
  }

  close () { return this.link.endAsync() }
}

async function eachQualityDelivers () {
  for (const asked of [0, 1, 2]) {
    const c = await Client.open('q' + asked)
    await c.subscribe(`${prefix}q/${asked}`, asked)
    for (const qos of [0, 1, 2]) {
      await c.publish(`${prefix}q/${asked}`, 'x' + qos, { qos })
      const [m] = await c.take(1)
      assert.deepStrictEqual([m.text, m.packet.qos], ['x' + qos, Math.min(asked, qos)])
    }
    await c.close()
  }
}

async function aStreamKeepsItsOrder () {
  const reader = await Client.open('reader')
  const writer = await Client.open('writer')
  const sent = Array.from({ length: 90 }, (_, i) => String(i))
  for (const qos of [0, 1, 2]) {
    await reader.subscribe(prefix + 'stream', qos)
    await Promise.all(sent.map(s => writer.publish(prefix + 'stream', s, { qos })))
    assert.deepStrictEqual(await reader.texts(sent.length), sent)
    await reader.nothing()
  }
  await Promise.all([reader.close(), writer.close()])
}

async function retainedValuesAreKeptAndCleared () {
  const topic = prefix + 'retained'
  const c = await Client.open('keeper')
  await c.publish(topic, 'old', { retain: true })
  await c.publish(topic, 'new', { retain: true })
  await c.subscribe(topic, 1)
  const [m] = await c.take(1)
  assert.deepStrictEqual([m.text, m.packet.retain], ['new', true])
  await c.publish(topic, '', { retain: true })
  await c.take(1)
  await c.close()
  const late = await Client.open('late')
  await late.subscribe(topic, 1)
  await late.nothing()
  await late.close()
}

async function aWillIsTold () {
  const topic = prefix + 'will'
  const heir = await Client.open('heir')
  await heir.subscribe(topic, 1)
  const will = { topic, payload: Buffer.from('gone'), qos: 1, retain: false }
  const polite = await Client.open('polite', { will: { ...will, payload: Buffer.from('wrong') } })
  await polite.close()
  await heir.nothing()
  const lost = await Client.open('lost', { will })
  lost.link.stream.destroy()
  assert.deepStrictEqual(await heir.texts(1), ['gone'])
  await heir.close()
}

async function aSessionWaits () {
  const topic = prefix + 'session'
  let c = await Client.open('away', { keep: true })
  assert.strictEqual(c.connack.sessionPresent, false)
  await c.subscribe(topic, 2)
  await c.close()
  const writer = await Client.open('writer')
  const sent = Array.from({ length: 50 }, (_, i) => String(i))
  for (const s of sent) await writer.publish(topic, s, { qos: 2 })
  await writer.close()
  c = await Client.open('away', { keep: true })
  assert.strictEqual(c.connack.sessionPresent, true)
  assert.deepStrictEqual(await c.texts(sent.length), sent)
  await c.nothing()
  await c.close()
  c = await Client.open('away')
  assert.strictEqual(c.connack.sessionPresent, false)
  await c.close()
}

async function propertiesComeThrough () {
  const c = await Client.open('props')
  await c.subscribe(prefix + 'props', 1, { properties: { subscriptionIdentifier: 7 } })
  const sent = {
    payloadFormatIndicator: true,
    contentType: 'text/plain',
    responseTopic: prefix + 'reply',
    correlationData: Buffer.from([0, 1]),
    userProperties: { a: ['1', '2'], b: 'x' }
  }
  await c.publish(prefix + 'props', 'x', { properties: { ...sent, messageExpiryInterval: 60 } })
  const [m] = await c.take(1)
  const { messageExpiryInterval, subscriptionIdentifier, ...rest } = m.packet.properties
  assert.deepStrictEqual({ ...rest, userProperties: { ...rest.userProperties } }, sent)
  assert.strictEqual([subscriptionIdentifier].flat()[0], 7)
  assert(messageExpiryInterval > 0 && messageExpiryInterval <= 60)
  await c.close()
}

async function noLocalIsObeyed () {
  const c = await Client.open('nolocal')
  await c.subscribe(prefix + 'nolocal', 1, { nl: true })
  await c.publish(prefix + 'nolocal', 'own')
  await c.nothing()
  await c.close()
}

const round = [eachQualityDelivers, aStreamKeepsItsOrder, retainedValuesAreKeptAndCleared, aWillIsTold, aSessionWaits]
if (v5) round.push(propertiesComeThrough, noLocalIsObeyed)

async function main () {
  let failed = 0
  for (const step of round) {
    try {
      await step()
      console.log('ok', step.name)
    } catch (e) { // each case is told, whatever it died of
      failed++
      console.log(`failed ${step.name}: ${String(e.stack).replace(/\s+/g, ' ')}`)
    }
  }
  process.exit(failed > 0 ? 1 : 0)
}

main()
