//! Passes and lists for tests.

use kakou_authority::issuer::Issuer;
use kakou_core::pass::kp1::{Draft, kind_of};
use kakou_core::pass::trust::{KeyEntry, TrustFile, Usage};
use kakou_gateway::store::edition::{Order, build};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// UTC seconds.
pub fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed())
}

/// An issuer with a fresh key.
pub fn issuer() -> Issuer {
    Issuer::from_pkcs8(&Issuer::generate().expect("random numbers")).expect("a fresh key")
}

/// A pass of this kind, valid for a day.
pub fn pass(issuer: &Issuer, kind: &str, facts: Value) -> String {
    let facts = facts.as_object().cloned().unwrap_or_default();
    let cti = Issuer::pass_id().expect("random numbers");
    let kind = kind_of(kind).expect("a known kind");
    issuer
        .issue(&Draft { kind, cti, nbf: now_s() - 3600, exp: now_s() + 86_400, facts })
        .expect("a complete pass")
}

/// Writes a trust list.
pub fn trust(folder: &Path, keys: Vec<KeyEntry>) {
    let file = TrustFile { name: "trust".into(), version: 1, issued: now_s(), keys };
    write(folder, "trust", &serde_json::to_value(file).expect("a list is JSON"));
}

/// Writes a list of entries.
pub fn list(folder: &Path, name: &str, entries: Map<String, Value>) {
    edition(folder, name, 1, entries);
}

/// Writes an edition of a list, as a folder of lists has it.
pub fn edition(folder: &Path, name: &str, version: u64, entries: Map<String, Value>) {
    issued(folder, name, version, now_s(), entries);
}

/// Writes an edition that was issued at a moment, in UTC seconds.
pub fn issued(folder: &Path, name: &str, version: u64, issued_s: i64, entries: Map<String, Value>) {
    write(folder, name, &json!({ "name": name, "version": version, "issued": issued_s, "entries": entries }));
}

fn write(folder: &Path, name: &str, list: &Value) {
    std::fs::create_dir_all(folder).expect("a folder for lists");
    std::fs::write(folder.join(format!("{name}.json")), list.to_string()).expect("a list file");
}

/// Puts an edition of a list, whose lines are in the order of ids, into use in a data folder; gives its file.
///
/// # Errors
/// What is wrong with a line, or with the folder.
pub fn put_into_use(
    data: &Path,
    name: &str,
    (version, issued_ms): (u64, i64),
    lines: &str,
) -> Result<PathBuf, String> {
    let order = Order {
        data,
        name,
        version,
        issued_ms,
        base: None,
        sha256: None,
        signer: "",
        canary: &[],
        check: None,
    };
    build(&order, lines.as_bytes(), &mut |_| true).map_err(|e| format!("list {name}: {e}"))?;
    Ok(data.join("editions").join(format!("{name}-{version}.db")))
}

/// The entry of an issuer of residents' cards and vehicle passes.
pub fn entry(issuer: &Issuer) -> KeyEntry {
    issuer.entry("tests", &[Usage::ResidentCard, Usage::VehiclePass])
}

/// A healthy resident.
pub fn healthy() -> Value {
    json!({ "name": "张小明", "group": "三年二班", "colour": "green", "test_result": "negative",
        "sampled_at_ms": (now_s() - 3600 * 20) * 1000 })
}
