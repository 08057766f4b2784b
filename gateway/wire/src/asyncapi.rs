//! The contract over MQTT as an AsyncAPI 3 document, made from the types that are sent.

use crate::contract;
use crate::feed::{Entry, Head};
use crate::order::{Command, Configuration, Question, Report};
use crate::peers::{Ask, Page, ToldPatient, ToldSlot, Used};
use crate::photo::CHUNK;
use crate::receipt::{PhotoReceipt, Receipt};
use crate::topic;
use crate::trace::Row;
use kakou_core::contract::{Kind, data_of, extra, kinds};
use kakou_core::event::{Class, LONGEST_NAME, type_of};
use kakou_core::records::LISTS;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use utoipa::{PartialSchema, ToSchema};

/// One channel: name, address, who sends (`up` is the gateway), messages, QoS, retained, what it is.
type Channel = (&'static str, &'static str, &'static str, &'static [&'static str], u8, bool, &'static str);

/// In the list of channels: every kind of event.
const EVENTS: &str = "Event";
/// The message for events that profiles ask for.
const OF_A_PROFILE: &str = "eventOfAProfile";
/// The message for several events.
const BATCH: &str = "eventBatch";

const CHANNELS: [Channel; 23] = [
    (
        "events",
        "kakou/v1/{site}/{gateway}/evt/{class}",
        "up",
        &[EVENTS],
        1,
        false,
        "Events as they happen: one, or a JSON array of them; the MQTT 5 property Content Type says which",
    ),
    (
        "late",
        "kakou/v1/{site}/{gateway}/late/{class}",
        "up",
        &[EVENTS],
        1,
        false,
        "Events that leave more than 60 s after they were stored: they set off no alarm",
    ),
    (
        "receipts",
        "kakou/v1/{site}/{gateway}/rcpt",
        "down",
        &["Receipt"],
        1,
        false,
        "A stream is durable at the central side up to here",
    ),
    (
        "photoReceipts",
        "kakou/v1/{site}/{gateway}/rcpt",
        "down",
        &["PhotoReceipt"],
        1,
        false,
        "So much of a photograph is durable at the central side",
    ),
    ("state", "kakou/v1/{site}/{gateway}/state", "up", &["State"], 1, true, "Birth, goodbye and will"),
    ("health", "kakou/v1/{site}/{gateway}/health", "up", &["Health"], 0, false, "Once a minute"),
    (
        "desired",
        "kakou/v1/{site}/{gateway}/cfg/desired",
        "down",
        &["SignedConfiguration"],
        1,
        true,
        "The configuration that is wanted",
    ),
    (
        "reported",
        "kakou/v1/{site}/{gateway}/cfg/reported",
        "up",
        &["Report"],
        1,
        true,
        "The configuration in use, and what was wrong with the wanted one",
    ),
    (
        "commands",
        "kakou/v1/{site}/{gateway}/cmd/{id}",
        "down",
        &["SignedCommand"],
        1,
        true,
        "Kept by the broker until the gateway clears it",
    ),
    ("results", "kakou/v1/{site}/{gateway}/cmdres/{id}", "up", &["Result"], 1, false, "How far a command is"),
    (
        "photoInit",
        "kakou/v1/{site}/{gateway}/photo/{sha256}/init",
        "up",
        &["PhotoInit"],
        1,
        false,
        "A photograph is offered",
    ),
    (
        "photoChunk",
        "kakou/v1/{site}/{gateway}/photo/{sha256}/{n}",
        "up",
        &["Chunk"],
        1,
        false,
        "16 KiB of it",
    ),
    ("questions", "kakou/v1/{site}/trace/req", "down", &["SignedQuestion"], 1, false, "Who was where?"),
    (
        "answers",
        "kakou/v1/{site}/{gateway}/trace/{id}",
        "up",
        &["Answer"],
        1,
        false,
        "From the local store, backlog included",
    ),
    (
        "feedHead",
        "kakou/v1/feed/{name}/head",
        "down",
        &["SignedHead"],
        1,
        true,
        "The newest edition of a list",
    ),
    (
        "feedBody",
        "kakou/v1/feed/{name}/body/{sha256}/{group}/{n}",
        "down",
        &["Chunk"],
        1,
        true,
        "64 KiB of a body; sixteen make a group",
    ),
    (
        "qrEntry",
        "KE1:{protected}.{payload}.{signature}",
        "down",
        &["SignedEntry"],
        1,
        false,
        "Not over MQTT: one entry of a list as a QR code",
    ),
    (
        "homeAssistant",
        "homeassistant/device/kakou-{site}-{gateway}/config",
        "up",
        &["Discovery"],
        1,
        true,
        "Home Assistant device discovery, where it is switched on",
    ),
    (
        "peers",
        "kakou/v1/{site}/peer/{gateway}/{kind}",
        "both",
        &["Used", "ToldSlot", "ToldPatient", "Hello", "EntryText", "Ask", "Page"],
        1,
        false,
        "What the gateways of a site tell each other; the kind is `redemption` (Used: a single-use pass was used, or a seal), `slot` (ToldSlot: a slot of a register, where it is shared by the site), `patient` (ToldPatient: what a hospital's system told of a patient, or what was taken back at a duty console, sealed for the gateways of the site), `hello` (Hello: a gateway is new: tell it again), `entry` (EntryText: a signed entry that was read from a code), `ask` (Ask: what do you know? `to`: whom it asks, nobody is everybody; `after`: behind what) or `tell` (Page: what a gateway knows, for the one that has asked)",
    ),
    (
        "questionsToCentral",
        "kakou/v1/{site}/{gateway}/ask",
        "up",
        &["Ask"],
        1,
        false,
        "A box that has taken the place of another asks the central side what is known of its site; `to` is absent",
    ),
    (
        "answersOfCentral",
        "kakou/v1/{site}/{gateway}/told",
        "down",
        &["Page"],
        1,
        false,
        "What the central side knows of the site, a page for each question; `for` is the gateway",
    ),
    (
        "questionsOfCentral",
        "kakou/v1/{site}/{gateway}/asked",
        "down",
        &["Ask"],
        1,
        false,
        "The central side asks what a gateway knows; `to` is absent",
    ),
    (
        "answersToCentral",
        "kakou/v1/{site}/{gateway}/tell",
        "up",
        &["Page"],
        1,
        false,
        "What the gateway knows, a page for each question; `for` is `central`",
    ),
];

fn schema<T: PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).unwrap_or_default()
}

/// Payloads of signed words, which no message refers to.
const OWN: [&str; 5] = ["Command", "Configuration", "Question", "Head", "Entry"];

/// What has a name of its own: payloads of signed words, and what stands in other forms by its name.
fn schemas() -> Map<String, Value> {
    let mut nested = Vec::new();
    Command::schemas(&mut nested);
    Configuration::schemas(&mut nested);
    Question::schemas(&mut nested);
    Head::schemas(&mut nested);
    Entry::schemas(&mut nested);
    Receipt::schemas(&mut nested);
    PhotoReceipt::schemas(&mut nested);
    Report::schemas(&mut nested);
    Row::schemas(&mut nested);
    Used::schemas(&mut nested);
    ToldSlot::schemas(&mut nested);
    ToldPatient::schemas(&mut nested);
    Ask::schemas(&mut nested);
    Page::schemas(&mut nested);
    let nested = nested.into_iter().map(|(name, schema)| (name, json!(schema)));
    let own = [
        ("Command", schema::<Command>()),
        ("Configuration", schema::<Configuration>()),
        ("Question", schema::<Question>()),
        ("Head", schema::<Head>()),
        ("Entry", schema::<Entry>()),
    ];
    let own = own.map(|(name, schema)| (name.to_owned(), schema));
    let row = [("Row".to_owned(), schema::<Row>()), ("Event".to_owned(), event())];
    // What the paths of the API alone speak of is no part of this.
    let mut all: Map<String, Value> = nested.chain(own).chain(row).chain(contract::schemas()).collect();
    let (mut used, mut more) = (BTreeSet::new(), BTreeSet::from(OWN.map(str::to_owned)));
    contract::names_in(&Value::Object(messages()), &mut more);
    while let Some(name) = more.pop_first() {
        let form = all.get(&name).cloned().unwrap_or_default();
        if used.insert(name) {
            contract::names_in(&form, &mut more);
        }
    }
    all.retain(|name, _| used.contains(name));
    all
}

/// A signed word: JWS in flattened JSON around this payload.
fn signed(typ: &str, payload: &str) -> Value {
    let text = json!({ "type": "string", "description": "base64url" });
    json!({ "type": "object", "required": ["protected", "payload", "signature"], "additionalProperties": false,
        "description": format!("JWS in flattened JSON (RFC 7515, 7.2.2), typ `{typ}`; the payload is {payload}"),
        "properties": { "protected": text, "payload": text, "signature": text } })
}

/// The envelope of every event.
fn event() -> Value {
    let text = json!({ "type": "string" });
    json!({ "type": "object", "description": "CloudEvents 1.0, structured JSON",
        "required": ["specversion", "id", "source", "type", "datacontenttype", "stream", "streamseq", "boot", "monoms", "clocksynced", "data"],
        "properties": {
            "specversion": { "const": "1.0" },
            "id": { "type": "string", "pattern": "^[a-z0-9-]{1,40}/[0-9]+/[0-9]+$", "description": "gateway/epoch/sequence" },
            "source": { "type": "string", "description": "/kakou/SITE/GATEWAY" },
            "type": { "type": "string", "maxLength": LONGEST_NAME, "pattern": "^kakou\\.[A-Za-z0-9._:+-]+\\.v[0-9]+$" },
            "time": { "type": "string", "format": "date-time", "description": "As the gateway's clock said; absent if it knew none" },
            "subject": { "type": "string", "description": "LANE or LANE/VISIT" },
            "datacontenttype": { "const": "application/json" },
            "audience": { "type": "string", "description": "Who should see it, with commas" },
            "stream": contract::reference("Stream"),
            "streamseq": { "type": "integer", "minimum": 1, "description": "Order in the stream, without gaps" },
            "boot": text,
            "monoms": { "description": "Milliseconds since the machine started, as a text of digits: CloudEvents gives an Integer 32 bits. Events of version 0.1 have a number here",
                "oneOf": [{ "type": "string", "pattern": "^[0-9]{1,20}$" }, { "type": "integer", "minimum": 0 }] },
            "clocksynced": { "type": "boolean" },
            "clockquality": contract::reference("ClockQuality"),
            "data": { "type": "object", "description": "As the `type` says: there is a message for each" } } })
}

/// One kind of event as a message.
fn event_message(name: &str, kind: &Kind, word: Option<&str>) -> Value {
    let mut more = json!({ "data": contract::reference(&data_of(word)) });
    if let Some(word) = word {
        more["type"] = json!({ "const": type_of(word) });
    }
    if let Some(stream) = kind.stream {
        more["stream"] = json!({ "const": stream });
    }
    json!({ "name": name, "title": word.map_or_else(|| name.to_owned(), type_of), "summary": kind.about,
        "contentType": topic::EVENT,
        "payload": { "allOf": [contract::reference("Event"), { "type": "object", "properties": more }] } })
}

/// Every kind of event, and a batch of them.
fn event_messages() -> Map<String, Value> {
    let mut all: Map<String, Value> =
        kinds().iter().map(|(word, kind)| (word.clone(), event_message(word, kind, Some(word)))).collect();
    all.insert(OF_A_PROFILE.into(), event_message(OF_A_PROFILE, &extra(), None));
    all.insert(
        BATCH.into(),
        json!({ "name": BATCH, "title": "Several events", "contentType": topic::BATCH,
            "summary": "Events of one class in the order of their stream, each as it would be sent by itself",
            "payload": { "type": "array", "minItems": 2, "items": contract::reference("Event") } }),
    );
    all
}

fn messages() -> Map<String, Value> {
    let init = json!({ "type": "object", "required": ["bytes", "chunks", "chunk_bytes"], "properties": {
        "bytes": { "type": "integer" }, "chunks": { "type": "integer" }, "chunk_bytes": { "const": CHUNK } } });
    let any = json!({ "type": "object", "description": "As Home Assistant documents it" });
    let hello = json!({ "type": "object", "description": "An empty object" });
    let entry =
        json!({ "type": "string", "description": "KE1:PROTECTED.PAYLOAD.SIGNATURE, as the code holds it" });
    let payload = |name: &str, schema: Value| {
        let content = match name {
            "Chunk" => "application/octet-stream",
            "EntryText" => "text/plain",
            _ => "application/json",
        };
        (name.to_owned(), json!({ "name": name, "contentType": content, "payload": schema }))
    };
    let other = [
        payload("Receipt", schema::<Receipt>()),
        payload("PhotoReceipt", schema::<PhotoReceipt>()),
        payload("State", contract::reference("State")),
        payload("Health", contract::reference("Health")),
        payload("SignedConfiguration", signed("kakou-config", "a Configuration")),
        payload("Report", schema::<Report>()),
        payload("SignedCommand", signed("kakou-command", "a Command")),
        payload("Result", contract::reference("Result")),
        payload("PhotoInit", init),
        payload("Chunk", json!({ "type": "string", "format": "binary" })),
        payload("SignedQuestion", signed("kakou-trace", "a Question")),
        payload("Answer", contract::reference("Answer")),
        payload("SignedHead", signed("kakou-feed", "a Head")),
        payload("SignedEntry", signed("kakou-entry", "an Entry")),
        payload("Discovery", any),
        payload("Used", schema::<Used>()),
        payload("ToldSlot", schema::<ToldSlot>()),
        payload("ToldPatient", schema::<ToldPatient>()),
        payload("Hello", hello),
        payload("EntryText", entry),
        payload("Ask", schema::<Ask>()),
        payload("Page", schema::<Page>()),
    ];
    event_messages().into_iter().chain(other).collect()
}

/// What stands in an address, in words.
fn parameter(name: &str) -> Value {
    match name {
        "site" => json!({ "description": "The site" }),
        "gateway" => json!({ "description": "The gateway" }),
        "class" => json!({ "description": "The stream of the events", "enum": Class::ALL }),
        "sha256" => json!({ "description": "The hash of the whole, hexadecimal" }),
        "n" => json!({ "description": "Which piece, from 0" }),
        "kind" => {
            json!({ "description": "What is told", "enum": ["redemption", "slot", "patient", "hello", "entry", "ask", "tell"] })
        }
        "name" => json!({ "description": "The list", "enum": LISTS }),
        "group" => json!({ "description": "Which sixteen pieces, from 0" }),
        "id" => json!({ "description": "The id of what was asked" }),
        _ => json!({ "description": "A part of the text" }),
    }
}

/// The document.
pub fn document() -> String {
    let mut channels = Map::new();
    let mut operations = Map::new();
    for (name, address, who, spoken, qos, retain, about) in CHANNELS {
        let parts = address.split(['{', '}']).skip(1).step_by(2);
        let parameters: Map<String, Value> = parts.map(|p| (p.to_owned(), parameter(p))).collect();
        let reference = |m: &str| (m.to_owned(), json!({ "$ref": format!("#/components/messages/{m}") }));
        // Where events go, every kind of them goes.
        let events = (*spoken == [EVENTS]).then(event_messages).unwrap_or_default();
        let named = spoken.iter().copied().filter(|m| *m != EVENTS);
        let spoken: Map<String, Value> =
            events.keys().map(String::as_str).chain(named).map(reference).collect();
        channels.insert(
            name.into(),
            json!({ "address": address, "description": about, "parameters": parameters, "messages": spoken }),
        );
        let actions: &[&str] = match who {
            "up" => &["send"],
            "down" => &["receive"],
            _ => &["send", "receive"],
        };
        for action in actions {
            operations.insert(
                format!("{action}{}{}", name[..1].to_uppercase(), &name[1..]),
                json!({ "action": action, "channel": { "$ref": format!("#/channels/{name}") },
                    "bindings": { "mqtt": { "qos": qos, "retain": retain, "bindingVersion": "0.2.0" } } }),
            );
        }
    }
    let document = json!({
        "asyncapi": "3.0.0",
        "info": { "title": "Kakou gateway", "version": "1",
            "description": "What a gateway says and hears over MQTT. `send` is the gateway's side. The version in topics and types grows when a reader of the one before could no longer read it." },
        "defaultContentType": "application/json",
        "servers": { "broker": { "host": "mqtt.example.org:8883", "protocol": "secure-mqtt", "protocolVersion": "5.0",
            "description": "The broker of the fleet, TLS 1.3. MQTT 3.1.1 does as well, and has no Content Type",
            "security": [{ "$ref": "#/components/securitySchemes/certificate" }] } },
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages(), "schemas": schemas(), "securitySchemes": { "certificate": {
            "type": "X509", "description": "A client certificate that the fleet's authority has signed. Its common name is the user whom the access list of the broker knows: SITE.GATEWAY, central, ops, metrics, readers" } } },
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_that_ships_is_that_of_the_types() {
        let shipped = include_str!("../../central/asyncapi.json");
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert!(
            value(&document()) == value(shipped),
            "gateway/central/asyncapi.json is not what `kakou asyncapi` prints: write it anew, and look at what has changed"
        );
        let document: Value = serde_json::from_str(shipped).unwrap();
        for (name, channel) in document["channels"].as_object().unwrap() {
            for message in channel["messages"].as_object().unwrap().values() {
                let path = message["$ref"].as_str().unwrap().trim_start_matches('#');
                assert!(document.pointer(path).is_some(), "{name}: {path}");
            }
            assert!(channel["address"].as_str().unwrap().matches('/').count() <= 7, "{name}");
        }
    }

    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(all) => {
                found.extend(all.get("$ref").and_then(Value::as_str));
                all.values().for_each(|v| references(v, found));
            }
            Value::Array(all) => all.iter().for_each(|v| references(v, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_of_the_contract_leads_somewhere_and_every_message_of_a_peer_has_a_form() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > CHANNELS.len());
        for reference in found {
            let path = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(path).is_some(), "{reference}");
        }
        let peers = document["channels"]["peers"]["messages"].as_object().unwrap();
        let kinds: BTreeSet<&str> = peers.keys().map(String::as_str).collect();
        assert_eq!(
            kinds,
            BTreeSet::from(["Ask", "EntryText", "Hello", "Page", "ToldPatient", "ToldSlot", "Used"])
        );
        let event = &document["components"]["schemas"]["Event"]["properties"]["type"]["pattern"];
        assert_eq!(event, "^kakou\\.[A-Za-z0-9._:+-]+\\.v[0-9]+$", "what a profile may emit");
    }

    /// Words as the first version sent them: whatever changes, they are still read.
    #[test]
    fn words_of_version_one_are_still_read() {
        let samples: Value = serde_json::from_str(include_str!("../../central/samples-v1.json")).unwrap();
        let text = |name: &str| samples[name].to_string();
        serde_json::from_str::<Receipt>(&text("receipt")).unwrap();
        serde_json::from_str::<PhotoReceipt>(&text("photo_receipt")).unwrap();
        serde_json::from_str::<Head>(&text("feed_head")).unwrap();
        serde_json::from_str::<Entry>(&text("entry")).unwrap();
        serde_json::from_str::<Configuration>(&text("configuration")).unwrap();
        serde_json::from_str::<Question>(&text("question")).unwrap();
        serde_json::from_str::<Report>(&text("report")).unwrap();
        for command in samples["commands"].as_array().unwrap() {
            serde_json::from_value::<Command>(command.clone()).unwrap();
        }
    }
}
