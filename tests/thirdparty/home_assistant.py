"""The discovery of a gateway, read by Home Assistant's own schemas.

Usage: home_assistant.py PORT URL ASYNCAPI; says `ready` when it listens, and ends by itself."""
import json
import logging
import sys
import threading

import paho.mqtt.client as mqtt
from homeassistant.components.mqtt import binary_sensor, discovery, sensor

SCHEMAS = {"sensor": sensor.DISCOVERY_SCHEMA, "binary_sensor": binary_sensor.DISCOVERY_SCHEMA}
found, there = [], threading.Event()


def on_message(client, userdata, message):
    found.append(message.payload)
    there.set()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="home-assistant")
client.on_message = on_message
client.on_subscribe = lambda *_: print("ready", flush=True)
client.connect("127.0.0.1", int(sys.argv[1]))
client.subscribe("homeassistant/device/+/config", qos=1)
client.loop_start()
assert there.wait(45), "no discovery came"
client.loop_stop()
# Templates are only read here, not rendered: there is no Home Assistant around them.
logging.disable(logging.WARNING)
payload = json.loads(found[0])
device = discovery.DEVICE_DISCOVERY_SCHEMA(payload)
for key, component in device["components"].items():
    # As Home Assistant hands what all of them share to each.
    config = {**component, "device": payload["device"], "origin": payload["origin"]}
    platform = config.pop("platform")
    SCHEMAS[platform](config)
print(f"Home Assistant: a device with {len(device['components'])} entities")
