//! Grey pictures and what is done to them before they are read.

use super::types::{Point, floor};

/// Tiles along each side for even contrast.
const TILES: usize = 8;
/// No grey level counts for more than so many times its even share.
const CLIP: u32 = 3;

/// A picture of 8-bit grey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grey {
    /// Row by row, without padding.
    pub pixels: Vec<u8>,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
}

impl Grey {
    /// A picture, if there are as many pixels as it says.
    pub fn new(pixels: Vec<u8>, width: usize, height: usize) -> Option<Self> {
        let right = width > 0 && height > 0 && width.checked_mul(height) == Some(pixels.len());
        right.then_some(Self { pixels, width, height })
    }

    /// The luma of YUYV: every even byte.
    pub fn from_yuyv(bytes: &[u8], width: usize, height: usize) -> Option<Self> {
        Self::new(bytes.iter().step_by(2).copied().collect(), width, height)
    }

    fn row(&self, y: usize) -> &[u8] {
        &self.pixels[y * self.width..(y + 1) * self.width]
    }

    /// The luma at a place between pixels, bilinear; the middle of the first pixel is (0.5, 0.5). Beyond the
    /// border it is that of the border. At least 2 × 2 pixels.
    pub fn sample(&self, p: Point) -> f32 {
        let inside = |v: f32, length: usize| (v - 0.5).clamp(0.0, length as f32 - 1.001);
        let (x, y) = (inside(p.x, self.width), inside(p.y, self.height));
        let (left, top) = (floor(x), floor(y));
        let (dx, dy) = (x - left as f32, y - top as f32);
        let first = top * self.width + left;
        let row = |at: usize| {
            let (a, b) = (f32::from(self.pixels[at]), f32::from(self.pixels[at + 1]));
            a + (b - a) * dx
        };
        row(first) * (1.0 - dy) + row(first + self.width) * dy
    }

    /// Half the size: the mean of four pixels.
    pub fn half(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            let (upper, lower) = (self.row(2 * y).chunks_exact(2), self.row(2 * y + 1).chunks_exact(2));
            pixels.extend(upper.zip(lower).map(|(a, b)| {
                let sum = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
                ((sum + 2) / 4).to_le_bytes()[0]
            }));
        }
        Self { pixels, width, height }
    }

    /// Twice the size, bilinear.
    pub fn doubled(&self) -> Self {
        let (width, height) = (self.width * 2, self.height * 2);
        // A pixel of the result lies a quarter of a pixel beside one of the source.
        let place = |at: usize, length: usize| {
            let near = at / 2;
            let far = if at.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(length - 1) };
            (near, far)
        };
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            let (near, far) = place(y, self.height);
            let (a, b) = (self.row(near), self.row(far));
            pixels.extend((0..width).map(|x| {
                let (l, r) = place(x, self.width);
                let of = |row: &[u8]| 3 * u16::from(row[l]) + u16::from(row[r]);
                ((3 * of(a) + of(b) + 8) / 16).to_le_bytes()[0]
            }));
        }
        Self { pixels, width, height }
    }

    /// Dark for light.
    pub fn inverted(&self) -> Self {
        Self { pixels: self.pixels.iter().map(|p| 255 - p).collect(), ..*self }
    }

    /// Contrast-limited adaptive histogram equalisation (Zuiderveld 1994), interpolated between tiles.
    pub fn even_contrast(&self) -> Self {
        let (tile_w, tile_h) = (self.width.div_ceil(TILES), self.height.div_ceil(TILES));
        let curves: Vec<[u8; 256]> = (0..TILES * TILES)
            .map(|t| self.curve((t % TILES) * tile_w, (t / TILES) * tile_h, tile_w, tile_h))
            .collect();
        // Where a pixel lies between the middles of two tiles: the tiles, and the share of the second in 256.
        let between = |at: usize, size: usize| {
            let place = (at * 256 / size).saturating_sub(128);
            let first = (place / 256).min(TILES - 1);
            (first, (first + 1).min(TILES - 1), place % 256)
        };
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for y in 0..self.height {
            let (top, bottom, down) = between(y, tile_h);
            pixels.extend(self.row(y).iter().enumerate().map(|(x, &p)| {
                let (left, right, across) = between(x, tile_w);
                let value =
                    |row: usize, column: usize| usize::from(curves[row * TILES + column][usize::from(p)]);
                let mix = |a: usize, b: usize, share: usize| a * (256 - share) + b * share;
                let upper = mix(value(top, left), value(top, right), across);
                let lower = mix(value(bottom, left), value(bottom, right), across);
                u8::try_from(mix(upper, lower, down) >> 16).unwrap_or(u8::MAX)
            }));
        }
        Self { pixels, ..*self }
    }

    /// What each grey level becomes in one tile.
    fn curve(&self, x0: usize, y0: usize, w: usize, h: usize) -> [u8; 256] {
        let mut counts = [0_u32; 256];
        let (x1, y1) = ((x0 + w).min(self.width), (y0 + h).min(self.height));
        for y in y0.min(y1)..y1 {
            for &p in &self.row(y)[x0.min(x1)..x1] {
                counts[usize::from(p)] += 1;
            }
        }
        let all: u32 = counts.iter().sum();
        if all == 0 {
            return std::array::from_fn(|n| u8::try_from(n).unwrap_or(u8::MAX));
        }
        let limit = (CLIP * all / 256).max(1);
        let over: u32 = counts.iter().map(|c| c.saturating_sub(limit)).sum();
        let mut sum = 0;
        counts.map(|c| {
            sum += c.min(limit) + over / 256;
            u8::try_from((u64::from(sum) * 255 / u64::from(all)).min(255)).unwrap_or(u8::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::at;
    use super::*;

    #[test]
    fn sizes_are_halved_and_doubled() {
        let g = Grey::new((0..35).collect(), 7, 5).unwrap();
        assert_eq!((g.half().width, g.half().height), (3, 2));
        assert_eq!(g.half().pixels[0], 4, "the mean of 0, 1, 7 and 8");
        let twice = g.doubled();
        assert_eq!((twice.width, twice.height, twice.pixels.len()), (14, 10, 140));
        assert_eq!(twice.pixels[0], 0);
    }

    #[test]
    fn between_pixels_lies_the_mean_and_beyond_the_border_the_border() {
        let g = Grey::new(vec![10, 30, 50, 70], 2, 2).unwrap();
        assert!((g.sample(at(1.0, 1.0)) - 40.0).abs() < 0.1);
        assert!((g.sample(at(-9.0, 0.5)) - 10.0).abs() < 0.1);
        assert!(g.sample(at(f32::NAN, 99.0)).is_nan(), "no place has no luma, and harms nobody");
    }

    #[test]
    fn even_contrast_spreads_a_flat_picture_and_keeps_its_size() {
        let dim: Vec<u8> = (0..64 * 64).map(|n| if (n / 8) % 2 == 0 { 100 } else { 110 }).collect();
        let even = Grey::new(dim, 64, 64).unwrap().even_contrast();
        assert_eq!(even.pixels.len(), 64 * 64);
        let (low, high) = (even.pixels.iter().min().unwrap(), even.pixels.iter().max().unwrap());
        assert!(high > low, "still two levels");
    }
}
