//! Reed–Solomon over GF(256) with erasures: a byte that is known to be doubtful costs half of one that is not.
//!
//! Field polynomial 0x11D, first root α⁰, as ISO/IEC 18004 has it. Berlekamp–Massey begun with the erasure
//! locator (Blahut, Algebraic Codes for Data Transmission, 7.5), Chien search, Forney's formula.

struct Field {
    power: [u8; 512],
    log: [usize; 256],
}

const FIELD: Field = {
    let (mut power, mut log) = ([0; 512], [0; 256]);
    let (mut x, mut i) = (1_usize, 0);
    while i < 255 {
        power[i] = x.to_le_bytes()[0];
        power[i + 255] = power[i];
        log[x] = i;
        x <<= 1;
        if x >= 256 {
            x ^= 0x11d;
        }
        i += 1;
    }
    Field { power, log }
};

fn times(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 { 0 } else { FIELD.power[FIELD.log[usize::from(a)] + FIELD.log[usize::from(b)]] }
}

fn over(a: u8, b: u8) -> u8 {
    if a == 0 { 0 } else { FIELD.power[FIELD.log[usize::from(a)] + 255 - FIELD.log[usize::from(b)]] }
}

/// The value of a polynomial, lowest coefficient first.
fn value(polynomial: &[u8], x: u8) -> u8 {
    polynomial.iter().rev().fold(0, |sum, c| times(sum, x) ^ c)
}

/// The syndromes of a block: all 0 in a good one.
pub fn syndromes(block: &[u8], checks: usize) -> Vec<u8> {
    (0..checks).map(|i| block.iter().fold(0, |sum, c| times(sum, FIELD.power[i]) ^ c)).collect()
}

/// Corrects a block of at most 255 bytes whose last `checks` are check bytes, with bytes at `erased` taken for
/// lost. Gives the number of bytes that were changed or lost; nothing if there are too many.
pub fn correct(block: &mut [u8], checks: usize, syndromes: &[u8], erased: &[usize]) -> Option<usize> {
    if syndromes.iter().all(|s| *s == 0) {
        return Some(0);
    }
    let last = block.len() - 1;
    let locator = locate(checks, syndromes, &erased.iter().map(|at| last - at).collect::<Vec<_>>())?;
    let degree = locator.len() - 1;
    let product = |i: usize| (0..=i.min(degree)).fold(0, |sum, j| sum ^ times(locator[j], syndromes[i - j]));
    let evaluator: Vec<u8> = (0..checks).map(product).collect();
    // In a field of characteristic 2 the derivative keeps the odd terms.
    let derivative: Vec<u8> =
        (1..=degree).map(|i| if i.is_multiple_of(2) { 0 } else { locator[i] }).collect();
    let mut fixed = block.to_vec();
    let mut found = 0;
    for (at, byte) in fixed.iter_mut().enumerate() {
        let place = FIELD.power[last - at];
        let inverse = over(1, place);
        if value(&locator, inverse) == 0 {
            let slope = value(&derivative, inverse);
            if slope == 0 {
                return None;
            }
            *byte ^= times(place, over(value(&evaluator, inverse), slope));
            found += 1;
        }
    }
    if found != degree || self::syndromes(&fixed, checks).iter().any(|s| *s != 0) {
        return None;
    }
    block.copy_from_slice(&fixed);
    Some(degree)
}

/// The polynomial whose roots say where the errors and erasures are.
fn locate(checks: usize, syndromes: &[u8], erased: &[usize]) -> Option<Vec<u8>> {
    let mut locator = vec![0; checks + 2];
    locator[0] = 1;
    for (n, place) in erased.iter().enumerate() {
        for i in (1..=n + 1).rev() {
            locator[i] ^= times(locator[i - 1], FIELD.power[*place]);
        }
    }
    let mut previous = locator.clone();
    let mut length = erased.len();
    for round in erased.len() + 1..=checks {
        let differs =
            (0..=length.min(round - 1)).fold(0, |sum, j| sum ^ times(locator[j], syndromes[round - 1 - j]));
        previous.rotate_right(1);
        previous[0] = 0;
        if differs == 0 {
            continue;
        }
        let next: Vec<u8> = locator.iter().zip(&previous).map(|(l, p)| l ^ times(differs, *p)).collect();
        if 2 * length < round + erased.len() {
            length = round + erased.len() - length;
            previous = locator.iter().map(|l| over(*l, differs)).collect();
        }
        locator = next;
    }
    let degree = locator.iter().rposition(|c| *c != 0)?;
    locator.truncate(degree + 1);
    (degree == length && degree <= checks).then_some(locator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The remainder by the generator polynomial, taken the slow way.
    fn encoded(data: &[u8], checks: usize) -> Vec<u8> {
        let mut generator = vec![1_u8];
        for i in 0..checks {
            let mut next = vec![0; generator.len() + 1];
            for (j, c) in generator.iter().enumerate() {
                next[j] ^= c;
                next[j + 1] ^= times(*c, FIELD.power[i]);
            }
            generator = next;
        }
        let mut rest = [data, &vec![0; checks]].concat();
        for i in 0..data.len() {
            let lead = rest[i];
            for (j, c) in generator.iter().enumerate() {
                rest[i + j] ^= times(*c, lead);
            }
        }
        [data, &rest[data.len()..]].concat()
    }

    proptest! {
        #[test]
        fn whatever_the_code_allows_is_corrected(
            data in prop::collection::vec(any::<u8>(), 1..100), checks in 7_usize..30, seed in any::<u64>(), share in 0_usize..=100,
        ) {
            let whole = encoded(&data, checks);
            let erasures = checks * share / 100;
            let errors = (checks - erasures) / 2;
            let mut places: Vec<usize> = (0..whole.len()).collect();
            let mut random = crate::sim::Seeded::new(seed);
            for i in (1..places.len()).rev() {
                places.swap(i, usize::try_from(random.below(i as u64 + 1)).unwrap());
            }
            let mut spoiled = whole.clone();
            let (lost, wrong) = places.split_at(erasures.min(places.len()));
            for at in lost {
                spoiled[*at] = random.draw().to_le_bytes()[0];
            }
            for at in wrong.iter().take(errors) {
                spoiled[*at] ^= random.draw().to_le_bytes()[0] | 1;
            }
            let sums = syndromes(&spoiled, checks);
            prop_assert!(correct(&mut spoiled, checks, &sums, lost).is_some());
            prop_assert_eq!(spoiled, whole);
        }

        #[test]
        fn noise_gives_a_good_block_or_nothing(mut block in prop::collection::vec(any::<u8>(), 10..200), checks in 7_usize..10) {
            let sums = syndromes(&block, checks);
            if correct(&mut block, checks, &sums, &[]).is_some() {
                prop_assert!(syndromes(&block, checks).iter().all(|s| *s == 0));
            }
        }
    }
}
