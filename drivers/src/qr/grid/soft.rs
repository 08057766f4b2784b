//! From soft modules to a payload: format, codewords, blocks, error correction with the least sure bytes taken
//! for lost.
//!
//! The last check bytes are never spent: with none left any noise would be a code. Source: ISO/IEC 18004.

use super::super::types::{Payload, Read};
use super::reed_solomon::{correct, syndromes};
use rxing::qrcode::common::{ErrorCorrectionLevel, Version};
use rxing::qrcode::cpp_port::decoder::DecodeBitStream;

/// The format must agree with its code by this share of what it could.
const MIN_FORMAT: f32 = 0.45;
/// Two formats that agree almost as well are both tried.
const CLOSE_FORMATS: f32 = 3.0;
/// The mask over the 15 bits of a format.
const FORMAT_MASK: u32 = 0x5412;

/// Modules row by row, +1 dark.
pub struct Soft<'a> {
    /// The values.
    pub values: &'a [f32],
    /// Along a side.
    pub modules: usize,
    /// Whether rows and columns are swapped: a code seen in a mirror.
    pub mirrored: bool,
}

impl Soft<'_> {
    fn at(&self, x: usize, y: usize) -> f32 {
        let (x, y) = if self.mirrored { (y, x) } else { (x, y) };
        self.values[y * self.modules + x]
    }

    /// The 15 bits of the format, both copies together.
    fn format(&self) -> [f32; 15] {
        let far = self.modules - 15;
        std::array::from_fn(|i| {
            let first = match i {
                0..6 => self.at(i, 8),
                6 => self.at(7, 8),
                7 => self.at(8, 8),
                8 => self.at(8, 7),
                _ => self.at(8, 14 - i),
            };
            let second = if i < 7 { self.at(8, self.modules - 1 - i) } else { self.at(far + i, 8) };
            first + second
        })
    }
}

/// BCH(15,5), masked.
fn format_code(data: u32) -> u32 {
    let rest =
        (10..15).rev().fold(data << 10, |v, i| if v >> i & 1 == 1 { v ^ 0x537 << (i - 10) } else { v });
    (data << 10 | rest) ^ FORMAT_MASK
}

fn masked(mask: u32, x: usize, y: usize) -> bool {
    match mask {
        0 => (x + y).is_multiple_of(2),
        1 => y.is_multiple_of(2),
        2 => x.is_multiple_of(3),
        3 => (x + y).is_multiple_of(3),
        4 => (y / 2 + x / 3).is_multiple_of(2),
        5 => (x * y) % 2 + (x * y) % 3 == 0,
        6 => ((x * y) % 2 + (x * y) % 3).is_multiple_of(2),
        _ => ((x + y) % 2 + (x * y) % 3).is_multiple_of(2),
    }
}

/// A byte, and how sure its least sure bit is.
type Codeword = (u8, f32);

/// Reads a code; `erase` allows doubtful bytes to be taken for lost.
pub fn decode(soft: &Soft<'_>, version: &'static Version, erase: bool) -> Option<Read> {
    let bits = soft.format();
    let agrees = |data: u32| -> f32 {
        let code = format_code(data);
        (0..15).map(|i| if code >> (14 - i) & 1 == 1 { bits[i] } else { -bits[i] }).sum()
    };
    let mut formats: Vec<(f32, u32)> = (0..32).map(|data| (agrees(data), data)).collect();
    formats.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = formats[0].0;
    if best < MIN_FORMAT * 30.0 {
        return None;
    }
    let close = formats.iter().take(2).filter(|f| best - f.0 < CLOSE_FORMATS);
    close.map(|f| f.1).find_map(|data| with_format(soft, version, erase, data))
}

fn with_format(soft: &Soft<'_>, version: &'static Version, erase: bool, format: u32) -> Option<Read> {
    let level = ErrorCorrectionLevel::forBits(u8::try_from(format >> 3).ok()?).ok()?;
    let codewords = codewords(soft, version, format & 7)?;
    let blocks = version.getECBlocksForLevel(level);
    let checks = blocks.getECCodewordsPerBlock() as usize;
    let sizes: Vec<usize> = blocks
        .getECBlocks()
        .iter()
        .flat_map(|b| std::iter::repeat_n(b.getDataCodewords() as usize, b.getCount() as usize))
        .collect();
    let (mut data, mut erasures) = (Vec::new(), 0);
    for (block, size) in unwoven(&codewords, &sizes, checks)?.iter().zip(&sizes) {
        let (whole, lost) = corrected(block, checks, erase)?;
        data.extend_from_slice(&whole[..*size]);
        erasures += lost;
    }
    let result = DecodeBitStream(&data, version, level).ok().filter(|r| r.error().is_none())?;
    match Read::of(&result) {
        Read::Whole(payload) if payload.bytes.is_empty() => None,
        Read::Whole(payload) => Some(Read::Whole(Payload { erasures, ..payload })),
        Read::Part => Some(Read::Part),
    }
}

/// In the order of ISO/IEC 18004, 7.7.3: upwards and downwards in columns of two, from the right.
fn codewords(soft: &Soft<'_>, version: &Version, mask: u32) -> Option<Vec<Codeword>> {
    let known = version.buildFunctionPattern().ok()?;
    let total = version.getTotalCodewords() as usize;
    let mut out: Vec<Codeword> = vec![(0, f32::MAX); total];
    let mut bit = 0;
    let columns = (1..soft.modules).rev().step_by(2).map(|x| if x <= 6 { x - 1 } else { x });
    for (n, right) in columns.enumerate() {
        for row in 0..soft.modules {
            let y = if n.is_multiple_of(2) { soft.modules - 1 - row } else { row };
            for x in [right, right.wrapping_sub(1)] {
                if known.get(u32::try_from(x).ok()?, u32::try_from(y).ok()?) {
                    continue;
                }
                let value = if masked(mask, x, y) { -soft.at(x, y) } else { soft.at(x, y) };
                if let Some((byte, sure)) = out.get_mut(bit / 8) {
                    *byte = *byte << 1 | u8::from(value > 0.0);
                    *sure = sure.min(value.abs());
                }
                bit += 1;
            }
        }
    }
    (bit / 8 >= total).then_some(out)
}

/// The blocks, whose bytes take turns in the code.
fn unwoven(codewords: &[Codeword], sizes: &[usize], checks: usize) -> Option<Vec<Vec<Codeword>>> {
    let mut next = codewords.iter().copied();
    let mut blocks: Vec<Vec<Codeword>> = vec![Vec::new(); sizes.len()];
    for i in 0..*sizes.iter().max()? {
        for (block, _) in blocks.iter_mut().zip(sizes).filter(|(_, size)| i < **size) {
            block.push(next.next()?);
        }
    }
    for _ in 0..checks {
        for block in &mut blocks {
            block.push(next.next()?);
        }
    }
    Some(blocks)
}

/// A good block, and how many of its bytes were taken for lost.
fn corrected(block: &[Codeword], checks: usize, erase: bool) -> Option<(Vec<u8>, usize)> {
    let bytes: Vec<u8> = block.iter().map(|c| c.0).collect();
    let sums = syndromes(&bytes, checks);
    let mut doubtful: Vec<usize> = (0..block.len()).collect();
    doubtful.sort_by(|&i, &j| block[i].1.total_cmp(&block[j].1));
    let spare = if checks >= 16 { 4 } else { 3 };
    let most = if erase { checks.saturating_sub(spare) } else { 0 };
    (0..=most).step_by(2).find_map(|lost| {
        let mut whole = bytes.clone();
        let changed = correct(&mut whole, checks, &sums, &doubtful[..lost])?;
        let errors = changed.saturating_sub(lost);
        (lost == 0 || lost + 2 * errors + spare / 2 <= checks).then_some((whole, lost))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use qrcodegen::{QrCode, QrCodeEcc};

    fn soft(text: &str) -> (Vec<f32>, usize) {
        let code = QrCode::encode_text(text, QrCodeEcc::Medium).unwrap();
        let side = code.size();
        let values =
            (0..side * side).map(|n| if code.get_module(n % side, n / side) { 1.0 } else { -1.0 }).collect();
        (values, usize::try_from(side).unwrap())
    }

    fn read(values: &[f32], modules: usize, mirrored: bool, erase: bool) -> Option<Payload> {
        let version = Version::getVersionForNumber(u32::try_from((modules - 17) / 4).unwrap()).unwrap();
        match decode(&Soft { values, modules, mirrored }, version, erase)? {
            Read::Whole(payload) => Some(payload),
            Read::Part => None,
        }
    }

    #[test]
    fn clean_modules_are_read_in_every_size_and_in_a_mirror() {
        for length in [4, 30, 90, 200, 420] {
            let text = "KP1:ABCDEFGHIJ".chars().cycle().take(length).collect::<String>();
            let (values, modules) = soft(&text);
            assert_eq!(read(&values, modules, false, false).unwrap().bytes, text.as_bytes());
            let turned: Vec<f32> =
                (0..values.len()).map(|n| values[(n % modules) * modules + n / modules]).collect();
            assert_eq!(read(&turned, modules, true, false).unwrap().bytes, text.as_bytes());
        }
    }

    #[test]
    fn doubtful_modules_cost_half() {
        let text = "KP1:ABCDEFGHIJABCDEFGHIJABCDEFGHIJ";
        let (mut values, modules) = soft(text);
        // A stripe that is almost grey, and half of it wrong.
        for n in (0..values.len()).filter(|n| (20..24).contains(&(n % modules)) && n / modules > 8) {
            values[n] *= if (n / modules).is_multiple_of(2) { -0.1 } else { 0.1 };
        }
        assert!(read(&values, modules, false, false).is_none());
        let payload = read(&values, modules, false, true).unwrap();
        assert_eq!(payload.bytes, text.as_bytes());
        assert!(payload.erasures > 0);
    }

    #[test]
    fn noise_is_no_code() {
        let mut random = crate::sim::Seeded::new(7);
        for _ in 0..200 {
            let values: Vec<f32> = (0..25 * 25).map(|_| random.below(2_001) as f32 / 1_000.0 - 1.0).collect();
            assert_eq!(read(&values, 25, false, true), None);
        }
    }
}
