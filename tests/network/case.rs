//! Networks with drawn inputs, and what a run over them leaves.

use askem::compute::plan::Plan;
use askem::network::unet::{
    AdamOptions, Bank, Banks, DropoutKind, ForwardPlan, IGNORE_LABEL, McPlan, Norm, Output,
    ParameterKind, StatisticsPlan, TrainingPlan, UNet, forward_plan, mc_plan_of, statistics_plan,
    training_plan_of,
};
use askem_kernels::adam;
use askem_kernels::rng::{Purpose, Xoshiro256PlusPlus, below, key, normal, stream, uniform};
use askem_kernels::warp::Transform;

use crate::compare::Tensor;
use crate::run_plan::{ByReference, RunPlan};

/// Optimiser steps, and dropout passes.
pub(crate) const STEPS: usize = 3;

const LEARNING_RATE: f64 = 1e-3;

/// Large enough that an update depends on a gradient's size, as is usual after few steps. With PyTorch's 1e-8 the
/// first step is the gradient's sign, and a gradient within rounding of zero would decide between
/// `+` and `-` the learning rate. That the small one is used rightly is shown by tests/parity and tests/torch.
const ADAM_EPS: f32 = 1e-3;

/// A network and the sizes of its input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) net: UNet,
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) seed: u64,
    /// Whether training warps its samples.
    pub(crate) warped: bool,
}

impl Case {
    /// So many of the pairs of batch, patch and kind of dropout; width and classes alternate.
    pub(crate) fn some(norm: Norm, count: usize) -> Vec<Self> {
        let mut cases = Vec::new();
        for n in [1, 3] {
            for (h, w) in [(16, 16), (32, 48)] {
                for dropout_kind in [DropoutKind::Channel, DropoutKind::Element] {
                    let odd = cases.len() % 2;
                    let width = if (cases.len() / 2) % 2 == odd { 3 } else { 2 };
                    // A head of more than 8 classes has no form of its own.
                    let classes = if cases.len() == 7 { 16 } else { 2 + odd };
                    let dropout = 0.25;
                    let context = usize::from(cases.len() % 3 == 1);
                    let net = UNet { width, classes, context, norm, dropout, dropout_kind };
                    let warped = cases.len() % 4 < 2;
                    cases.push(Self { net, n, h, w, seed: 0, warped });
                }
            }
        }
        // Those that differ most come first.
        [0, 7, 3, 4, 6, 1, 5, 2].into_iter().take(count).map(|i| cases[i]).collect()
    }

    pub(crate) fn label(&self) -> String {
        let Self { net, n, h, w, seed, warped } = self;
        let warped = if *warped { ", warped" } else { "" };
        format!(
            "{:?} norm, {:?} dropout, width {}, {} classes, {} sections, {n} x {h} x {w}, data {seed}{warped}",
            net.norm,
            net.dropout_kind,
            net.width,
            net.classes,
            net.sections()
        )
    }

    fn stream(&self, part: u64) -> Xoshiro256PlusPlus {
        stream(self.seed, Purpose::Test, part, 0)
    }

    fn image(&self) -> Vec<f64> {
        let mut rng = self.stream(0);
        let len = self.n * self.net.sections() * self.h * self.w;
        (0..len).map(|_| f64::from(normal(&mut rng) as f32)).collect()
    }

    /// Random classes, four to a word; about one in ten pixels is ignored.
    fn labels(&self) -> Vec<u32> {
        let (mut rng, classes) = (self.stream(1), self.net.classes as u64);
        let mut label = || {
            if below(&mut rng, 10) == 0 { IGNORE_LABEL } else { below(&mut rng, classes) as u32 }
        };
        let mut word = || [(); 4].map(|()| label()).into_iter().fold(0, |word, l| word << 8 | l);
        (0..self.n * self.h * self.w / 4).map(|_| word()).collect()
    }

    /// Every patch, the last one first, some of them upside down or mirrored.
    fn sites(&self) -> Vec<u32> {
        (0..self.n as u32).rev().flat_map(|z| [z, 0, 0, z % 4 * 2]).collect()
    }

    /// A turn, a scale, and another contrast for each sample.
    fn transforms(&self) -> Vec<u32> {
        let of = |sample: usize| {
            let turn = Transform::turn(0.7 * sample as f64 + 0.2, 0.9);
            Transform { gain: 1.1, offset: -0.1, ..turn }
        };
        let all: Vec<Transform> = (0..self.n).map(of).collect();
        bytemuck::cast_slice(&all).to_vec()
    }

    /// The sites of all sections of the samples at `sites`.
    fn section_sites(&self, sites: &[u32]) -> Vec<u32> {
        let sections = self.net.sections() as u32;
        let mut all = Vec::new();
        for site in sites.chunks(4) {
            for section in 0..sections {
                all.extend([site[0] * sections + section, site[1], site[2], site[3]]);
            }
        }
        all
    }

    /// Dropout keys of a step or pass.
    fn keys(&self, step: usize) -> Vec<u32> {
        let key = |sample| key(self.seed, Purpose::Test, 2 + step as u64, sample as u64);
        (0..self.n).map(key).flat_map(|k| [k as u32, (k >> 32) as u32]).collect()
    }

    /// Weights as at a start of a training, but with norms and biases that do something.
    fn weights(&self) -> [Vec<f64>; 2] {
        let fresh = self.net.init(self.seed);
        let vary = |bank: Bank, fresh: Vec<f32>, part: u64| {
            let mut values: Vec<f64> = fresh.into_iter().map(f64::from).collect();
            let mut rng = self.stream(part);
            for entry in bank.entries {
                if !matches!(entry.kind, ParameterKind::Weight { .. }) {
                    for value in &mut values[entry.offset..entry.offset + entry.len()] {
                        *value = f64::from((*value + 0.8 * (uniform(&mut rng) - 0.5)) as f32);
                    }
                }
            }
            values
        };
        [
            vary(self.net.parameters(), fresh.parameters, 100),
            vary(self.net.statistics(), fresh.statistics, 101),
        ]
    }

    pub(crate) fn training_plan(&self) -> TrainingPlan {
        let adam = AdamOptions { eps: ADAM_EPS, ..AdamOptions::default() };
        training_plan_of(&self.net, self.n, [self.n, self.h, self.w], adam, self.warped)
    }

    pub(crate) fn forward_plan(&self, outputs: &[Output]) -> ForwardPlan {
        forward_plan(&self.net, self.n, self.h, self.w, outputs)
    }

    /// Passes under dropout, so many at once.
    pub(crate) fn mc_plan(&self, stacked: usize) -> McPlan {
        mc_plan_of(&self.net, stacked, [self.n, self.h, self.w], STEPS)
    }

    /// Batch norm's statistics, under dropout or without.
    pub(crate) fn statistics_plan(&self, dropout: bool) -> StatisticsPlan {
        statistics_plan(&self.net, [self.n, self.h, self.w], dropout)
    }

    fn start(&self, run: &mut dyn RunPlan, banks: &Banks) {
        let [parameters, statistics] = self.weights();
        run.write(banks.parameters, &parameters);
        if let Some(buffer) = banks.statistics {
            run.write(buffer, &statistics);
        }
    }

    /// Three optimiser steps: loss, gradients, parameters and running statistics after each, Adam's moments at the end.
    pub(crate) fn train(&self, run: &mut dyn RunPlan, plan: &TrainingPlan) -> Vec<Tensor> {
        let adam = adam::Params { len: 1, beta1: 0.9, beta2: 0.999, eps: ADAM_EPS };
        self.start(run, &plan.banks);
        run.write(plan.images, &self.image());
        run.write_uint(plan.labels, &self.labels());
        run.write_uint(plan.sites, &self.sites());
        if let Some(buffer) = plan.transforms {
            run.write_uint(buffer, &self.transforms());
        }
        if let Some(buffer) = plan.section_sites {
            run.write_uint(buffer, &self.section_sites(&self.sites()));
        }
        let class_weights = [0.75, 1.5, 0.5].into_iter().cycle().take(self.net.classes);
        run.write(plan.class_weights, &class_weights.collect::<Vec<f64>>());
        let (parameters, statistics) = (self.net.parameters(), self.net.statistics());
        let mut tensors = Vec::new();
        for t in 1..=STEPS {
            let step = adam::step(&adam, LEARNING_RATE, t as u32).map(f64::from);
            run.write(plan.step, &step);
            run.write_uint(plan.keys.expect("dropout is on"), &self.keys(t));
            run.run("step");
            tensors.push(Tensor { name: format!("step {t}/loss"), values: run.read(plan.loss) });
            let gradients = run.read(plan.banks.gradients.expect("training has gradients"));
            tensors.extend(named(&format!("step {t}"), &parameters, &gradients));
            let after = run.read(plan.banks.parameters);
            tensors.extend(named(&format!("parameters after step {t}"), &parameters, &after));
            if let Some(buffer) = plan.banks.statistics {
                let after = run.read(buffer);
                tensors.extend(named(&format!("statistics after step {t}"), &statistics, &after));
            }
        }
        let (first, second) = plan.banks.moments.expect("training has moments");
        tensors.extend(named("first moment", &parameters, &run.read(first)));
        tensors.extend(named("second moment", &parameters, &run.read(second)));
        tensors
    }

    /// A pass without dropout: all that the plan leaves.
    pub(crate) fn forward(&self, run: &mut dyn RunPlan, plan: &ForwardPlan) -> Vec<Tensor> {
        self.start(run, &plan.banks);
        run.write(plan.x, &self.image());
        run.run("forward");
        let outputs = plan.outputs.iter();
        outputs
            .map(|&(output, buffer)| Tensor {
                name: format!("forward/{output:?}"),
                values: run.read(buffer),
            })
            .collect()
    }

    /// The statistics that a pass leaves.
    pub(crate) fn measure(&self, run: &mut dyn RunPlan, plan: &StatisticsPlan) -> Vec<Tensor> {
        self.start(run, &plan.banks);
        run.write(plan.x, &self.image());
        if let Some(buffer) = plan.keys {
            run.write_uint(buffer, &self.keys(0));
        }
        run.run("statistics");
        let buffer = plan.banks.statistics.expect("batch norm has statistics");
        named("measured", &self.net.statistics(), &run.read(buffer))
    }

    /// Passes with dropout: sums and scores.
    pub(crate) fn mc_dropout(&self, run: &mut dyn RunPlan, plan: &McPlan) -> Vec<Tensor> {
        self.start(run, &plan.banks);
        run.write(plan.x, &self.image());
        let all_keys: Vec<u32> = (0..STEPS).flat_map(|pass| self.keys(pass)).collect();
        let keys = plan.keys.expect("dropout is on");
        let keys_len = plan.plan.buffers[keys.index()].len;
        if let Some(sites) = plan.sites {
            let samples = keys_len as u32 / 2;
            let sites_of: Vec<u32> =
                (0..samples).flat_map(|i| [i % self.n as u32, 0, 0, 0]).collect();
            run.write_uint(sites, &self.section_sites(&sites_of));
        }
        for of_run in all_keys.chunks(keys_len) {
            run.write_uint(keys, of_run);
            run.run("pass");
        }
        run.run("finish");
        let outputs = [
            ("sum of probabilities", plan.sum_p),
            ("sum of entropies", plan.sum_entropy),
            ("entropy of the mean", plan.entropy),
            ("mutual information", plan.mutual_information),
        ];
        let tensor = |(name, buffer)| Tensor {
            name: format!("dropout passes/{name}"),
            values: run.read(buffer),
        };
        outputs.map(tensor).into()
    }
}

/// The tensors of a bank, without the gaps between them.
fn named(group: &str, bank: &Bank, values: &[f64]) -> Vec<Tensor> {
    let tensor = |entry: &askem::network::unet::Parameter| Tensor {
        name: format!("{group}/{}", entry.name),
        values: values[entry.offset..entry.offset + entry.len()].to_vec(),
    };
    bank.entries.iter().map(tensor).collect()
}

/// What the f64 and the f32 reference make of a plan.
pub(crate) fn references(
    plan: &Plan,
    mut act: impl FnMut(&mut dyn RunPlan) -> Vec<Tensor>,
) -> Answers {
    let (mut exact, mut plain) =
        (ByReference::<f64>::new(plan.clone()), ByReference::<f32>::new(plan.clone()));
    let answers = Answers { exact: act(&mut exact), plain: act(&mut plain), beyond_doubt: false };
    let pairs = exact.branches.iter().zip(&plain.branches);
    let beyond_doubt =
        exact.branches.len() == plain.branches.len() && pairs.into_iter().all(|(e, p)| clear(e, p));
    Answers { beyond_doubt, ..answers }
}

/// Tensors by the references.
pub(crate) struct Answers {
    pub(crate) exact: Vec<Tensor>,
    pub(crate) plain: Vec<Tensor>,
    /// Whether every ReLU and every pool takes the same branch in any computation with errors like the f32 reference's.
    pub(crate) beyond_doubt: bool,
}

/// Whether no number is so near to zero that rounding decides its sign, exact zeros (dropped, or tied) aside.
/// Six standard deviations of the f32 reference's error leave room for those of others.
fn clear(exact: &[f64], plain: &[f64]) -> bool {
    let squares = exact.iter().zip(plain).map(|(e, p)| (e - p) * (e - p));
    let error = (squares.sum::<f64>() / exact.len() as f64).sqrt();
    exact.iter().zip(plain).all(|(&e, &p)| if e == 0.0 { p == 0.0 } else { e.abs() > 6.0 * error })
}

/// The case with the first data on which gradients are well defined: where an f32 computation may take another branch
/// than f64, both gradients are right, and no comparison of them proves anything.
pub(crate) fn well_defined(case: Case) -> (Case, Answers) {
    const TRIES: u64 = 40;
    for seed in 0..TRIES {
        let case = Case { seed, ..case };
        let plan = case.training_plan();
        let answers = references(&plan.plan, |run| case.train(run, &plan));
        if answers.beyond_doubt {
            return (case, answers);
        }
    }
    panic!("{}: rounding decides a branch in all of {TRIES} draws", case.label());
}
