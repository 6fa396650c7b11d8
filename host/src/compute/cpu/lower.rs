//! Recognises a network in a plan and fuses its steps.
//!
//! A plan whose maps between steps are all recognised is lowered as a whole: the maps lie channels last in one arena.
//! Any other plan runs step by step, as it is written.

use std::collections::HashMap;

use askem_kernels::channels_last::{Channels, Pixels};
use askem_kernels::conv2d::channels_last::Sides;
use askem_kernels::{Call, conv_transpose2d, conv2d, dropout};

use super::arena::{Places, Region, Regions};
use super::fused::{Fused, MapRef, MaskRef, NormKind, Source, Unit, UnitBackward};
use crate::compute::plan::{BufferId, Plan, Step, Storage, View};

/// A section's work.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// A step of the plan, on the plan's buffers.
    Plain(Box<Step>),
    /// Several steps at once, on maps.
    Fused(Box<Fused>),
}

/// A plan as it is run.
#[derive(Debug)]
pub(super) struct Lowered {
    /// The work of each section, in the plan's order.
    pub(super) sections: Vec<Vec<Op>>,
    pub(super) places: Places,
    /// The image, on which cached outputs depend.
    pub(super) image: Option<BufferId>,
    /// What the filters and their factors come from.
    pub(super) weights: Vec<BufferId>,
}

/// The plan with its steps fused, or `None` where it is not a network.
pub(super) fn lower(plan: &Plan) -> Option<Lowered> {
    let mut l = Lowerer::new(plan);
    let mut sections = Vec::new();
    for section in &plan.sections {
        let mut ops = Vec::new();
        let mut at = 0;
        while at < section.steps.len() {
            at += l.next(&section.steps[at..], &mut ops)?;
            l.time += 1;
        }
        sections.push(ops);
    }
    if l.units.is_empty() {
        return None;
    }
    let Lowerer { regions, image, weights, .. } = l;
    Some(Lowered { sections, places: regions.place(), image, weights })
}

struct Lowerer<'a> {
    plan: &'a Plan,
    /// What a training changes it has to lay out anew each time, so that it may share room.
    trains: bool,
    regions: Regions,
    maps: HashMap<BufferId, MapRef>,
    /// Maps that are parts of joined ones: the joined one, and which part.
    homes: HashMap<BufferId, (BufferId, usize)>,
    /// How many steps read a buffer.
    readers: HashMap<BufferId, usize>,
    /// Units by their output.
    units: HashMap<BufferId, Unit>,
    /// The input of each pool by its indices.
    pools: HashMap<BufferId, BufferId>,
    masks: HashMap<BufferId, MaskRef>,
    image: Option<BufferId>,
    weights: Vec<BufferId>,
    time: usize,
}

fn fused(fused: Fused) -> Op {
    Op::Fused(Box::new(fused))
}

fn pixels(n: u32, h: u32, w: u32) -> Pixels {
    Pixels { n: n as usize, h: h as usize, w: w as usize }
}

/// A 3x3 convolution without bias, which begins a unit.
fn is_unit(p: &conv2d::Params) -> bool {
    p.kernel == 3 && p.has_bias == 0
}

fn is_head(p: &conv2d::Params) -> bool {
    p.kernel == 1
}

impl<'a> Lowerer<'a> {
    fn new(plan: &'a Plan) -> Self {
        let steps = || plan.sections.iter().flat_map(|section| &section.steps);
        let mut homes = HashMap::new();
        let mut readers = HashMap::new();
        for step in steps() {
            for read in &step.reads {
                *readers.entry(read.buffer).or_insert(0) += 1;
            }
            let (joined, parts) = match step.call {
                Call::ConcatChannelsForward(p) if p.c_a == p.c_b => (step.writes[0], &step.reads),
                Call::ConcatChannelsBackwardInput(p) if p.c_a == p.c_b => {
                    (step.reads[0], &step.writes)
                }
                _ => continue,
            };
            for (part, view) in parts.iter().enumerate() {
                homes.insert(view.buffer, (joined.buffer, part));
            }
        }
        Self {
            plan,
            trains: steps().any(|step| matches!(step.call, Call::AdamUpdate(_))),
            regions: Regions::default(),
            maps: HashMap::new(),
            homes,
            readers,
            units: HashMap::new(),
            pools: HashMap::new(),
            masks: HashMap::new(),
            image: None,
            weights: Vec::new(),
            time: 0,
        }
    }

    fn storage(&self, view: View) -> Storage {
        self.plan.buffers[view.buffer.index()].storage
    }

    /// Whether steps write a buffer.
    fn is_written(&self, view: View) -> bool {
        let mut steps = self.plan.sections.iter().flat_map(|section| &section.steps);
        steps.any(|step| step.writes.iter().any(|write| write.buffer == view.buffer))
    }

    /// The map of a buffer that is written now.
    fn create(&mut self, view: View, pixels: Pixels, channels: Channels) -> MapRef {
        if let Some(&map) = self.maps.get(&view.buffer) {
            self.regions.touch(map.region, self.time);
            return map;
        }
        let map = match self.homes.get(&view.buffer).copied() {
            Some((joined, part)) => {
                let whole = Channels { parts: 2, each: channels.each };
                let joined = View { buffer: joined, ..view };
                let joined = self.create(joined, pixels, whole);
                MapRef { at: part * channels.padded(), channels, ..joined }
            }
            None => {
                let stride = channels.padded();
                let region = self.regions.add(pixels.count() * stride, self.time);
                MapRef { region, at: 0, stride, pixels, channels }
            }
        };
        self.maps.insert(view.buffer, map);
        map
    }

    /// The map of a buffer that was written before.
    fn read(&mut self, view: View) -> Option<MapRef> {
        let map = *self.maps.get(&view.buffer)?;
        self.regions.touch(map.region, self.time);
        Some(map)
    }

    /// Room for something that is made and used now, or is kept where it stays right.
    fn room(&mut self, len: usize) -> Region {
        if self.trains { self.regions.add(len, self.time) } else { self.regions.add_forever(len) }
    }

    fn mask(&mut self, view: View) -> Option<MaskRef> {
        let mask = *self.masks.get(&view.buffer)?;
        self.regions.touch(mask.region, self.time);
        Some(mask)
    }

    /// Adds what the next steps become and returns how many of them it takes.
    fn next(&mut self, steps: &[Step], ops: &mut Vec<Op>) -> Option<usize> {
        let step = &steps[0];
        let (reads, writes) = (&step.reads, &step.writes);
        let fused = match step.call {
            Call::Conv2dForward(p) if is_unit(&p) => return self.unit(&p, steps, ops),
            Call::ReluBackwardInput(_) => return self.unit_backward(steps, ops),
            Call::MaxPool2dForward(p) => {
                let x = self.read(reads[0])?;
                let y = self.create(writes[0], pixels(p.n, p.h / 2, p.w / 2), x.channels);
                self.pools.insert(writes[1].buffer, reads[0].buffer);
                Fused::Pool(x, y)
            }
            Call::MaxPool2dBackwardInput(_) => {
                let x = *self.pools.get(&reads[1].buffer)?;
                let x = self.read(View { buffer: x, ..reads[0] })?;
                let (dy, dx) = (self.read(reads[0])?, self.read(writes[0])?);
                Fused::PoolBackward(x, dy, dx)
            }
            Call::ConvTranspose2dForward(p) => self.up(&p, step)?,
            Call::ConvTranspose2dBackwardWeight(p) => return self.up_backward(&p, steps, ops),
            // Joined maps are written and read where they lie.
            Call::ConcatChannelsForward(p) if p.c_a == p.c_b => {
                self.read(reads[0])?;
                self.read(reads[1])?;
                self.read(writes[0])?;
                return Some(1);
            }
            Call::ConcatChannelsBackwardInput(p) if p.c_a == p.c_b => {
                let whole = self.read(reads[0])?;
                let part = Channels::single(whole.channels.each);
                for &write in writes {
                    self.create(write, whole.pixels, part);
                }
                return Some(1);
            }
            Call::Conv2dForward(p) if is_head(&p) => {
                let x = self.read(reads[0])?;
                Fused::Head(x, [reads[1], reads[2]], writes[0], p.c_out as usize)
            }
            Call::Conv2dBackwardWeight(p) if is_head(&p) => {
                let x = self.read(reads[0])?;
                Fused::HeadBackwardWeight(x, reads[1], writes[0], p.c_out as usize)
            }
            Call::Conv2dBackwardInput(p) if is_head(&p) => {
                let channels = Channels::single(p.c_in as usize);
                let dx = self.create(writes[0], pixels(p.n, p.h, p.w), channels);
                Fused::HeadBackwardInput(reads[0], reads[1], dx, p.c_out as usize)
            }
            Call::GlobalAvgPool2dForward(_) => Fused::Means(self.read(reads[0])?, writes[0]),
            _ => {
                let is_map = |view: &View| self.maps.contains_key(&view.buffer);
                if reads.iter().chain(writes).any(is_map) {
                    return None;
                }
                ops.push(Op::Plain(Box::new(step.clone())));
                return Some(1);
            }
        };
        ops.push(self::fused(fused));
        Some(1)
    }

    fn up(&mut self, p: &conv_transpose2d::Params, step: &Step) -> Option<Fused> {
        let x = self.read(step.reads[0])?;
        let channels = Channels::single(p.c_out as usize);
        let y = self.create(step.writes[0], pixels(p.n, 2 * p.h, 2 * p.w), channels);
        let filters =
            conv_transpose2d::channels_last::packed_len(p.c_in as usize, p.c_out as usize);
        // The padded bias lies behind the filters. They are laid out each time: they are few.
        let room = self.regions.add(filters + channels.padded(), self.time);
        Some(Fused::Up(x, y, [step.reads[1], step.reads[2]], room))
    }

    /// The three gradients of a transposed convolution.
    fn up_backward(
        &mut self,
        p: &conv_transpose2d::Params,
        steps: &[Step],
        ops: &mut Vec<Op>,
    ) -> Option<usize> {
        let [weight, bias, input, ..] = steps else { return None };
        let same = (bias.call, input.call)
            == (Call::ConvTranspose2dBackwardBias(*p), Call::ConvTranspose2dBackwardInput(*p))
            && bias.reads[0] == weight.reads[1]
            && input.reads[0] == weight.reads[1];
        if !same {
            return None;
        }
        let (x, dy) = (self.read(weight.reads[0])?, self.read(weight.reads[1])?);
        let dx = self.create(input.writes[0], x.pixels, x.channels);
        let filters =
            conv_transpose2d::channels_last::packed_len(p.c_in as usize, p.c_out as usize);
        let room = self.regions.add(filters, self.time);
        let gradients = [weight.writes[0], bias.writes[0]];
        ops.push(fused(Fused::UpBackward(x, dy, input.reads[1], gradients, dx, room)));
        Some(3)
    }

    fn source(&mut self, p: &conv2d::Params, view: View, ops: &mut Vec<Op>) -> Option<Source> {
        if let Some(map) = self.read(view) {
            return Some(Source::Map(map));
        }
        if self.storage(view) == Storage::Transient {
            return None;
        }
        self.image = Some(view.buffer);
        let size = pixels(p.n, p.h, p.w);
        // An image of one channel is the same in either layout.
        if p.c_in == 1 {
            return Some(Source::Image(view, size));
        }
        let map = self.create(view, size, Channels::single(p.c_in as usize));
        ops.push(fused(Fused::FromPlanes(view, map)));
        Some(Source::Map(map))
    }

    fn unit(&mut self, p: &conv2d::Params, steps: &[Step], ops: &mut Vec<Op>) -> Option<usize> {
        let mut at;
        let conv = &steps[0];
        let size = pixels(p.n, p.h, p.w);
        let output = Channels::single(p.c_out as usize);
        let x = self.source(p, conv.reads[0], ops)?;
        let input = match x {
            Source::Image(..) => Channels::single(1),
            Source::Map(map) => map.channels,
        };
        let z = conv.writes[0];
        let (norm, mut last) = match (steps.get(1)?.call, &steps[1], steps.get(2)) {
            (Call::BatchNormStatistics(p), s, Some(f)) => {
                let same = f.call == Call::BatchNormForward(p)
                    && s.reads[0] == z
                    && f.reads[..3] == [z, s.writes[0], s.writes[1]];
                at = 3;
                let affine = [f.reads[3], f.reads[4]];
                let running = [s.writes[2], s.writes[3]];
                (same.then_some(NormKind::Batch(p, affine, running))?, f.writes[0])
            }
            (Call::BatchNormForwardEval(p), f, _) if f.reads[0] == z => {
                at = 2;
                let [_, mean, var, weight, bias] = f.reads[..] else { return None };
                (NormKind::Folded(p, [weight, bias], [mean, var]), f.writes[0])
            }
            (Call::InstanceNormStatistics(p), s, Some(f)) => {
                let same = f.call == Call::InstanceNormForward(p)
                    && s.reads[0] == z
                    && f.reads[..] == [z, s.writes[0], s.writes[1]];
                at = 3;
                (same.then_some(NormKind::Instance(p))?, f.writes[0])
            }
            _ => return None,
        };
        let mut mask = None;
        if let (Call::DropoutMask(p), Some(apply)) = (steps.get(at)?.call, steps.get(at + 1)) {
            let drawn = &steps[at];
            let same =
                apply.call == Call::DropoutForward(p) && apply.reads[..] == [last, drawn.writes[0]];
            if !same {
                return None;
            }
            // The same mask is needed on the way back.
            ops.push(Op::Plain(Box::new(drawn.clone())));
            mask = Some(self.lay_out_mask(&p, drawn.writes[0], size, ops));
            last = apply.writes[0];
            at += 2;
        }
        let relu = steps.get(at)?;
        if !matches!(relu.call, Call::ReluForward(_)) || relu.reads[0] != last {
            return None;
        }
        at += 1;

        let sides = Sides { pixels: size, input, output, turned: false };
        let input_mask = self.left_mask(conv.reads[0]);
        let folded = matches!(norm, NormKind::Folded(..));
        let separate = !folded || mask.is_some_and(|mask| mask.element);
        let z = separate.then(|| self.create(z, size, output));
        let y = self.create(relu.writes[0], size, output);
        let statistics_len = Unit::statistics_len(&norm, size.n, output.padded());
        let statistics = if folded {
            self.room(statistics_len)
        } else {
            self.regions.add(statistics_len, self.time)
        };
        let packed = self.room(sides.packed_len());
        let alone = self.readers.get(&relu.writes[0].buffer) == Some(&1);
        let measures = matches!(norm, NormKind::Batch(..));
        let cached = !self.trains
            && !measures
            && matches!(x, Source::Image(image, _) if !self.is_written(image))
            && alone
            && mask.is_some_and(|mask| !mask.element);
        if cached {
            self.regions.keep(y.region);
        }
        self.weights.push(conv.reads[1].buffer);
        if let NormKind::Folded(_, affine, running) = &norm {
            self.weights.extend(affine.iter().chain(running).map(|view| view.buffer));
        }
        let unit = Unit {
            sides,
            weight: conv.reads[1],
            x,
            z,
            norm,
            statistics,
            packed,
            mask,
            input_mask,
            y,
            cached,
        };
        self.units.insert(relu.writes[0].buffer, unit);
        ops.push(fused(Fused::Unit(Box::new(unit))));
        if self.storage(relu.writes[0]) != Storage::Transient {
            ops.push(fused(Fused::Planes(y, relu.writes[0])));
        }
        Some(at)
    }

    fn lay_out_mask(
        &mut self,
        p: &dropout::Params,
        drawn: View,
        size: Pixels,
        ops: &mut Vec<Op>,
    ) -> MaskRef {
        let channels = p.c as usize;
        let width = Channels::single(channels).padded();
        let element = p.element == 1;
        let len = if element { size.count() * width } else { size.n * width };
        let region = self.regions.add(len, self.time);
        let mask = MaskRef { region, element, pixels: size, channels };
        self.masks.insert(drawn.buffer, mask);
        ops.push(fused(Fused::Mask(drawn, mask)));
        mask
    }

    /// The mask that the unit which made `x` left to its only reader.
    fn left_mask(&mut self, x: View) -> Option<MaskRef> {
        let unit = self.units.get(&x.buffer).filter(|unit| unit.cached)?;
        let mask = unit.mask?;
        self.regions.touch(mask.region, self.time);
        Some(mask)
    }

    fn unit_backward(&mut self, steps: &[Step], ops: &mut Vec<Op>) -> Option<usize> {
        let [y, dy] = steps[0].reads[..] else { return None };
        let unit = *self.units.get(&y.buffer)?;
        let mut gradient = steps[0].writes[0];
        let mut at = 1;
        if let Some(mask) = unit.mask {
            let step = steps.get(at)?;
            let [of, by] = step.reads[..] else { return None };
            let same = matches!(step.call, Call::DropoutBackwardInput(_)) && of == gradient;
            if !same || self.mask(by)?.region != mask.region {
                return None;
            }
            gradient = step.writes[0];
            at += 1;
        }
        let (sums, input) = (steps.get(at)?, steps.get(at + 1)?);
        let daffine = match (sums.call, input.call, unit.norm) {
            (
                Call::BatchNormBackwardWeight(_),
                Call::BatchNormBackwardInput(_),
                NormKind::Batch(..),
            ) => Some([sums.writes[0], sums.writes[1]]),
            (
                Call::InstanceNormBackwardStatistics(_),
                Call::InstanceNormBackwardInput(_),
                NormKind::Instance(..),
            ) => None,
            _ => return None,
        };
        if sums.reads[1] != gradient || input.reads[1] != gradient {
            return None;
        }
        let dz = input.writes[0];
        at += 2;
        let weight = steps.get(at)?;
        let Call::Conv2dBackwardWeight(p) = weight.call else { return None };
        if weight.reads[1] != dz || !is_unit(&p) {
            return None;
        }
        at += 1;
        let dy = self.read(dy)?;
        for region in [unit.statistics, unit.z?.region] {
            self.regions.touch(region, self.time);
        }
        if let Source::Map(map) = unit.x {
            self.regions.touch(map.region, self.time);
        }
        let back = steps
            .get(at)
            .filter(|step| step.call == Call::Conv2dBackwardInput(p) && step.reads[0] == dz);
        let dx = match (back, unit.x) {
            (Some(step), Source::Map(x)) => {
                at += 1;
                Some(self.create(step.writes[0], x.pixels, x.channels))
            }
            (Some(_), Source::Image(..)) => return None,
            (None, _) => None,
        };
        let groups = if unit.norm_per_sample() { unit.y.pixels.n } else { 1 };
        let sums = self.regions.add(2 * groups * unit.sides.output.padded(), self.time);
        let turned = Sides { turned: true, ..unit.sides };
        let packed = self.room(turned.packed_len());
        let dweight = weight.writes[0];
        let backward = UnitBackward { unit, dy, dweight, daffine, sums, packed, dx };
        ops.push(fused(Fused::UnitBackward(Box::new(backward))));
        Some(at)
    }
}

impl Unit {
    fn norm_per_sample(&self) -> bool {
        matches!(self.norm, NormKind::Instance(..))
    }
}

/// Which of the plan's transient buffers its plain steps and hand-overs still use.
pub(super) fn used_buffers(ops: &[Vec<Op>], count: usize) -> Vec<bool> {
    let mut used = vec![false; count];
    for op in ops.iter().flatten() {
        let mut mark = |views: &[View]| views.iter().for_each(|v| used[v.buffer.index()] = true);
        match op {
            Op::Plain(step) => {
                mark(&step.reads);
                mark(&step.writes);
            }
            Op::Fused(fused) => match **fused {
                Fused::Mask(view, _)
                | Fused::Means(_, view)
                | Fused::FromPlanes(view, _)
                | Fused::Planes(_, view) => mark(&[view]),
                Fused::Head(_, _, y, _) => mark(&[y]),
                Fused::HeadBackwardWeight(_, dy, _, _) => mark(&[dy]),
                Fused::HeadBackwardInput(dy, _, _, _) => mark(&[dy]),
                _ => {}
            },
        }
    }
    used
}
