//! What a gateway has on record, held against what its devices did.

use crate::daemon::Gateway;
use crate::figures::Missing;
use crate::hcert_case::unhex;
use kakou_gateway::store::{chain, photos::Photos};
use std::collections::BTreeMap;

/// Admissions on record, lane by lane.
pub fn admissions(gateway: &Gateway) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for event in gateway.events("transaction") {
        if event["data"]["outcome"] == "ADMIT" {
            let lane =
                event["subject"].as_str().and_then(|s| s.split('/').next()).unwrap_or_default().to_owned();
            *out.entry(lane).or_default() += 1;
        }
    }
    out
}

/// Verifies the whole journal and every photograph that it names.
pub fn verify(gateway: &Gateway) -> Result<chain::Verified, Missing> {
    let data = gateway.data();
    let key = std::fs::read_to_string(data.join("gateway.pub"))?;
    let key = unhex(key.trim()).ok_or_else(|| Missing("gateway.pub is not hexadecimal".into()))?;
    let photos = Photos::open(&data)?;
    Ok(chain::verify(&gateway.journal(), &photos, &key)?)
}
