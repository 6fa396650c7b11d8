//! Plans that score patches: without dropout, and under it.

use askem_kernels::{Call, bald, entropy, global_avg_pool2d, least_confidence};

use super::{ForwardPlan, McPlan, Mode, Net, Output};
use crate::network::unet::{LEVELS, UNet};

/// A forward pass over `n` patches of `h x w` that leaves `outputs`.
pub fn forward_plan(net: &UNet, n: usize, h: usize, w: usize, outputs: &[Output]) -> ForwardPlan {
    let mut g = Net::new(net, Mode::Evaluate, "forward", "forward", [n, h, w]);
    g.keep_bottleneck = outputs.contains(&Output::EmbeddingFlat);
    let embeds = |o: &Output| matches!(o, Output::EmbeddingMean | Output::EmbeddingFlat);
    // Embeddings alone need no decoder.
    let (bottleneck, features) = if outputs.iter().all(embeds) {
        (g.encode().2[1].y, None)
    } else {
        let saved = g.forward();
        (saved.bottleneck[1].y, Some(saved.features))
    };
    let p = features.map(|features| {
        let logits = g.head(features);
        let p = if outputs.contains(&Output::Probabilities) {
            g.b.kept("probabilities", logits.len)
        } else {
            g.b.transient("probabilities", logits.len)
        };
        g.softmax(logits, p);
        p
    });
    let [n32, c, hw] = g.pixel_sizes();
    let mut buffers = Vec::new();
    for &output in outputs {
        let view = match output {
            Output::Probabilities => p.expect("computed above"),
            Output::Entropy | Output::LeastConfidence => {
                let (call, name) = match output {
                    Output::Entropy => {
                        (Call::EntropyForward(entropy::Params { n: n32, c, hw }), "entropy")
                    }
                    _ => (
                        Call::LeastConfidenceForward(least_confidence::Params { n: n32, c, hw }),
                        "least confidence",
                    ),
                };
                let map = g.b.transient(format!("{name} map"), n * h * w);
                g.b.step(call, &[p.expect("computed above")], &[map]);
                let score = g.b.kept(name, n);
                g.patch_sum(map, score);
                score
            }
            Output::EmbeddingMean => {
                let c = net.channels(LEVELS);
                let params =
                    global_avg_pool2d::Params { n: n32, c: c as u32, hw: g.pixels(LEVELS) as u32 };
                let mean = g.b.kept("embedding", n * c);
                g.b.step(Call::GlobalAvgPool2dForward(params), &[bottleneck], &[mean]);
                mean
            }
            Output::EmbeddingFlat => bottleneck,
        };
        buffers.push((output, view.buffer));
    }
    ForwardPlan { x: g.x.buffer, outputs: buffers, banks: g.banks(), plan: g.b.build() }
}

/// Dropout passes over `n` patches of `h x w`, of which `passes` are planned, one in each run.
pub fn mc_plan(net: &UNet, n: usize, h: usize, w: usize, passes: usize) -> McPlan {
    mc_plan_of(net, 1, [n, h, w], passes)
}

/// Dropout passes over `n` patches of `h x w`, of which `passes` are planned, `stacked` in each run: as one larger batch.
pub fn mc_plan_of(net: &UNet, stacked: usize, [n, h, w]: [usize; 3], passes: usize) -> McPlan {
    let mut g = Net::new(net, Mode::McDropout, "mc dropout", "pass", [stacked * n, h, w]);
    let pixels = n * h * w;
    let mut x = g.x;
    let mut sites = None;
    if stacked > 1 {
        let sections = net.sections();
        x = g.b.kept("patches", pixels * sections);
        let of_every_pass = g.b.kept_uint("sites", stacked * n * sections * 4);
        let params = g.crop_params(stacked * n * sections, n * sections);
        g.b.step(Call::CropImages(params), &[x, of_every_pass], &[g.x]);
        sites = Some(of_every_pass.buffer);
    }
    let sum_p = g.b.kept("sum of probabilities", pixels * net.classes);
    let sum_entropy = g.b.kept("sum of entropies", pixels);
    let saved = g.forward();
    let logits = g.head(saved.features);
    let p = g.b.transient("probabilities", logits.len);
    g.softmax(logits, p);
    let [_, c, hw] = g.pixel_sizes();
    let (passes, stacked) = (passes as u32, stacked as u32);
    let params = bald::Params { n: n as u32, c, hw, passes, stacked };
    g.b.step(Call::BaldAccumulate(params), &[p], &[sum_p, sum_entropy]);

    g.b.section("finish");
    let map = g.b.transient("entropy of mean map", pixels);
    let entropy = g.b.kept("entropy of mean", n);
    g.b.step(Call::BaldEntropyOfMean(params), &[sum_p], &[map]);
    g.patch_sum(map, entropy);
    let map = g.b.transient("mutual information map", pixels);
    let mutual_information = g.b.kept("mutual information", n);
    g.b.step(Call::BaldMutualInformation(params), &[sum_p, sum_entropy], &[map]);
    g.patch_sum(map, mutual_information);
    McPlan {
        x: x.buffer,
        sites,
        keys: g.keys.map(|v| v.buffer),
        sum_p: sum_p.buffer,
        sum_entropy: sum_entropy.buffer,
        entropy: entropy.buffer,
        mutual_information: mutual_information.buffer,
        banks: g.banks(),
        plan: g.b.build(),
    }
}
