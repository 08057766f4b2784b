//! Base45 (RFC 9285), strict.
//!
//! Nothing is trimmed and nothing overflows: a group that encodes more than its bytes can hold
//! is refused, and so is a lone last character.

/// The alphabet in order of value.
const ALPHABET: &[u8; 45] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

const BAD: u8 = 0xff;
#[expect(
    clippy::cast_possible_truncation,
    reason = "45 values fit a byte, and a constant cannot call try_from"
)]
const VALUES: [u8; 256] = {
    let mut table = [BAD; 256];
    let mut i = 0;
    while i < 45 {
        table[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    table
};

/// Why a text is not base45.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Base45Error {
    /// A character outside the alphabet.
    #[error("character {0} is outside the base45 alphabet")]
    Character(usize),
    /// A group of characters encodes more than its bytes can hold.
    #[error("the group at character {0} is out of range")]
    Range(usize),
    /// One character is left over.
    #[error("the length {0} leaves one character over")]
    Length(usize),
}

/// Decodes; `text` has exactly the characters of the code.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, Base45Error> {
    if text.len() % 3 == 1 {
        return Err(Base45Error::Length(text.len()));
    }
    let mut out = Vec::with_capacity(text.len());
    for (group, chunk) in text.chunks(3).enumerate() {
        let at = group * 3;
        let mut value = 0_u32;
        for (i, &c) in chunk.iter().enumerate().rev() {
            let v = VALUES[usize::from(c)];
            if v == BAD {
                return Err(Base45Error::Character(at + i));
            }
            value = value * 45 + u32::from(v);
        }
        match (chunk.len(), value) {
            (3, 0..=0xffff) => out.extend_from_slice(&value.to_be_bytes()[2..]),
            (2, 0..=0xff) => out.extend_from_slice(&value.to_be_bytes()[3..]),
            _ => return Err(Base45Error::Range(at)),
        }
    }
    Ok(out)
}

/// Encodes.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(2) {
        let (mut value, digits) = match *chunk {
            [a, b] => (usize::from(a) * 256 + usize::from(b), 3),
            [a] => (usize::from(a), 2),
            _ => continue,
        };
        for _ in 0..digits {
            out.push(char::from(ALPHABET[value % 45]));
            value /= 45;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_rfc_9285() {
        for (plain, coded) in
            [("AB", "BB8"), ("Hello!!", "%69 VD92EX0"), ("base-45", "UJCLQE7W581"), ("ietf!", "QED8WEX0")]
        {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded.as_bytes()).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn overflow_is_refused_not_wrapped() {
        assert_eq!(decode(b"GGW"), Err(Base45Error::Range(0)), "65536");
        assert_eq!(decode(b":::"), Err(Base45Error::Range(0)));
        assert_eq!(decode(b"::"), Err(Base45Error::Range(0)));
        assert_eq!(decode(b"V5"), Err(Base45Error::Range(0)), "256");
        assert_eq!(decode(b"U5"), Ok(vec![255]));
        assert_eq!(decode(b"FGW"), Ok(vec![255, 255]));
    }

    #[test]
    fn white_space_is_never_trimmed_or_collapsed() {
        assert_eq!(decode(b"BB8 "), Err(Base45Error::Length(4)));
        assert_eq!(decode(b"BB8\n\n"), Err(Base45Error::Character(4)));
        assert_ne!(decode(b"  0"), decode(b" 00"), "a double space is real");
        assert!(decode(b"bb8").is_err(), "lower case is not base45");
    }

    proptest! {
        #[test]
        fn every_byte_string_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(decode(encode(&bytes).as_bytes()).unwrap(), bytes);
        }
        #[test]
        fn what_decodes_encodes_to_itself(text in "[0-9A-Z $%*+./:-]{0,40}") {
            if let Ok(bytes) = decode(text.as_bytes()) { prop_assert_eq!(encode(&bytes), text); }
        }
    }
}
