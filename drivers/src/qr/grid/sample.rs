//! From a grid on a picture to soft modules: +1 is surely dark, −1 surely light.

use super::super::grey::Grey;
use super::super::types::{Deadline, Point, at};
use super::pattern::{FIRST_ALIGNMENT, Patterns};
use super::plane::{Grid, anchors_in_modules};

/// Less contrast than this many grey levels to each side is taken for noise.
const MIN_CONTRAST: f32 = 6.0;
/// An alignment pattern that fits worse does not pull the grid.
const PULLS: f32 = 0.5;
/// How alignment patterns are looked for: steps to each side, and their size in modules.
const SEARCH: [(i8, f32); 2] = [(4, 0.4), (2, 0.15)];

/// How far the true places lie from the grid, known at some of them.
#[derive(Debug, Default)]
pub struct Warp(Vec<(Point, Point)>);

impl Warp {
    /// From the alignment patterns, the nearest to a finder first; `module` in pixels.
    pub fn find(picture: &Grey, grid: &Grid, patterns: &Patterns, module: f32, deadline: &Deadline) -> Self {
        if patterns.alignments.len() < 2 {
            return Self::default();
        }
        let [a, b, _, c] = anchors_in_modules(grid.modules);
        let mut warp = Self([a, b, c].map(|p| (p, Point::default())).to_vec());
        let distance = |p: Point| [a, b, c].iter().map(|f| (p - *f).length()).fold(f32::MAX, f32::min);
        let mut order: Vec<usize> = (0..patterns.alignments.len()).collect();
        order.sort_by(|&i, &j| distance(patterns.alignments[i]).total_cmp(&distance(patterns.alignments[j])));
        for i in order {
            if deadline.over() {
                break;
            }
            let middle = patterns.alignments[i];
            let group = &patterns.groups[FIRST_ALIGNMENT + i];
            let start = warp.at(middle);
            let fit = |off: Point| group.fit(picture, |p| grid.map(p) + off);
            let (mut best, mut place) = (fit(start), start);
            for (steps, size) in SEARCH {
                let from = place;
                for (dx, dy) in (-steps..=steps).flat_map(|dy| (-steps..=steps).map(move |dx| (dx, dy))) {
                    let off = from + at(f32::from(dx), f32::from(dy)) * (size * module);
                    let way = off - start;
                    let value = fit(off) - 0.01 * (way.x.abs() + way.y.abs()) / module;
                    if value > best {
                        (best, place) = (value, off);
                    }
                }
            }
            if best > PULLS {
                warp.0.push((middle, place));
            }
        }
        warp
    }

    /// How far, at a place of the code: near places count most (Shepard 1968, power 4).
    fn at(&self, p: Point) -> Point {
        let (mut sum, mut weights) = (Point::default(), 1e-6);
        for (place, off) in &self.0 {
            let d = p - *place;
            let near = 1.0 / (d.x * d.x + d.y * d.y + 4.0);
            weights += near * near;
            sum = sum + *off * (near * near);
        }
        sum * (1.0 / weights)
    }
}

/// The luma of each module, row by row: at its middle, and at four places `spread` modules around it unless 0.
pub fn luma(picture: &Grey, grid: &Grid, warp: &Warp, spread: f32) -> Vec<f32> {
    let mut out = Vec::with_capacity(grid.modules * grid.modules);
    for y in 0..grid.modules {
        for x in 0..grid.modules {
            let p = at(x as f32 + 0.5, y as f32 + 0.5);
            let off = if warp.0.is_empty() { Point::default() } else { warp.at(p) };
            let look = |p: Point| picture.sample(grid.map(p) + off);
            out.push(if spread > 0.0 {
                let around = [at(spread, 0.0), at(-spread, 0.0), at(0.0, spread), at(0.0, -spread)];
                around.iter().fold(look(p), |sum, a| sum + look(p + *a)) / 5.0
            } else {
                look(p)
            });
        }
    }
    out
}

/// Takes back what neighbours have shone into each other, along rows by `across` and along columns by `down`.
pub fn sharpened(luma: &[f32], modules: usize, across: f32, down: f32) -> Vec<f32> {
    let one = |x: usize, y: usize| luma[y * modules + x];
    let last = modules - 1;
    (0..luma.len())
        .map(|i| {
            let (x, y) = (i % modules, i / modules);
            let v = one(x, y);
            let beside = f32::midpoint(one(x.saturating_sub(1), y), one((x + 1).min(last), y));
            let over = f32::midpoint(one(x, y.saturating_sub(1)), one(x, (y + 1).min(last)));
            v + across * (v - beside) + down * (v - over)
        })
        .collect()
}

/// Sums over any window in four steps.
struct Table {
    sums: Vec<f32>,
    modules: usize,
}

impl Table {
    fn of(modules: usize, value: impl Fn(usize) -> f32) -> Self {
        let wide = modules + 1;
        let mut sums = vec![0.0; wide * wide];
        for y in 0..modules {
            let mut row = 0.0;
            for x in 0..modules {
                row += value(y * modules + x);
                sums[(y + 1) * wide + x + 1] = sums[y * wide + x + 1] + row;
            }
        }
        Self { sums, modules }
    }
    fn around(&self, x: usize, y: usize, radius: usize) -> f32 {
        let wide = self.modules + 1;
        let (x0, y0) = (x.saturating_sub(radius), y.saturating_sub(radius));
        let (x1, y1) = ((x + radius + 1).min(self.modules), (y + radius + 1).min(self.modules));
        self.sums[y1 * wide + x1] - self.sums[y0 * wide + x1] - self.sums[y1 * wide + x0]
            + self.sums[y0 * wide + x0]
    }
}

/// Dark or light, and how surely: between the mean of the dark and of the light modules around.
pub fn softened(luma: &[f32], modules: usize, radius: usize) -> Vec<f32> {
    let ones = Table::of(modules, |_| 1.0);
    let all = Table::of(modules, |i| luma[i]);
    let light: Vec<bool> = (0..luma.len())
        .map(|i| {
            let (x, y) = (i % modules, i / modules);
            luma[i] * ones.around(x, y, radius) > all.around(x, y, radius)
        })
        .collect();
    let lights = Table::of(modules, |i| f32::from(u8::from(light[i])));
    let light_sum = Table::of(modules, |i| if light[i] { luma[i] } else { 0.0 });
    let whole = luma.iter().sum::<f32>() / luma.len() as f32;
    (0..luma.len())
        .map(|i| {
            let (x, y) = (i % modules, i / modules);
            let count = lights.around(x, y, radius);
            let dark = ones.around(x, y, radius) - count;
            let high = if count > 0.5 { light_sum.around(x, y, radius) / count } else { whole };
            let rest = all.around(x, y, radius) - light_sum.around(x, y, radius);
            let low = if dark > 0.5 { rest / dark } else { whole };
            let contrast = ((high - low) / 2.0).max(MIN_CONTRAST);
            ((f32::midpoint(high, low) - luma[i]) / contrast).clamp(-1.0, 1.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_dark_or_light_beside_their_neighbours_however_the_light_falls() {
        let modules = 21;
        let dark = |i: usize| (i * 7 / 3).is_multiple_of(2);
        let luma: Vec<f32> = (0..modules * modules)
            .map(|i| if dark(i) { 20.0 } else { 90.0 } + (i % modules) as f32 * 2.0)
            .collect();
        for radius in [3, 5, 12] {
            let soft = softened(&luma, modules, radius);
            assert!(soft.iter().enumerate().all(|(i, s)| (*s > 0.0) == dark(i)), "{radius}");
        }
    }
}
