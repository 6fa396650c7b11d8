//! Weights that askem saves open in PyTorch and give the same logits.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

use askem::compute::cpu::CpuExecutor;
use askem::data::pool::{Normalise, Scaling};
use askem::network::unet::{DropoutKind, Norm, Output, ParameterKind, UNet, Weights, forward_plan};
use askem::network::weights::{TrainedNetwork, save};
use askem_kernels::rng::{Purpose, normal, stream, uniform};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};

use crate::expose::expose;
use crate::run_plan::{OnDevice, RunPlan};

/// What is promised of logits and probabilities in PyTorch.
const PROMISED: f64 = 1e-4;

const BATCH: usize = 3;
const SIZE: [usize; 2] = [32, 48];

fn python() -> String {
    env::var("ASKEM_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// Whether there is a Python that has the modules; says so past the capture of output if not.
fn ready(test: &str) -> bool {
    let python = python();
    let import = Command::new(&python).args(["-c", "import torch, safetensors.torch"]).output();
    let works = matches!(&import, Ok(output) if output.status.success());
    if !works {
        let named = env::var_os("ASKEM_PYTHON").is_some();
        assert!(!named, "ASKEM_PYTHON={python} cannot import torch and safetensors: {import:?}");
        let why = "needs Python with torch and safetensors";
        // A message that is not seen changes nothing.
        writeln!(io::stderr(), "NOT RUN: {test} ({why})").ok();
    }
    works
}

/// Weights with norms, biases and statistics that do something.
fn weights(net: &UNet) -> Weights {
    let mut weights = net.init(3);
    let mut rng = stream(3, Purpose::Test, 0, 0);
    let mut vary = |bank: askem::network::unet::Bank, values: &mut [f32]| {
        for entry in bank.entries {
            if !matches!(entry.kind, ParameterKind::Weight { .. }) {
                for value in &mut values[entry.offset..entry.offset + entry.len()] {
                    *value += 0.8 * (uniform(&mut rng) - 0.5) as f32;
                }
            }
        }
    };
    vary(net.parameters(), &mut weights.parameters);
    vary(net.statistics(), &mut weights.statistics);
    weights
}

/// Logits and probabilities by the CPU executor.
fn by_askem(trained: &TrainedNetwork, grey: &[f32]) -> [Vec<f64>; 2] {
    let [h, w] = SIZE;
    let mut plan = forward_plan(&trained.net, BATCH, h, w, &[Output::Probabilities]);
    let logits = expose(&mut plan.plan, "logits");
    let mut cpu = CpuExecutor::new(Some(2)).expect("two threads start");
    let mut run = OnDevice::new(&mut cpu, plan.plan, "weights");
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    run.write(plan.banks.parameters, &wide(&trained.weights.parameters));
    if let Some(buffer) = plan.banks.statistics {
        run.write(buffer, &wide(&trained.weights.statistics));
    }
    let Scaling { mean, deviation } = trained.scaling;
    let x = grey.iter().map(|&g| (f64::from(g) - mean) / deviation);
    run.write(plan.x, &x.collect::<Vec<_>>());
    run.run("forward");
    [run.read(logits), run.read(plan.outputs[0].1)]
}

/// The same by the script.
fn by_torch(folder: &Path, trained: &TrainedNetwork, grey: &[f32]) -> [Vec<f64>; 2] {
    let [weights, images, answers] =
        ["weights", "images", "answers"].map(|n| folder.join(n).with_extension("safetensors"));
    save(&weights, trained).expect("the weights are written");
    let shape = vec![BATCH, SIZE[0], SIZE[1]];
    let view = TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(grey)).expect("it fits");
    fs::write(&images, serialize([("grey", view)], None).expect("it fits")).expect("it is written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/load_in_torch.py");
    let output = Command::new(python())
        .arg(script)
        .args([&weights, &images, &answers])
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = fs::read(&answers).expect("the script wrote its answers");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    ["logits", "probabilities"].map(|name| {
        let tensor = file.tensor(name).expect("it is there");
        assert_eq!(tensor.shape(), [BATCH, trained.net.classes, SIZE[0], SIZE[1]]);
        let floats =
            tensor.data().chunks_exact(4).map(|w| f32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        floats.map(f64::from).collect()
    })
}

fn farthest(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    // So that NaN is the farthest.
    differences.fold(0.0, |far, d| if d <= far { far } else { d })
}

#[test]
fn weights_open_in_pytorch() {
    if !ready("torch::weights_open_in_pytorch") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the files");
    let mut rng = stream(4, Purpose::Test, 0, 0);
    let pixels = BATCH * SIZE[0] * SIZE[1];
    let grey: Vec<f32> = (0..pixels).map(|_| (128.0 + 40.0 * normal(&mut rng)) as f32).collect();
    for (norm, dropout_kind, width, classes) in
        [(Norm::Batch, DropoutKind::Channel, 3, 2), (Norm::Instance, DropoutKind::Element, 2, 4)]
    {
        let net = UNet { width, classes, context: 0, norm, dropout: 0.25, dropout_kind };
        let scaling = Scaling { mean: 130.5, deviation: 37.25 };
        let trained = TrainedNetwork {
            net,
            weights: weights(&net),
            patch: 32,
            scaling,
            normalise: Normalise::Weights,
            voxel_nm: None,
        };
        let [ours, theirs] = [by_askem(&trained, &grey), by_torch(folder.path(), &trained, &grey)];
        for (what, i) in [("logits", 0), ("probabilities", 1)] {
            let far = farthest(&ours[i], &theirs[i]);
            let spread = ours[i].iter().fold(0.0f64, |a, v| a.max(v.abs()));
            let near = far <= PROMISED;
            assert!(near, "{norm:?} norm: {what} up to {spread} differ by {far}");
            eprintln!("{norm:?} norm: {what} up to {spread:.3} differ by {far:e}");
        }
        // Without its last bias the network is another one, and that shows.
        let mut other = trained.clone();
        let bias = net.parameters().get("head.bias").expect("a network has a head").offset;
        other.weights.parameters[bias] += 1e-3;
        let far = farthest(&by_askem(&other, &grey)[0], &theirs[0]);
        assert!(far > PROMISED, "another bias makes a difference of {far} only");
    }
}
