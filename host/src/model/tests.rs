//! Batches for devices that can't hold them.

use super::*;
use crate::cpu::CpuExecutor;
use crate::plan::Plan;

/// A processor that takes no plan of more bytes.
struct Small {
    inner: CpuExecutor,
    most: usize,
    prepared: usize,
    released: usize,
}

impl Executor for Small {
    fn name(&self) -> String {
        format!("small, {} of {} plans released", self.released, self.prepared)
    }
    fn prepare(&mut self, plan: Plan) -> Result<PlanId> {
        if plan.memory().own > self.most {
            return Err(Error::TooLarge(plan.name));
        }
        self.prepared += 1;
        self.inner.prepare(plan)
    }
    fn plan(&self, id: PlanId) -> &Plan {
        self.inner.plan(id)
    }
    fn release(&mut self, id: PlanId) {
        self.released += 1;
        self.inner.release(id);
    }
    fn write(&mut self, id: PlanId, buffer: BufferId, data: &[u32]) -> Result<()> {
        self.inner.write(id, buffer, data)
    }
    fn read(&mut self, id: PlanId, buffer: BufferId, data: &mut [u32]) -> Result<()> {
        self.inner.read(id, buffer, data)
    }
    fn run(&mut self, id: PlanId, section: &str) -> Result<()> {
        self.inner.run(id, section)
    }
}

const PATCH: usize = 32;
/// Not a multiple of any smaller batch.
const PATCHES: usize = 15;

fn net() -> UNet {
    UNet { width: 2, ..UNet::paper() }
}

fn model(most: usize) -> Model {
    let inner = CpuExecutor::new(Some(1)).expect("a thread starts");
    let executor = Small { inner, most, prepared: 0, released: 0 };
    let mut model = Model::new(Box::new(executor), net(), PATCH).expect("the state fits");
    model.set_weights(&net().init(3)).expect("weights can be written");
    model
}

fn image() -> Vec<f32> {
    (0..PATCHES * PATCH * PATCH).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect()
}

fn scores(model: &mut Model) -> (Vec<Vec<f32>>, McScores) {
    let outputs = [Output::Entropy, Output::EmbeddingMean, Output::Probabilities];
    let found = model.forward(&image(), &outputs).expect("some batch fits");
    let keys: Vec<Vec<u64>> =
        (0..3).map(|t| (0..PATCHES as u64).map(|i| 100 * t + i).collect()).collect();
    (found, model.mc_dropout(&image(), &keys).expect("some batch fits"))
}

#[test]
fn a_batch_that_does_not_fit_is_cut_and_gives_the_same_scores() {
    let mut whole = model(usize::MAX);
    let want = scores(&mut whole);
    assert_eq!(whole.score_batch, SCORE_BATCH);
    assert_eq!(want.0[0].len(), PATCHES);
    let memory = |n: usize| mc_plan(&net(), n, PATCH, PATCH, 3).plan.memory().own;
    // Forward plans are smaller than those under dropout: the first is cut again.
    for (most, batch) in [(memory(8), 8), (memory(2), 2), (memory(1), 1)] {
        let mut small = model(most);
        assert_eq!(scores(&mut small), want, "at most {most} bytes");
        assert_eq!(small.score_batch, batch);
        // Plans of earlier sizes are gone: three are left, of which one holds the state.
        let name = small.device_name();
        let counts: Vec<usize> = name.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [released, prepared] = counts[..] else { panic!("{name}") };
        assert!(prepared - released <= 3, "{name}");
        // What was prepared is used again.
        assert_eq!(scores(&mut small), want);
    }
}

#[test]
fn what_never_fits_is_an_error() {
    let mut small = model(1000);
    let error = small.forward(&image(), &[Output::Entropy]).expect_err("nothing fits");
    assert!(matches!(error, Error::TooLarge(_)), "{error}");
    assert_eq!(small.score_batch, 1);
}
