//! Made-up photographs of QR codes, each from its seed: a code on paper, seen by a camera that is too far
//! away, moves, is out of focus, is noisy, looks from the side, is dazzled, or looks at a screen.

use kakou_drivers::qr::Grey;
use kakou_drivers::sim::Seeded;
use qrcodegen::{Mask, QrCode, QrCodeEcc, QrSegment, Version};
use std::f32::consts::TAU;

/// The size of a picture: what a cheap camera gives.
pub const WIDTH: usize = 640;
/// Its height.
pub const HEIGHT: usize = 480;
/// Versions of codes: a short text to a long one.
pub const VERSIONS: [u8; 4] = [3, 7, 11, 15];
/// Looks at each pixel along each axis.
const FINE: usize = 3;

/// What is wrong with a picture, most of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// The code is far away: its modules are small.
    Small,
    /// It moves.
    Motion,
    /// It is out of focus.
    Defocus,
    /// It is dark, and the sensor is noisy.
    Noise,
    /// It is seen from the side.
    Tilt,
    /// A lamp or the sun is mirrored in it.
    Glare,
    /// It is on a screen, whose grid beats with that of the sensor.
    Moire,
}

/// All of them.
pub const HARMS: [Harm; 7] =
    [Harm::Small, Harm::Motion, Harm::Defocus, Harm::Noise, Harm::Tilt, Harm::Glare, Harm::Moire];

impl Harm {
    /// Its name in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Motion => "motion",
            Self::Defocus => "defocus",
            Self::Noise => "noise",
            Self::Tilt => "tilt",
            Self::Glare => "glare",
            Self::Moire => "moire",
        }
    }
}

/// A picture and the truth about it.
pub struct Scene {
    /// What the camera gives.
    pub picture: Grey,
    /// What the code says.
    pub text: String,
}

/// A number from `low` to `high`.
fn between(random: &mut Seeded, low: f32, high: f32) -> f32 {
    low + (high - low) * (random.below(1 << 20) as f32 / (1 << 20) as f32)
}

/// About 0, with this deviation: the sum of twelve even numbers.
fn normal(random: &mut Seeded, deviation: f32) -> f32 {
    ((0..12).map(|_| between(random, 0.0, 1.0)).sum::<f32>() - 6.0) * deviation
}

fn code(version: u8, random: &mut Seeded) -> (QrCode, String) {
    // About three quarters of what fits, of the letters of a pass.
    let length = [30, 90, 190, 310][VERSIONS.iter().position(|v| *v == version).unwrap_or(0)];
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let body: String = (0..length).map(|_| char::from(letters[(random.draw() & 31) as usize])).collect();
    let text = format!("KP1:{body}");
    let version = Version::new(version);
    let segments = QrSegment::make_segments(&text);
    let mask = Mask::new((random.draw() & 7) as u8);
    let code =
        QrCode::encode_segments_advanced(&segments, QrCodeEcc::Medium, version, version, Some(mask), false);
    (code.expect("the text fits its version"), text)
}

/// From pixels to modules: the inverse of how the code lies before the camera.
struct View {
    middle: (f32, f32),
    turn: (f32, f32),
    module: f32,
    /// How much nearer one side is, along and across.
    lean: (f32, f32),
    half: f32,
}

impl View {
    fn module_at(&self, x: f32, y: f32) -> (f32, f32) {
        let (dx, dy) = ((x - self.middle.0) / self.module, (y - self.middle.1) / self.module);
        let (u, v) = (dx * self.turn.0 + dy * self.turn.1, dy * self.turn.0 - dx * self.turn.1);
        let depth = 1.0 - (u * self.lean.0 + v * self.lean.1) / self.half;
        // A plane that leans is seen shortened as well.
        let (su, sv) = (1.0 + self.lean.0.abs() * 1.2, 1.0 + self.lean.1.abs() * 1.2);
        (u * su / depth + self.half, v * sv / depth + self.half)
    }
}

/// A square of floats.
struct Plane(Vec<f32>);

impl Plane {
    fn at(&self, x: isize, y: isize) -> f32 {
        let inside = |v: isize, n: usize| v.clamp(0, n.cast_signed() - 1).cast_unsigned();
        self.0[inside(y, HEIGHT) * WIDTH + inside(x, WIDTH)]
    }
    /// The mean over places around each pixel.
    fn smeared(&self, around: &[(isize, isize)]) -> Self {
        let one = |n: usize| {
            let (x, y) = ((n % WIDTH).cast_signed(), (n / WIDTH).cast_signed());
            around.iter().map(|(dx, dy)| self.at(x + dx, y + dy)).sum::<f32>() / around.len() as f32
        };
        Self((0..self.0.len()).map(one).collect())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "pixels are small")]
fn line(length: f32, angle: f32) -> Vec<(isize, isize)> {
    let steps = (length.abs().ceil() as isize).max(1) * 2;
    let (dx, dy) = (angle.cos() * length, angle.sin() * length);
    let at = |n: isize| n as f32 / steps as f32 - 0.5;
    (0..=steps).map(|n| ((at(n) * dx).round() as isize, (at(n) * dy).round() as isize)).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "pixels are small")]
fn disc(radius: f32) -> Vec<(isize, isize)> {
    let r = radius.ceil() as isize;
    let inside = |(x, y): &(isize, isize)| ((x * x + y * y) as f32) <= radius * radius + 0.25;
    (-r..=r).flat_map(|y| (-r..=r).map(move |x| (x, y))).filter(inside).collect()
}

/// The picture of a seed: a little of everything, and much of one harm.
pub fn scene(seed: u64, harm: Harm, version: u8) -> Scene {
    let mut random = Seeded::new(seed);
    let r = &mut random;
    let (code, text) = code(version, r);
    let modules = code.size() as f32;
    let largest = (HEIGHT as f32 * 0.92 / (modules + 4.0)).min(9.0);
    let module = if harm == Harm::Small {
        between(r, 1.3, 2.6)
    } else {
        between(r, 2.6_f32.min(largest * 0.8), largest)
    };
    let lean = if harm == Harm::Tilt { between(r, 0.15, 0.5) } else { between(r, 0.0, 0.08) };
    let (towards, angle) = (between(r, 0.0, TAU), between(r, 0.0, TAU));
    let spread = module * modules * 0.5;
    let place = |r: &mut Seeded, length: usize| {
        let free = (length as f32 / 2.0 - spread * 1.2).max(0.0);
        length as f32 / 2.0 + between(r, -free, free)
    };
    let view = View {
        middle: (place(r, WIDTH), place(r, HEIGHT)),
        turn: (angle.cos(), angle.sin()),
        module,
        lean: (lean * towards.cos(), lean * towards.sin()),
        half: modules / 2.0,
    };
    let (dark, light) = if harm == Harm::Noise {
        (between(r, 20.0, 45.0), between(r, 70.0, 120.0))
    } else {
        (between(r, 15.0, 70.0), between(r, 150.0, 235.0))
    };
    let background = between(r, 40.0, 200.0);
    let ink = |x: f32, y: f32| {
        let (u, v) = view.module_at(x, y);
        let paper = -4.0..modules + 4.0;
        if !paper.contains(&u) || !paper.contains(&v) {
            // Something with edges behind the paper.
            return background + 25.0 * ((x / 37.0).sin() * (y / 23.0).cos()).signum();
        }
        #[expect(clippy::cast_possible_truncation, reason = "modules are few")]
        let is_dark = code.get_module(u.floor() as i32, v.floor() as i32);
        if is_dark { dark } else { light }
    };
    let step = 1.0 / FINE as f32;
    let fine: Vec<(f32, f32)> = (0..FINE * FINE)
        .map(|n| (((n % FINE) as f32 + 0.5) * step, ((n / FINE) as f32 + 0.5) * step))
        .collect();
    let pixel = |n: usize| {
        let (x, y) = ((n % WIDTH) as f32, (n / WIDTH) as f32);
        fine.iter().map(|(dx, dy)| ink(x + dx, y + dy)).sum::<f32>() / fine.len() as f32
    };
    let mut plane = Plane((0..WIDTH * HEIGHT).map(pixel).collect());
    let blur =
        if harm == Harm::Defocus { between(r, 0.35, 1.1) * module } else { between(r, 0.0, 0.3) * module };
    plane = plane.smeared(&disc(blur));
    let moved =
        if harm == Harm::Motion { between(r, 0.6, 2.2) * module } else { between(r, 0.0, 0.3) * module };
    plane = plane.smeared(&line(moved, between(r, 0.0, TAU)));
    shine(&mut plane, harm, &view, spread, r);
    let grain = if harm == Harm::Noise { between(r, 8.0, 26.0) } else { between(r, 1.0, 5.0) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    let pixels = plane.0.iter().map(|v| (v + normal(r, grain)).clamp(0.0, 255.0) as u8).collect();
    Scene { picture: Grey::new(pixels, WIDTH, HEIGHT).expect("as many as were made"), text }
}

/// Light that falls unevenly, a mirrored lamp, a screen's grid.
fn shine(plane: &mut Plane, harm: Harm, view: &View, spread: f32, r: &mut Seeded) {
    let slope = (between(r, -0.3, 0.3), between(r, -0.3, 0.3));
    let lamp = (view.middle.0 + between(r, -spread, spread), view.middle.1 + between(r, -spread, spread));
    let (size, power) = if harm == Harm::Glare {
        (between(r, 0.15, 0.5) * spread, between(r, 80.0, 300.0))
    } else {
        (1.0, 0.0)
    };
    let (period, depth) =
        if harm == Harm::Moire { (between(r, 2.2, 9.0), between(r, 0.2, 0.65)) } else { (1.0, 0.0) };
    let along = between(r, 0.0, TAU);
    for (n, v) in plane.0.iter_mut().enumerate() {
        let (x, y) = ((n % WIDTH) as f32, (n / WIDTH) as f32);
        let even = 1.0 + slope.0 * (x / WIDTH as f32 - 0.5) + slope.1 * (y / HEIGHT as f32 - 0.5);
        let far = ((x - lamp.0).powi(2) + (y - lamp.1).powi(2)) / (size * size);
        let wave = (TAU * (x * along.cos() + y * along.sin()) / period).sin();
        let across = (TAU * (y * along.cos() - x * along.sin()) / (period * 1.1)).sin();
        *v = *v * even * (1.0 + depth * 0.5 * (wave + across)) + power * (-far).exp();
    }
}
