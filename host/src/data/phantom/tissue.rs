//! One section of the tissue: which cell a pixel is in, and how much light passes there.
//!
//! A pixel's place in space is its position in the section, bent by smooth noise (which makes
//! membranes wavy) and shifted a little (sections are never aligned perfectly).

use super::THICKNESS;
use super::cells::{Partition, Seed};
use super::noise::{Field, Key, bell, step};
use super::organelles::{Body, Cell, Kind};

/// Pixels are worked out in squares, for which few cells come into question.
const TILE: usize = 32;

/// A tile with the neighbours of its border pixels.
const SIDE: usize = TILE + 2;

/// The distance between cells and between thin neurites, in pixels.
const CELLS: f32 = 112.0;
const NEURITES: f32 = 44.0;

/// How near a mitochondrion comes to its cell's membrane, in pixels.
const CLEARANCE: f32 = 4.0;

/// How round its corners are there, in pixels.
const ROUND: f32 = 9.0;

/// Bodies further away than this change nothing.
const FAR: f32 = 14.0;

/// Everything that a section's pixels need.
pub(super) struct Tissue {
    key: Key,
    /// Columns of a buffer, margins included.
    width: usize,
    /// Buffers start so many rows and columns outside the section.
    margin: isize,
    z: f32,
    shift: [f32; 2],
    cells: Partition,
    neurites: Partition,
    bend: [Field; 2],
    paint: Option<Paint>,
}

/// Noise that only the image needs.
struct Paint {
    /// Bends cristae and stacks of membranes.
    wobble: Field,
    /// Breaks them up; spots.
    broken: Field,
    grain: Field,
    reticulum: Field,
    /// Where membranes are thick and dark: synapses.
    synapse: Field,
}

/// A pixel in its cell.
struct Spot<'a> {
    /// Where it is in space, after bending.
    place: [f32; 3],
    cell: &'a Cell,
    bodies: &'a [Body],
    /// The distance to the nearest membrane in space.
    depth: f32,
    /// How steep the membrane stands to the section: 1 upright, 0 flat.
    steep: f32,
}

impl<'a> Spot<'a> {
    /// The body that is nearest, how far outside it the pixel is (negative: inside), and how steep its
    /// surface stands. None where all are far.
    ///
    /// Bodies end where the cell does and where an earlier body begins, and follow them there.
    #[inline(always)]
    fn nearest(&self, bodies: impl Iterator<Item = &'a Body>) -> Option<(&'a Body, f32, f32)> {
        let mut wall = (CLEARANCE - self.depth, self.steep);
        let mut found: Option<(&Body, f32, f32)> = None;
        for body in bodies {
            let (own, steep) = body.distance(self.place);
            if own > FAR {
                continue;
            }
            let lift = (ROUND - (wall.0 - own).abs()).max(0.0);
            let steep = if wall.0 > own { wall.1 } else { steep };
            let outside = own.max(wall.0) + lift * lift / (4.0 * ROUND);
            if found.is_none_or(|(_, nearest, _)| outside < nearest) {
                found = Some((body, outside, steep));
            }
            if CLEARANCE - outside > wall.0 {
                wall = (CLEARANCE - outside, steep);
            }
        }
        found
    }
}

impl Tissue {
    /// Section `z` of a volume of `height` x `width`, with `margin` pixels around it. `painted` if
    /// [`Tissue::light`] will be called.
    pub(super) fn new(
        key: Key,
        z: usize,
        [height, width]: [usize; 2],
        margin: usize,
        painted: bool,
    ) -> Self {
        let mut draw = key.part(1).at(0, 0, z as i32);
        let shift = [draw.range(-1.3, 1.3), draw.range(-1.3, 1.3)];
        let depth = z as f32 * THICKNESS;
        let field = |name, step, octaves: &[_]| {
            Field::new(key.part(name), [height, width], depth, step, octaves)
        };
        let bend: &[_] = &[(150.0, 32.0), (60.0, 13.0), (24.0, 3.6)];
        let paint = painted.then(|| Paint {
            wobble: field(6, 3, &[(26.0, 0.8), (11.0, 0.35)]),
            broken: field(7, 2, &[(13.0, 0.7), (6.5, 0.5)]),
            grain: field(8, 2, &[(5.0, 0.7), (11.0, 0.7), (60.0, 0.6)]),
            reticulum: field(9, 4, &[(64.0, 1.0), (23.0, 0.25)]),
            synapse: field(10, 8, &[(58.0, 1.0)]),
        });
        Self {
            key,
            width: width + 2 * margin,
            margin: margin as isize,
            z: depth,
            shift,
            cells: Partition::new(key.part(2), CELLS),
            neurites: Partition::new(key.part(3), NEURITES),
            bend: [field(4, 4, bend), field(5, 4, bend)],
            paint,
        }
    }

    /// The light through all pixels of the rows from `first` on, 0 to about 1.
    pub(super) fn light(&self, first: usize, light: &mut [f32]) {
        let Some(paint) = &self.paint else { return };
        self.walk(first, light, |y, x, spot| self.shine(paint, y, x, spot));
    }

    /// The labels of all pixels of the rows from `first` on: 1 in a mitochondrion.
    pub(super) fn labels(&self, first: usize, labels: &mut [u8]) {
        self.walk(first, labels, |_, _, spot| {
            // Mitochondria come first among a cell's bodies, so the others don't push them aside.
            let mitochondria = spot.bodies.iter().filter(|body| body.kind == Kind::Mitochondrion);
            u8::from(spot.nearest(mitochondria).is_some_and(|(_, outside, _)| outside < 0.0))
        });
    }

    /// Fills the rows of a buffer from `first` on; `pixel(y, x, spot)` gives each value.
    fn walk<T>(
        &self,
        first: usize,
        out: &mut [T],
        mut pixel: impl FnMut(isize, isize, &Spot<'_>) -> T,
    ) {
        let rows = out.len() / self.width;
        let mut tile = Tile::new();
        for top in (0..rows).step_by(TILE) {
            for left in (0..self.width).step_by(TILE) {
                let corner = [(first + top) as isize - self.margin, left as isize - self.margin];
                let size = [TILE.min(rows - top), TILE.min(self.width - left)];
                tile.fill(self, corner, size);
                for y in 0..size[0] {
                    for x in 0..size[1] {
                        let value =
                            pixel(corner[0] + y as isize, corner[1] + x as isize, &tile.spot(y, x));
                        out[(top + y) * self.width + left + x] = value;
                    }
                }
            }
        }
    }

    /// A pixel's place in space.
    #[inline(always)]
    fn place(&self, y: isize, x: isize) -> [f32; 3] {
        [
            x as f32 + self.shift[0] + self.bend[0].at(y, x),
            y as f32 + self.shift[1] + self.bend[1].at(y, x),
            self.z,
        ]
    }

    /// The light through one pixel.
    #[inline(always)]
    fn shine(&self, paint: &Paint, y: isize, x: isize, spot: &Spot<'_>) -> f32 {
        let cell = spot.cell;
        let (grain, broken) = (paint.grain.at(y, x), paint.broken.at(y, x));
        let mut light = cell.tone + cell.grain * grain - 0.05 * broken.max(0.0);
        light = match spot.nearest(spot.bodies.iter()) {
            Some((body, outside, steep)) if outside < 3.0 => {
                let steep = steep.clamp(0.3, 1.2);
                let soft = (1.0 / steep).clamp(1.0, 2.2);
                let wobble = paint.wobble.at(y, x);
                body.shade(light, spot.place, -outside / steep, soft, wobble, broken)
            }
            _ => self.cytoplasm(paint, y, x, spot, light),
        };

        // The membrane is thick at synapses, and wide and pale where it is cut at a slant.
        let steep = spot.steep.clamp(0.22, 1.4);
        let synapse = step(0.42, 0.72, paint.synapse.at(y, x));
        let slant = ((1.0 / steep - 1.0) * 1.8).clamp(0.0, 7.0);
        let wide = 2.4 + 1.9 * synapse + slant;
        let dark = (0.78 + 0.10 * synapse) * (2.4 / (2.4 + 0.75 * slant));
        let distance = spot.depth / steep.min(1.0);
        light -= dark * bell(distance, wide) * (light / 0.75).min(1.1);
        // The haze beside a synapse.
        light -= 0.22 * synapse * bell(distance, 7.0) * light;
        light
    }

    /// Cytoplasm with what is too small to be a body.
    #[inline(always)]
    fn cytoplasm(&self, paint: &Paint, y: isize, x: isize, spot: &Spot<'_>, ground: f32) -> f32 {
        let cell = spot.cell;
        let mut light = ground;
        if spot.depth < 3.0 {
            return light;
        }
        if cell.reticulum {
            let sheet = paint.reticulum.at(y, x);
            light -= 0.34 * bell(sheet.abs() - 0.05, 0.022) * step(4.0, 9.0, spot.depth);
        }
        // In the section's own coordinates: bent ones would make vesicles oval. Turned by the cell, and
        // each row moved on, so that the lattice doesn't show.
        let (sin, cos) = cell.turn;
        let (px, py) = (x as f32 + self.shift[0], y as f32 + self.shift[1]);
        let (px, py) = (px * cos - py * sin, px * sin + py * cos);
        // One speck per cube at most, away from its sides, so that no other cube has to be asked.
        let cube = |size: f32, high: f32, name: u64| {
            let (cy, cz) = ((py / size).floor(), (self.z / high).floor());
            let moved = self.key.part(name).at(cy as i32, cz as i32, -1).unit() * size;
            let cx = ((px + moved) / size).floor();
            let draw = self.key.part(name).at(cx as i32, cy as i32, cz as i32);
            (draw, px + moved - cx * size, py - cy * size, self.z - cz * high)
        };
        if cell.specks > 0.0 {
            let (mut draw, qx, qy, _) = cube(10.0, 21.0, 11);
            if draw.chance(cell.specks) {
                let (sx, sy) = (draw.range(2.6, 7.4), draw.range(2.6, 7.4));
                let distance = ((qx - sx).powi(2) + (qy - sy).powi(2)).sqrt();
                let dark = draw.range(0.10, 0.34);
                // Microtubules are small rings, the other specks are solid.
                let ring = if draw.chance(0.4) { 1.7 } else { 0.0 };
                light -= dark * bell(distance - ring, draw.range(0.8, 1.4));
            }
        }
        if cell.vesicles > 0.0 {
            let (mut draw, qx, qy, qz) = cube(14.0, 14.0, 12);
            if draw.chance(cell.vesicles) {
                let r = draw.range(3.6, 5.2);
                let middle = [draw.range(5.0, 9.0), draw.range(5.0, 9.0), draw.range(5.0, 9.0)];
                let flat = (qx - middle[0]).powi(2) + (qy - middle[1]).powi(2);
                let distance = (flat + (0.5 * (qz - middle[2])).powi(2)).sqrt();
                if draw.chance(0.10) {
                    // A dense core in a pale halo.
                    light -= 0.52 * bell(distance, 0.55 * r) - 0.05 * bell(distance - r, 1.2);
                } else {
                    light -= 0.30 * bell(distance - r, 1.0) - 0.06 * bell(distance, 0.5 * r);
                }
            }
        }
        light
    }
}

/// The cells of a square of pixels.
struct Tile {
    /// Pixels in a row, with one on each side.
    stride: usize,
    places: Vec<[f32; 3]>,
    /// The cell of each pixel: an index into `cells`.
    owner: Vec<u16>,
    depth: Vec<f32>,
    seeds: Vec<Seed>,
    thin: Vec<Seed>,
    cells: Vec<Cell>,
}

impl Tile {
    fn new() -> Self {
        Self {
            stride: 0,
            places: Vec::with_capacity(SIDE * SIDE),
            owner: Vec::with_capacity(SIDE * SIDE),
            depth: Vec::with_capacity(SIDE * SIDE),
            seeds: Vec::new(),
            thin: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// Works out the tile whose first pixel is `corner`, and one pixel around it.
    fn fill(&mut self, tissue: &Tissue, corner: [isize; 2], size: [usize; 2]) {
        self.stride = size[1] + 2;
        self.places.clear();
        self.owner.clear();
        self.depth.clear();
        let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
        for y in 0..size[0] as isize + 2 {
            for x in 0..self.stride as isize {
                let place = tissue.place(corner[0] + y - 1, corner[1] + x - 1);
                for axis in 0..3 {
                    low[axis] = low[axis].min(place[axis]);
                    high[axis] = high[axis].max(place[axis]);
                }
                self.places.push(place);
            }
        }
        tissue.cells.candidates(low, high, &mut self.seeds);
        let cell = |seed: &Seed, spacing, thin| {
            let mut cell = Cell::new(tissue.key, seed, spacing, thin);
            cell.bodies.retain(|body| body.near(low, high, FAR));
            cell
        };
        self.cells.clear();
        self.cells.extend(self.seeds.iter().map(|seed| cell(seed, CELLS, false)));
        self.thin.clear();
        if self.cells.iter().any(|cell| cell.bundle) {
            tissue.neurites.candidates(low, high, &mut self.thin);
            self.cells.extend(self.thin.iter().map(|seed| cell(seed, NEURITES, true)));
        }
        for &place in &self.places {
            let whole = tissue.cells.place(&self.seeds, place);
            let (mut owner, mut depth) = (whole.seed, whole.border);
            if self.cells[owner].bundle {
                let part = tissue.neurites.place(&self.thin, place);
                owner = self.seeds.len() + part.seed;
                depth = depth.min(part.border);
            }
            self.owner.push(owner as u16);
            self.depth.push(depth);
        }
    }
    /// A pixel of the tile.
    #[inline(always)]
    fn spot(&self, y: usize, x: usize) -> Spot<'_> {
        let i = (y + 1) * self.stride + x + 1;
        let cell = &self.cells[usize::from(self.owner[i])];
        let across = 0.5 * (self.depth[i + 1] - self.depth[i - 1]);
        let along = 0.5 * (self.depth[i + self.stride] - self.depth[i - self.stride]);
        Spot {
            place: self.places[i],
            cell,
            bodies: &cell.bodies,
            depth: self.depth[i],
            steep: (across * across + along * along).sqrt(),
        }
    }
}
