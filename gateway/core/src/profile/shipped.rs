//! The profiles that ship with the product.

/// File name and text of each.
pub const PROFILES: [(&str, &str); 3] = [
    ("school-gate.toml", include_str!("../../../profiles/school-gate.toml")),
    ("truck-supplies.toml", include_str!("../../../profiles/truck-supplies.toml")),
    ("pre-triage.toml", include_str!("../../../profiles/pre-triage.toml")),
];

/// The text of a shipped profile, by its id.
pub fn find(id: &str) -> Option<(&'static str, &'static str)> {
    PROFILES.iter().copied().find(|(name, _)| name.strip_suffix(".toml") == Some(id))
}
