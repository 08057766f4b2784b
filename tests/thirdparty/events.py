"""What a gateway says over MQTT and HTTP, read by programs of others: paho, the CloudEvents SDK for Python, a JSON Schema
validator with the AsyncAPI document, the OpenAPI validator, the OpenMetrics parser of Prometheus.

Usage: events.py PORT URL ASYNCAPI; says `ready` when it listens, and ends by itself."""
import json
import sys
import threading
import time
import urllib.request

import jsonschema
import paho.mqtt.client as mqtt
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from openapi_spec_validator import validate
from prometheus_client.openmetrics.parser import text_string_to_metric_families

port, url, asyncapi = int(sys.argv[1]), sys.argv[2], json.load(open(sys.argv[3]))
LIMIT = 45
heard, changed = [], threading.Condition()


def on_message(client, userdata, message):
    with changed:
        heard.append(message)
        changed.notify()


def enough():
    topics = [m.topic.split("/") for m in heard]
    kinds = {t[4] for t in topics if t[0] == "kakou" and len(t) > 4}
    bodies = [m.payload for m in heard if "/evt/" in m.topic or "/late/" in m.topic]
    batch = any(b.startswith(b"[") for b in bodies)
    verdict = any(b"kakou.transaction.v1" in b for b in bodies)
    return batch and verdict and {"state", "health"} <= kinds


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="events-py", protocol=mqtt.MQTTv5)
client.on_message = on_message
client.on_subscribe = lambda *_: print("ready", flush=True)
client.connect("127.0.0.1", port)
client.subscribe("#", qos=1)
client.loop_start()
end = time.monotonic() + LIMIT
with changed:
    while not enough():
        assert changed.wait(end - time.monotonic()), f"not everything came: {[m.topic for m in heard]}"
client.loop_stop()

schemas = {"components": asyncapi["components"]}
messages = asyncapi["components"]["messages"]


def hold(schema, value):
    jsonschema.validate(value, {**schema, **schemas}, cls=jsonschema.Draft202012Validator)


def event(raw, content_type):
    # The SDK has no binding to MQTT; in structured mode that of HTTP reads the same content type and the same body.
    read = from_http_event(HTTPMessage(headers={"content-type": content_type}, body=raw))
    said = json.loads(raw)
    assert read.get_id() == said["id"] and read.get_type() == said["type"], said
    assert read.get_source() == said["source"] and read.get_data() == said["data"], said
    for name in said.keys() - {"specversion", "id", "source", "type", "time", "subject", "datacontenttype", "data"}:
        value = read.get_extension(name)
        assert isinstance(value, (str, bool)) or -(2**31) <= value < 2**31, f"{name} is no CloudEvents type: {value!r}"
    kind = said["type"].removeprefix("kakou.").removesuffix(".v1")
    hold(messages.get(kind, messages["eventOfAProfile"])["payload"], said)
    return said["type"]


kinds, batches = {}, 0
for m in heard:
    parts = m.topic.split("/")
    if "/evt/" in m.topic or "/late/" in m.topic:
        content_type = m.properties.ContentType
        if content_type == "application/cloudevents-batch+json":
            batches += 1
            hold(messages["eventBatch"]["payload"], json.loads(m.payload))
            one = [json.dumps(e).encode() for e in json.loads(m.payload)]
        else:
            assert content_type == "application/cloudevents+json", f"{m.topic}: {content_type}"
            one = [m.payload]
        for raw in one:
            kind = event(raw, "application/cloudevents+json")
            kinds[kind] = kinds.get(kind, 0) + 1
    elif parts[0] == "kakou" and parts[4:5] in (["state"], ["health"]):
        hold(messages[parts[4].capitalize()]["payload"], json.loads(m.payload))
print(f"CloudEvents SDK for Python, JSON Schema of AsyncAPI: {sum(kinds.values())} events of {len(kinds)} kinds, {batches} batches")

document = json.load(urllib.request.urlopen(f"{url}/api/v1/openapi.json"))
validate(document)
print(f"openapi-spec-validator: {len(document['paths'])} paths")

answer = urllib.request.urlopen(f"{url}/metrics")
assert answer.headers["content-type"].startswith("application/openmetrics-text"), answer.headers["content-type"]
families = list(text_string_to_metric_families(answer.read().decode()))
for family in families:
    for sample in family.samples:
        assert {"site", "gateway"} <= sample.labels.keys(), sample
print(f"OpenMetrics parser of prometheus_client: {len(families)} families")
