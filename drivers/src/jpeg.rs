//! JPEG frames as cameras send them: many leave the Huffman tables out, since Motion JPEG has fixed ones.
//!
//! Such a frame is no file that a viewer opens. The tables are put in front of the scan, and nothing
//! else is touched: the picture itself stays as the camera made it. Source: ITU-T T.81, annex K.3.

use std::borrow::Cow;
use std::ops::RangeInclusive;

const SOI: u8 = 0xd8;
const DHT: u8 = 0xc4;
const SOS: u8 = 0xda;

/// Codes of each length from 1 to 16 bits, then the values that begin the list, then runs of values.
struct Table {
    class: u8,
    lengths: [u8; 16],
    first: &'static [u8],
    runs: &'static [RangeInclusive<u8>],
}

const TABLES: [Table; 4] = [
    Table {
        class: 0x00,
        lengths: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        first: &[],
        runs: &[0..=11],
    },
    Table {
        class: 0x10,
        lengths: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d],
        first: &[
            0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
            0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
            0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a,
        ],
        runs: &[
            0x16..=0x1a,
            0x25..=0x2a,
            0x34..=0x3a,
            0x43..=0x4a,
            0x53..=0x5a,
            0x63..=0x6a,
            0x73..=0x7a,
            0x83..=0x8a,
            0x92..=0x9a,
            0xa2..=0xaa,
            0xb2..=0xba,
            0xc2..=0xca,
            0xd2..=0xda,
            0xe1..=0xea,
            0xf1..=0xfa,
        ],
    },
    Table {
        class: 0x01,
        lengths: [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        first: &[],
        runs: &[0..=11],
    },
    Table {
        class: 0x11,
        lengths: [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
        first: &[
            0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
            0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0,
            0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1,
        ],
        runs: &[
            0x17..=0x1a,
            0x26..=0x2a,
            0x35..=0x3a,
            0x43..=0x4a,
            0x53..=0x5a,
            0x63..=0x6a,
            0x73..=0x7a,
            0x82..=0x8a,
            0x92..=0x9a,
            0xa2..=0xaa,
            0xb2..=0xba,
            0xc2..=0xca,
            0xd2..=0xda,
            0xe2..=0xea,
            0xf2..=0xfa,
        ],
    },
];

/// One segment with the four standard tables.
fn standard_tables() -> Vec<u8> {
    let mut body = Vec::new();
    for table in &TABLES {
        body.push(table.class);
        body.extend(table.lengths);
        body.extend(table.first);
        body.extend(table.runs.iter().cloned().flatten());
    }
    let length = u16::try_from(body.len() + 2).expect("four tables are 418 bytes long");
    [&[0xff, DHT], length.to_be_bytes().as_slice(), &body].concat()
}

/// The frame with Huffman tables, if it had none. Bytes that are no JPEG stay as they are: the decoder says
/// what is wrong with them.
pub fn with_tables(frame: &[u8]) -> Cow<'_, [u8]> {
    match scan_without_tables(frame) {
        Some(at) => Cow::Owned([&frame[..at], &standard_tables(), &frame[at..]].concat()),
        None => Cow::Borrowed(frame),
    }
}

/// Where the scan begins in a frame that has no tables before it.
fn scan_without_tables(frame: &[u8]) -> Option<usize> {
    if !frame.starts_with(&[0xff, SOI]) {
        return None;
    }
    let mut at = 2;
    loop {
        let &[0xff, marker, hi, lo] = frame.get(at..at + 4)? else { return None };
        match marker {
            DHT => return None,
            SOS => return Some(at),
            // Bytes that fill up before a marker.
            0xff => at += 1,
            _ => at += 2 + usize::from(u16::from_be_bytes([hi, lo])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_whole() {
        for table in &TABLES {
            let values = table.first.len() + table.runs.iter().cloned().flatten().count();
            let codes: usize = table.lengths.iter().map(|n| usize::from(*n)).sum();
            assert_eq!(values, codes);
        }
        assert_eq!(standard_tables().len(), 420);
    }

    #[test]
    fn only_a_frame_without_tables_gets_them() {
        let scan = [0xff, SOS, 0, 2, 1, 2, 3];
        let bare = [&[0xff, SOI, 0xff, 0xdb, 0, 4, 9, 9], scan.as_slice()].concat();
        let whole = with_tables(&bare);
        assert_eq!(whole.len(), bare.len() + 420);
        assert!(whole.ends_with(&scan));
        assert_eq!(with_tables(&whole).len(), whole.len(), "once is enough");
        for other in [&b""[..], b"GIF89a", &[0xff, SOI], &[0xff, SOI, 0xff, 0xdb, 0xff, 0xff]] {
            assert_eq!(with_tables(other), other);
        }
    }
}
