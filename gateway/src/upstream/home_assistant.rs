//! A view for Home Assistant: one retained word says which values of state and health are sensors.
//!
//! Device discovery as Home Assistant documents it for MQTT ("MQTT integration", device-based
//! discovery): a device, an origin, and components that read the topics which are there anyway.

use super::HEALTH_EVERY;
use kakou_core::ids::{GatewayId, LaneId, SiteId};
use kakou_wire::topic::topic;
use serde_json::{Map, Value, json};

/// Reports of health that may stay away before their values are not known any more.
const MISSED: u64 = 3;

/// Where discovery is published.
pub fn discovery_topic(site: &SiteId, gateway: &GatewayId) -> String {
    format!("homeassistant/device/kakou-{site}-{gateway}/config")
}

/// What is published there.
pub fn discovery(site: &SiteId, gateway: &GatewayId, lanes: &[(LaneId, String)]) -> Value {
    let id = format!("kakou-{site}-{gateway}");
    let (state, health) = (topic(site, gateway, "state"), topic(site, gateway, "health"));
    let mut components = Map::new();
    let mut add = |key: &str, mut component: Value| {
        component["unique_id"] = json!(format!("{id}-{key}"));
        components.insert(key.to_owned(), component);
    };
    // Nobody takes the last value of a gateway that is gone for the present one: with the link it is not available, and
    // where health stays away although the link is there, it expires.
    let sensor = |name: &str, template: &str, more: Value| {
        let mut sensor = json!({ "platform": "sensor", "name": name, "state_topic": health, "value_template": template,
            "expire_after": MISSED * HEALTH_EVERY.as_secs(), "availability_topic": state,
            "availability_template": "{{ 'online' if value_json.online else 'offline' }}" });
        if let (Value::Object(sensor), Value::Object(more)) = (&mut sensor, more) {
            sensor.extend(more);
        }
        sensor
    };
    let figure = json!({ "state_class": "measurement", "entity_category": "diagnostic" });
    // It says itself that the gateway is away.
    add(
        "online",
        json!({ "platform": "binary_sensor", "name": "Online", "device_class": "connectivity",
            "entity_category": "diagnostic", "state_topic": state,
            "value_template": "{{ 'ON' if value_json.online else 'OFF' }}" }),
    );
    let unsent = "{{ value_json.outbox | sum(attribute='unpublished') }}";
    add("outbox", sensor("Events not sent", unsent, figure.clone()));
    let stale = "{{ value_json.lists | selectattr('stale') | list | count }}";
    add("stale", sensor("Lists out of date", stale, figure.clone()));
    let down = "{{ value_json.devices | rejectattr('state', 'eq', 'ready') | list | count }}";
    add("devices", sensor("Devices not ready", down, figure));
    add(
        "temperature",
        sensor(
            "Temperature of the box",
            "{{ value_json.box.temp_c }}",
            json!({ "device_class": "temperature", "unit_of_measurement": "°C", "state_class": "measurement",
                "entity_category": "diagnostic" }),
        ),
    );
    add(
        "certificate",
        sensor(
            "Certificate",
            "{{ value_json.certificate.days }}",
            json!({ "device_class": "duration", "unit_of_measurement": "d", "state_class": "measurement",
                "entity_category": "diagnostic" }),
        ),
    );
    for (n, (lane, _)) in lanes.iter().enumerate() {
        let template = format!("{{{{ value_json.lanes[{n}].outcomes.ADMIT }}}}");
        // It begins anew with each day.
        let counts = json!({ "state_class": "total_increasing" });
        add(&format!("{lane}-admit"), sensor(&format!("{lane}: admitted today"), &template, counts));
    }
    json!({
        "device": { "identifiers": [id], "name": format!("Kakou {site}/{gateway}"), "manufacturer": "Kakou",
            "model": "checkpoint gateway", "sw_version": env!("CARGO_PKG_VERSION") },
        "origin": { "name": "kakou", "sw_version": env!("CARGO_PKG_VERSION") },
        "components": components,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_gateway_that_is_gone_stands_as_if_it_were_the_present_one() {
        let (site, gateway) = (SiteId::new("s").unwrap(), GatewayId::new("gw-1").unwrap());
        let lanes = [(LaneId::new("lane-1").unwrap(), "school-gate".to_owned())];
        let discovery = discovery(&site, &gateway, &lanes);
        let components = discovery["components"].as_object().unwrap();
        assert_eq!(components.len(), 7);
        for (key, component) in components {
            let says_so_itself = key == "online";
            assert_eq!(component["availability_topic"] == "kakou/v1/s/gw-1/state", !says_so_itself, "{key}");
            // A minute is the time between two words of health.
            assert_eq!(component["expire_after"].as_u64().is_some_and(|s| s > 120), !says_so_itself, "{key}");
            assert_eq!(component["state_class"].is_string(), !says_so_itself, "{key}: no statistics without");
            assert_eq!(component["entity_category"] == "diagnostic", key != "lane-1-admit", "{key}");
        }
    }
}
