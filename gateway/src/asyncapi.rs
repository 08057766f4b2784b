//! The contract over MQTT as an AsyncAPI 3 document, made from the types that are sent.

use crate::config::remote::Report;
use crate::feeds::word::{Entry, Head};
use crate::orders::word::{Command, Configuration, Question};
use crate::store::trace::Row;
use crate::upstream::peers::{Ask, Page, Used};
use crate::upstream::{PhotoReceipt, Receipt};
use kakou_core::event::LONGEST_NAME;
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

/// One channel: name, address, who sends (`up` is the gateway), messages, QoS, retained, what it is.
type Channel = (&'static str, &'static str, &'static str, &'static [&'static str], u8, bool, &'static str);

const CHANNELS: [Channel; 19] = [
    (
        "events",
        "kakou/v1/{site}/{gateway}/evt/{class}",
        "up",
        &["Event"],
        1,
        false,
        "Events as they happen: one, or a JSON array of them",
    ),
    (
        "late",
        "kakou/v1/{site}/{gateway}/late/{class}",
        "up",
        &["Event"],
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
        &["Used", "Hello", "EntryText", "Ask", "Page"],
        1,
        false,
        "What the gateways of a site tell each other; the kind is `redemption` (Used: a single-use pass was used, or a seal), `hello` (Hello: a gateway is new: tell it again), `entry` (EntryText: a signed entry that was read from a code), `ask` (Ask: what do you know? `to`: whom it asks, nobody is everybody; `after`: behind what) or `tell` (Page: what a gateway knows, for the one that has asked)",
    ),
];

fn schema<T: PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).unwrap_or_default()
}

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
    nested.chain(own.map(|(name, schema)| (name.to_owned(), schema))).collect()
}

/// A signed word: JWS in flattened JSON around this payload.
fn signed(typ: &str, payload: &str) -> Value {
    let text = json!({ "type": "string", "description": "base64url" });
    json!({ "type": "object", "required": ["protected", "payload", "signature"], "additionalProperties": false,
        "description": format!("JWS in flattened JSON (RFC 7515, 7.2.2), typ `{typ}`; the payload is {payload}"),
        "properties": { "protected": text, "payload": text, "signature": text } })
}

fn event() -> Value {
    let text = json!({ "type": "string" });
    let number = json!({ "type": "integer", "minimum": 0 });
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
            "stream": { "enum": ["verdict", "scan", "sample", "health"] },
            "streamseq": { "type": "integer", "minimum": 1, "description": "Order in the stream, without gaps" },
            "boot": text, "monoms": number, "clocksynced": { "type": "boolean" },
            "clockquality": { "enum": ["synced", "unsynced", "floor"] },
            "data": { "type": "object", "properties": {
                "subject": { "type": "string", "description": "Who it is about, as a key: the same for the same person at all gateways with one secret" },
                "subject_key": { "type": ["integer", "null"], "minimum": 1, "description": "The number of the secret that made the subject key; under another one the same person has another key" } } } } })
}

fn by_class() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 } })
}

fn messages() -> Map<String, Value> {
    let any = json!({ "type": "object" });
    let result = json!({ "type": "object", "required": ["id", "what", "state"], "properties": {
        "id": { "type": "string" }, "what": { "type": "string" },
        "state": { "enum": ["QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT"] },
        "detail": {}, "at": { "type": ["string", "null"] } } });
    let state = json!({ "type": "object", "required": ["online", "epoch"], "properties": {
        "online": { "type": "boolean" }, "epoch": { "type": "integer" }, "version": { "type": "string" },
        "heads": by_class(), "floor": by_class(), "lanes": { "type": "array" } } });
    let answer = json!({ "type": "object", "required": ["id", "rows", "truncated"], "properties": {
        "id": { "type": "string" }, "rows": { "type": "array", "items": schema::<Row>() },
        "truncated": { "type": "boolean" }, "took_us": { "type": "integer" }, "refused": { "type": "string" },
        "epoch": { "type": "integer", "description": "Of the gateway's journal" },
        "floor": { "type": "integer", "description": "The last verdict that is gone from the journal, 0 if none is" },
        "since": { "type": ["string", "null"], "description": "The time of the first event that is left in the journal" },
        "keys": { "type": "array", "description": "The subject keys of the person who is asked for, the one in use first",
            "items": { "type": "object", "required": ["number", "key"], "properties": {
                "number": { "type": "integer" }, "key": { "type": "string" } } } } } });
    let init = json!({ "type": "object", "required": ["bytes", "chunks", "chunk_bytes"], "properties": {
        "bytes": { "type": "integer" }, "chunks": { "type": "integer" }, "chunk_bytes": { "const": crate::upstream::photos::CHUNK } } });
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
    [
        payload("Event", event()),
        payload("Receipt", schema::<Receipt>()),
        payload("PhotoReceipt", schema::<PhotoReceipt>()),
        payload("State", state),
        payload("Health", any.clone()),
        payload("SignedConfiguration", signed("kakou-config", "a Configuration")),
        payload("Report", schema::<Report>()),
        payload("SignedCommand", signed("kakou-command", "a Command")),
        payload("Result", result),
        payload("PhotoInit", init),
        payload("Chunk", json!({ "type": "string", "format": "binary" })),
        payload("SignedQuestion", signed("kakou-trace", "a Question")),
        payload("Answer", answer),
        payload("SignedHead", signed("kakou-feed", "a Head")),
        payload("SignedEntry", signed("kakou-entry", "an Entry")),
        payload("Discovery", any),
        payload("Used", schema::<Used>()),
        payload("Hello", hello),
        payload("EntryText", entry),
        payload("Ask", schema::<Ask>()),
        payload("Page", schema::<Page>()),
    ]
    .into_iter()
    .collect()
}

/// The document.
pub fn document() -> String {
    let mut channels = Map::new();
    let mut operations = Map::new();
    for (name, address, who, spoken, qos, retain, about) in CHANNELS {
        let parts = address.split(['{', '}']).skip(1).step_by(2);
        let parameters: Map<String, Value> = parts.map(|p| (p.to_owned(), json!({}))).collect();
        let reference = |m: &&str| ((*m).to_owned(), json!({ "$ref": format!("#/components/messages/{m}") }));
        let spoken: Map<String, Value> = spoken.iter().map(reference).collect();
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
                    "bindings": { "mqtt": { "qos": qos, "retain": retain } } }),
            );
        }
    }
    let document = json!({
        "asyncapi": "3.0.0",
        "info": { "title": "Kakou gateway", "version": "1",
            "description": "What a gateway says and hears over MQTT. `send` is the gateway's side. The version in topics and types grows when a reader of the one before could no longer read it." },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages(), "schemas": schemas() },
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_that_ships_is_that_of_the_types() {
        let shipped = include_str!("../central/asyncapi.json");
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
        assert_eq!(kinds, BTreeSet::from(["Ask", "EntryText", "Hello", "Page", "Used"]));
        let event = &document["components"]["messages"]["Event"]["payload"]["properties"]["type"]["pattern"];
        assert_eq!(event, "^kakou\\.[A-Za-z0-9._:+-]+\\.v[0-9]+$", "what a profile may emit");
    }

    /// Words as the first version sent them: whatever changes, they are still read.
    #[test]
    fn words_of_version_one_are_still_read() {
        let samples: Value = serde_json::from_str(include_str!("../central/samples-v1.json")).unwrap();
        let text = |name: &str| samples[name].to_string();
        serde_json::from_str::<Receipt>(&text("receipt")).unwrap();
        serde_json::from_str::<PhotoReceipt>(&text("photo_receipt")).unwrap();
        serde_json::from_str::<Head>(&text("feed_head")).unwrap();
        serde_json::from_str::<Entry>(&text("entry")).unwrap();
        serde_json::from_str::<Configuration>(&text("configuration")).unwrap();
        serde_json::from_str::<Question>(&text("question")).unwrap();
        serde_json::from_str::<Report>(&text("report")).unwrap();
        serde_json::from_str::<crate::central::Word>(&text("state")).unwrap();
        for command in samples["commands"].as_array().unwrap() {
            serde_json::from_value::<Command>(command.clone()).unwrap();
        }
        let (from, _) = crate::central::From::of_topic("kakou/v1/demo/gw-1/evt/verdict").unwrap();
        let read = crate::central::read(&from, false, text("event").as_bytes()).unwrap();
        let read = read.events;
        assert!(read[0].refused.is_none());
        assert_eq!((read[0].seq, read[0].outcome.as_deref()), (5, Some("ADMIT")));
        assert_eq!(crate::central::read(&from, true, text("batch").as_bytes()).unwrap().events.len(), 2);
    }
}
