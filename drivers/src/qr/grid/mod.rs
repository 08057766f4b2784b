//! The grey stage: reads codes that are there to be seen and whose modules a threshold has spoiled.
//!
//! Three finder patterns give a first grid; it is moved until finders, timing lines and alignment patterns lie
//! best on the grey picture, bent where the paper is, and pulled at the alignment patterns. Each module then
//! gets a soft value, sharpened where neighbours have run into each other, and error correction takes the
//! least sure bytes for lost. Every loop looks at the deadline.

mod finder;
mod pattern;
mod plane;
mod reed_solomon;
mod sample;
mod soft;

pub use finder::{Bits, triples};

use super::grey::Grey;
use super::types::{Deadline, Point, Read, Triple, at, floor};
use pattern::{FIRST_ALIGNMENT, Patterns, refine};
use plane::{Grid, Homography};
use rxing::qrcode::common::Version;
use sample::{Warp, luma, sharpened, softened};
use soft::{Soft, decode};

/// So many triples of finders are taken up.
pub const MAX_TRIPLES: usize = 6;
/// So many sizes of a code are refined for one triple.
const MAX_SIZES: usize = 2;
/// A grid whose worst finder fits less is given up before it is refined.
const MIN_FINDER: f32 = 0.25;
/// A refined grid needs finders and timing that fit so well.
const GOOD_FINDERS: f32 = 0.55;
const GOOD_TIMING: f32 = 0.35;
/// Sharpening is worth its time on a grid that fits so well.
const RICH_FINDERS: f32 = 0.75;
const RICH_TIMING: f32 = 0.65;
/// Sharpening across and down, none first.
const SHARPEN: [(f32, f32); 6] = [(0.0, 0.0), (0.35, 0.35), (0.8, 0.8), (0.9, 0.0), (0.0, 0.9), (1.6, 1.6)];
/// Modules to each side that a module is compared with.
const RADII: [usize; 3] = [5, 3, 12];
/// How far around its middle a module is looked at.
const SPREAD: f32 = 0.22;
/// Modules smaller than so many pixels have no around.
const SMALL_MODULE: f32 = 2.0;

/// Reads the first of these triples that can be read.
pub fn read(picture: &Grey, triples: &[Triple], deadline: &Deadline) -> Option<Read> {
    triples.iter().take(MAX_TRIPLES).find_map(|t| read_triple(picture, t, deadline))
}

/// A grid for one size of the code.
struct Candidate {
    grid: Grid,
    patterns: Patterns,
    version: &'static Version,
    fit: f32,
}

fn read_triple(picture: &Grey, triple: &Triple, deadline: &Deadline) -> Option<Read> {
    let mut candidates: Vec<Candidate> = sizes(triple)
        .into_iter()
        .take_while(|_| !deadline.over())
        .filter_map(|modules| lay(picture, triple, modules, deadline))
        .collect();
    candidates.sort_by(|a, b| b.fit.total_cmp(&a.fit));
    candidates.iter_mut().take(MAX_SIZES).find_map(|c| {
        if c.patterns.finders(picture, &c.grid).into_iter().fold(1.0, f32::min) < MIN_FINDER {
            return None;
        }
        refine(picture, &mut c.grid, &c.patterns, triple.module, false, deadline);
        match read_grid(picture, c, triple.module, deadline) {
            Reading::Read(read) => Some(read),
            Reading::Poor => None,
            Reading::Unread => {
                refine(picture, &mut c.grid, &c.patterns, triple.module, true, deadline);
                match read_grid(picture, c, triple.module, deadline) {
                    Reading::Read(read) => Some(read),
                    Reading::Poor | Reading::Unread => None,
                }
            }
        }
    })
}

/// The sizes that a code can have, the likeliest first.
fn sizes(triple: &Triple) -> Vec<usize> {
    let about = triple.modules;
    let nearest = floor(((about - 17.0) / 4.0).max(0.0) + 0.5);
    let mut out: Vec<usize> = triple.hint.iter().map(|h| h.0).collect();
    for version in [nearest, nearest + 1, nearest.wrapping_sub(1), nearest + 2, nearest.wrapping_sub(2)] {
        let modules = version.saturating_mul(4).saturating_add(17);
        let near = (modules as f32 - about).abs() < about * 0.16 + 3.0;
        if (1..=40).contains(&version) && near && !out.contains(&modules) {
            out.push(modules);
        }
    }
    out
}

/// Lays a grid of one size over the triple. Its fourth anchor is looked for around where it should be.
fn lay(picture: &Grey, triple: &Triple, modules: usize, deadline: &Deadline) -> Option<Candidate> {
    let version = Version::getVersionForNumber(u32::try_from((modules - 17) / 4).ok()?).ok()?;
    let patterns = Patterns::of(version, modules);
    let [corner, right, below] = triple.middles;
    let arm = modules as f32 - 7.0;
    let (u, v) = ((right - corner) * (1.0 / arm), (below - corner) * (1.0 / arm));
    let to_last = if modules > 21 { arm - 3.0 } else { arm };
    let hinted = triple.hint.and_then(|(hint, corners)| {
        let far = hint as f32;
        let square = Homography::to_square([at(0.0, 0.0), at(far, 0.0), at(far, far), at(0.0, far)])?;
        let place = (to_last + 3.5) * far / modules as f32;
        Some(Homography::through(&square, corners)?.map(at(place, place)))
    });
    let mut best: Option<(f32, Grid)> = None;
    for last in [Some(corner + (u + v) * to_last), hinted].into_iter().flatten() {
        let Some(grid) = Grid::new(modules, [corner, right, last, below]) else { continue };
        for grid in
            std::iter::once(grid.clone()).chain(near_alignment(picture, &grid, &patterns, u, v, deadline))
        {
            let fit = patterns.fit(picture, &grid);
            if best.as_ref().is_none_or(|b| fit > b.0) {
                best = Some((fit, grid));
            }
        }
    }
    let (fit, grid) = best?;
    let fit = fit + 2.0 * patterns.timing(picture, &grid);
    Some(Candidate { grid, patterns, version, fit })
}

/// The three grids whose last alignment pattern fits best, among those that lie around.
fn near_alignment(
    picture: &Grey,
    grid: &Grid,
    patterns: &Patterns,
    u: Point,
    v: Point,
    deadline: &Deadline,
) -> Vec<Grid> {
    let Some(last) = patterns.groups.get(FIRST_ALIGNMENT..).and_then(<[_]>::last) else { return Vec::new() };
    // Modules to each side: a tilted code is off by more the larger it is.
    let reach = (3.0 + 0.2 * grid.modules as f32).min(18.0);
    let steps = i16::try_from(floor(reach / 0.75)).unwrap_or(24);
    let mut found: Vec<(f32, Grid)> = Vec::new();
    for j in -steps..=steps {
        if deadline.over() {
            break;
        }
        for i in -steps..=steps {
            let off = at(f32::from(i), f32::from(j)) * 0.75;
            let Some(moved) = grid.moved(2, grid.anchors[2] + u * off.x + v * off.y) else { continue };
            let fit = last.fit(picture, |p| moved.map(p)) - 0.004 * off.length();
            if found.len() < 3 || found.last().is_some_and(|f| fit > f.0) {
                let place = found.partition_point(|f| f.0 >= fit);
                found.insert(place, (fit, moved));
                found.truncate(3);
            }
        }
    }
    found.into_iter().map(|(_, g)| g).collect()
}

enum Reading {
    Read(Read),
    /// The grid fits, its modules say nothing.
    Unread,
    /// The grid does not fit.
    Poor,
}

fn read_grid(picture: &Grey, candidate: &Candidate, module: f32, deadline: &Deadline) -> Reading {
    let Candidate { grid, patterns, version, .. } = candidate;
    let finders = patterns.finders(picture, grid);
    let mean = finders.iter().sum::<f32>() / 3.0;
    let least = finders.iter().copied().fold(1.0, f32::min);
    let timing = patterns.timing(picture, grid);
    if mean < GOOD_FINDERS || least < GOOD_FINDERS - 0.3 || timing < GOOD_TIMING {
        return Reading::Poor;
    }
    let rich = mean > RICH_FINDERS && timing > RICH_TIMING;
    let warp = Warp::find(picture, grid, patterns, module, deadline);
    let spreads: &[f32] = if module < SMALL_MODULE { &[0.0] } else { &[SPREAD, 0.0] };
    for spread in spreads {
        let values = luma(picture, grid, &warp, *spread);
        for (across, down) in SHARPEN.into_iter().take(if rich { SHARPEN.len() } else { 1 }) {
            let sharp = sharpened(&values, grid.modules, across, down);
            for radius in RADII {
                if deadline.over() {
                    return Reading::Poor;
                }
                let values = &softened(&sharp, grid.modules, radius);
                let soft = |mirrored| Soft { values, modules: grid.modules, mirrored };
                let mirrored = || (radius == RADII[0]).then(|| decode(&soft(true), version, false)).flatten();
                if let Some(read) = decode(&soft(false), version, true).or_else(mirrored) {
                    return Reading::Read(read);
                }
            }
        }
    }
    Reading::Unread
}
