// What a gateway says over MQTT, read by programs of others: mqtt.js, the CloudEvents SDK for JavaScript, the AsyncAPI
// parser, a Sparkplug decoder.
//
// Usage: events.mjs PORT URL ASYNCAPI; says `ready` when it listens, and ends by itself.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Parser } from '@asyncapi/parser';
import { CloudEvent, MQTT } from 'cloudevents';
import mqtt from 'mqtt';

const [, , port, , asyncapi] = process.argv;
const { get } = createRequire(import.meta.url)('sparkplug-payload');
const sparkplug = get('spBv1.0');
const LIMIT = 45_000;

const { document, diagnostics } = await new Parser().parse(readFileSync(asyncapi, 'utf8'));
const faults = diagnostics.filter((d) => d.severity === 0);
assert.ok(document && faults.length === 0, `AsyncAPI: ${JSON.stringify(faults, null, 1)}`);
console.log(`AsyncAPI parser: ${document.channels().all().length} channels, ${document.messages().all().length} messages`);

const heard = [];
const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, clientId: 'events-js' });
await new Promise((resolve, reject) => {
  const late = setTimeout(() => reject(new Error(`not everything came: ${heard.map((m) => m.topic)}`)), LIMIT);
  client.on('error', reject);
  client.on('message', (topic, payload, packet) => {
    heard.push({ topic, payload, contentType: packet.properties?.contentType });
    const has = (part) => heard.some((m) => m.topic.includes(part));
    const verdict = heard.some((m) => m.payload.includes('kakou.transaction.v1'));
    if (verdict && has('/NBIRTH/') && has('/NDATA/')) {
      clearTimeout(late);
      resolve();
    }
  });
  client.subscribe('#', { qos: 1 }, (e) => (e ? reject(e) : console.log('ready')));
});
await client.endAsync();

let events = 0;
for (const { topic, payload, contentType } of heard.filter((m) => /\/(evt|late)\//.test(m.topic))) {
  if (contentType === 'application/cloudevents-batch+json') continue;
  const message = { PUBLISH: { 'Content Type': contentType }, 'User Properties': {}, headers: {}, body: payload.toString(), payload: payload.toString() };
  assert.ok(MQTT.isEvent(message), `${topic} is no CloudEvent: ${contentType}`);
  const event = MQTT.toEvent(message);
  const said = JSON.parse(payload);
  assert.ok(event instanceof CloudEvent && event.validate());
  assert.equal(event.id, said.id);
  assert.equal(event.monoms, said.monoms);
  assert.deepEqual(event.data, said.data);
  events += 1;
}
assert.ok(events > 0, 'no single event came');
console.log(`CloudEvents SDK for JavaScript: ${events} events`);

const node = (kind) => heard.filter((m) => m.topic.startsWith(`spBv1.0/test/${kind}/`)).map((m) => sparkplug.decodePayload(m.payload));
const [birth] = node('NBIRTH');
const metric = (payload, name) => payload.metrics.find((m) => m.name === name);
assert.equal(Number(birth.seq), 0);
assert.equal(metric(birth, 'bdSeq').type, 'UInt64');
assert.equal(metric(birth, 'Node Control/Rebirth').value, false);
const data = node('NDATA');
data.forEach((payload, n) => assert.equal(Number(payload.seq), (n + 1) % 256));
for (const payload of data) {
  // A host knows a metric by its birth.
  for (const { name } of payload.metrics) assert.ok(metric(birth, name), `${name} was not born`);
}
console.log(`sparkplug-payload: a birth with ${birth.metrics.length} metrics, ${data.length} messages of data`);
