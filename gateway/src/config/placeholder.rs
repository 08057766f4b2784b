//! Places of a template that whoever writes it has to fill in: `/dev/serial/by-path/WHERE-IT-IS-PLUGGED-IN`.
//!
//! A gateway that has one goes on with what it has. Whoever makes or checks a configuration hears of it.

use super::{ConfigError, Settings};
use kakou_core::text::line_at;

/// How the last part of such a path begins; capitals and hyphens follow.
const BEGINS: &str = "WHERE-";

/// The first one of a text: where it stands, and what it is.
fn first(text: &str) -> Option<(usize, &str)> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let said = line.find('#').map_or(line, |comment| &line[..comment]);
        if let Some(begin) = said.find(BEGINS) {
            let rest = &said[begin..];
            let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '-').unwrap_or(rest.len());
            return Some((at + begin, &rest[..end]));
        }
        at += line.len();
    }
    None
}

/// Says of a configuration where it still has a place to be filled in.
pub fn filled_in(settings: &Settings) -> Result<(), ConfigError> {
    first(&settings.text).map_or(Ok(()), |(at, what)| {
        Err(ConfigError::Wrong {
            file: settings.file.clone(),
            line: line_at(settings.text.as_bytes(), at),
            what: format!(
                "`{what}` is a place to fill in: write the port there, as `kakou devices` names it"
            ),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_nobody_filled_in_is_found_with_its_line_and_a_comment_is_none() {
        let text = "# WHERE-IT-IS\nid = \"x\" # or WHERE-EVER\npath = \"/dev/WHERE-IT-IS\", baud = 1\n";
        let (at, what) = first(text).unwrap();
        assert_eq!((line_at(text.as_bytes(), at), what), (3, "WHERE-IT-IS"));
        assert_eq!(first("path = \"/dev/serial/by-path/pci-0000\"\nsite = \"SOMEWHERE\"\n"), None);
    }
}
