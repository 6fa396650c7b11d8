//! Where the cells are: a Voronoi partition of space with seeds of different weight.
//!
//! Seeds sit on a lattice, each moved inside its cube. A point belongs to the seed of the smallest
//! `|p - s|^2 - w^2` (a power diagram), so cells of large weight are larger and all borders are flat. The
//! waviness of membranes comes from bending the points before they are asked for.

use super::noise::{Draw, Key};

/// A seed of a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed {
    pub(super) centre: [f32; 3],
    /// The weight squared.
    weight: f32,
    /// Chance that belongs to this cell.
    pub(super) draw: Draw,
}

/// A partition of space into cells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partition {
    key: Key,
    /// The side of the lattice's cubes, in pixels.
    spacing: f32,
}

/// Where a point is among the seeds that were looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The index of the cell's seed.
    pub(super) seed: usize,
    /// The distance to the nearest border, in pixels.
    pub(super) border: f32,
}

impl Partition {
    pub(super) fn new(key: Key, spacing: f32) -> Self {
        Self { key, spacing }
    }

    /// The seed in a cube of the lattice.
    fn seed(&self, x: i32, y: i32, z: i32) -> Seed {
        let mut draw = self.key.at(x, y, z);
        let mut place = |i: i32| (i as f32 + draw.range(0.1, 0.9)) * self.spacing;
        let centre = [place(x), place(y), place(z)];
        // Few large cells among many small ones.
        let weight = draw.unit().powi(2) * 0.62 * self.spacing;
        Seed { centre, weight: weight * weight, draw }
    }

    /// All seeds that can be the nearest or second nearest of a point in a box.
    pub(super) fn candidates(&self, low: [f32; 3], high: [f32; 3], seeds: &mut Vec<Seed>) {
        seeds.clear();
        // Two cubes around the box are enough: a seed further away is beaten by those of the
        // box's own cubes even with the largest weight.
        let cube = |v: f32| (v / self.spacing).floor() as i32;
        for z in cube(low[2]) - 2..=cube(high[2]) + 2 {
            for y in cube(low[1]) - 2..=cube(high[1]) + 2 {
                for x in cube(low[0]) - 2..=cube(high[0]) + 2 {
                    seeds.push(self.seed(x, y, z));
                }
            }
        }
        // Nearer than `far` for every point of the box are at least two seeds.
        let (mut far, mut farthest) = ([f32::INFINITY; 2], Vec::with_capacity(seeds.len()));
        for seed in seeds.iter() {
            let (mut near, mut most) = (0.0, 0.0);
            for axis in 0..3 {
                let c = seed.centre[axis];
                near += (low[axis] - c).max(c - high[axis]).max(0.0).powi(2);
                most += (c - low[axis]).abs().max((c - high[axis]).abs()).powi(2);
            }
            farthest.push(near - seed.weight);
            let most: f32 = most - seed.weight;
            if most < far[0] {
                far = [most, far[0]];
            } else if most < far[1] {
                far[1] = most;
            }
        }
        let mut nearest = farthest.iter();
        seeds.retain(|_| nearest.next().is_some_and(|&near| near <= far[1]));
    }

    /// The cell of a point. `seeds` are the candidates of a box that holds it.
    #[inline(always)]
    pub(super) fn place(&self, seeds: &[Seed], [x, y, z]: [f32; 3]) -> Place {
        let (mut first, mut second) = ((0, f32::INFINITY), (0, f32::INFINITY));
        for (i, seed) in seeds.iter().enumerate() {
            let [sx, sy, sz] = seed.centre;
            let d = (x - sx).powi(2) + (y - sy).powi(2) + (z - sz).powi(2) - seed.weight;
            if d < first.1 {
                second = first;
                first = (i, d);
            } else if d < second.1 {
                second = (i, d);
            }
        }
        let (a, b) = (seeds[first.0].centre, seeds[second.0].centre);
        let apart = ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)).sqrt();
        Place { seed: first.0, border: (second.1 - first.1) / (2.0 * apart.max(1.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_a_box_hold_the_cell_of_each_point() {
        let partition = Partition::new(Key::new(3, 0), 50.0);
        let (mut few, mut many) = (Vec::new(), Vec::new());
        for block in 0..8 {
            let low = [block as f32 * 37.0 - 90.0, block as f32 * 11.0, 7.0];
            let high = low.map(|v| v + 20.0);
            partition.candidates(low, high, &mut few);
            for i in 0..50 {
                let t = |axis: usize, n: usize| low[axis] + (i * n % 21) as f32;
                let point = [t(0, 3), t(1, 5), t(2, 8)];
                partition.candidates(point, point, &mut many);
                let wide = [point[0] - 150.0, point[1] - 150.0, point[2] - 150.0];
                let mut all = Vec::new();
                partition.candidates(wide, wide.map(|v| v + 300.0), &mut all);
                let centre = |seeds: &[Seed]| {
                    let place = partition.place(seeds, point);
                    (seeds[place.seed].centre, place.border)
                };
                assert_eq!(centre(&few), centre(&all));
                assert_eq!(centre(&many), centre(&all));
            }
        }
    }
}
