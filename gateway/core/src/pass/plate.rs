//! Number plates of mainland China (GA 36, with the kinds of GA 24.7): a closed alphabet, compared in one
//! normal form.
//!
//! NFKC folds full-width letters; a Cyrillic or Greek look-alike stays what it is and is refused,
//! so that two plates that look the same are the same.

use unicode_normalization::UnicodeNormalization;

/// The first characters of plates, a province each.
pub const PROVINCES: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";
/// First letters on plates of the armed forces since 2013.
const FORCES: &str = "QVKHBSLJNGCEZ";

/// The kinds in use. `省` is a province, `市` the letter of an office, `!` the first letter of a force, `@` a letter,
/// `#` a digit, `?` either; all else stands for itself. I occurs nowhere, O as the letter of an office alone.
const FORMS: [&str; 22] = [
    // Cars, motorcycles, police of the old kind.
    "省市?????",
    // New energy, large and small.
    "省市??????",
    "省市????挂",
    "省市????学",
    "省市????警",
    // Across the borders of Hong Kong and Macao.
    "省市????港",
    "省市????澳",
    // Embassies since 2017, and before.
    "###???使",
    "使###???",
    // Consulates since 2018, and before.
    "省###??领",
    "省市????领",
    // Fire and rescue.
    "省市????应急",
    // Temporary, on trial, oversized.
    "省市????临",
    "省市?????临",
    "省市????试",
    "省市????超",
    // Airports.
    "民航?????",
    // Armed police: of a province, and of the headquarters.
    "WJ省?????",
    "WJ?????",
    // Armed forces; with the word for who writes it so.
    "!@#####",
    "军@#####",
    // Tractors.
    "省##?????",
];

fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '.' | '_' | '·' | '•' | '‧' | '・' | '∙' | '⋅' | '●' | '−')
        || matches!(c, '\u{2010}'..='\u{2015}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// The normal form, for example `辽P12345`, or `None` if it is not a plate.
pub fn normal(text: &str) -> Option<String> {
    let folded: Vec<char> =
        text.nfkc().filter(|c| !is_separator(*c)).map(|c| c.to_ascii_uppercase()).collect();
    FORMS.iter().any(|form| fits(form, &folded)).then(|| folded.into_iter().collect())
}

fn fits(form: &str, plate: &[char]) -> bool {
    let letter = |c: char| c.is_ascii_uppercase() && c != 'I' && c != 'O';
    form.chars().count() == plate.len()
        && form.chars().zip(plate).all(|(class, &c)| match class {
            '省' => PROVINCES.contains(c),
            '市' => c == 'O' || letter(c),
            '!' => FORCES.contains(c),
            '@' => letter(c),
            '#' => c.is_ascii_digit(),
            '?' => c.is_ascii_digit() || letter(c),
            itself => itself == c,
        })
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn plates_are_compared_in_one_form() {
        for text in [
            "辽P·12345",
            "辽p 12345",
            "辽Ｐ１２３４５",
            "辽P12345",
            "辽P•12345",
            "辽P・12345",
            "辽P‧12345",
            "辽P･12345",
            "辽P-12345",
            "辽P－12345",
            "辽P—12345",
            "辽P．12345",
            "\u{feff}辽P\u{3000}12345\n",
        ] {
            assert_eq!(normal(text).as_deref(), Some("辽P12345"), "{text}");
        }
    }

    #[test]
    fn every_kind_in_use_is_a_plate() {
        for text in [
            "辽P12345",
            "京O12345",
            "辽PD12345",
            "辽P12345D",
            "辽P1234挂",
            "辽P1234学",
            "辽P1234警",
            "粤Z1234港",
            "粤Z1234澳",
            "224578使",
            "使014578",
            "沪22478领",
            "沪A0023领",
            "京A1234应急",
            "辽P1234临",
            "辽P12345临",
            "辽P0001试",
            "辽P1234超",
            "民航A1234",
            "民航12345",
            "WJ辽1234X",
            "WJ1234X",
            "VA12345",
            "军V12345",
            "辽0112345",
        ] {
            assert_eq!(normal(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn look_alikes_are_refused() {
        for text in [
            "辽Р12345",
            "辽Ρ12345",
            "辽PO2345",
            "辽I12345",
            "MP12345",
            "辽P1234",
            "辽P1234567",
            "港AB1234",
            "使01457",
            "民航1234",
            "辽P1234应",
            "P-0009",
            "12345",
            "",
            "辽",
        ] {
            assert_eq!(normal(text), None, "{text}");
        }
    }
}
