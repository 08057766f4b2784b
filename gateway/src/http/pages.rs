//! The screens, embedded into the binary.

use super::error::ApiError;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

macro_rules! assets {
    ($($name:literal)*) => {
        const ASSETS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../web/", $name))),)*];
    };
}

assets! {
    "api.js" "awake.js" "desk-ask.js" "desk-dialogs.js" "desk-evidence.js" "desk-help.js" "desk-keys.js"
    "desk-lock.js" "desk-override.js" "desk-presses.js" "desk-uses.js" "desk-view.js" "desk.css" "desk.html" "desk.js" "dialogs.css" "dom.js" "enrol.css" "enrol.html" "enrol.js" "format.js" "icons.js"
    "index.html" "index.js" "kakou.css" "kakou.svg" "lane.css" "lane.html" "lane.js" "letters.js" "page.js" "pinpad.js" "plate.js"
    "signin.js" "sse.js" "status-words.js" "status.css" "status.html" "status.js" "strings.js" "tone.js"
}

macro_rules! fleet_assets {
    ($($name:literal)*) => {
        const FLEET: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../web/fleet/", $name))),)*];
    };
}

fleet_assets! {
    "fleet-api.js" "fleet-cells.js" "fleet-detail.js" "fleet-filter.js" "fleet-fresh.js" "fleet-hash.js"
    "fleet-model.js" "fleet-panels.css" "fleet-photos.css" "fleet-photos.js" "fleet-sections.js" "fleet-strings.js" "fleet-table.js" "fleet-tiles.js"
    "fleet-trace-result.js" "fleet-trace.js" "fleet.css" "fleet.html" "fleet.js"
}

fn file(name: &str) -> Response {
    let Some((_, text)) = ASSETS.iter().chain(FLEET).find(|(n, _)| *n == name) else {
        return ApiError::not_found().into_response();
    };
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some(_) | None => "application/octet-stream",
    };
    // The files change with the binary alone; a page asks again after each start.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], *text).into_response()
}

/// `/`
pub async fn index() -> Response {
    file("index.html")
}
/// `/lane/{lane}`
pub async fn lane() -> Response {
    file("lane.html")
}
/// `/desk/{lane}`
pub async fn desk() -> Response {
    file("desk.html")
}
/// `/status`
pub async fn status() -> Response {
    file("status.html")
}
/// `/` of the central side.
pub async fn fleet() -> Response {
    file("fleet.html")
}
/// `/` of a box that is not enrolled.
pub async fn enrol() -> Response {
    file("enrol.html")
}
/// `/assets/{name}`
pub async fn asset(Path(name): Path<String>) -> Response {
    if name.ends_with(".html") { ApiError::not_found().into_response() } else { file(&name) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    fn files(folder: &str) -> Vec<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let all = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        let mut names: Vec<String> =
            all.filter(|f| f.path().is_file()).map(|f| f.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Every text in quotes that names a counter, in the sources below a folder.
    fn counters(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                counters(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                let is_name = |t: &&str| {
                    t.len() > "_total".len() && t.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                };
                let names = source.split('"').filter(|t| t.ends_with("_total")).filter(is_name);
                found.extend(names.map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_counter_has_a_name_in_both_languages() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut counted = BTreeSet::new();
        for sources in ["src", "core/src", "wire/src", "link/src"] {
            counters(&here.join(sources), &mut counted);
        }
        assert!(counted.len() > 60 && counted.contains("scan_repeat_total"), "{counted:?}");
        let words = std::fs::read_to_string(here.join("web/status-words.js")).unwrap();
        let named: BTreeSet<String> = words
            .lines()
            .filter_map(|line| {
                let (name, rest) = line.trim().split_once(": [\"")?;
                let (zh, en) = rest.strip_suffix("\"],")?.split_once("\", \"")?;
                (!zh.is_ascii() && en.is_ascii()).then(|| name.to_owned())
            })
            .filter(|name| name.ends_with("_total"))
            .collect();
        assert_eq!(counted.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "without words");
        assert_eq!(
            named.difference(&counted).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "nothing counts it"
        );
    }

    /// What drivers say word for word, in the sources below a folder.
    fn said(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                said(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                for call in ["Out::Error(", "monitor.error("] {
                    let rest = source.split(call).skip(1);
                    let texts =
                        rest.filter_map(|r| Some(r.trim_start().strip_prefix('"')?.split_once('"')?.0));
                    found.extend(texts.map(str::to_owned));
                }
            }
        }
    }

    #[test]
    fn every_word_of_a_driver_has_chinese_words() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut all = BTreeSet::new();
        said(&here.join("../drivers/src"), &mut all);
        assert!(all.len() > 20 && all.contains("bad checksum"), "{all:?}");
        let words = std::fs::read_to_string(here.join("web/status-words.js")).unwrap();
        all.retain(|text| !words.contains(&format!("  \"{text}\": \"")));
        assert!(all.is_empty(), "without words: {all:?}");
    }

    #[test]
    fn every_alarm_of_the_fleet_has_its_place_its_words_and_its_letter_on_the_page() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/fleet");
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
    fn every_file_of_the_screens_is_embedded() {
        let names = |assets: &[(&'static str, &str)]| assets.iter().map(|(n, _)| *n).collect::<Vec<_>>();
        assert_eq!(names(super::ASSETS), files("web"));
        assert_eq!(names(super::FLEET), files("web/fleet"));
    }
}
