//! The files of the fleet page, embedded into the program. What it shares with the screens of a gateway, it serves as a
//! gateway does.

use axum::extract::Path;
use axum::response::Response;
use kakou_gateway::http::pages;

macro_rules! assets {
    ($($name:literal)*) => {
        const ASSETS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../web/", $name))),)*];
    };
}

assets! {
    "fleet-api.js" "fleet-cells.js" "fleet-detail.js" "fleet-filter.js" "fleet-fresh.js" "fleet-hash.js"
    "fleet-model.js" "fleet-panels.css" "fleet-photos.css" "fleet-photos.js" "fleet-sections.js" "fleet-strings.js" "fleet-table.js" "fleet-tiles.js"
    "fleet-trace-result.js" "fleet-trace.js" "fleet.css" "fleet.js"
}

/// `/`
pub async fn index() -> Response {
    pages::answer("fleet.html", include_str!("../../web/fleet.html"))
}

/// `/assets/{name}`
pub async fn asset(name: Path<String>) -> Response {
    match ASSETS.iter().find(|(own, _)| *own == name.0) {
        Some((own, text)) => pages::answer(own, text),
        None => pages::asset(name).await,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_alarm_of_the_fleet_has_its_place_its_words_and_its_letter_on_the_page() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let model = std::fs::read_to_string(here.join("fleet-model.js")).unwrap();
        let list = model.split_once("ALARMS = [").unwrap().1.split_once(']').unwrap().0;
        let names: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
        assert_eq!(names, crate::fleet::alarms::ALARMS);
        let strings = std::fs::read_to_string(here.join("fleet-strings.js")).unwrap();
        let mut letters = BTreeSet::new();
        for name in names {
            for kind in ["alarm", "glyph"] {
                let line =
                    strings.lines().find_map(|l| l.trim().strip_prefix(&format!("{kind}_{name}: [\"")));
                let words = line.and_then(|l| l.strip_suffix("\"],")?.split_once("\", \""));
                let (zh, en) = words.unwrap_or_else(|| panic!("{kind}_{name} has no words"));
                assert!(!zh.is_ascii() && en.is_ascii() && !en.is_empty(), "{kind}_{name}");
                assert!(
                    kind == "alarm" || (letters.insert(zh) && letters.insert(en)),
                    "{name} has the letter of another"
                );
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_embedded() {
        let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("web")).unwrap();
        let mut names: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "fleet.html");
        names.sort();
        let embedded: Vec<&str> = super::ASSETS.iter().map(|(name, _)| *name).collect();
        assert_eq!(embedded, names);
    }
}
