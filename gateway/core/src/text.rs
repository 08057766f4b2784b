//! Text for people, always in both languages.

use serde::{Deserialize, Serialize};

/// One sentence in Chinese and in English.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Simplified Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Text {
    /// Both languages at once.
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }
}

/// A name as a public screen may show it: the first character, then one star.
pub fn masked(name: &str) -> String {
    name.trim().chars().next().map(|c| format!("{c}*")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_masked_name_shows_one_character() {
        assert_eq!(super::masked("张小明"), "张*");
        assert_eq!(super::masked("Li"), "L*");
        assert_eq!(super::masked(" "), "");
    }
}
