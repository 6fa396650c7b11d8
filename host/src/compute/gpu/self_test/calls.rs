//! What the self-test of a GPU computes beside one call of every pass.

use askem_kernels::Call;
use askem_kernels::{
    conv_transpose2d, conv_transpose2d_split_k, conv2d, conv2d_joined, conv2d_norm_relu,
    conv2d_split_channels, conv2d_split_k, conv2d_statistics,
};

/// Calls of a million numbers or more, of every pass that has several forms.
pub(super) fn large() -> Vec<Call> {
    let (n, c_in, c_a, c_out, h, w, kernel) = (8, 48, 16, 32, 64, 64, 3);
    let (eps, momentum) = (1e-5, 0.1);
    let conv = conv2d::Params { n, c_in, c_out, h, w, kernel, has_bias: 0 };
    let joined = conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel };
    let split = conv2d_split_channels::Params { n, c_in, c_a, c_out, h, w, kernel, slices: 2 };
    let split_k = conv2d_split_k::Params { n, c_in, c_a, c_out, h, w, kernel, slices: 64 };
    let statistics = conv2d_statistics::Params { n, c_in, c_a, c_out, h, w, kernel, eps, momentum };
    let unit = conv2d_norm_relu::Params { n, c_in, c_a, c_out, h, w, kernel, mask: 1, eps };
    let up = conv_transpose2d::Params { n, c_in: c_out, c_out: c_in, h, w };
    let slices = 64;
    let up_split_k = conv_transpose2d_split_k::Params { n, c_in: c_out, c_out: c_in, h, w, slices };
    vec![
        Call::Conv2dForward(conv),
        Call::Conv2dBackwardInput(conv),
        Call::Conv2dBackwardWeight(conv),
        Call::Conv2dJoinedForward(joined),
        Call::Conv2dJoinedBackwardInput(joined),
        Call::Conv2dSplitChannelsForward(split),
        Call::Conv2dSplitChannelsBackwardInput(split),
        Call::Conv2dSplitKBackwardWeight(split_k),
        Call::Conv2dStatisticsForward(statistics),
        Call::Conv2dNormReluForwardEval(unit),
        Call::ConvTranspose2dForward(up),
        Call::ConvTranspose2dBackwardInput(up),
        Call::ConvTranspose2dBackwardWeight(up),
        Call::ConvTranspose2dSplitKBackwardWeight(up_split_k),
    ]
}

/// Convolutions of so many channels that they go through several tiles one after another, which shows whether staging is
/// synchronised, and that Winograd's algorithm computes them.
pub(super) fn several_tiles() -> Vec<Call> {
    let p = conv2d::Params { n: 1, c_in: 36, c_out: 18, h: 11, w: 17, kernel: 3, has_bias: 0 };
    let conv2d::Params { n, c_in, c_out, h, w, kernel, .. } = p;
    let eps = 1e-5;
    let unit = conv2d_norm_relu::Params { n, c_in, c_a: 20, c_out, h, w, kernel, mask: 1, eps };
    let up = conv_transpose2d::Params { n, c_in, c_out, h, w };
    let c_a = 20;
    let joined = conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel };
    let statistics =
        conv2d_statistics::Params { n, c_in, c_a, c_out, h, w, kernel, eps, momentum: 0.1 };
    let slices =
        conv2d_split_channels::Params { n, c_in, c_a, c_out: c_in, h, w, kernel, slices: 2 };
    vec![
        Call::Conv2dForward(p),
        Call::Conv2dBackwardInput(conv2d::Params { c_in: c_out, c_out: c_in, ..p }),
        Call::Conv2dJoinedForward(joined),
        Call::Conv2dJoinedBackwardInput(joined),
        Call::Conv2dStatisticsForward(statistics),
        Call::Conv2dSplitChannelsForward(slices),
        Call::Conv2dSplitChannelsBackwardInput(slices),
        Call::Conv2dBackwardWeight(p),
        Call::Conv2dNormReluForwardEval(unit),
        Call::ConvTranspose2dForward(up),
        Call::ConvTranspose2dBackwardInput(up),
        Call::ConvTranspose2dBackwardWeight(up),
    ]
}
