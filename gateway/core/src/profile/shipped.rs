//! The profiles that ship with the product.

/// File name and text of each.
pub const PROFILES: [(&str, &str); 34] = [
    ("school-gate.toml", include_str!("../../../profiles/2022/school-gate.toml")),
    ("truck-supplies.toml", include_str!("../../../profiles/2022/truck-supplies.toml")),
    ("pre-triage.toml", include_str!("../../../profiles/2022/pre-triage.toml")),
    ("accompanied-child.toml", include_str!("../../../profiles/2022/accompanied-child.toml")),
    ("car-occupant.toml", include_str!("../../../profiles/2022/car-occupant.toml")),
    ("community-return.toml", include_str!("../../../profiles/2022/community-return.toml")),
    ("consulting-room.toml", include_str!("../../../profiles/2022/consulting-room.toml")),
    ("door-watch.toml", include_str!("../../../profiles/2022/door-watch.toml")),
    ("duty-console.toml", include_str!("../../../profiles/2022/duty-console.toml")),
    ("emergency.toml", include_str!("../../../profiles/2022/emergency.toml")),
    ("enterprise-gate.toml", include_str!("../../../profiles/2022/enterprise-gate.toml")),
    ("isolation-point.toml", include_str!("../../../profiles/2022/isolation-point.toml")),
    ("medical-waste.toml", include_str!("../../../profiles/2022/medical-waste.toml")),
    ("pharmacy.toml", include_str!("../../../profiles/2022/pharmacy.toml")),
    ("resident-car.toml", include_str!("../../../profiles/2022/resident-car.toml")),
    ("sampling-desk.toml", include_str!("../../../profiles/2022/sampling-desk.toml")),
    ("seal-check.toml", include_str!("../../../profiles/2022/seal-check.toml")),
    ("site-daily.toml", include_str!("../../../profiles/2022/site-daily.toml")),
    ("site-exit.toml", include_str!("../../../profiles/2022/site-exit.toml")),
    ("site-onboarding.toml", include_str!("../../../profiles/2022/site-onboarding.toml")),
    ("specimen-reception.toml", include_str!("../../../profiles/2022/specimen-reception.toml")),
    ("supplies-desk.toml", include_str!("../../../profiles/2022/supplies-desk.toml")),
    ("transit-truck.toml", include_str!("../../../profiles/2022/transit-truck.toml")),
    ("truck-bulk.toml", include_str!("../../../profiles/2022/truck-bulk.toml")),
    ("venue-visit.toml", include_str!("../../../profiles/2022/venue-visit.toml")),
    ("ward-door.toml", include_str!("../../../profiles/2022/ward-door.toml")),
    ("chemical-park.toml", include_str!("../../../profiles/everyday/chemical-park.toml")),
    ("event-gate.toml", include_str!("../../../profiles/everyday/event-gate.toml")),
    ("fit-for-duty.toml", include_str!("../../../profiles/everyday/fit-for-duty.toml")),
    ("hospital-visitor.toml", include_str!("../../../profiles/everyday/hospital-visitor.toml")),
    ("livestock-wash.toml", include_str!("../../../profiles/everyday/livestock-wash.toml")),
    ("school-pickup.toml", include_str!("../../../profiles/everyday/school-pickup.toml")),
    ("waste-custody.toml", include_str!("../../../profiles/everyday/waste-custody.toml")),
    ("yard-gate.toml", include_str!("../../../profiles/everyday/yard-gate.toml")),
];

/// The packs that they belong to: the id of each, and what it says of itself.
pub const PACKS: [(&str, &str); 2] = [
    ("2022", include_str!("../../../profiles/2022/pack.toml")),
    ("everyday", include_str!("../../../profiles/everyday/pack.toml")),
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
