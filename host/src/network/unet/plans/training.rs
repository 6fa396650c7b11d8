//! The plan of a training step.

use askem_kernels::{Call, adam, cross_entropy, warp};

use super::{Banks, Mode, Net};
use crate::compute::plan::{BufferId, Plan, PlanBuilder, View};
use crate::network::unet::{IGNORE_LABEL, UNet};

/// One optimiser step: the section `step` is forward, loss, backward and Adam.
#[derive(Clone, Debug)]
pub struct TrainingPlan {
    /// The steps.
    pub plan: Plan,
    /// Input `[patches, sections, h, w]`, shared: normalised grey values of the labelled patches.
    pub images: BufferId,
    /// Input `[patches, h, w]`, shared: their classes, a byte each, four to a word; [`IGNORE_LABEL`] is ignored.
    pub labels: BufferId,
    /// Input `[n, 4]`, `u32`: what the step takes of them, a [`Site`](askem_kernels::crop::Site) each.
    pub sites: BufferId,
    /// Where the network sees several sections, input `[n, sections, 4]`, `u32`: the sites of each
    /// sample's sections, whose `z` counts sections.
    pub section_sites: Option<BufferId>,
    /// Where samples are warped, input `[n, 6]`, `u32`: a
    /// [`Transform`](askem_kernels::warp::Transform) each.
    pub transforms: Option<BufferId>,
    /// Input `[classes]`.
    pub class_weights: BufferId,
    /// Input `[n, 2]`, `u32`: the dropout key of each sample, low word first.
    pub keys: Option<BufferId>,
    /// Input `[2]`: Adam's step size and second-moment correction, see `askem_kernels::adam`.
    pub step: BufferId,
    /// Output `[3]`: mean loss, total weight, its inverse.
    pub loss: BufferId,
    /// The shared buffers that hold the network.
    pub banks: Banks,
}

/// A training step on `n` patches of `h x w`, of as many that are labelled.
pub fn training_plan(net: &UNet, n: usize, h: usize, w: usize, adam: AdamOptions) -> TrainingPlan {
    training_plan_of(net, n, [n, h, w], adam, false)
}

/// The buffers that hold labelled patches, so many of `h x w`: grey values, and classes in bytes.
pub fn labelled_patches(b: &mut PlanBuilder, net: &UNet, [patches, h, w]: [usize; 3]) -> [View; 2] {
    let pixels = patches * h * w;
    [
        b.shared("labelled images", net.sections() * pixels),
        b.shared_uint("labels", pixels.div_ceil(4)),
    ]
}

/// A training step on `n` patches of `h x w`, which are cut out of `patches` labelled ones, turned by quarters and mirrored, and,
/// where that is asked for, warped.
pub fn training_plan_of(
    net: &UNet,
    patches: usize,
    [n, h, w]: [usize; 3],
    adam: AdamOptions,
    warped: bool,
) -> TrainingPlan {
    let mut g = Net::new(net, Mode::Train, "train", "step", [n, h, w]);
    let [images, packed_labels] = labelled_patches(&mut g.b, net, [patches, h, w]);
    let sites = g.b.kept_uint("sites", 4 * n);
    let mut labels = g.b.transient_uint("batch labels", n * h * w);
    let sections = net.sections();
    let section_sites = (sections > 1).then(|| g.b.kept_uint("section sites", 4 * n * sections));
    let params = g.crop_params(n * sections, patches * sections);
    let cut = if warped { g.b.transient("cut", g.x.len) } else { g.x };
    g.b.step(Call::CropImages(params), &[images, section_sites.unwrap_or(sites)], &[cut]);
    let params = g.crop_params(n, patches);
    g.b.step(Call::CropLabels(params), &[packed_labels, sites], &[labels]);
    let transforms = warped.then(|| {
        let [n32, c, h32, w32] = [n, sections, h, w].map(|size| size as u32);
        let params = warp::Params { n: n32, c, h: h32, w: w32 };
        let call = Call::WarpImages(params);
        let transforms = g.b.kept_uint("transforms", call.len("transforms"));
        g.b.step(call, &[cut, transforms], &[g.x]);
        let warped = g.b.transient_uint("warped labels", n * h * w);
        g.b.step(Call::WarpLabels(params), &[labels, transforms], &[warped]);
        labels = warped;
        transforms.buffer
    });
    let class_weights = g.b.kept("class weights", net.classes);
    let step = g.b.kept("adam step", 2);
    let loss = g.b.kept("loss", 3);

    let saved = g.forward();
    let logits = g.head(saved.features);
    let [n, c, hw] = g.pixel_sizes();
    let params = cross_entropy::Params { n, c, hw, ignore_label: IGNORE_LABEL };
    let call = Call::CrossEntropyForward(params);
    let partials = g.b.transient("loss partials", call.len("partials"));
    g.b.step(call, &[logits, labels, class_weights], &[partials]);
    g.b.step(Call::CrossEntropyReduce(params), &[partials], &[loss]);
    let dlogits = g.b.transient("d logits", logits.len);
    let call = Call::CrossEntropyBackwardInput(params);
    g.b.step(call, &[logits, labels, class_weights, loss], &[dlogits]);
    g.backward(&saved, dlogits);

    let len = g.parameters.len;
    let first = g.b.shared("first moment", len);
    let second = g.b.shared("second moment", len);
    let gradients = g.gradients.expect("a training plan has gradients");
    let params =
        adam::Params { len: len as u32, beta1: adam.beta1, beta2: adam.beta2, eps: adam.eps };
    let writes = [g.parameters, first, second];
    g.b.step(Call::AdamUpdate(params), &[gradients, step], &writes);

    let mut banks = g.banks();
    banks.moments = Some((first.buffer, second.buffer));
    TrainingPlan {
        images: images.buffer,
        labels: packed_labels.buffer,
        sites: sites.buffer,
        section_sites: section_sites.map(|view| view.buffer),
        transforms,
        class_weights: class_weights.buffer,
        keys: g.keys.map(|v| v.buffer),
        step: step.buffer,
        loss: loss.buffer,
        banks,
        plan: g.b.build(),
    }
}

/// Adam's constants. Source: Kingma and Ba 2015 (arXiv 1412.6980).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamOptions {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
}

impl Default for AdamOptions {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8 }
    }
}
