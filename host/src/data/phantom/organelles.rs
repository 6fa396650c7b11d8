//! What lies inside a cell: mitochondria, and what is mistaken for them.

use super::cells::Seed;
use super::noise::{Draw, Key, bell, noise, step};

/// What a body inside a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The foreground: a double membrane and cristae.
    Mitochondrion,
    /// A lysosome: dark, granular, one membrane. The size of a small mitochondrion.
    DarkBody,
    /// A multivesicular body: a membrane around small vesicles.
    Multivesicular,
    /// Membranes side by side, as cristae are, but nothing around them (endoplasmic reticulum, Golgi).
    Stack,
    /// A bright vacuole with a thin membrane.
    Vacuole,
}

/// A rounded rod inside a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    pub(super) kind: Kind,
    centre: [f32; 3],
    /// Half of the rod's axis.
    half: [f32; 3],
    radius: f32,
    /// Across the cristae.
    across: [f32; 3],
    /// Pixels from one crista to the next.
    period: f32,
    /// The grey of the inside, 0 to 1.
    tone: f32,
    /// How much the cristae stand out.
    contrast: f32,
}

/// A cell with its contents.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// Divided into thin neurites, which are cells of their own.
    pub(super) bundle: bool,
    /// The grey of the cytoplasm, 0 to 1.
    pub(super) tone: f32,
    /// How grainy the cytoplasm is.
    pub(super) grain: f32,
    /// The share of places taken by microtubules and other specks.
    pub(super) specks: f32,
    /// The share of places taken by synaptic vesicles.
    pub(super) vesicles: f32,
    /// Sine and cosine of an angle of its own.
    pub(super) turn: (f32, f32),
    /// Whether endoplasmic reticulum runs through it.
    pub(super) reticulum: bool,
    /// Mitochondria first.
    pub(super) bodies: Vec<Body>,
}

impl Cell {
    /// The contents of a cell. `spacing` is that of its partition: a measure of its size.
    pub(super) fn new(key: Key, seed: &Seed, spacing: f32, thin: bool) -> Self {
        let mut draw = seed.draw;
        let [x, y, z] = seed.centre;
        // Where mitochondria gather, and where none are.
        let region = noise(key.part(20), x / 210.0, y / 210.0, z / 210.0);
        let busy = step(-0.22, 0.28, region);
        let dark = draw.chance(if thin { 0.06 } else { 0.05 });
        let bundle = !thin && !dark && draw.chance(0.36);
        let terminal = !dark && draw.chance(0.25);
        let mut cell = Self {
            bundle,
            tone: if dark { draw.range(0.32, 0.48) } else { draw.range(0.68, 0.84) },
            grain: draw.range(0.04, 0.13),
            specks: draw.range(0.10, 0.75) * if dark { 1.6 } else { 1.0 },
            vesicles: if terminal { draw.range(0.25, 0.75) } else { 0.0 },
            turn: draw.range(0.0, std::f32::consts::TAU).sin_cos(),
            reticulum: !thin && draw.chance(0.45),
            bodies: Vec::new(),
        };
        if bundle {
            return cell;
        }
        // Distractors are where mitochondria are, and where none are. A neurite has one body at most.
        let first = if thin { 0.01 + 0.11 * busy } else { 0.04 + 0.96 * busy };
        let plan: &[(Kind, f32, f32)] = &[
            (Kind::Mitochondrion, first, if thin { 0.05 } else { 0.18 }),
            (Kind::Mitochondrion, 0.6 * busy, 0.42),
            (Kind::DarkBody, 0.13 + 0.15 * busy, 0.45),
            (Kind::Multivesicular, 0.12, 0.45),
            (Kind::Stack, 0.16, 0.45),
            (Kind::Vacuole, 0.10, 0.45),
        ];
        for &(kind, probability, spread) in &plan[..if thin { 1 } else { plan.len() }] {
            if draw.chance(probability) {
                cell.bodies.push(Body::new(kind, seed, spacing, spread, &mut draw));
            }
        }
        cell
    }
}

impl Body {
    fn new(kind: Kind, seed: &Seed, spacing: f32, spread: f32, draw: &mut Draw) -> Self {
        let away = draw.direction();
        let distance = spread * spacing * draw.unit().sqrt();
        let axis = draw.direction();
        // Cristae mostly stand upright: where they lie flat in the section, nothing is seen of them.
        let [cx, cy, cz] = draw.direction();
        let upright = [cx, cy, 0.4 * cz];
        let length = upright.iter().map(|c| c * c).sum::<f32>().sqrt().max(0.2);
        let across = upright.map(|c| c / length);
        let (radius, length) = match kind {
            Kind::Mitochondrion => {
                ((0.17 + 0.19 * draw.unit()) * spacing, draw.unit().powi(2) * 0.7 * spacing)
            }
            Kind::DarkBody => ((0.075 + 0.10 * draw.unit()) * spacing, 0.05 * spacing),
            Kind::Multivesicular => ((0.10 + 0.07 * draw.unit()) * spacing, 0.0),
            Kind::Stack => (0.13 * spacing, (0.1 + 0.25 * draw.unit()) * spacing),
            Kind::Vacuole => ((0.06 + 0.10 * draw.unit()) * spacing, 0.04 * spacing),
        };
        let (tone, contrast) = match kind {
            Kind::Mitochondrion => (draw.range(0.32, 0.50), draw.range(0.7, 1.7)),
            Kind::DarkBody => (draw.range(0.20, 0.46), 0.0),
            Kind::Multivesicular => (draw.range(0.55, 0.72), 0.0),
            Kind::Stack => (0.0, draw.range(0.7, 1.1)),
            Kind::Vacuole => (draw.range(0.80, 0.95), 0.0),
        };
        let [x, y, z] = seed.centre;
        let [ax, ay, az] = away;
        Self {
            kind,
            centre: [x + ax * distance, y + ay * distance, z + az * distance],
            half: axis.map(|a| a * length),
            // Small neurites have small mitochondria, but no tiny ones.
            radius: radius.max(7.0),
            across,
            period: draw.range(8.0, 12.0),
            tone,
            contrast,
        }
    }

    /// Whether any point of a box can lie within `margin` of the body.
    pub(super) fn near(&self, low: [f32; 3], high: [f32; 3], margin: f32) -> bool {
        (0..3).all(|axis| {
            let reach = self.half[axis].abs() + self.radius + margin;
            self.centre[axis] + reach >= low[axis] && self.centre[axis] - reach <= high[axis]
        })
    }

    /// How far a point is outside (negative: inside), and how steep the surface stands to the
    /// section there: 1 upright, 0 flat.
    #[inline(always)]
    pub(super) fn distance(&self, p: [f32; 3]) -> (f32, f32) {
        let q = [p[0] - self.centre[0], p[1] - self.centre[1], p[2] - self.centre[2]];
        let dot = |a: [f32; 3], b: [f32; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        let square = dot(self.half, self.half);
        let t = if square > 0.0 { (dot(q, self.half) / square).clamp(-1.0, 1.0) } else { 0.0 };
        let r = [q[0] - t * self.half[0], q[1] - t * self.half[1], q[2] - t * self.half[2]];
        let length = dot(r, r).sqrt();
        let steep = (r[0] * r[0] + r[1] * r[1]).sqrt() / length.max(1e-3);
        (length - self.radius, steep)
    }

    /// The light through the body at a point: what is there without it, and what with it.
    ///
    /// `inside` is the distance below its surface within the section, `soft` the width of edges that
    /// are cut at a slant, `wobble` and `broken` are noise.
    #[inline(always)]
    pub(super) fn shade(
        &self,
        ground: f32,
        p: [f32; 3],
        inside: f32,
        soft: f32,
        wobble: f32,
        broken: f32,
    ) -> f32 {
        let cover = step(-0.7 * soft, 0.9 * soft, inside);
        if cover == 0.0 && inside < -6.0 {
            return ground;
        }
        // Lines of a membrane fade where it is cut at a slant.
        let line = |depth: f32, width: f32| bell(inside - depth, width * soft) / soft;
        let stripes = || {
            let along = p[0] * self.across[0] + p[1] * self.across[1] + p[2] * self.across[2];
            (along * (std::f32::consts::TAU / self.period) + 2.6 * wobble).sin()
        };
        match self.kind {
            Kind::Mitochondrion => {
                let wave = stripes();
                // Cristae: dark sheets with a light slit between, broken here and there, and none right
                // below the membranes.
                let strength = self.contrast
                    * step(-0.6, 0.0, broken)
                    * step(3.5, 8.0, inside)
                    * (2.2 - soft).clamp(0.25, 1.0);
                let tone = self.tone
                    + 0.05 * broken
                    + strength * (0.24 * step(0.2, 0.9, wave) - 0.20 * step(0.0, -0.8, wave));
                let body = ground + (tone - ground) * cover;
                body - 0.34 * line(1.2, 1.1) + 0.10 * line(3.4, 0.9) - 0.24 * line(5.6, 1.0)
            }
            Kind::DarkBody => {
                let tone = self.tone + 0.09 * broken + 0.05 * wobble;
                ground + (tone - ground) * cover - 0.22 * line(1.0, 1.2)
            }
            Kind::Multivesicular => {
                let spots = step(0.15, 0.5, broken) * step(1.0, 4.0, inside);
                let tone = self.tone - 0.30 * spots;
                ground + (tone - ground) * cover - 0.42 * line(1.0, 1.2)
            }
            Kind::Stack => {
                let edge = step(0.0, 7.0, inside + 4.0 * broken);
                ground - edge * self.contrast * 0.34 * step(0.35, 0.9, stripes())
            }
            Kind::Vacuole => ground + (self.tone - ground) * cover - 0.36 * line(0.8, 1.1),
        }
    }
}
