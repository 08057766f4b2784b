//! `kakou pass`: what makes keys and passes is a program beside this one; what a code says, a box can show by itself.

use super::{fail, subprogram};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kakou_core::pass::cose::Sign1;
use kakou_core::pass::{Format, base45, hcert, hex, id, kp1};
use kakou_core::text::trimmed;
use kakou_link::shown;
use serde_json::json;
use std::process::ExitCode;

/// What can be done with passes.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Makes an issuer's key, and adds its public half to a trust list; or adds the key of a certificate.
    #[command(disable_help_flag = true)]
    Key(subprogram::Handed),
    /// Issues a KP1 pass and prints the text of its QR code.
    #[command(disable_help_flag = true)]
    Issue(subprogram::Handed),
    /// Issues a pass for each row of a list and puts them on sheets to print: residents' cards, badges of
    /// staff, passes of vehicles or companions.
    #[command(disable_help_flag = true)]
    Sheet(subprogram::Handed),
    /// Shows what a code says, WITHOUT verifying it.
    Show {
        /// The text of the code.
        text: String,
    },
}

/// Runs it.
pub fn run(command: Command) -> ExitCode {
    let shown = match command {
        Command::Key(handed) => return subprogram::central(&["pass", "key"], handed),
        Command::Issue(handed) => return subprogram::central(&["pass", "issue"], handed),
        Command::Sheet(handed) => return subprogram::central(&["pass", "sheet"], handed),
        Command::Show { text } => show(&text),
    };
    match shown {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => fail(why),
    }
}

fn show(text: &str) -> Result<String, String> {
    let text = trimmed(text);
    let format = Format::of(text.as_bytes());
    let body = match format {
        Format::Opaque => {
            let whole = json!({ "format": "opaque", "id": id::normal(text), "verified": null });
            return Ok(shown::json(&whole));
        }
        Format::Kp1 => &text.as_bytes()[kp1::PREFIX.len()..],
        Format::Hcert => &text.as_bytes()[hcert::PREFIX.len()..],
    };
    let mut bytes = base45::decode(body).map_err(|e| e.to_string())?;
    if format == Format::Hcert && hcert::is_zlib(&bytes) {
        bytes = hcert::inflate(&bytes).map_err(|e| e.to_string())?;
    }
    let message = Sign1::read(&bytes).map_err(|e| e.to_string())?;
    let (cwt, kind, facts) = match format {
        Format::Kp1 => {
            let p = kp1::claims(message.payload).map_err(|e| e.to_string())?;
            (p.cwt, kp1::kind_word(p.kind).unwrap_or_default(), p.facts)
        }
        Format::Hcert | Format::Opaque => {
            let h = hcert::claims(message.payload).map_err(|e| e.to_string())?;
            (h.cwt, "health certificate", h.facts)
        }
    };
    let whole = json!({ "format": format.as_str(), "kid": hex(&message.kid), "alg": message.alg, "kind": kind,
        "nbf": cwt.nbf, "iat": cwt.iat, "exp": cwt.exp, "id": URL_SAFE_NO_PAD.encode(&cwt.cti), "facts": facts, "verified": null });
    Ok(shown::pretty(&whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_of_a_stranger_moves_no_cursor() {
        let text = show("ID-1\u{9b}2J\u{202e}\u{7f}x").unwrap();
        assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["id"], json!(id::normal("ID-1\u{9b}2J\u{202e}\u{7f}x")), "it says the same");
    }
}
