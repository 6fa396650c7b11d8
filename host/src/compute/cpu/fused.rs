//! Steps of a network that run as one, on maps whose channels lie together.

use askem_kernels::channels_last::unit::{self, Map, Mask, Norm};
use askem_kernels::channels_last::{Channels, Pixels, from_planes, padded, to_planes};
use askem_kernels::conv2d::channels_last::{self as conv, Finish, Input, Sides};
use askem_kernels::conv2d::pointwise;
use askem_kernels::{batch_norm, conv_transpose2d, instance_norm, max_pool2d};

use super::arena::{Places, Region, carve};
use super::{Memory, Versions};
use crate::compute::plan::View;

/// A map in the arena, perhaps a part of a joined one.
#[derive(Clone, Copy, Debug)]
pub(super) struct MapRef {
    pub(super) region: Region,
    /// The first channel.
    pub(super) at: usize,
    pub(super) stride: usize,
    pub(super) pixels: Pixels,
    pub(super) channels: Channels,
}

impl MapRef {
    fn read<'a>(&self, region: &'a [f32]) -> Map<'a> {
        Map { data: &region[self.at..], stride: self.stride }
    }
}

/// What a convolution reads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// The image, a plan's buffer with one channel.
    Image(View, Pixels),
    Map(MapRef),
}

impl Source {
    fn region(&self) -> Option<Region> {
        match self {
            Self::Image(..) => None,
            Self::Map(map) => Some(map.region),
        }
    }

    fn input<'a>(
        &self,
        region: &'a [f32],
        memory: &'a Memory<'_>,
        inner: usize,
        scale: Option<&'a [f32]>,
    ) -> Input<'a> {
        match *self {
            Self::Image(view, pixels) => {
                Input { pixels, x: memory.read(view), stride: 1, inner: 1, scale }
            }
            Self::Map(map) => {
                let Map { data, stride } = map.read(region);
                Input { pixels: map.pixels, x: data, stride, inner, scale }
            }
        }
    }
}

/// A dropout mask: the plan's buffer, and where it is laid out as maps are.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaskRef {
    pub(super) region: Region,
    /// `[n, channels]`, or a map.
    pub(super) element: bool,
    pub(super) pixels: Pixels,
    pub(super) channels: usize,
}

impl MaskRef {
    fn mask<'a>(&self, region: &'a [f32]) -> Mask<'a> {
        if self.element {
            Mask::Element(Map { data: region, stride: padded(self.channels) })
        } else {
            Mask::Channel(region)
        }
    }
}

/// The normalisation of a unit.
#[derive(Clone, Copy, Debug)]
pub(super) enum NormKind {
    /// By the batch's statistics. Weight and bias, and the running mean and variance.
    Batch(batch_norm::Params, [View; 2], [View; 2]),
    /// By the running statistics, which go into the filters.
    Folded(batch_norm::Params, [View; 2], [View; 2]),
    Instance(instance_norm::Params),
}

/// Convolution, normalisation, dropout and ReLU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub(super) sides: Sides,
    pub(super) weight: View,
    pub(super) x: Source,
    /// The convolution's output, where it is needed.
    pub(super) z: Option<MapRef>,
    pub(super) norm: NormKind,
    /// Mean, rstd, weight and bias as padded; or the folded bias.
    pub(super) statistics: Region,
    pub(super) packed: Region,
    pub(super) mask: Option<MaskRef>,
    /// The mask of the unit before, which left it to this one.
    pub(super) input_mask: Option<MaskRef>,
    pub(super) y: MapRef,
    /// Whether the output lasts until image or weights change.
    pub(super) cached: bool,
}

/// The way back through a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnitBackward {
    pub(super) unit: Unit,
    pub(super) dy: MapRef,
    pub(super) dweight: View,
    /// Gradients of the normalisation's weight and bias.
    pub(super) daffine: Option<[View; 2]>,
    pub(super) sums: Region,
    pub(super) packed: Region,
    pub(super) dx: Option<MapRef>,
}

/// Steps that run as one.
#[derive(Clone, Debug)]
pub(super) enum Fused {
    Unit(Box<Unit>),
    UnitBackward(Box<UnitBackward>),
    /// Lays out a mask that a plan's step has drawn.
    Mask(View, MaskRef),
    Pool(MapRef, MapRef),
    /// The pool's input, the gradients of its output and input.
    PoolBackward(MapRef, MapRef, MapRef),
    /// Input, output, `[weight, bias]`, room for filters.
    Up(MapRef, MapRef, [View; 2], Region),
    /// Input, gradient of the output, weight, gradients of weight and bias, gradient of the input, room for filters.
    UpBackward(MapRef, MapRef, View, [View; 2], MapRef, Region),
    /// Features, `[weight, bias]`, planes, number of planes.
    Head(MapRef, [View; 2], View, usize),
    /// Features, planes of gradients, gradient of the weight, number of planes.
    HeadBackwardWeight(MapRef, View, View, usize),
    /// Planes of gradients, weight, gradient of the features, number of planes.
    HeadBackwardInput(View, View, MapRef, usize),
    /// The mean of each channel, for the host.
    Means(MapRef, View),
    /// Planes of the host as a map.
    FromPlanes(View, MapRef),
    /// The map as planes, for the host.
    Planes(MapRef, View),
}

/// What fused steps work on.
pub(super) struct Context<'a, 'b> {
    pub(super) arena: &'a mut [f32],
    pub(super) places: &'a Places,
    pub(super) memory: &'a mut Memory<'b>,
    /// Whether cached outputs and packed filters are still right.
    pub(super) fresh: Versions,
}

impl Fused {
    /// Runs the steps.
    pub(super) fn run(&self, context: &mut Context<'_, '_>) {
        let Context { arena, places, memory, fresh } = context;
        match *self {
            Self::Unit(ref unit) => unit.run(arena, places, memory, *fresh),
            Self::UnitBackward(ref unit) => unit.run(arena, places, memory),
            Self::Mask(view, to) => {
                let (mask, out) = (memory.read(view), &mut arena[places.of(to.region)]);
                let width = padded(to.channels);
                if to.element {
                    from_planes(mask, to.pixels, to.channels, out, width);
                } else {
                    for (out, mask) in out.chunks_mut(width).zip(mask.chunks(to.channels)) {
                        out[..mask.len()].copy_from_slice(mask);
                        out[mask.len()..].fill(0.0);
                    }
                }
            }
            Self::Pool(x, y) => {
                let [from, to] = carve(arena, [places.of(x.region), places.of(y.region)]);
                let channels = x.channels.padded();
                let to = &mut to[y.at..];
                max_pool2d::channels_last::forward(x.read(from), x.pixels, channels, to, y.stride);
            }
            Self::PoolBackward(x, dy, dx) => {
                let regions = [x, dy, dx].map(|map| places.of(map.region));
                let [from, dy_data, to] = carve(arena, regions);
                let (channels, to) = (x.channels.padded(), &mut to[dx.at..]);
                let (from, dy) = (x.read(from), dy.read(dy_data));
                max_pool2d::channels_last::backward_input(
                    from, dy, x.pixels, channels, to, dx.stride,
                );
            }
            Self::Up(x, y, [weight, bias], packed) => {
                let regions = [x.region, y.region, packed].map(|region| places.of(region));
                let [from, to, packed] = carve(arena, regions);
                let sizes = [x.channels.real(), y.channels.real()];
                let filters = conv_transpose2d::channels_last::packed_len(sizes[0], sizes[1]);
                let (packed, bias_padded) = packed.split_at_mut(filters);
                conv_transpose2d::channels_last::pack(
                    memory.read(weight),
                    sizes[0],
                    sizes[1],
                    false,
                    packed,
                );
                pad(memory.read(bias), bias_padded);
                conv_transpose2d::channels_last::forward(
                    x.read(from),
                    x.pixels,
                    sizes,
                    packed,
                    bias_padded,
                    &mut to[y.at..],
                    y.stride,
                );
            }
            Self::UpBackward(x, dy, weight, [dweight, dbias], dx, room) => {
                let regions = [x.region, dy.region, dx.region, room].map(|r| places.of(r));
                let [from, dy_data, to, room] = carve(arena, regions);
                let sizes = [x.channels.real(), dy.channels.real()];
                let (x, dy_map) = (x.read(from), dy.read(dy_data));
                memory.write([dweight, dbias], |_, [dweight, dbias]| {
                    conv_transpose2d::channels_last::backward_weight(
                        x, dy_map, dx.pixels, sizes, room, dweight,
                    );
                    let width = padded(sizes[1]);
                    unit::channel_sums(dy_map, dy.pixels, width, &mut room[..width]);
                    let count = dbias.len();
                    dbias.copy_from_slice(&room[..count]);
                });
                let packed = &mut *room;
                let weight = memory.read(weight);
                conv_transpose2d::channels_last::pack(weight, sizes[0], sizes[1], true, packed);
                let to = &mut to[dx.at..];
                conv_transpose2d::channels_last::backward_input(
                    dy_map, dx.pixels, sizes, packed, to, dx.stride,
                );
            }
            Self::Head(x, [weight, bias], y, classes) => {
                let from = &arena[places.of(x.region)];
                memory.write([y], |memory, [y]| {
                    let sizes = [x.channels.real(), classes];
                    let (weight, bias) = (memory.read(weight), memory.read(bias));
                    pointwise::forward(x.read(from), x.pixels, sizes, weight, bias, y);
                });
            }
            Self::HeadBackwardWeight(x, dy, dweight, classes) => {
                let from = &arena[places.of(x.region)];
                memory.write([dweight], |memory, [dweight]| {
                    let sizes = [x.channels.real(), classes];
                    pointwise::backward_weight(
                        x.read(from),
                        memory.read(dy),
                        x.pixels,
                        sizes,
                        dweight,
                    );
                });
            }
            Self::HeadBackwardInput(dy, weight, dx, classes) => {
                let to = &mut arena[places.of(dx.region)][dx.at..];
                let (dy, weight) = (memory.read(dy), memory.read(weight));
                let sizes = [dx.channels.real(), classes];
                pointwise::backward_input(dy, dx.pixels, sizes, weight, to, dx.stride);
            }
            Self::Means(x, y) => {
                let from = &arena[places.of(x.region)];
                let channels = x.channels.real();
                memory.write([y], |_, [y]| unit::means(x.read(from), x.pixels, channels, y));
            }
            Self::FromPlanes(x, y) => {
                let to = &mut arena[places.of(y.region)][y.at..];
                from_planes(memory.read(x), y.pixels, y.channels.real(), to, y.stride);
            }
            Self::Planes(x, y) => {
                let from = &arena[places.of(x.region)];
                let Map { data, stride } = x.read(from);
                let channels = x.channels.real();
                memory.write([y], |_, [y]| to_planes(data, stride, x.pixels, channels, y));
            }
        }
    }
}

/// Copies what there is of each channel and fills the padding with zeros.
fn pad(from: &[f32], to: &mut [f32]) {
    to[..from.len()].copy_from_slice(from);
    to[from.len()..].fill(0.0);
}

impl Unit {
    /// Numbers of the region of statistics.
    pub(super) fn statistics_len(norm: &NormKind, n: usize, width: usize) -> usize {
        match norm {
            NormKind::Batch(..) => 4 * width,
            NormKind::Folded(..) => width,
            NormKind::Instance(..) => 2 * n * width,
        }
    }

    fn width(&self) -> usize {
        self.sides.output.padded()
    }

    /// The normalisation as its region of statistics holds it.
    fn norm<'a>(&self, statistics: &'a [f32]) -> Norm<'a> {
        let width = self.width();
        match self.norm {
            NormKind::Batch(..) => {
                let part = |i: usize| &statistics[i * width..][..width];
                Norm {
                    mean: part(0),
                    rstd: part(1),
                    affine: Some([part(2), part(3)]),
                    per_sample: false,
                }
            }
            NormKind::Instance(..) => {
                let (mean, rstd) = statistics.split_at(self.y.pixels.n * width);
                Norm { mean, rstd, affine: None, per_sample: true }
            }
            NormKind::Folded(..) => unreachable!("folded statistics are in the filters"),
        }
    }

    fn run(&self, arena: &mut [f32], places: &Places, memory: &mut Memory<'_>, fresh: Versions) {
        if self.cached && fresh.image && fresh.weights {
            return;
        }
        let regions = [
            places.of_some(self.x.region()),
            places.of_some(self.z.map(|z| z.region)),
            places.of(self.statistics),
            places.of(self.packed),
            places.of_some(self.mask.map(|mask| mask.region)),
            places.of_some(self.input_mask.map(|mask| mask.region)),
            places.of(self.y.region),
        ];
        let [x, z, statistics, packed, mask, input_mask, y] = carve(arena, regions);
        let (width, y) = (self.width(), &mut y[self.y.at..]);
        let inner = self.sides.inner();
        let scale = self.input_mask.map(|_| &*input_mask);
        let applied = match &self.mask {
            // A cached output is the same for all masks, which the next unit applies.
            Some(of) if !self.cached => of.mask(mask),
            _ => Mask::None,
        };
        if let NormKind::Folded(p, affine, running) = &self.norm {
            if !fresh.weights {
                let factors = fold(p, memory, *affine, *running, statistics);
                conv::pack(self.sides, memory.read(self.weight), Some(&factors), packed);
            }
            let bias = Some(&*statistics);
            let input = self.x.input(x, memory, inner, scale);
            let Mask::Element(_) = applied else {
                let scale = if let Mask::Channel(mask) = applied { Some(mask) } else { None };
                let finish = Finish { bias, relu: true, scale };
                return conv::forward(self.sides, input, packed, finish, y, self.y.stride);
            };
            let z_map = self.z.expect("masks of elements are applied to a map of their own");
            let finish = Finish { bias, relu: false, scale: None };
            conv::forward(self.sides, input, packed, finish, &mut z[z_map.at..], z_map.stride);
            return unit::apply(z_map.read(z), self.y.pixels, width, applied, y, self.y.stride);
        }
        if !fresh.weights {
            conv::pack(self.sides, memory.read(self.weight), None, packed);
        }
        let z_map = self.z.expect("what is normalised is a map");
        let input = self.x.input(x, memory, inner, scale);
        let out = &mut z[z_map.at..];
        conv::forward(self.sides, input, packed, Finish::default(), out, z_map.stride);
        let pixels = self.y.pixels;
        let z = z_map.read(z);
        match &self.norm {
            NormKind::Batch(p, [weight, bias], running) => {
                let (moments, affine) = statistics.split_at_mut(2 * width);
                let (mean, var) = moments.split_at_mut(width);
                unit::moments(z, pixels, width, false, mean, var);
                memory.write(*running, |_, [running_mean, running_var]| {
                    update_running(p, mean, var, running_mean, running_var);
                });
                inverse_deviations(var, p.eps);
                let (padded_weight, padded_bias) = affine.split_at_mut(width);
                pad(memory.read(*weight), padded_weight);
                pad(memory.read(*bias), &mut padded_bias[..width]);
            }
            NormKind::Instance(p) => {
                let (mean, var) = statistics.split_at_mut(pixels.n * width);
                unit::moments(z, pixels, width, true, mean, var);
                inverse_deviations(&mut var[..pixels.n * width], p.eps);
            }
            NormKind::Folded(..) => unreachable!("handled above"),
        }
        unit::forward(z, pixels, width, self.norm(statistics), applied, y, self.y.stride);
    }
}

/// `1 / sqrt(var + eps)` in place.
fn inverse_deviations(var: &mut [f32], eps: f32) {
    for var in var {
        *var = (1.0 / (f64::from(*var) + f64::from(eps)).sqrt()) as f32;
    }
}

/// As `batch_norm::statistics` does.
fn update_running(
    p: &batch_norm::Params,
    mean: &[f32],
    var: &[f32],
    running_mean: &mut [f32],
    running_var: &mut [f32],
) {
    let m = f64::from(p.n) * f64::from(p.hw);
    let (momentum, unbiased) = (f64::from(p.momentum), m / (m - 1.0).max(1.0));
    let mix = |old: f32, new: f64| ((1.0 - momentum) * f64::from(old) + momentum * new) as f32;
    for (c, running) in running_mean.iter_mut().enumerate() {
        *running = mix(*running, mean[c].into());
    }
    for (c, running) in running_var.iter_mut().enumerate() {
        *running = mix(*running, f64::from(var[c]) * unbiased);
    }
}

/// What evaluation's batch norm multiplies each output channel's filters with; what it adds goes to `bias`.
fn fold(
    p: &batch_norm::Params,
    memory: &Memory<'_>,
    affine: [View; 2],
    running: [View; 2],
    bias: &mut [f32],
) -> Vec<f32> {
    let [weight, shift] = affine.map(|view| memory.read(view));
    let [mean, var] = running.map(|view| memory.read(view));
    bias.fill(0.0);
    let factor = |c: usize| {
        let rstd = 1.0 / (f64::from(var[c]) + f64::from(p.eps)).sqrt();
        f64::from(weight[c]) * rstd
    };
    for c in 0..weight.len() {
        bias[c] = (f64::from(shift[c]) - f64::from(mean[c]) * factor(c)) as f32;
    }
    (0..weight.len()).map(|c| factor(c) as f32).collect()
}

impl UnitBackward {
    fn run(&self, arena: &mut [f32], places: &Places, memory: &mut Memory<'_>) {
        let unit = &self.unit;
        let z_map = unit.z.expect("training keeps what was normalised");
        let regions = [
            places.of_some(unit.x.region()),
            places.of(z_map.region),
            places.of(unit.statistics),
            places.of_some(unit.mask.map(|mask| mask.region)),
            places.of(self.dy.region),
            places.of(self.sums),
            places.of(self.packed),
            places.of_some(self.dx.map(|dx| dx.region)),
        ];
        let [x, z, statistics, mask, dy, sums, packed, dx] = carve(arena, regions);
        let (pixels, width) = (unit.y.pixels, unit.width());
        let norm = unit.norm(statistics);
        let mask = unit.mask.map_or(Mask::None, |of| of.mask(mask));
        let z = z_map.read(z);
        let (sum_g, sum_g_xhat) = sums.split_at_mut(sums.len() / 2);
        let dy_map = self.dy.read(dy);
        unit::backward_sums(z, dy_map, pixels, width, norm, mask, sum_g, sum_g_xhat);
        if let Some(daffine) = self.daffine {
            memory.write(daffine, |_, [dweight, dbias]| {
                dweight.copy_from_slice(&sum_g_xhat[..dweight.len()]);
                dbias.copy_from_slice(&sum_g[..dbias.len()]);
            });
        }
        let (sums, stride) = ([&*sum_g, &*sum_g_xhat], self.dy.stride);
        let out = &mut dy[self.dy.at..];
        unit::backward_input(z, pixels, width, norm, mask, sums, out, stride);

        let Map { data: dz, stride } = self.dy.read(dy);
        let inner = unit.sides.inner();
        memory.write([self.dweight], |memory, [dweight]| {
            let input = unit.x.input(x, memory, inner, None);
            conv::backward_weight(unit.sides, input, dz, stride, dweight);
        });
        let Some(dx_map) = self.dx else { return };
        let sides = Sides { turned: true, ..unit.sides };
        conv::pack(sides, memory.read(unit.weight), None, packed);
        let input = Input { pixels, x: dz, stride, inner: sides.inner(), scale: None };
        let dx = &mut dx[dx_map.at..];
        conv::forward(sides, input, packed, Finish::default(), dx, dx_map.stride);
    }
}
