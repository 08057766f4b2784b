//! What a gateway says of itself, in the form in which the panels of the fleet read it. A panel asks for all gateways at
//! once: one field of another form would blind it for everybody. Such a field is left out, and the rest of the word
//! counts.

use serde_json::Value;

/// What a field may be. Null is nothing said, and nothing said is no fault.
enum Form {
    Text,
    Yes,
    /// A number that the database counts with, not below zero.
    Whole,
    Number,
    /// Known fields of an object; others may be anything.
    Of(Fields),
    /// A list of such objects.
    List(Fields),
    /// An object with any names.
    Each(&'static Form),
}

type Fields = &'static [(&'static str, Form)];

/// What panels read of health.
const HEALTH: Form = Form::Of(&[
    ("version", Form::Text),
    ("certificate", Form::Of(&[("days", Form::Number)])),
    ("box", Form::Of(&[("temp_c", Form::Number)])),
    ("photos", Form::Of(&[("waiting", Form::Whole)])),
    ("clock", Form::Of(&[("synced", Form::Yes)])),
    ("store", Form::Of(&[("state", Form::Text), ("free_bytes", Form::Number)])),
    (
        "outbox",
        Form::List(&[
            ("class", Form::Text),
            ("unpublished", Form::Whole),
            ("unreceipted", Form::Whole),
            ("oldest_age_s", Form::Number),
        ]),
    ),
    (
        "lists",
        Form::List(&[
            ("name", Form::Text),
            ("version", Form::Whole),
            ("entries", Form::Whole),
            ("age_s", Form::Number),
            ("stale", Form::Yes),
            ("signed", Form::Yes),
        ]),
    ),
    (
        "devices",
        Form::List(&[
            ("id", Form::Text),
            ("driver", Form::Text),
            ("state", Form::Text),
            ("errors", Form::Whole),
            ("latency_ms", Form::Number),
            ("since_s", Form::Number),
            ("detail", Form::Text),
        ]),
    ),
    ("counters", Form::Each(&Form::Number)),
]);

/// The same of state.
const STATE: Form = Form::Of(&[
    ("online", Form::Yes),
    ("epoch", Form::Whole),
    ("version", Form::Text),
    ("heads", Form::Each(&Form::Whole)),
]);

/// Health as it is kept, and what was left out of it; none if it is no JSON.
pub fn health(json: &str) -> Option<(String, Vec<String>)> {
    kept(json, &HEALTH)
}

/// The same of state.
pub fn state(json: &str) -> Option<(String, Vec<String>)> {
    kept(json, &STATE)
}

fn kept(json: &str, form: &Form) -> Option<(String, Vec<String>)> {
    let mut value: Value = serde_json::from_str(json).ok()?;
    let mut gone = Vec::new();
    if !value.is_object() || !fit(&mut value, form, "", &mut gone) {
        return Some(("{}".into(), vec!["everything".into()]));
    }
    Some((value.to_string(), gone))
}

/// Takes out of a value what has another form than it should; false if the value itself has.
fn fit(value: &mut Value, form: &Form, place: &str, gone: &mut Vec<String>) -> bool {
    if value.is_null() {
        // A list that is null is no list, and no panel can go through it.
        return !matches!(form, Form::List(_) | Form::Each(_));
    }
    match (form, value) {
        (Form::Text, v) => v.is_string(),
        (Form::Yes, v) => v.is_boolean(),
        (Form::Whole, v) => v.as_i64().is_some_and(|n| n >= 0),
        (Form::Number, v) => v.is_number(),
        (Form::Of(fields), Value::Object(all)) => {
            for (name, form) in *fields {
                let place = format!("{place}.{name}");
                if all.get_mut(*name).is_some_and(|v| !fit(v, form, &place, gone)) {
                    all.remove(*name);
                    gone.push(place);
                }
            }
            true
        }
        (Form::List(fields), Value::Array(all)) => {
            let place = format!("{place}[]");
            all.retain_mut(|one| {
                let good = one.is_object() && fit(one, &Form::Of(fields), &place, gone);
                if !good {
                    gone.push(place.clone());
                }
                good
            });
            true
        }
        (Form::Each(form), Value::Object(all)) => {
            // Their names are the gateway's own, and stand in no log.
            let place = format!("{place}.*");
            all.retain(|_, one| {
                let good = fit(one, form, &place, gone);
                if !good {
                    gone.push(place.clone());
                }
                good
            });
            true
        }
        (Form::Of(_) | Form::List(_) | Form::Each(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_of_another_form_is_left_out_and_the_rest_stays() {
        let health = |value: Value| {
            let (text, gone) = super::health(&value.to_string()).unwrap();
            (serde_json::from_str::<Value>(&text).unwrap(), gone)
        };
        let good = json!({ "version": "1", "outbox": [{ "class": "scan", "unpublished": 0, "oldest_age_s": null }],
            "certificate": null, "counters": { "scan_repeat_total": 7 }, "more": [1, { "x": {} }] });
        assert_eq!(health(good.clone()), (good, vec![]));
        let (kept, gone) = health(json!({ "certificate": { "days": "zonk", "sha256": "x" }, "counters": [],
            "outbox": [7, { "class": "scan", "unpublished": 1.5 }], "lists": "x", "store": { "state": "ok" } }));
        assert_eq!(
            kept,
            json!({ "certificate": { "sha256": "x" }, "outbox": [{ "class": "scan" }], "store": { "state": "ok" } })
        );
        assert_eq!(gone, [".certificate.days", ".outbox[]", ".outbox[].unpublished", ".lists", ".counters"]);
        assert_eq!(super::state("[1]").unwrap().0, "{}");
        assert_eq!(super::state("{"), None);
        let heads = super::state(r#"{"online":true,"heads":{"scan":-1,"verdict":2}}"#).unwrap();
        let kept: Value = serde_json::from_str(&heads.0).unwrap();
        assert_eq!(kept, json!({ "online": true, "heads": { "verdict": 2 } }));
    }
}
