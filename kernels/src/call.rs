//! Every pass of every op as data: a [`Call`] is a pass with its parameters.
//!
//! The table below is the one place where passes are listed. From it follow the
//! plan's steps, the CPU executor, the names of shaders' entry points and of
//! their bindings, and the parity tests.

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;
use crate::*;

/// The names of a pass and of its buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The op: file stem in `kernels/src` and `wgsl/shaders`.
    pub op: &'static str,
    /// The pass: Rust function and WGSL entry point.
    pub pass: &'static str,
    /// `op::pass`.
    pub name: &'static str,
    /// Buffers read only, in the order of arguments and bindings.
    pub reads: &'static [(&'static str, Element)],
    /// Buffers written (`=` or `+=` as the op says), after the reads.
    pub writes: &'static [(&'static str, Element)],
}

/// What a buffer holds; both take four bytes on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Numbers (`f32` on a device).
    Float,
    /// `u32`: labels, indices, keys, counts.
    Uint,
}

/// A buffer that a pass reads.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a, T> {
    /// Numbers.
    Float(&'a [T]),
    /// Labels, indices, keys, counts.
    Uint(&'a [u32]),
}

/// A buffer that a pass writes.
#[derive(Debug)]
pub enum ArgMut<'a, T> {
    /// Numbers.
    Float(&'a mut [T]),
    /// Labels, indices, keys, counts.
    Uint(&'a mut [u32]),
}

impl<'a, T> Arg<'a, T> {
    fn float(&self) -> Option<&'a [T]> {
        if let Self::Float(x) = self { Some(x) } else { None }
    }
    fn uint(&self) -> Option<&'a [u32]> {
        if let Self::Uint(x) = self { Some(x) } else { None }
    }
}

impl<T> ArgMut<'_, T> {
    fn float(&mut self) -> Option<&mut [T]> {
        if let Self::Float(x) = self { Some(x) } else { None }
    }
    fn uint(&mut self) -> Option<&mut [u32]> {
        if let Self::Uint(x) = self { Some(x) } else { None }
    }
}

macro_rules! element {
    (float) => {
        Element::Float
    };
    (uint) => {
        Element::Uint
    };
}

macro_rules! calls {
    ($( $call:ident = $op:ident :: $pass:ident
        ( $($read:ident : $rk:ident),* ) -> ( $($write:ident : $wk:ident),* ); )*) => {
        /// A pass with its parameters; its buffers are given when it runs.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Call {
            $(
                #[doc = concat!("`", stringify!($op), "::", stringify!($pass), "`")]
                $call($op::Params),
            )*
        }

        /// Every pass there is.
        pub const SIGNATURES: &[Signature] = &[$(Signature {
            op: stringify!($op),
            pass: stringify!($pass),
            name: concat!(stringify!($op), "::", stringify!($pass)),
            reads: &[$((stringify!($read), element!($rk))),*],
            writes: &[$((stringify!($write), element!($wk))),*],
        }),*];

        impl Call {
            /// The names of the pass and of its buffers.
            pub fn signature(&self) -> &'static Signature {
                match self {
                    $(Self::$call(_) => const { &Signature {
                        op: stringify!($op),
                        pass: stringify!($pass),
                        name: concat!(stringify!($op), "::", stringify!($pass)),
                        reads: &[$((stringify!($read), element!($rk))),*],
                        writes: &[$((stringify!($write), element!($wk))),*],
                    } },)*
                }
            }

            /// The parameters as a shader's uniform buffer holds them.
            pub fn params(&self) -> &[u8] {
                match self { $(Self::$call(p) => bytemuck::bytes_of(p),)* }
            }

            /// Elements of the buffer with this name in the signature.
            pub fn len(&self, buffer: &str) -> usize {
                match self { $(Self::$call(p) => p.len(buffer),)* }
            }

            /// Refuses parameters that make no sense.
            pub fn validate(&self) -> Result<(), Error> {
                match self { $(Self::$call(p) => p.validate(),)* }
            }

            /// Runs the reference.
            pub fn reference<T: Real>(
                &self,
                reads: &[Arg<'_, T>],
                writes: &mut [ArgMut<'_, T>],
            ) -> Result<(), Error> {
                let wrong = Error::Arguments { pass: self.signature().name };
                let (mut r, mut w) = (reads.iter(), writes.iter_mut());
                match self {
                    $(Self::$call(p) => $op::$pass(
                        p,
                        $(r.next().and_then(|a| a.$rk()).ok_or(wrong)?,)*
                        $(w.next().and_then(|a| a.$wk()).ok_or(wrong)?,)*
                    ),)*
                }
            }

            /// Runs the fast CPU form.
            #[cfg(feature = "std")]
            pub fn fast(
                &self,
                reads: &[Arg<'_, f32>],
                writes: &mut [ArgMut<'_, f32>],
            ) -> Result<(), Error> {
                let wrong = Error::Arguments { pass: self.signature().name };
                let (mut r, mut w) = (reads.iter(), writes.iter_mut());
                match self {
                    $(Self::$call(p) => $op::fast::$pass(
                        p,
                        $(r.next().and_then(|a| a.$rk()).ok_or(wrong)?,)*
                        $(w.next().and_then(|a| a.$wk()).ok_or(wrong)?,)*
                    ),)*
                }
            }
        }
    };
}

calls! {
    Conv2dForward = conv2d::forward(x: float, weight: float, bias: float) -> (y: float);
    Conv2dBackwardInput = conv2d::backward_input(dy: float, weight: float) -> (dx: float);
    Conv2dBackwardWeight = conv2d::backward_weight(x: float, dy: float) -> (dweight: float);
    Conv2dBackwardBias = conv2d::backward_bias(dy: float) -> (dbias: float);

    Conv2dJoinedForward = conv2d_joined::forward(x: float, weight: float) -> (y: float);
    Conv2dJoinedBackwardInput = conv2d_joined::backward_input(dy: float, weight: float) -> (dx: float);
    Conv2dSplitChannelsForward = conv2d_split_channels::forward(x: float, weight: float) -> (y_partials: float);
    Conv2dSplitChannelsSumForward = conv2d_split_channels::sum_forward(y_partials: float) -> (y: float);
    Conv2dSplitChannelsBackwardInput = conv2d_split_channels::backward_input(dy: float, weight: float) -> (dx_partials: float);
    Conv2dSplitChannelsSumBackwardInput = conv2d_split_channels::sum_backward_input(dx_partials: float) -> (dx: float);
    Conv2dSplitKBackwardWeight = conv2d_split_k::backward_weight(x: float, dy: float) -> (partials: float);
    Conv2dSplitKReduce = conv2d_split_k::reduce(partials: float) -> (dweight: float);
    Conv2dStatisticsForward = conv2d_statistics::forward(x: float, weight: float) -> (y: float, partials: float);
    Conv2dStatisticsMerge = conv2d_statistics::merge(partials: float) -> (mean: float, rstd: float, running_mean: float, running_var: float);
    Conv2dStatisticsMergePlanes = conv2d_statistics::merge_planes(partials: float) -> (plane_mean: float, plane_rstd: float);
    Conv2dNormReluForwardEval = conv2d_norm_relu::forward_eval(x: float, weight: float, running_mean: float, running_var: float, norm_weight: float, norm_bias: float, mask: float) -> (y: float);

    ConvTranspose2dForward = conv_transpose2d::forward(x: float, weight: float, bias: float) -> (y: float);
    ConvTranspose2dBackwardInput = conv_transpose2d::backward_input(dy: float, weight: float) -> (dx: float);
    ConvTranspose2dBackwardWeight = conv_transpose2d::backward_weight(x: float, dy: float) -> (dweight: float);
    ConvTranspose2dBackwardBias = conv_transpose2d::backward_bias(dy: float) -> (dbias: float);

    ConvTranspose2dSplitKBackwardWeight = conv_transpose2d_split_k::backward_weight(x: float, dy: float) -> (partials: float);
    ConvTranspose2dSplitKReduce = conv_transpose2d_split_k::reduce(partials: float) -> (dweight: float);

    MaxPool2dForward = max_pool2d::forward(x: float) -> (y: float, indices: uint);
    MaxPool2dBackwardInput = max_pool2d::backward_input(dy: float, indices: uint) -> (dx: float);

    BatchNormStatistics = batch_norm::statistics(x: float) -> (mean: float, rstd: float, running_mean: float, running_var: float);
    BatchNormForward = batch_norm::forward(x: float, mean: float, rstd: float, weight: float, bias: float) -> (y: float);
    BatchNormForwardEval = batch_norm::forward_eval(x: float, running_mean: float, running_var: float, weight: float, bias: float) -> (y: float);
    BatchNormBackwardWeight = batch_norm::backward_weight(x: float, dy: float, mean: float, rstd: float) -> (dweight: float, dbias: float);
    BatchNormBackwardInput = batch_norm::backward_input(x: float, dy: float, mean: float, rstd: float, weight: float, dweight: float, dbias: float) -> (dx: float);

    BatchNormReluForward = batch_norm_relu::forward(x: float, mean: float, rstd: float, weight: float, bias: float, mask: float) -> (y: float);
    BatchNormReluBackwardWeight = batch_norm_relu::backward_weight(x: float, y: float, dy: float, mean: float, rstd: float) -> (dweight: float, dbias: float, coefficients: float);
    BatchNormReluBackwardInput = batch_norm_relu::backward_input(x: float, y: float, dy: float, coefficients: float, weight: float) -> (dx: float);

    BatchNormSplitStatistics = batch_norm_split::statistics(x: float) -> (partials: float);
    BatchNormSplitMerge = batch_norm_split::merge(partials: float) -> (mean: float, rstd: float, running_mean: float, running_var: float);
    BatchNormSplitBackwardWeight = batch_norm_split::backward_weight(x: float, y: float, dy: float, mean: float, rstd: float) -> (dpartials: float);
    BatchNormSplitMergeBackwardWeight = batch_norm_split::merge_backward_weight(dpartials: float, mean: float, rstd: float) -> (dweight: float, dbias: float, coefficients: float);

    InstanceNormStatistics = instance_norm::statistics(x: float) -> (mean: float, rstd: float);
    InstanceNormForward = instance_norm::forward(x: float, mean: float, rstd: float) -> (y: float);
    InstanceNormBackwardStatistics = instance_norm::backward_statistics(x: float, dy: float, mean: float, rstd: float) -> (sum_dy: float, sum_dy_xhat: float);
    InstanceNormBackwardInput = instance_norm::backward_input(x: float, dy: float, mean: float, rstd: float, sum_dy: float, sum_dy_xhat: float) -> (dx: float);

    ReluForward = relu::forward(x: float) -> (y: float);
    ReluBackwardInput = relu::backward_input(y: float, dy: float) -> (dx: float);

    DropoutMask = dropout::mask(keys: uint) -> (mask: float);
    DropoutForward = dropout::forward(x: float, mask: float) -> (y: float);
    DropoutBackwardInput = dropout::backward_input(dy: float, mask: float) -> (dx: float);
    DropoutMasksDraw = dropout_masks::draw(keys: uint) -> (masks: float);

    CropImages = crop::images(sections: float, sites: uint) -> (x: float);
    CropLabels = crop::labels(packed_labels: uint, sites: uint) -> (labels: uint);

    WarpImages = warp::images(x: float, transforms: uint) -> (y: float);
    WarpLabels = warp::labels(labels: uint, transforms: uint) -> (warped: uint);

    ConcatChannelsForward = concat_channels::forward(a: float, b: float) -> (y: float);
    ConcatChannelsBackwardInput = concat_channels::backward_input(dy: float) -> (da: float, db: float);

    SoftmaxForward = softmax::forward(logits: float) -> (p: float);
    SoftmaxBackwardInput = softmax::backward_input(p: float, dp: float) -> (dlogits: float);

    CrossEntropyForward = cross_entropy::forward(logits: float, labels: uint, class_weights: float) -> (partials: float);
    CrossEntropyReduce = cross_entropy::reduce(partials: float) -> (loss: float);
    CrossEntropyBackwardInput = cross_entropy::backward_input(logits: float, labels: uint, class_weights: float, loss: float) -> (dlogits: float);

    AdamUpdate = adam::update(grad: float, step: float) -> (param: float, m: float, v: float);

    EntropyForward = entropy::forward(p: float) -> (map: float);
    LeastConfidenceForward = least_confidence::forward(p: float) -> (map: float);
    BaldAccumulate = bald::accumulate(p: float) -> (sum_p: float, sum_entropy: float);
    BaldEntropyOfMean = bald::entropy_of_mean(sum_p: float) -> (map: float);
    BaldMutualInformation = bald::mutual_information(sum_p: float, sum_entropy: float) -> (map: float);
    SegmentationHeadEntropy = segmentation_head::entropy(x: float, weight: float, bias: float) -> (partials: float);
    SegmentationHeadLeastConfidence = segmentation_head::least_confidence(x: float, weight: float, bias: float) -> (partials: float);
    SegmentationHeadAccumulate = segmentation_head::accumulate(x: float, weight: float, bias: float) -> (sum_p: float, sum_entropy: float);
    PatchSumForward = patch_sum::forward(map: float) -> (score: float);
    GlobalAvgPool2dForward = global_avg_pool2d::forward(x: float) -> (y: float);

    PairwiseSqDistForward = pairwise_sq_dist::forward(a: float, b: float) -> (sq_dist: float);
    MinSqDistForward = min_sq_dist::forward(points: float, centers: float) -> (sq_dist: float, index: uint);
    KCenterGreedyAddCenter = k_center_greedy::add_center(points: float, far_row: uint, far_sq_dist: float) -> (sq_dist: float, next_far_row: uint, next_far_sq_dist: float, picks: uint);
    KMeansPlusPlusMeasure = k_means_plus_plus::measure(points: float, drawn: uint, best: uint) -> (nearest: float, trial_sq_dist: float, left: float);
    KMeansPlusPlusDraw = k_means_plus_plus::draw(nearest: float, trial_sq_dist: float, left: float, uniforms: float) -> (best: uint, drawn: uint, picks: uint);
    KMeansAssign = k_means::assign(points: float, centroids: float, state: uint) -> (assignment: uint, sq_dist: float, changes: uint);
    KMeansUpdate = k_means::update(points: float, assignment: uint, state: uint) -> (centroids: float, movements: float);
    KMeansCheckConvergence = k_means::check_convergence(changes: uint, movements: float, limit: float) -> (state: uint);

    ConfusionForward = confusion::forward(p: float, labels: uint) -> (counts: uint);
    AllcloseCount = allclose::count(got: float, want: float) -> (counts: uint);
}
