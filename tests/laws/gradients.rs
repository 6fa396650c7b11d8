//! Every backward pass is the derivative of its forward passes, and the transpose of those that are linear.

use std::collections::BTreeSet;

use askem_kernels::tolerance::{compare_gradient, compare_law, finite_difference};
use askem_kernels::{
    Call, SIGNATURES, Signature, batch_norm, batch_norm_relu, batch_norm_split, concat_channels,
    conv_transpose2d, conv_transpose2d_split_k, conv2d, conv2d_joined, conv2d_split_channels,
    conv2d_split_k, cross_entropy, dropout, instance_norm, max_pool2d, relu, softmax,
};

use crate::env::{Env, dot};

/// Forward passes, and the backward passes that send `d` + output back to `d` + each input.
struct Chain {
    forward: Vec<Call>,
    output: &'static str,
    backward: Vec<Call>,
    inputs: &'static [&'static str],
    /// Whether the output is affine in each input alone (for given indices and signs).
    linear: bool,
}

/// All chains, on sizes that are unequal, with edges on every side.
fn chains() -> Vec<Chain> {
    let mut chains = Vec::new();
    for (kernel, has_bias) in [(3, 1), (1, 1), (3, 0)] {
        let p = conv2d::Params { n: 2, c_in: 3, c_out: 2, h: 5, w: 3, kernel, has_bias };
        chains.push(Chain {
            forward: vec![Call::Conv2dForward(p)],
            output: "y",
            backward: vec![
                Call::Conv2dBackwardInput(p),
                Call::Conv2dBackwardWeight(p),
                Call::Conv2dBackwardBias(p),
            ],
            inputs: if has_bias == 1 { &["x", "weight", "bias"] } else { &["x", "weight"] },
            linear: true,
        });
    }
    let (n, c_in, c_out, h, w, kernel) = (2, 2, 2, 9, 2, 3);
    let conv = conv2d::Params { n, c_in, c_out, h, w, kernel, has_bias: 0 };
    let split = conv2d_split_k::Params { n, c_in, c_a: c_in, c_out, h, w, kernel, slices: 3 };
    chains.push(Chain {
        forward: vec![Call::Conv2dForward(conv)],
        output: "y",
        backward: vec![Call::Conv2dSplitKBackwardWeight(split), Call::Conv2dSplitKReduce(split)],
        inputs: &["weight"],
        linear: true,
    });
    let p = conv2d_joined::Params { n: 2, c_in: 3, c_a: 1, c_out: 2, h: 5, w: 3, kernel: 3 };
    let split = conv2d_split_k::Params {
        n: 2,
        c_in: 3,
        c_a: 1,
        c_out: 2,
        h: 5,
        w: 3,
        kernel: 3,
        slices: 2,
    };
    chains.push(Chain {
        forward: vec![Call::Conv2dJoinedForward(p)],
        output: "y",
        backward: vec![
            Call::Conv2dJoinedBackwardInput(p),
            Call::Conv2dSplitKBackwardWeight(split),
            Call::Conv2dSplitKReduce(split),
        ],
        inputs: &["x", "weight"],
        linear: true,
    });
    let (n, c_in, c_a, c_out, h, w, kernel) = (2, 3, 1, 2, 5, 3, 3);
    let p = conv2d_split_channels::Params { n, c_in, c_a, c_out, h, w, kernel, slices: 2 };
    chains.push(Chain {
        forward: vec![Call::Conv2dSplitChannelsForward(p), Call::Conv2dSplitChannelsSumForward(p)],
        output: "y",
        backward: vec![
            Call::Conv2dSplitChannelsBackwardInput(p),
            Call::Conv2dSplitChannelsSumBackwardInput(p),
        ],
        inputs: &["x"],
        linear: true,
    });
    let p = conv_transpose2d::Params { n: 2, c_in: 3, c_out: 2, h: 2, w: 3 };
    chains.push(Chain {
        forward: vec![Call::ConvTranspose2dForward(p)],
        output: "y",
        backward: vec![
            Call::ConvTranspose2dBackwardInput(p),
            Call::ConvTranspose2dBackwardWeight(p),
            Call::ConvTranspose2dBackwardBias(p),
        ],
        inputs: &["x", "weight", "bias"],
        linear: true,
    });
    let (n, c_in, c_out, h, w) = (2, 3, 2, 2, 3);
    let p = conv_transpose2d::Params { n, c_in, c_out, h, w };
    let split = conv_transpose2d_split_k::Params { n, c_in, c_out, h, w, slices: 2 };
    chains.push(Chain {
        forward: vec![Call::ConvTranspose2dForward(p)],
        output: "y",
        backward: vec![
            Call::ConvTranspose2dSplitKBackwardWeight(split),
            Call::ConvTranspose2dSplitKReduce(split),
        ],
        inputs: &["weight"],
        linear: true,
    });
    let p = max_pool2d::Params { n: 1, c: 3, h: 5, w: 6 };
    chains.push(Chain {
        forward: vec![Call::MaxPool2dForward(p)],
        output: "y",
        backward: vec![Call::MaxPool2dBackwardInput(p)],
        inputs: &["x"],
        linear: true,
    });
    for (n, c, hw) in [(2, 3, 7), (1, 2, 5)] {
        let p = batch_norm::Params { n, c, hw, eps: 1e-5, momentum: 0.1 };
        chains.push(Chain {
            forward: vec![Call::BatchNormStatistics(p), Call::BatchNormForward(p)],
            output: "y",
            backward: vec![Call::BatchNormBackwardWeight(p), Call::BatchNormBackwardInput(p)],
            inputs: &["x", "weight", "bias"],
            linear: false,
        });
        let p = instance_norm::Params { n, c, hw, eps: 1e-5 };
        chains.push(Chain {
            forward: vec![Call::InstanceNormStatistics(p), Call::InstanceNormForward(p)],
            output: "y",
            backward: vec![
                Call::InstanceNormBackwardStatistics(p),
                Call::InstanceNormBackwardInput(p),
            ],
            inputs: &["x"],
            linear: false,
        });
    }
    for element in [0, 1] {
        let (n, c, hw) = (2, 3, 7);
        let (threshold, scale) = (1 << 30, 4.0 / 3.0);
        let drop = dropout::Params { n, c, hw, element, layer: 3, threshold, scale };
        let norm = batch_norm::Params { n, c, hw, eps: 1e-5, momentum: 0.1 };
        let p = batch_norm_relu::Params { n, c, hw, mask: 1 + element, scale, affine: 1 };
        chains.push(Chain {
            forward: vec![
                Call::DropoutMask(drop),
                Call::BatchNormStatistics(norm),
                Call::BatchNormReluForward(p),
            ],
            output: "y",
            backward: vec![
                Call::BatchNormReluBackwardWeight(p),
                Call::BatchNormReluBackwardInput(p),
            ],
            inputs: &["x", "weight", "bias"],
            linear: false,
        });
    }
    let (n, c, hw, eps, momentum) = (2, 3, 7, 1e-5, 0.1);
    let p = batch_norm_relu::Params { n, c, hw, mask: 0, scale: 1.0, affine: 1 };
    let split = batch_norm_split::Params { n, c, hw, slices: 4, eps, momentum, scale: 1.0 };
    chains.push(Chain {
        forward: vec![
            Call::BatchNormSplitStatistics(split),
            Call::BatchNormSplitMerge(split),
            Call::BatchNormReluForward(p),
        ],
        output: "y",
        backward: vec![
            Call::BatchNormSplitBackwardWeight(split),
            Call::BatchNormSplitMergeBackwardWeight(split),
            Call::BatchNormReluBackwardInput(p),
        ],
        inputs: &["x", "weight", "bias"],
        linear: false,
    });
    // Instance norm as batch norm of one sample; of seven numbers one lies at its plane's mean, where ReLU has its kink.
    let hw = 8;
    let planes = batch_norm_relu::Params { n: 1, c: n * c, hw, affine: 0, ..p };
    let p = instance_norm::Params { n, c, hw, eps };
    chains.push(Chain {
        forward: vec![Call::InstanceNormStatistics(p), Call::BatchNormReluForward(planes)],
        output: "y",
        backward: vec![
            Call::BatchNormReluBackwardWeight(planes),
            Call::BatchNormReluBackwardInput(planes),
        ],
        inputs: &["x"],
        linear: false,
    });
    let p = relu::Params { len: 37 };
    chains.push(Chain {
        forward: vec![Call::ReluForward(p)],
        output: "y",
        backward: vec![Call::ReluBackwardInput(p)],
        inputs: &["x"],
        linear: true,
    });
    for element in [0, 1] {
        let (threshold, scale) = (1 << 31, 2.0);
        let p = dropout::Params { n: 2, c: 5, hw: 7, element, layer: 3, threshold, scale };
        chains.push(Chain {
            forward: vec![Call::DropoutMask(p), Call::DropoutForward(p)],
            output: "y",
            backward: vec![Call::DropoutBackwardInput(p)],
            inputs: &["x"],
            linear: true,
        });
    }
    let p = concat_channels::Params { n: 2, c_a: 2, c_b: 3, hw: 5 };
    chains.push(Chain {
        forward: vec![Call::ConcatChannelsForward(p)],
        output: "y",
        backward: vec![Call::ConcatChannelsBackwardInput(p)],
        inputs: &["a", "b"],
        linear: true,
    });
    let p = softmax::Params { n: 2, c: 3, hw: 5 };
    chains.push(Chain {
        forward: vec![Call::SoftmaxForward(p)],
        output: "p",
        backward: vec![Call::SoftmaxBackwardInput(p)],
        inputs: &["logits"],
        linear: false,
    });
    // Labels are drawn from 0 to 4: one is ignored, one is no class.
    let p = cross_entropy::Params { n: 2, c: 3, hw: 7, ignore_label: 4 };
    chains.push(Chain {
        forward: vec![Call::CrossEntropyForward(p), Call::CrossEntropyReduce(p)],
        output: "loss",
        backward: vec![Call::CrossEntropyBackwardInput(p)],
        inputs: &["logits"],
        linear: false,
    });
    chains
}

impl Chain {
    fn name(&self) -> String {
        let name = |call: &Call| format!("{call:?}");
        self.forward.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn env(&self) -> Env {
        let mut env = Env::drawn(&[&self.forward[..], &self.backward].concat());
        // Norms divide by nothing that could be zero, and classes weigh something.
        let positive = |x: &[f64]| x.iter().map(|x| x.abs() + 0.5).collect();
        if self.output == "loss" {
            let weights = positive(env.get("class_weights"));
            env.set("class_weights", weights);
            // Only the first of the three numbers is the loss.
            env.set("dloss", vec![1.0, 0.0, 0.0]);
        }
        env
    }

    /// The output for an input's values, all else as in `env`.
    fn output(&self, env: &Env, input: &str, values: &[f64]) -> Vec<f64> {
        let mut env = env.clone();
        env.set(input, values.to_vec());
        env.run(&self.forward);
        env.get(self.output).to_vec()
    }

    /// After forward and backward passes.
    fn finished(&self) -> Env {
        let mut env = self.env();
        env.run(&self.forward);
        env.run(&self.backward);
        env
    }
}

#[test]
fn derivatives_are_those_of_finite_differences() {
    let mut checked = Vec::new();
    for chain in chains() {
        let (env, finished) = (chain.env(), chain.finished());
        let seed = finished.get(&format!("d{}", chain.output)).to_vec();
        for input in chain.inputs {
            let mut values = env.get(input).to_vec();
            let mut slope = |i: usize| {
                let loss = |v: &[f64]| dot(&chain.output(&env, input, v), &seed);
                finite_difference(&mut values, i, loss)
            };
            let want: Vec<f64> = (0..env.get(input).len()).map(&mut slope).collect();
            if let Err(mismatch) = compare_gradient(finished.get(&format!("d{input}")), &want) {
                panic!("{}: d{input}: {mismatch}", chain.name());
            }
        }
        checked.extend(chain.backward.iter().map(|call| call.signature()).filter(is_backward));
    }
    let backward = SIGNATURES.iter().filter(is_backward);
    let names = |s: &Signature| s.name;
    assert_eq!(
        checked.into_iter().map(names).collect::<BTreeSet<_>>(),
        backward.map(names).collect()
    );
}

fn is_backward(signature: &&'static Signature) -> bool {
    signature.pass.starts_with("backward")
}

/// `<f(x) - f(0), dy> = <x, dx>`, exactly but for rounding.
#[test]
fn backward_passes_of_linear_ops_are_adjoint_to_them() {
    let mut checked = BTreeSet::new();
    for chain in chains().into_iter().filter(|chain| chain.linear) {
        let (env, finished) = (chain.env(), chain.finished());
        let seed = finished.get("dy").to_vec();
        for input in chain.inputs {
            let values = env.get(input);
            // ReLU and max-pooling are linear along a ray from zero, where no sign and no maximum changes.
            let at_zero = chain.output(&env, input, &vec![0.0; values.len()]);
            let output = finished.get("y");
            let linear: Vec<f64> = output.iter().zip(&at_zero).map(|(y, zero)| y - zero).collect();
            let terms = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum();
            let scale: f64 = terms(output, &seed);
            let got = dot(values, finished.get(&format!("d{input}")));
            if let Err(mismatch) = compare_law(&[got], &[dot(&linear, &seed)], scale) {
                panic!("{}: {input}: {mismatch}", chain.name());
            }
        }
        checked.extend(chain.forward.iter().map(|call| call.signature().op));
    }
    let linear = [
        "concat_channels",
        "conv2d",
        "conv2d_joined",
        "conv2d_split_channels",
        "conv_transpose2d",
        "dropout",
        "max_pool2d",
        "relu",
    ];
    assert_eq!(checked.into_iter().collect::<Vec<_>>(), linear);
}
