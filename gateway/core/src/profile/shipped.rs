//! The profiles that ship with the product.

/// File name and text of each.
pub const PROFILES: [(&str, &str); 3] = [
    ("school-gate.toml", include_str!("../../../profiles/2022/school-gate.toml")),
    ("truck-supplies.toml", include_str!("../../../profiles/2022/truck-supplies.toml")),
    ("pre-triage.toml", include_str!("../../../profiles/2022/pre-triage.toml")),
];

/// The id of each, in the same order.
pub fn ids() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|(file, _)| file.trim_end_matches(".toml"))
}

/// File name and text of a shipped profile, by its id.
pub fn find(id: &str) -> Option<(&'static str, &'static str)> {
    PROFILES.into_iter().zip(ids()).find(|(_, of)| *of == id).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shipped_profile_is_found_by_the_id_that_it_says_itself() {
        for id in ids() {
            let (file, text) = find(id).unwrap();
            assert_eq!(crate::profile::read(file, text).unwrap().id.to_string(), id);
        }
        assert!(find("school-gate.toml").is_none() && find("").is_none());
    }
}
