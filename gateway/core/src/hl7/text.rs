//! Letters of a message: how it is encoded, what separates its parts, and what is escaped in them.

use encoding_rs::GB18030;

/// How a message is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Charset {
    /// UTF-8, with ASCII as a part of it.
    #[default]
    Utf8,
    /// GB 18030, with GBK and GB 2312 as parts of it.
    Gb18030,
}

impl Charset {
    /// As a configuration names it: `utf-8`, `gb18030`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "utf-8" => Some(Self::Utf8),
            "gb18030" => Some(Self::Gb18030),
            _ => None,
        }
    }

    /// The one that MSH-18 names (HL7 table 0211, and how senders in China write it).
    pub(super) fn named(name: &str) -> Option<Self> {
        let plain: String =
            name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        match plain.as_str() {
            "UNICODEUTF8" | "UTF8" | "ASCII" => Some(Self::Utf8),
            "GB180302000" | "GB180302005" | "GB18030" | "GBK" | "CP936" | "GB2312" | "GB231280" => {
                Some(Self::Gb18030)
            }
            _ => None,
        }
    }

    /// As MSH-18 names it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UNICODE UTF-8",
            Self::Gb18030 => "GB 18030-2000",
        }
    }

    /// A text of it; none if it is not.
    pub(super) fn decode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(str::to_owned),
            Self::Gb18030 => {
                GB18030.decode_without_bom_handling_and_without_replacement(bytes).map(|t| t.into_owned())
            }
        }
    }

    /// The bytes of a text.
    pub(super) fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Gb18030 => GB18030.encode(text).0.into_owned(),
        }
    }
}

/// What separates the parts of a message (MSH-1, MSH-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Separators {
    pub field: char,
    pub component: char,
    pub repetition: char,
    pub escape: char,
    pub subcomponent: char,
}

impl Separators {
    /// What nearly everybody writes.
    pub const USUAL: Self =
        Self { field: '|', component: '^', repetition: '~', escape: '\\', subcomponent: '&' };

    /// Those of a message, from its first line. Version 2.7 has a fifth one, for texts that were cut.
    pub fn of(header: &str) -> Option<Self> {
        let mut rest = header.strip_prefix("MSH")?.chars();
        let field = rest.next()?;
        let others: Vec<char> = rest.take_while(|c| *c != field).take(6).collect();
        let [component, repetition, escape, subcomponent] = *others.first_chunk::<4>()?;
        let all: Vec<char> = others.iter().copied().chain([field]).collect();
        let apart = all.iter().enumerate().all(|(at, c)| c.is_ascii_punctuation() && !all[..at].contains(c));
        (apart && others.len() <= 5).then_some(Self { field, component, repetition, escape, subcomponent })
    }

    /// A text without escapes. What stands for a change of the type face is left out, and an escape that does not end
    /// is a text.
    pub fn unescape(&self, text: &str, charset: Charset) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, behind)) = rest.split_once(self.escape) {
            out.push_str(before);
            let Some((what, after)) = behind.split_once(self.escape) else {
                out.push(self.escape);
                rest = behind;
                continue;
            };
            match what {
                "F" => out.push(self.field),
                "S" => out.push(self.component),
                "T" => out.push(self.subcomponent),
                "R" => out.push(self.repetition),
                "E" => out.push(self.escape),
                _ if what.starts_with('.') => out.push(' '),
                _ => {
                    let hex = what.strip_prefix('X').and_then(crate::hex::unhex);
                    out.push_str(&hex.and_then(|bytes| charset.decode(&bytes)).unwrap_or_default());
                }
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// A text as it stands in a field.
    pub fn escape(&self, text: &str) -> String {
        let mut out = String::new();
        for c in text.chars() {
            let code = match c {
                c if c == self.field => "F",
                c if c == self.component => "S",
                c if c == self.subcomponent => "T",
                c if c == self.repetition => "R",
                c if c == self.escape => "E",
                c => {
                    out.push(if c.is_control() { ' ' } else { c });
                    continue;
                }
            };
            out.extend([self.escape].into_iter().chain(code.chars()).chain([self.escape]));
        }
        out
    }
}
