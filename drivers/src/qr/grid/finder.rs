//! Finder patterns in black and white, found with more tolerance than a reader of bits can afford: what they
//! are is told later, by the grey picture.
//!
//! Rows are searched for dark and light in 1:1:3:1:1, each find is checked along its column. Three that can
//! belong together are ranked by how well they do.

use super::super::grey::Grey;
use super::super::types::{Deadline, Point, Triple, at, floor};
use super::pattern::correlation;
use rxing::common::BitMatrix;

/// So many of them are looked at.
const MAX_FINDERS: usize = 24;
/// So many triples are matched with the grey picture.
const MAX_MATCHED: usize = 80;
/// How far a run may be off along a row and along a column, in modules.
const ROW_TOLERANCE: f32 = 0.6;
const COLUMN_TOLERANCE: f32 = 0.75;
/// Finders nearer to each other than so many pixels are not of one code.
const MIN_ARM: f32 = 8.0;
/// The sizes of a code along its two arms may differ by this share.
const MAX_UNEVEN: f32 = 0.35;
/// The three must look like finders in grey: each, and on the mean.
const MIN_MATCH: f32 = 0.1;
const MIN_MEAN_MATCH: f32 = 0.35;

/// A finder pattern, in pixels of the bits.
#[derive(Debug, Clone, Copy)]
struct Finder {
    middle: Point,
    /// Its width and height.
    size: Point,
    /// How many rows found it.
    rows: f32,
}

/// Bits, one a byte.
pub struct Bits {
    dark: Vec<bool>,
    width: usize,
    height: usize,
}

impl Bits {
    /// Of a matrix.
    pub fn of(matrix: &BitMatrix) -> Self {
        let (w, h) = (matrix.width(), matrix.height());
        let dark = (0..h).flat_map(|y| (0..w).map(move |x| matrix.get(x, y))).collect();
        Self { dark, width: w as usize, height: h as usize }
    }

    fn at(&self, x: usize, y: usize) -> bool {
        self.dark[y * self.width + x]
    }

    /// The finder whose middle run lies around this pixel of its column: its middle and its five runs.
    fn column(&self, x: usize, y: usize, longest: usize) -> Option<(f32, [f32; 5])> {
        if !self.at(x, y) {
            return None;
        }
        // How many pixels of one colour follow, going up or down from a row.
        let run = |from: usize, dark: bool, up: bool| -> Option<usize> {
            let rows: &mut dyn Iterator<Item = usize> =
                if up { &mut (0..from).rev() } else { &mut (from..self.height) };
            let n = rows.take(longest + 1).take_while(|&row| self.at(x, row) == dark).count();
            (n <= longest).then_some(n)
        };
        let above = run(y, true, true)?;
        let top = y - above;
        let light_above = run(top, false, true)?;
        let dark_above = run(top - light_above, true, true)?;
        let below = run(y, true, false)?;
        let bottom = y + below;
        let light_below = run(bottom, false, false)?;
        let dark_below = run(bottom + light_below, true, false)?;
        let runs = [dark_above, light_above, above + below, light_below, dark_below].map(|n| n as f32);
        Some(((top + bottom) as f32 / 2.0, runs))
    }

    fn finders(&self, deadline: &Deadline) -> Vec<Finder> {
        let mut found: Vec<Finder> = Vec::new();
        let mut edges = Vec::new();
        for y in (1..self.height).step_by(2) {
            if deadline.over() {
                break;
            }
            let row = &self.dark[y * self.width..(y + 1) * self.width];
            edges.clear();
            edges.push(0);
            edges.extend((1..row.len()).filter(|&x| row[x] != row[x - 1]));
            edges.push(row.len());
            for six in edges.windows(6).filter(|six| row[six[0]]) {
                let runs = std::array::from_fn(|i| (six[i + 1] - six[i]) as f32);
                if !looks_right(&runs, ROW_TOLERANCE) {
                    continue;
                }
                let width = (six[5] - six[0]) as f32;
                let longest = floor(width * 3.5) + 8;
                let Some((middle, runs)) = self.column(usize::midpoint(six[2], six[3]), y, longest) else {
                    continue;
                };
                let height: f32 = runs.iter().sum();
                let slim = height > width * 5.0 || width > height * 5.0;
                if slim || !looks_right(&runs, COLUMN_TOLERANCE) {
                    continue;
                }
                let one = Finder {
                    middle: at((six[2] + six[3]) as f32 / 2.0, middle),
                    size: at(width, height),
                    rows: 1.0,
                };
                merge(&mut found, one);
            }
        }
        found.sort_by(|a, b| b.worth().total_cmp(&a.worth()));
        found.truncate(MAX_FINDERS);
        found
    }

    /// From the middle of a finder to its outer edge along a direction: the third change of colour.
    fn edge(&self, from: Point, towards: Point, longest: f32) -> Option<f32> {
        let way = towards * (1.0 / towards.length());
        let (mut dark, mut changes, mut t) = (true, 0, 0.0);
        while t < longest {
            let p = from + way * t;
            if p.x < 0.0 || p.y < 0.0 || floor(p.x) >= self.width || floor(p.y) >= self.height {
                return (changes == 2).then_some(t);
            }
            let now = self.at(floor(p.x), floor(p.y));
            if now != dark {
                changes += 1;
                if changes == 3 {
                    return Some(t);
                }
                dark = now;
            }
            t += 0.35;
        }
        None
    }

    /// The size of a module of a finder along a direction, in pixels.
    fn module(&self, finder: &Finder, towards: Point) -> Option<f32> {
        let longest = finder.size.x.max(finder.size.y) * 1.2 + 4.0;
        let there = self.edge(finder.middle, towards, longest);
        let back = self.edge(finder.middle, towards * -1.0, longest);
        match (there, back) {
            // The longer one ran into something dark beside the code.
            (Some(a), Some(b)) if a > b * 1.7 || b > a * 1.7 => Some(a.min(b) / 3.5),
            (Some(a), Some(b)) => Some((a + b) / 7.0),
            (Some(a), None) | (None, Some(a)) => Some(a / 3.5),
            (None, None) => None,
        }
    }
}

/// Whether runs are as 1:1:3:1:1 within a tolerance.
fn looks_right(runs: &[f32; 5], tolerance: f32) -> bool {
    let total: f32 = runs.iter().sum();
    let module = total / 7.0;
    let off = module * tolerance + 0.6;
    let near = |run: f32| (run - module).abs() < off;
    total >= 7.0
        && near(runs[0])
        && near(runs[1])
        && near(runs[3])
        && near(runs[4])
        && (runs[2] - 3.0 * module).abs() < 2.0 * off
}

/// Adds a find to the finder that it belongs to, or makes it one.
fn merge(found: &mut Vec<Finder>, one: Finder) {
    let reach = (one.size.x + one.size.y) / 14.0 * 1.5 + 1.0;
    let near = |f: &&mut Finder| {
        let d = f.middle - one.middle;
        d.x.abs() < reach && d.y.abs() < reach
    };
    match found.iter_mut().find(near) {
        Some(f) => {
            let share = 1.0 / (f.rows + 1.0);
            f.middle = f.middle + (one.middle - f.middle) * share;
            f.size = f.size + (one.size - f.size) * share;
            f.rows += 1.0;
        }
        None => found.push(one),
    }
}

impl Finder {
    /// How many of its rows found it.
    fn worth(&self) -> f32 {
        self.rows / (self.size.y + 4.0)
    }
    fn area(&self) -> f32 {
        self.size.x * self.size.y
    }
}

/// Three finders and how badly they belong together.
struct Guess {
    /// Top left, top right, bottom left.
    finders: [Finder; 3],
    badness: f32,
    modules: f32,
    module: f32,
}

impl Guess {
    /// `along` is the size of a module along each of the two arms.
    fn of(corner: &Finder, one: &Finder, other: &Finder, along: [Option<f32>; 2]) -> Option<Self> {
        let (u, v) = (one.middle - corner.middle, other.middle - corner.middle);
        let (lu, lv) = (u.length(), v.length());
        let sine = u.cross(v) / (lu * lv);
        let areas = [corner, one, other].map(Finder::area);
        let (most, least) =
            (areas.iter().copied().fold(0.0, f32::max), areas.iter().copied().fold(f32::MAX, f32::min));
        if sine.abs() < 0.3 || most > least * 9.0 {
            return None;
        }
        let (mu, mv) = (along[0]?, along[1]?);
        let (du, dv) = (lu / mu + 7.0, lv / mv + 7.0);
        let modules = f32::midpoint(du, dv);
        let uneven = (du - dv).abs() / modules;
        if !(18.0..=190.0).contains(&modules) || uneven > MAX_UNEVEN {
            return None;
        }
        let badness = uneven * 2.0 + (1.0 - sine.abs()) * 0.4 + (most / least).ln() * 0.15 + modules * 0.004;
        let finders = if sine > 0.0 { [*corner, *one, *other] } else { [*corner, *other, *one] };
        Some(Self { finders, badness, modules, module: mu.min(mv) })
    }

    /// How much the three look like finders in the grey picture, which is `scale` times as large as the bits.
    fn matched(&self, picture: &Grey, bits: &Bits, scale: f32) -> Option<f32> {
        let [a, b, c] = &self.finders;
        let (u, v) = (b.middle - a.middle, c.middle - a.middle);
        let one = |f: &Finder| {
            let step = |way: Point| {
                let module = bits.module(f, way).unwrap_or_else(|| ((f.size.x + f.size.y) / 14.0).max(1.0));
                way * (module * scale / way.length())
            };
            let (across, down) = (step(u), step(v));
            let around = (-4_i8..=4).flat_map(|j| (-4_i8..=4).map(move |i| (i, j)));
            correlation(around.map(|(i, j)| {
                let p = f.middle * scale + across * f32::from(i) + down * f32::from(j);
                let ring = i.abs().max(j.abs());
                (picture.sample(p), if ring == 2 || ring == 4 { -1.0 } else { 1.0 })
            }))
        };
        let matches = [one(a), one(b), one(c)];
        let least = matches.iter().copied().fold(1.0, f32::min);
        let mean = matches.iter().sum::<f32>() / 3.0;
        (least >= MIN_MATCH && mean >= MIN_MEAN_MATCH).then_some(mean + 0.5 * least - 0.2 * self.badness)
    }
}

/// The best triples first; the picture is `scale` times as large as the bits.
pub fn triples(picture: &Grey, bits: &Bits, scale: f32, deadline: &Deadline) -> Vec<Triple> {
    let finders = bits.finders(deadline);
    if finders.len() < 3 {
        return Vec::new();
    }
    // The size of a module from each finder towards each other.
    let mut towards = vec![vec![None; finders.len()]; finders.len()];
    for (from, row) in finders.iter().zip(&mut towards) {
        if deadline.over() {
            return Vec::new();
        }
        for (to, module) in finders.iter().zip(row) {
            let way = to.middle - from.middle;
            *module = if way.length() < MIN_ARM { None } else { bits.module(from, way) };
        }
    }
    let along = |a: usize, b: usize| Some(f32::midpoint(towards[a][b]?, towards[b][a]?));
    let mut guesses = Vec::new();
    for (i, corner) in finders.iter().enumerate() {
        for (j, one) in finders.iter().enumerate().filter(|(j, _)| *j != i) {
            let others = finders.iter().enumerate().skip(j + 1).filter(|(k, _)| *k != i);
            let guess = |(k, other)| Guess::of(corner, one, other, [along(i, j), along(i, k)]);
            guesses.extend(others.filter_map(guess));
        }
    }
    guesses.sort_by(|a, b| a.badness.total_cmp(&b.badness));
    guesses.truncate(MAX_MATCHED);
    let mut ranked: Vec<(f32, Triple)> = guesses
        .iter()
        .filter_map(|g| {
            let triple = Triple {
                middles: g.finders.map(|f| f.middle * scale),
                module: (g.module * scale).max(1.0),
                modules: g.modules,
                hint: None,
            };
            Some((g.matched(picture, bits, scale)?, triple))
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.into_iter().map(|(_, t)| t).collect()
}
