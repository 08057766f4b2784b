//! Numbers that carry a check digit: of persons (GB 11643) and of freight containers (ISO 6346).

use super::id;

/// The weights of the first 17 digits of GB 11643.
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// The last character by the remainder.
const CHECK: &[u8; 11] = b"10X98765432";

/// The number of an identity card in its one form, for example `211402199003070019`; `None` if it is none.
pub fn person(text: &str) -> Option<String> {
    let number = id::normal(text);
    let (digits, last) = number.as_bytes().split_at_checked(17).filter(|(_, last)| last.len() == 1)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    (CHECK.get(usize::try_from(sum % 11).ok()?) == last.first()).then_some(number)
}

/// The number of a container in its one form, for example `CSQU3054383`; `None` if it is none.
pub fn container(text: &str) -> Option<String> {
    let number: String = id::normal(text).chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let (body, last) = number.as_bytes().split_at_checked(10).filter(|(_, last)| last.len() == 1)?;
    let (owner, serial) = body.split_at_checked(4)?;
    let letters = owner.iter().all(u8::is_ascii_uppercase);
    if !letters || !serial.iter().chain(last).all(u8::is_ascii_digit) {
        return None;
    }
    let sum: u32 = (0u32..).zip(body).map(|(place, c)| value(*c) << place).sum();
    (u32::from(last[0] - b'0') == sum % 11 % 10).then_some(number)
}

/// What a character counts: digits as themselves, letters from 10 on, leaving out the multiples of 11.
fn value(c: u8) -> u32 {
    if c.is_ascii_digit() {
        return u32::from(c - b'0');
    }
    let plain = u32::from(c - b'A') + 10;
    plain + (plain - 1) / 10
}

/// A telephone number of eleven digits; `None` if it is none.
pub fn phone(text: &str) -> Option<String> {
    let number: String = id::normal(text).chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    (number.len() == 11 && number.bytes().all(|b| b.is_ascii_digit())).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_character_of_an_identity_number_follows_from_the_others() {
        for good in [
            "211402199003070019",
            "11010519491231002X",
            "11010519491231002x",
            " １１０１０５１９４９１２３１００２Ｘ ",
        ] {
            assert!(person(good).is_some(), "{good}");
        }
        for bad in [
            "211402199003070018",
            "110105194912310020",
            "21140219900307001",
            "2114021990030700199",
            "A11402199003070019",
            "",
        ] {
            assert_eq!(person(bad), None, "{bad}");
        }
        assert_eq!(person("11010519491231002x").as_deref(), Some("11010519491231002X"));
    }

    #[test]
    fn a_digit_of_an_identity_number_that_is_read_wrong_is_noticed() {
        let good = "211402199003070019";
        for place in 0..17 {
            let mut bytes = good.as_bytes().to_vec();
            bytes[place] = b'0' + (bytes[place] - b'0' + 1) % 10;
            assert_eq!(person(&String::from_utf8(bytes).unwrap()), None, "at {place}");
        }
    }

    #[test]
    fn the_last_digit_of_a_container_follows_from_the_others() {
        for good in ["CSQU3054383", "csqu 305438 3", "CSQU305438-3", "MSKU6011672"] {
            assert!(container(good).is_some(), "{good}");
        }
        for bad in ["CSQU3054384", "CSQ13054383", "CSQU305438", "CSQU30543833", ""] {
            assert_eq!(container(bad), None, "{bad}");
        }
        assert_eq!(container("csqu 305438 3").as_deref(), Some("CSQU3054383"));
    }

    #[test]
    fn letters_of_a_container_count_without_the_multiples_of_eleven() {
        let all: Vec<u32> = (b'A'..=b'Z').map(value).collect();
        assert_eq!(all[..3], [10, 12, 13]);
        assert_eq!(all[25], 38);
        assert!(all.iter().all(|n| n % 11 != 0), "{all:?}");
    }

    #[test]
    fn a_telephone_number_has_eleven_digits() {
        assert_eq!(phone("138 0013-8000").as_deref(), Some("13800138000"));
        for bad in ["1380013800", "138001380000", "1380013800a", ""] {
            assert_eq!(phone(bad), None, "{bad}");
        }
    }
}
