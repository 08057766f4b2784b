//! Number plates of mainland China (GA 36): a closed alphabet, compared in one normal form.
//!
//! NFKC folds full-width letters; a Cyrillic or Greek look-alike stays what it is and is refused,
//! so that two plates that look the same are the same.

use unicode_normalization::UnicodeNormalization;

const PROVINCES: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";
const SUFFIXES: &str = "挂学警港澳领";

/// The normal form, for example `辽P12345`, or `None` if it is not a plate.
pub fn normal(text: &str) -> Option<String> {
    let folded: String = text
        .nfkc()
        .filter(|c| !matches!(c, ' ' | '·' | '•' | '-' | '・'))
        .flat_map(char::to_uppercase)
        .collect();
    let mut chars = folded.chars();
    let province = chars.next()?;
    let city = chars.next()?;
    let rest: Vec<char> = chars.collect();
    let (last, body) = rest.split_last()?;
    let letter = |c: char| c.is_ascii_uppercase() && c != 'I' && c != 'O';
    let good = PROVINCES.contains(province)
        && city.is_ascii_uppercase()
        && city != 'I'
        && (5..=6).contains(&rest.len())
        && body.iter().all(|&c| c.is_ascii_digit() || letter(c))
        && (last.is_ascii_digit() || letter(*last) || SUFFIXES.contains(*last));
    good.then_some(folded)
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn plates_are_compared_in_one_form() {
        for text in ["辽P·12345", "辽p 12345", "辽Ｐ１２３４５", "辽P12345"] {
            assert_eq!(normal(text).as_deref(), Some("辽P12345"), "{text}");
        }
        assert_eq!(normal("辽PD12345").as_deref(), Some("辽PD12345"), "new energy");
        assert_eq!(normal("辽P1234挂").as_deref(), Some("辽P1234挂"), "trailer");
    }

    #[test]
    fn look_alikes_are_refused() {
        for text in ["辽Р12345", "辽Ρ12345", "辽PO2345", "LP12345", "辽P1234", "辽P1234567", "", "辽"]
        {
            assert_eq!(normal(text), None, "{text}");
        }
    }
}
