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
    "api.js" "awake.js" "console.css" "console.html" "console.js" "csv.js" "desk-ask.js" "desk-checks.js" "desk-count.js" "desk-dialogs.js" "desk-evidence.js" "desk-form.js"
    "desk-forms.css" "desk-help.js" "desk-keys.js" "desk-lock.js" "desk-open.js" "desk-other.js" "desk-override.js" "desk-presses.js"
    "desk-reasons.js" "desk-registers.js" "desk-sheet.js" "desk-sign.js" "desk-today.js" "desk-uses.js" "desk-view.js" "desk.css" "desk.html" "desk.js"
    "dialogs.css" "dom.js" "enrol.css" "enrol.html" "enrol.js" "fields.js" "format.js" "hours.js" "icons.js"
    "index.html" "index.js" "kakou.css" "kakou.svg" "lane.css" "lane.html" "lane.js" "letters.js" "page.js" "pinpad.js" "plate.js" "report.css" "report.html" "report.js"
    "signin.js" "sse.js" "status-words.js" "status.css" "status.html" "status.js" "strings-lanes.js" "strings.js" "tone.js"
}

fn file(name: &str) -> Response {
    match ASSETS.iter().find(|(n, _)| *n == name) {
        Some((_, text)) => answer(name, text),
        None => ApiError::not_found().into_response(),
    }
}

/// A file that is embedded into the program; its name says what it is.
pub fn answer(name: &str, text: &'static str) -> Response {
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some(_) | None => "application/octet-stream",
    };
    // The files change with the binary alone; a page asks again after each start.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
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
/// `/report`
pub async fn report() -> Response {
    file("report.html")
}
/// `/console`
pub async fn console() -> Response {
    file("console.html")
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
    fn every_file_of_the_screens_is_embedded() {
        let names = |assets: &[(&'static str, &str)]| assets.iter().map(|(n, _)| *n).collect::<Vec<_>>();
        assert_eq!(names(super::ASSETS), files("web"));
    }
}
