//! A strict reader of CBOR (RFC 8949) on top of `minicbor`.
//!
//! Refused, because real verifiers fell into it: duplicate keys, trailing bytes, nesting beyond
//! [`MAX_DEPTH`], more than [`MAX_ITEMS`] items, lengths beyond the input, indefinite-length
//! strings. Indefinite arrays and maps are read, since some issuers write them.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};

/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 12;
/// The greatest number of items in one document.
pub const MAX_ITEMS: usize = 2048;

/// Why bytes are not CBOR of ours.
#[derive(Debug, thiserror::Error)]
pub enum CborError {
    /// The encoding itself is broken.
    #[error("not CBOR: {0}")]
    Syntax(#[from] Error),
    /// Deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH}")]
    Depth,
    /// More than [`MAX_ITEMS`] items.
    #[error("more than {MAX_ITEMS} items")]
    Items,
    /// A map names a key twice.
    #[error("a map has the same key twice")]
    DuplicateKey,
    /// Bytes follow the document.
    #[error("{0} bytes follow the document")]
    Trailing(usize),
    /// A type that no pass needs.
    #[error("unsupported type {0}")]
    Unsupported(Type),
}

/// One item; strings are borrowed from the input.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Any integer that fits 64 bits, signed or not.
    Int(i128),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text string.
    Text(&'a str),
    /// An array.
    Array(Vec<Value<'a>>),
    /// A map without duplicate keys, in the order of the input.
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// A tagged item.
    Tag(u64, Box<Value<'a>>),
    /// A boolean.
    Bool(bool),
    /// A floating-point number.
    Float(f64),
    /// Null or undefined.
    Null,
}

impl<'a> Value<'a> {
    /// The integer.
    pub fn int(&self) -> Option<i64> {
        if let Self::Int(i) = self { i64::try_from(*i).ok() } else { None }
    }
    /// The integer, also where an encoder wrote it as a floating-point number of the same value.
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
    pub fn whole(&self) -> Option<i64> {
        if let Self::Float(f) = self {
            return (f.fract() == 0.0 && f.abs() <= 9_007_199_254_740_992.0).then_some(*f as i64);
        }
        self.int()
    }
    /// The text.
    pub fn text(&self) -> Option<&'a str> {
        if let Self::Text(t) = self { Some(t) } else { None }
    }
    /// The bytes.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(b) = self { Some(b) } else { None }
    }
    /// The array.
    pub fn array(&self) -> Option<&[Value<'a>]> {
        if let Self::Array(a) = self { Some(a) } else { None }
    }
    /// The pairs of the map.
    pub fn pairs(&self) -> Option<&[(Value<'a>, Value<'a>)]> {
        if let Self::Map(m) = self { Some(m) } else { None }
    }
    /// The entry of an integer key.
    pub fn at(&self, key: i64) -> Option<&Value<'a>> {
        let key = i128::from(key);
        self.pairs()?.iter().find(|(k, _)| matches!(k, Self::Int(i) if *i == key)).map(|(_, v)| v)
    }
    /// The entry of a text key.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.pairs()?.iter().find(|(k, _)| matches!(k, Self::Text(t) if *t == key)).map(|(_, v)| v)
    }
}

/// Reads exactly one document.
pub fn read(bytes: &[u8]) -> Result<Value<'_>, CborError> {
    let mut reader = Reader { decoder: Decoder::new(bytes), items: 0 };
    let value = reader.item(0)?;
    match bytes.len() - reader.decoder.position() {
        0 => Ok(value),
        left => Err(CborError::Trailing(left)),
    }
}

struct Reader<'a> {
    decoder: Decoder<'a>,
    items: usize,
}

impl<'a> Reader<'a> {
    fn item(&mut self, depth: usize) -> Result<Value<'a>, CborError> {
        if depth > MAX_DEPTH {
            return Err(CborError::Depth);
        }
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(CborError::Items);
        }
        let d = &mut self.decoder;
        Ok(match d.datatype()? {
            Type::Bool => Value::Bool(d.bool()?),
            Type::Null => {
                d.null()?;
                Value::Null
            }
            Type::Undefined => {
                d.undefined()?;
                Value::Null
            }
            Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::I8
            | Type::I16
            | Type::I32
            | Type::I64
            | Type::Int => Value::Int(i128::from(d.int()?)),
            Type::F16 => Value::Float(f64::from(d.f16()?)),
            Type::F32 => Value::Float(f64::from(d.f32()?)),
            Type::F64 => Value::Float(d.f64()?),
            Type::Bytes => Value::Bytes(d.bytes()?),
            Type::String => Value::Text(d.str()?),
            Type::Tag => {
                let tag = d.tag()?.as_u64();
                Value::Tag(tag, Box::new(self.item(depth + 1)?))
            }
            Type::Array | Type::ArrayIndef => self.array(depth)?,
            Type::Map | Type::MapIndef => self.map(depth)?,
            other
            @ (Type::Simple | Type::BytesIndef | Type::StringIndef | Type::Break | Type::Unknown(_)) => {
                return Err(CborError::Unsupported(other));
            }
        })
    }

    /// True while a container goes on; `left` counts down where the length is known.
    fn more(&mut self, left: &mut Option<u64>) -> Result<bool, CborError> {
        match left {
            Some(0) => Ok(false),
            Some(n) => {
                *n -= 1;
                Ok(true)
            }
            None if self.decoder.datatype()? == Type::Break => {
                self.decoder.skip()?;
                Ok(false)
            }
            None => Ok(true),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, CborError> {
        let mut left = self.decoder.array()?;
        let mut out = Vec::new();
        while self.more(&mut left)? {
            out.push(self.item(depth + 1)?);
        }
        Ok(Value::Array(out))
    }

    fn map(&mut self, depth: usize) -> Result<Value<'a>, CborError> {
        let mut left = self.decoder.map()?;
        let mut out: Vec<(Value<'a>, Value<'a>)> = Vec::new();
        while self.more(&mut left)? {
            let key = self.item(depth + 1)?;
            if out.iter().any(|(k, _)| *k == key) {
                return Err(CborError::DuplicateKey);
            }
            let value = self.item(depth + 1)?;
            out.push((key, value));
        }
        Ok(Value::Map(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn duplicate_keys_are_refused() {
        assert!(matches!(read(&[0xa2, 4, 1, 4, 2]), Err(CborError::DuplicateKey)));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert!(matches!(read(&[0x01, 0x00]), Err(CborError::Trailing(1))));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let mut bomb = vec![0x81; 10_000];
        bomb.push(0);
        assert!(matches!(read(&bomb), Err(CborError::Depth)));
    }

    #[test]
    fn nesting_is_read_up_to_its_limit_in_every_kind_of_container() {
        type Nest = fn(usize) -> Vec<u8>;
        let nests: [Nest; 4] = [
            |n| [vec![0x81; n], vec![0]].concat(),
            |n| [vec![0xc1; n], vec![0]].concat(),
            // A map in the value of a map, and one in its key.
            |n| [[0xa1, 0].repeat(n), vec![0]].concat(),
            |n| [vec![0xa1; n], vec![0; n + 1]].concat(),
        ];
        for (kind, nest) in nests.iter().enumerate() {
            assert!(read(&nest(MAX_DEPTH)).is_ok(), "{kind}");
            for deeper in [MAX_DEPTH + 1, 100] {
                assert!(matches!(read(&nest(deeper)), Err(CborError::Depth)), "{kind}: {deeper}");
            }
        }
    }

    #[test]
    fn a_document_has_so_many_items_and_no_more() {
        // The array itself is one of them.
        let array = |n: u16| [&[0x99][..], &n.to_be_bytes(), &vec![0; usize::from(n)]].concat();
        assert_eq!(read(&array(2047)).unwrap().array().map(<[_]>::len), Some(2047));
        assert!(matches!(read(&array(2048)), Err(CborError::Items)));
    }

    #[test]
    fn arrays_and_maps_without_a_length_end_where_they_say() {
        assert_eq!(read(&[0x9f, 1, 0x80, 0xff]).unwrap().array().map(<[_]>::len), Some(2));
        let map = read(&[0xbf, 1, 2, 0x61, b'a', 0x41, 7, 0xff]).unwrap();
        assert_eq!(map.at(1).and_then(Value::int), Some(2));
        assert_eq!(map.get("a").and_then(Value::bytes), Some(&[7][..]));
        assert_eq!((map.at(2), map.get("b")), (None, None));
    }

    #[test]
    fn a_floating_point_number_is_whole_as_far_as_it_is_exact() {
        let whole = |f| Value::Float(f).whole();
        assert_eq!((whole(3.0), whole(-2.0), whole(0.5)), (Some(3), Some(-2), None));
        assert_eq!(whole(9_007_199_254_740_992.0), Some(1 << 53));
        assert_eq!((whole(9_007_199_254_740_994.0), whole(f64::NAN)), (None, None));
        assert_eq!(Value::Int(5).whole(), Some(5));
    }

    #[test]
    fn an_indefinite_bomb_is_refused() {
        let mut bomb = vec![0x9f];
        bomb.extend(vec![0; 10_000]);
        bomb.push(0xff);
        assert!(matches!(read(&bomb), Err(CborError::Items)));
        assert!(read(&[0x5f, 0x41, 0, 0xff]).is_err(), "strings in pieces are not read");
    }

    #[test]
    fn a_length_beyond_the_input_allocates_nothing() {
        assert!(read(&[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(read(&[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(value) = read(&bytes) { drop(value); }
        }
    }
}
