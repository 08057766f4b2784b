//! From grey to black and white.

use super::grey::Grey;
use rxing::common::BitMatrix;

/// Black is what is darker than so many percent of the mean of the window around it.
pub fn window(picture: &Grey, radius: usize, percent: u32) -> Option<BitMatrix> {
    let (w, h) = (picture.width, picture.height);
    let mut bits = BitMatrix::new(u32::try_from(w).ok()?, u32::try_from(h).ok()?).ok()?;
    let row = |y: usize| &picture.pixels[y * w..(y + 1) * w];
    // The sums of the columns within the window, moved down line by line.
    let mut columns = vec![0_u32; w];
    let mut lines = 0;
    for y in 0..radius.min(h) {
        columns.iter_mut().zip(row(y)).for_each(|(c, p)| *c += u32::from(*p));
        lines += 1;
    }
    for y in 0..h {
        if y + radius < h {
            columns.iter_mut().zip(row(y + radius)).for_each(|(c, p)| *c += u32::from(*p));
            lines += 1;
        }
        if y > radius {
            columns.iter_mut().zip(row(y - radius - 1)).for_each(|(c, p)| *c -= u32::from(*p));
            lines -= 1;
        }
        let mut across: u32 = 0;
        let (mut sum, mut x1) = (0_u64, 0);
        for (x, &p) in row(y).iter().enumerate() {
            while x1 < w && x1 <= x + radius {
                sum += u64::from(columns[x1]);
                across += 1;
                x1 += 1;
            }
            if x > radius {
                sum -= u64::from(columns[x - radius - 1]);
                across -= 1;
            }
            let area = u64::from(across * lines);
            if u64::from(p) * 100 * area < sum * u64::from(percent) {
                bits.set(u32::try_from(x).ok()?, u32::try_from(y).ok()?);
            }
        }
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dark_spot_on_uneven_light_is_black_and_nothing_else_is() {
        let (w, h) = (60, 40);
        let mut pixels: Vec<u8> = (0..w * h).map(|n| u8::try_from(100 + (n % w) * 2).unwrap()).collect();
        for (x, y) in (20..25).flat_map(|x| (10..15).map(move |y| (x, y))) {
            pixels[y * w + x] /= 2;
        }
        let bits = window(&Grey::new(pixels, w, h).unwrap(), 8, 90).unwrap();
        let black =
            (0..60).flat_map(|x| (0..40).map(move |y| (x, y))).filter(|(x, y)| bits.get(*x, *y)).count();
        assert_eq!(black, 25);
        assert!(bits.get(22, 12));
    }
}
