//! What objects measure: volume, surface, centroid and bounding box, in one pass over the sections.
//!
//! The surface is estimated by Crofton's formula: how often the lines through voxels in 13
//! directions cross it. Counting the outer faces of voxels would give 1.5 times the area of a
//! sphere, however fine the voxels.
//!
//! Source: G. Lehmann and D. Legland, Efficient N-dimensional surface estimation using Crofton
//! formula and run-length encoding, Insight Journal (2012).

use super::runs::{Run, SectionRuns, touching};

/// An object of a volume, in voxels. Voxels count from 0; the centre of voxel 0 is at 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its value in the volume of labels.
    pub label: u32,
    /// Number of voxels.
    pub voxels: u64,
    /// The area of its surface, in the squared unit of the voxel's sides. Where the edge of the
    /// volume cuts the object is no surface.
    pub surface: f64,
    /// The mean position of its voxels: section, row, column.
    pub centroid: [f64; 3],
    /// The first section, row and column that it reaches.
    pub first: [usize; 3],
    /// The last section, row and column that it reaches.
    pub last: [usize; 3],
    /// Whether it reaches an edge of the volume, and may go on beyond.
    pub touches_border: bool,
}

/// Steps from a voxel to the half of its 26 neighbours that come before it.
const BEFORE: [[isize; 3]; 13] = [
    [-1, -1, -1],
    [-1, -1, 0],
    [-1, -1, 1],
    [-1, 0, -1],
    [-1, 0, 0],
    [-1, 0, 1],
    [-1, 1, -1],
    [-1, 1, 0],
    [-1, 1, 1],
    [0, -1, -1],
    [0, -1, 0],
    [0, -1, 1],
    [0, 0, -1],
];

/// What is counted of an object.
#[derive(Clone)]
struct Tally {
    voxels: u64,
    sums: [u64; 3],
    first: [usize; 3],
    last: [usize; 3],
    /// Neighbours along each of the directions, both ways, that are in the volume; less those that
    /// are of the object.
    crossings: [u64; 13],
    /// The same of the last four directions, those within sections, of the first section and of the
    /// last one.
    outermost: [u64; 4],
}

/// The first of the directions within sections.
const WITHIN: usize = 9;

/// Of each direction from section to section which of those within sections it is seen from above.
///
/// Lines of these directions leave the volume at its first and last section. An object that is cut
/// there is taken to go on as it is, half a section at each end: so the sides of objects count in
/// full in volumes of few sections, or of one.
const FROM_ABOVE: [Option<usize>; WITHIN] =
    [Some(0), Some(1), Some(2), Some(3), None, Some(3), Some(2), Some(1), Some(0)];

/// Measures objects from their runs, section by section.
pub(super) struct Measurer {
    shape: [usize; 3],
    tallies: Vec<Tally>,
    before: SectionRuns,
    next_section: usize,
}

impl Measurer {
    /// For objects with the labels from 1 to `objects`.
    pub(super) fn new(objects: u32, shape: [usize; 3]) -> Self {
        let none = Tally {
            voxels: 0,
            sums: [0; 3],
            first: [usize::MAX; 3],
            last: [0; 3],
            crossings: [0; 13],
            outermost: [0; 4],
        };
        let tallies = vec![none; objects as usize];
        Self { shape, tallies, before: SectionRuns::default(), next_section: 0 }
    }

    /// Takes the runs of the next section.
    pub(super) fn section(&mut self, section: SectionRuns) {
        let z = self.next_section;
        self.next_section += 1;
        let [depth, height, width] = self.shape;
        let ends = u64::from(z == 0) + u64::from(z + 1 == depth);
        for run in section.all() {
            let tally = &mut self.tallies[run.label as usize - 1];
            tally.take(z, run);
            for (direction, step) in BEFORE.into_iter().enumerate() {
                let neighbours = neighbours_in_volume(z, run, step, self.shape)
                    + neighbours_in_volume(z, run, step.map(|side| -side), self.shape);
                tally.crossings[direction] += neighbours;
                if direction >= WITHIN {
                    tally.outermost[direction - WITHIN] += ends * neighbours;
                }
            }
            // Within the run, along the row, each pair of neighbours is seen from both.
            tally.lose(12, run.voxels() - 1, ends);
        }
        for y in 0..height {
            let row = section.row(y);
            for (group, other) in [
                (0, if y > 0 { self.before.row(y - 1) } else { &[] }),
                (3, self.before.row(y)),
                (6, self.before.row(y + 1)),
                (9, if y > 0 { section.row(y - 1) } else { &[] }),
            ] {
                touching(row, other, 1, |number, other| {
                    let run = &row[number];
                    if run.label != other.label {
                        return;
                    }
                    let tally = &mut self.tallies[run.label as usize - 1];
                    for (direction, shift) in (group..).zip([-1, 0, 1]) {
                        tally.lose(direction, shared(run, other, shift), ends);
                    }
                });
            }
        }
        debug_assert!(section.all().iter().all(|run| (run.end as usize) <= width));
        self.before = section;
    }

    /// The objects, by label, for voxels with these sides along z, y and x.
    pub(super) fn finish(self, voxel: [f64; 3]) -> Vec<Object> {
        let areas = areas_by_crossing(voxel);
        let objects = (1..).zip(&self.tallies).map(|(label, tally)| Object {
            label,
            voxels: tally.voxels,
            surface: (0..13).map(|i| tally.crossings_along(i) * areas[i]).sum(),
            centroid: tally.sums.map(|sum| sum as f64 / tally.voxels as f64),
            first: tally.first,
            last: tally.last,
            touches_border: (0..3)
                .any(|i| tally.first[i] == 0 || tally.last[i] + 1 == self.shape[i]),
        });
        objects.collect()
    }
}

impl Tally {
    /// Takes pairs of neighbours within the object away, which were counted from both sides; `ends`
    /// says how often the section is the first or last one.
    fn lose(&mut self, direction: usize, pairs: u64, ends: u64) {
        self.crossings[direction] -= 2 * pairs;
        if direction >= WITHIN {
            self.outermost[direction - WITHIN] -= ends * 2 * pairs;
        }
    }

    /// How often lines of a direction cross the object's surface, those beyond the first and last
    /// section included.
    fn crossings_along(&self, direction: usize) -> f64 {
        let flat = FROM_ABOVE.get(direction).copied().flatten();
        let beyond = flat.map_or(0.0, |flat| 0.5 * self.outermost[flat] as f64);
        self.crossings[direction] as f64 + beyond
    }

    fn take(&mut self, z: usize, run: &Run) {
        let (start, end) = (u64::from(run.start), u64::from(run.end));
        self.voxels += run.voxels();
        let sums = [
            z as u64 * run.voxels(),
            u64::from(run.y) * run.voxels(),
            (start + end - 1) * run.voxels() / 2,
        ];
        let first = [z, run.y as usize, run.start as usize];
        let last = [z, run.y as usize, run.end as usize - 1];
        for i in 0..3 {
            self.sums[i] += sums[i];
            self.first[i] = self.first[i].min(first[i]);
            self.last[i] = self.last[i].max(last[i]);
        }
    }
}

/// Voxels of a run whose neighbour in this direction is in the volume.
fn neighbours_in_volume(z: usize, run: &Run, step: [isize; 3], shape: [usize; 3]) -> u64 {
    let is_in = |at: usize, step: isize, side: usize| {
        at.checked_add_signed(step).is_some_and(|next| next < side)
    };
    if !is_in(z, step[0], shape[0]) || !is_in(run.y as usize, step[1], shape[1]) {
        return 0;
    }
    let last = run.end as usize - 1;
    let lost = !is_in(run.start as usize, step[2].min(0), shape[2])
        || !is_in(last, step[2].max(0), shape[2]);
    run.voxels() - u64::from(lost)
}

/// Voxels of a run whose neighbour, so many columns further in another row, is of the other run.
fn shared(run: &Run, other: &Run, shift: i64) -> u64 {
    let from = i64::from(run.start).max(i64::from(other.start) - shift);
    let to = i64::from(run.end).min(i64::from(other.end) - shift);
    (to - from).max(0) as u64
}

/// The area for which a crossing of a line in each of the directions stands.
///
/// A surface of area S is crossed, per unit of area across a direction, by lines of that direction;
/// the mean over all directions, twice, is S. Lines through all voxels along a step are `volume of
/// a voxel / length of the step` apart. Each direction stands for those that are nearer to it than
/// to the others.
fn areas_by_crossing(voxel: [f64; 3]) -> [f64; 13] {
    /// Points on half a sphere, by which the shares of directions are measured.
    const POINTS: usize = 1 << 16;
    let steps = BEFORE.map(|step| [0, 1, 2].map(|i| step[i] as f64 * voxel[i]));
    let lengths = steps.map(|step| step.iter().map(|side| side * side).sum::<f64>().sqrt());
    let mut nearest = [0_usize; 13];
    // Fibonacci's lattice: points in turns of the golden angle, on rings of equal areas.
    let turn = std::f64::consts::PI * (3.0 - 5_f64.sqrt());
    for point in 0..POINTS {
        let z = (point as f64 + 0.5) / POINTS as f64;
        let (sin, cos) = (point as f64 * turn).sin_cos();
        let radius = (1.0 - z * z).sqrt();
        let point = [z, radius * sin, radius * cos];
        let nearness = |i: usize| {
            let dot: f64 = (0..3).map(|axis| steps[i][axis] * point[axis]).sum();
            dot.abs() / lengths[i]
        };
        let best = (1..13).fold(0, |best, i| if nearness(i) > nearness(best) { i } else { best });
        nearest[best] += 1;
    }
    let volume: f64 = voxel.iter().product();
    std::array::from_fn(|i| 2.0 * nearest[i] as f64 / POINTS as f64 * volume / lengths[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The surface of what `is_inside` says of the points of a box of voxels.
    fn surface(shape: [usize; 3], voxel: [f64; 3], is_inside: impl Fn([f64; 3]) -> bool) -> f64 {
        let mut measurer = Measurer::new(1, shape);
        for z in 0..shape[0] {
            let mut runs = Vec::new();
            for y in 0..shape[1] {
                let at = |x: usize| [z, y, x].map(|i| i as f64);
                let inside = |x: &usize| is_inside([0, 1, 2].map(|i| at(*x)[i] * voxel[i]));
                let columns: Vec<usize> = (0..shape[2]).filter(inside).collect();
                if let (Some(&first), Some(&last)) = (columns.first(), columns.last()) {
                    assert_eq!(columns.len(), last - first + 1, "a convex body");
                    let [y, start, end] = [y, first, last + 1].map(|i| i as u32);
                    runs.push(Run { y, start, end, label: 1 });
                }
            }
            measurer.section(SectionRuns::new(runs, shape[1]));
        }
        measurer.finish(voxel)[0].surface
    }

    #[test]
    fn spheres_have_their_surface_whatever_the_voxels() {
        let radius = 20.0_f64;
        let want = 4.0 * std::f64::consts::PI * radius * radius;
        for voxel in [[1.0, 1.0, 1.0], [4.0, 1.0, 1.0], [2.0, 0.5, 1.0], [1.0, 3.0, 0.7]] {
            let shape = voxel.map(|side: f64| (50.0 / side).ceil() as usize + 1);
            let centre = [25.1, 24.8, 25.3];
            let sphere = |at: [f64; 3]| {
                (0..3).map(|i| (at[i] - centre[i]).powi(2)).sum::<f64>() <= radius * radius
            };
            let found = surface(shape, voxel, sphere);
            assert!((found / want - 1.0).abs() < 0.03, "{voxel:?}: {found}, {want}");
        }
    }

    #[test]
    fn discs_in_few_sections_have_their_sides() {
        let radius = 30.0_f64;
        let disc = |at: [f64; 3]| (at[1] - 40.3).hypot(at[2] - 39.8) <= radius;
        // Directions lie densely across thick sections, and less so along them.
        for (thick, near) in [(1.0, 0.04), (10.0, 0.12)] {
            let side = |depth| surface([depth, 80, 80], [thick, 1.0, 1.0], disc);
            let want = 2.0 * std::f64::consts::PI * radius * thick;
            assert!((side(1) / want - 1.0).abs() < near, "{}, {want}", side(1));
            for depth in [2, 3, 20] {
                assert!((side(depth) / (depth as f64 * side(1)) - 1.0).abs() < 1e-9, "{depth}");
            }
        }
    }

    #[test]
    fn what_the_edge_cuts_is_no_surface() {
        // A bar through the whole volume has four sides, and no ends.
        let bar = |at: [f64; 3]| at[0] >= 10.0 && at[0] < 30.0 && at[1] >= 10.0 && at[1] < 30.0;
        let short = surface([40, 40, 20], [1.0; 3], bar);
        let long = surface([40, 40, 40], [1.0; 3], bar);
        // Each column adds the outline of a square of 20.
        assert!(((long - short) / (20.0 * 80.0) - 1.0).abs() < 0.12, "{short} {long}");
        assert!((long / (40.0 * 80.0) - 1.0).abs() < 0.12, "{long}");
        assert_eq!(surface([4, 5, 6], [1.0; 3], |_| true), 0.0);
    }
}
