//! A view for Home Assistant: one retained word says which values of state and health are sensors.
//!
//! Device discovery as Home Assistant documents it for MQTT ("MQTT integration", device-based
//! discovery): a device, an origin, and components that read the topics which are there anyway.

use super::{Link, topic};
use serde_json::{Map, Value, json};

/// Where discovery is published.
pub fn discovery_topic(link: &Link) -> String {
    format!("homeassistant/device/kakou-{}-{}/config", link.site, link.gateway)
}

/// What is published there.
pub fn discovery(link: &Link) -> Value {
    let id = format!("kakou-{}-{}", link.site, link.gateway);
    let (state, health) =
        (topic(&link.site, &link.gateway, "state"), topic(&link.site, &link.gateway, "health"));
    let mut components = Map::new();
    let mut add = |key: &str, mut component: Value| {
        component["unique_id"] = json!(format!("{id}-{key}"));
        components.insert(key.to_owned(), component);
    };
    let sensor = |name: &str, template: &str| json!({ "platform": "sensor", "name": name, "state_topic": health, "value_template": template });
    add(
        "online",
        json!({ "platform": "binary_sensor", "name": "Online", "device_class": "connectivity", "state_topic": state,
            "value_template": "{{ 'ON' if value_json.online else 'OFF' }}" }),
    );
    add("outbox", sensor("Events not sent", "{{ value_json.outbox | sum(attribute='unpublished') }}"));
    add("stale", sensor("Lists out of date", "{{ value_json.lists | selectattr('stale') | list | count }}"));
    add(
        "devices",
        sensor(
            "Devices not ready",
            "{{ value_json.devices | rejectattr('state', 'eq', 'ready') | list | count }}",
        ),
    );
    let mut temperature = sensor("Temperature of the box", "{{ value_json.box.temp_c }}");
    temperature["device_class"] = json!("temperature");
    temperature["unit_of_measurement"] = json!("°C");
    add("temperature", temperature);
    let mut certificate = sensor("Certificate", "{{ value_json.certificate.days }}");
    certificate["unit_of_measurement"] = json!("d");
    add("certificate", certificate);
    for (n, (lane, _)) in link.lanes.iter().enumerate() {
        let template = format!("{{{{ value_json.lanes[{n}].outcomes.ADMIT }}}}");
        add(&format!("{lane}-admit"), sensor(&format!("{lane}: admitted today"), &template));
    }
    json!({
        "device": { "identifiers": [id], "name": format!("Kakou {}/{}", link.site, link.gateway), "manufacturer": "Kakou",
            "model": "checkpoint gateway", "sw_version": env!("CARGO_PKG_VERSION") },
        "origin": { "name": "kakou", "sw_version": env!("CARGO_PKG_VERSION") },
        "components": components,
    })
}
