//! The patterns that every code of a size has, and how well a grid lies on them.

use super::super::grey::Grey;
use super::super::types::{Deadline, Point, at};
use super::plane::Grid;
use rxing::qrcode::common::Version;

/// The first group that is an alignment pattern: before it are three finders and two timing lines.
pub const FIRST_ALIGNMENT: usize = 5;
/// A group whose modules differ by less than so many grey levels squared shows nothing.
const FLAT: f32 = 4.0;
/// A step of the refinement must make the fit better by this.
const GAIN: f32 = 1e-4;
/// The steps of the refinement, in modules.
const STEPS: [f32; 4] = [0.8, 0.4, 0.2, 0.1];
/// So often a step of one size is tried.
const ROUNDS: usize = 2;

/// Modules whose colour is known.
#[derive(Debug)]
pub struct Group {
    /// The middle of each, and +1 where it is dark, −1 where light.
    modules: Vec<(Point, f32)>,
    weight: f32,
}

/// All of them for a code of one size.
#[derive(Debug)]
pub struct Patterns {
    /// Finders at the top left, top right and bottom left; timing along and down; alignment patterns.
    pub groups: Vec<Group>,
    /// The middles of the alignment patterns, as the groups from [`FIRST_ALIGNMENT`] on.
    pub alignments: Vec<Point>,
}

fn alignment_places(version: &Version) -> Vec<(usize, usize)> {
    let places: Vec<usize> = version.getAlignmentPatternCenters().iter().map(|c| *c as usize).collect();
    let Some(&last) = places.last() else { return Vec::new() };
    let finder = |x: usize, y: usize| (x == 6 && (y == 6 || y == last)) || (x == last && y == 6);
    let all = places.iter().flat_map(|&y| places.iter().map(move |&x| (x, y)));
    all.filter(|&(x, y)| !finder(x, y)).collect()
}

/// A square of rings around a middle; `light` says which rings are.
fn rings(middle: (usize, usize), radius: i16, modules: usize, light: &[i16], weight: f32) -> Group {
    let (cx, cy) = (middle.0 as f32 + 0.5, middle.1 as f32 + 0.5);
    let around = (-radius..=radius).flat_map(|dy| (-radius..=radius).map(move |dx| (dx, dy)));
    let inside = 0.0..modules as f32;
    let modules = around
        .map(|(dx, dy)| {
            let dark = if light.contains(&dx.abs().max(dy.abs())) { -1.0 } else { 1.0 };
            (at(cx + f32::from(dx), cy + f32::from(dy)), dark)
        })
        .filter(|(p, _)| inside.contains(&p.x) && inside.contains(&p.y))
        .collect();
    Group { modules, weight }
}

impl Patterns {
    /// Of a code with so many modules along a side.
    pub fn of(version: &Version, modules: usize) -> Self {
        let far = modules - 4;
        let mut groups: Vec<Group> = [(3, 3), (far, 3), (3, far)]
            .into_iter()
            .map(|middle| rings(middle, 4, modules, &[2, 4], 1.0))
            .collect();
        let timing = |turn: bool| {
            let one = |i: usize| {
                let along = i as f32 + 0.5;
                let p = if turn { at(6.5, along) } else { at(along, 6.5) };
                (p, if i.is_multiple_of(2) { 1.0 } else { -1.0 })
            };
            Group { modules: (8..modules - 8).map(one).collect(), weight: 1.2 }
        };
        groups.extend([timing(false), timing(true)]);
        let places = alignment_places(version);
        // One weighs as a finder; many together as two.
        let weight = if places.len() == 1 { 1.0 } else { 2.0 / places.len() as f32 };
        groups.extend(places.iter().map(|&place| rings(place, 2, modules, &[1], weight)));
        let alignments = places.iter().map(|&(x, y)| at(x as f32 + 0.5, y as f32 + 0.5)).collect();
        Self { groups, alignments }
    }

    /// How well all groups lie, weighed.
    pub fn fit(&self, picture: &Grey, grid: &Grid) -> f32 {
        self.groups.iter().map(|g| g.weight * g.fit(picture, |p| grid.map(p))).sum()
    }
    /// How well each finder lies.
    pub fn finders(&self, picture: &Grey, grid: &Grid) -> [f32; 3] {
        std::array::from_fn(|i| self.groups[i].fit(picture, |p| grid.map(p)))
    }
    /// How well the timing lines lie, on the mean.
    pub fn timing(&self, picture: &Grey, grid: &Grid) -> f32 {
        (self.groups[3].fit(picture, |p| grid.map(p)) + self.groups[4].fit(picture, |p| grid.map(p))) / 2.0
    }
}

impl Group {
    /// The correlation of darkness with the pattern, −1 to 1; 0 where there is nothing to see.
    pub fn fit(&self, picture: &Grey, place: impl Fn(Point) -> Point) -> f32 {
        correlation(self.modules.iter().map(|&(p, dark)| (picture.sample(place(p)), dark)))
    }
}

/// The correlation of darkness with what should be dark.
pub fn correlation(modules: impl Iterator<Item = (f32, f32)>) -> f32 {
    let (mut n, mut v, mut vv, mut t, mut tt, mut vt) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (luma, dark) in modules {
        n += 1.0;
        v -= luma;
        vv += luma * luma;
        t += dark;
        tt += dark * dark;
        vt -= luma * dark;
    }
    let (a, b) = (vv - v * v / n, tt - t * t / n);
    if a <= n * FLAT || b <= 0.0 { 0.0 } else { (vt - v * t / n) / (a * b).sqrt() }
}

/// Moves the anchors, and the bend where `bend` is set, as long as the fit grows. `module` in pixels.
pub fn refine(
    picture: &Grey,
    grid: &mut Grid,
    patterns: &Patterns,
    module: f32,
    bend: bool,
    deadline: &Deadline,
) {
    let mut best = patterns.fit(picture, grid);
    let directions = [at(-1.0, 0.0), at(1.0, 0.0), at(0.0, -1.0), at(0.0, 1.0)];
    for step in STEPS {
        for _ in 0..ROUNDS {
            let before = best;
            let mut take = |candidate: Option<Grid>, grid: &mut Grid| {
                let better = candidate.filter(|c| {
                    let fit = patterns.fit(picture, c);
                    let better = fit > best + GAIN;
                    if better {
                        best = fit;
                    }
                    better
                });
                better.is_some_and(|b| {
                    *grid = b;
                    true
                })
            };
            for anchor in 0..4 {
                if deadline.over() {
                    return;
                }
                // Along an axis one direction is enough: the other was worse.
                for axis in directions.chunks(2) {
                    for way in axis {
                        let to = grid.anchors[anchor] + *way * (step * module);
                        if take(grid.moved(anchor, to), grid) {
                            break;
                        }
                    }
                }
            }
            for part in 0..if bend { 2 } else { 0 } {
                for axis in directions.chunks(2) {
                    for way in axis {
                        let mut bent = grid.clone();
                        bent.bend[part] = bent.bend[part] + *way * (step * module);
                        if take(Some(bent), grid) {
                            break;
                        }
                    }
                }
            }
            if best <= before {
                break;
            }
        }
    }
}
