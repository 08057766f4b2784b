//! Curves over time as a picture, for pages of the documentation: panels under each other with one axis of time. What was
//! out of order for a while is a grey band, a moment a thin line through all panels.

use font8x8::{BASIC_FONTS, UnicodeFonts};
use image::{Rgb, RgbImage};

/// One line of a panel.
pub struct Curve {
    /// What it is.
    pub name: String,
    /// Its colour.
    pub colour: [u8; 3],
    /// Time and value, in order of time.
    pub points: Vec<(f64, f64)>,
}

/// What is measured in one unit.
pub struct Panel {
    /// What, and in which unit.
    pub title: String,
    /// The lines.
    pub curves: Vec<Curve>,
    /// The limit that the product names for it.
    pub limit: Option<f64>,
}

/// A picture.
pub struct Plot {
    /// Above all.
    pub title: String,
    /// Under the axis of time.
    pub time: String,
    /// The end of the axis of time; it begins at 0.
    pub end: f64,
    /// What was out of order, from when to when.
    pub bands: Vec<(f64, f64)>,
    /// Moments.
    pub marks: Vec<f64>,
    /// What bands and marks are.
    pub legend: String,
    /// The panels.
    pub panels: Vec<Panel>,
}

const WIDTH: u32 = 1_200;
const LEFT: u32 = 120;
const RIGHT: u32 = 30;
const TOP: u32 = 104;
const BOTTOM: u32 = 70;
const PANEL: u32 = 150;
const GAP: u32 = 46;
/// Pixels of a dot of a letter: they are eight dots wide and high.
const DOT: u32 = 2;
const WHITE: [u8; 3] = [255, 255, 255];
const INK: [u8; 3] = [40, 44, 52];
const GRID: [u8; 3] = [222, 225, 230];
const BAND: [u8; 3] = [236, 232, 222];
const MARK: [u8; 3] = [150, 150, 160];
const LIMIT: [u8; 3] = [200, 40, 40];

struct Canvas(RgbImage);

impl Canvas {
    fn dot(&mut self, x: i64, y: i64, colour: [u8; 3]) {
        if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
            && let Some(pixel) = self.0.get_pixel_mut_checked(x, y)
        {
            *pixel = Rgb(colour);
        }
    }

    fn block(&mut self, (x, y): (i64, i64), (width, height): (i64, i64), colour: [u8; 3]) {
        for row in y..y + height {
            (x..x + width).for_each(|column| self.dot(column, row, colour));
        }
    }

    fn line(&mut self, from: (i64, i64), to: (i64, i64), colour: [u8; 3]) {
        let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).max(1);
        for n in 0..=steps {
            let at = |a: i64, b: i64| a + (b - a) * n / steps;
            self.block((at(from.0, to.0), at(from.1, to.1)), (2, 2), colour);
        }
    }

    fn text(&mut self, (x, y): (i64, i64), text: &str, colour: [u8; 3]) {
        let size = i64::from(DOT);
        for (n, letter) in (0..).zip(text.chars()) {
            let rows = BASIC_FONTS.get(letter).unwrap_or_default();
            for (row, bits) in (0..).zip(rows) {
                for column in (0..8).filter(|column| bits >> column & 1 == 1) {
                    let at = (x + (n * 8 + column) * size, y + row * size);
                    self.block(at, (size, size), colour);
                }
            }
        }
    }
}

/// The width of a text in pixels.
fn wide(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(0) * 8 * i64::from(DOT)
}

/// Steps of 1, 2 or 5, so that some of them fit.
fn step(most: f64, count: f64) -> f64 {
    let rough = (most / count).max(1e-9);
    let ten = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * ten).find(|step| *step >= rough).unwrap_or(rough)
}

fn number(value: f64) -> String {
    if value.fract().abs() < 1e-9 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[expect(clippy::cast_possible_truncation, reason = "a pixel of the picture")]
fn pixel(value: f64) -> i64 {
    value.round() as i64
}

/// Draws it.
pub fn draw(plot: &Plot) -> RgbImage {
    let panels = u32::try_from(plot.panels.len()).unwrap_or(1);
    let height = TOP + panels * (PANEL + GAP) + BOTTOM - GAP;
    let mut canvas = Canvas(RgbImage::from_pixel(WIDTH, height, Rgb(WHITE)));
    canvas.text((i64::from(LEFT), 16), &plot.title, INK);
    canvas.text((i64::from(LEFT), 40), &plot.legend, MARK);
    let width = f64::from(WIDTH - LEFT - RIGHT);
    let x = |time: f64| i64::from(LEFT) + pixel(time / plot.end * width);
    for (n, panel) in (0..).zip(&plot.panels) {
        let top = i64::from(TOP + n * (PANEL + GAP));
        one(&mut canvas, plot, panel, top, &x);
    }
    let under = i64::from(height - BOTTOM);
    let each = step(plot.end, 8.0);
    for n in 0..=pixel((plot.end / each).floor()) {
        let (time, text) = (n as f64 * each, number(n as f64 * each));
        canvas.block((x(time), under), (2, 8), INK);
        canvas.text((x(time) - wide(&text) / 2, under + 14), &text, INK);
    }
    let middle = i64::from(LEFT) + pixel(width / 2.0);
    canvas.text((middle - wide(&plot.time) / 2, under + 40), &plot.time, INK);
    canvas.0
}

fn one(canvas: &mut Canvas, plot: &Plot, panel: &Panel, top: i64, x: &impl Fn(f64) -> i64) {
    let bottom = top + i64::from(PANEL);
    let (left, right) = (i64::from(LEFT), i64::from(WIDTH - RIGHT));
    for (from, to) in &plot.bands {
        canvas.block((x(*from), top), ((x(*to) - x(*from)).max(3), bottom - top), BAND);
    }
    let values = panel.curves.iter().flat_map(|curve| &curve.points).map(|(_, value)| *value);
    let most = values.chain(panel.limit).fold(0.0, f64::max).max(1e-6);
    let each = step(most, 3.0);
    let scale = (most / each).ceil() * each;
    let y = |value: f64| bottom - pixel(value / scale * f64::from(PANEL));
    for n in 0..=pixel(scale / each) {
        let value = n as f64 * each;
        canvas.block((left, y(value)), (right - left, 1), GRID);
        let text = number(value);
        canvas.text((left - wide(&text) - 12, y(value) - 8), &text, INK);
    }
    for mark in &plot.marks {
        canvas.block((x(*mark), top), (1, bottom - top), MARK);
    }
    if let Some(limit) = panel.limit {
        canvas.block((left, y(limit)), (right - left, 2), LIMIT);
    }
    for curve in &panel.curves {
        for pair in curve.points.windows(2) {
            let [from, to] = [pair[0], pair[1]].map(|(time, value)| (x(time), y(value) - 1));
            canvas.line(from, to, curve.colour);
        }
    }
    canvas.block((left, top), (2, bottom - top), INK);
    canvas.block((left, bottom), (right - left, 2), INK);
    canvas.text((left, top - 22), &panel.title, INK);
    let mut at = left + wide(&panel.title) + 32;
    for curve in panel.curves.iter().filter(|curve| !curve.name.is_empty()) {
        canvas.block((at, top - 16), (20, 4), curve.colour);
        canvas.text((at + 28, top - 22), &curve.name, INK);
        at += wide(&curve.name) + 56;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_drawn_where_its_values_are() {
        let curve = Curve { name: "one".into(), colour: [0, 0, 200], points: vec![(0.0, 0.0), (4.0, 10.0)] };
        let panel = Panel { title: "MB".into(), curves: vec![curve], limit: Some(20.0) };
        let plot = Plot {
            title: "a title".into(),
            time: "hours".into(),
            end: 8.0,
            bands: vec![(1.0, 2.0)],
            marks: vec![3.0],
            legend: "grey: away".into(),
            panels: vec![panel],
        };
        let picture = draw(&plot);
        let blue = picture.enumerate_pixels().filter(|(_, _, p)| p.0 == [0, 0, 200]);
        // The line alone, and the key beside the title of the panel.
        let (most_x, most_y) =
            blue.filter(|(_, y, _)| *y >= TOP).fold((0, 0), |(a, b), (x, y, _)| (a.max(x), b.max(y)));
        assert_eq!(most_x, LEFT + (WIDTH - LEFT - RIGHT) / 2 + 1, "it ends in the middle");
        assert_eq!(most_y, TOP + PANEL - 1, "and begins on the axis, which is drawn over it");
        assert!(picture.pixels().any(|p| p.0 == LIMIT) && picture.pixels().any(|p| p.0 == BAND));
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([7.0, 31.0, 0.9, 450.0].map(|most| step(most, 3.0)), [5.0, 20.0, 0.5, 200.0]);
    }
}
