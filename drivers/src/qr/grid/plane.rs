//! The way from the modules of a code to the pixels of a picture.

use super::super::types::{Point, at};

type Matrix = [[f64; 3]; 3];

/// From the unit square to four corners in the order of a circle (Heckbert 1989).
fn from_square(q: [Point; 4]) -> Option<Matrix> {
    let [a, b, c, d] = q.map(|p| (f64::from(p.x), f64::from(p.y)));
    let (dx1, dy1) = (b.0 - c.0, b.1 - c.1);
    let (dx2, dy2) = (d.0 - c.0, d.1 - c.1);
    let (sx, sy) = (a.0 - b.0 + c.0 - d.0, a.1 - b.1 + c.1 - d.1);
    let area = dx1 * dy2 - dx2 * dy1;
    if area.abs() < 1e-9 {
        return None;
    }
    let g = (sx * dy2 - dx2 * sy) / area;
    let h = (dx1 * sy - sx * dy1) / area;
    Some([
        [b.0 - a.0 + g * b.0, d.0 - a.0 + h * d.0, a.0],
        [b.1 - a.1 + g * b.1, d.1 - a.1 + h * d.1, a.1],
        [g, h, 1.0],
    ])
}

fn adjoint(m: Matrix) -> Matrix {
    let minor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    std::array::from_fn(|r| std::array::from_fn(|c| minor(c, r)))
}

/// A projection of one plane onto another.
#[derive(Debug, Clone, Copy)]
pub struct Homography([[f32; 3]; 3]);

impl Homography {
    /// Its inverse onto the unit square, for [`Homography::through`].
    pub fn to_square(corners: [Point; 4]) -> Option<[[f64; 3]; 3]> {
        from_square(corners).map(adjoint)
    }

    /// By way of the unit square to four corners.
    pub fn through(to_square: &[[f64; 3]; 3], corners: [Point; 4]) -> Option<Self> {
        let m = from_square(corners)?;
        let product: Matrix =
            std::array::from_fn(|r| std::array::from_fn(|c| (0..3).map(|k| m[r][k] * to_square[k][c]).sum()));
        let scale = product[2][2];
        #[expect(clippy::cast_possible_truncation, reason = "pixels do not need more than 24 bits")]
        let small = |v: f64| (v / scale) as f32;
        (scale.abs() > 1e-12).then(|| Self(product.map(|row| row.map(small))))
    }

    /// Where a point lies on the other plane.
    pub fn map(&self, p: Point) -> Point {
        let row = |r: [f32; 3]| r[0] * p.x + r[1] * p.y + r[2];
        let w = row(self.0[2]);
        at(row(self.0[0]) / w, row(self.0[1]) / w)
    }
}

/// The grid of a code of so many modules, laid over a picture: a projection by four anchors, and a bend.
#[derive(Debug, Clone)]
pub struct Grid {
    /// Modules along a side.
    pub modules: usize,
    /// The middles of the three finder patterns and of the last alignment pattern (of the fourth corner where
    /// there is none), in pixels, clockwise from the top left.
    pub anchors: [Point; 4],
    /// How far the middle of the code is pushed away along rows and along columns, in pixels.
    pub bend: [Point; 2],
    to_square: [[f64; 3]; 3],
    projection: Homography,
}

/// The anchors in modules.
pub fn anchors_in_modules(modules: usize) -> [Point; 4] {
    let far = modules as f32 - 3.5;
    let last = if modules > 21 { modules as f32 - 6.5 } else { far };
    [at(3.5, 3.5), at(far, 3.5), at(last, last), at(3.5, far)]
}

impl Grid {
    /// With these anchors and no bend.
    pub fn new(modules: usize, anchors: [Point; 4]) -> Option<Self> {
        let to_square = Homography::to_square(anchors_in_modules(modules))?;
        let projection = Homography::through(&to_square, anchors)?;
        Some(Self { modules, anchors, bend: [Point::default(); 2], to_square, projection })
    }

    /// With one anchor at another place.
    pub fn moved(&self, anchor: usize, to: Point) -> Option<Self> {
        let mut anchors = self.anchors;
        anchors[anchor] = to;
        let projection = Homography::through(&self.to_square, anchors)?;
        Some(Self { anchors, projection, ..self.clone() })
    }

    /// Where a place of the code lies in the picture.
    pub fn map(&self, p: Point) -> Point {
        let flat = self.projection.map(p);
        if self.bend == [Point::default(); 2] {
            return flat;
        }
        let arch = |v: f32| {
            let share = (v - 3.5) / (self.modules as f32 - 7.0);
            4.0 * share * (1.0 - share)
        };
        flat + self.bend[0] * arch(p.x) + self.bend[1] * arch(p.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_anchors_come_to_lie_where_they_were_put() {
        for modules in [21, 45, 177] {
            let anchors = [at(10.0, 12.0), at(200.0, 30.0), at(170.0, 190.0), at(5.0, 220.0)];
            let grid = Grid::new(modules, anchors).unwrap();
            for (module, pixel) in anchors_in_modules(modules).into_iter().zip(anchors) {
                assert!((grid.map(module) - pixel).length() < 0.01);
            }
            let moved = grid.moved(2, at(180.0, 195.0)).unwrap();
            assert!((moved.map(anchors_in_modules(modules)[2]) - at(180.0, 195.0)).length() < 0.01);
        }
        assert!(Grid::new(21, [at(1.0, 1.0); 4]).is_none(), "a point is no grid");
    }
}
