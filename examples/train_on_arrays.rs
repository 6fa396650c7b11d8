//! Active learning on arrays in memory: no files, no command line.
//!
//! `cargo run --release --example train_on_arrays`

use std::sync::Arc;

use askem::compute::device::{self, DeviceChoice};
use askem::compute::precision::PrecisionChoice;
use askem::data::phantom::Phantom;
use askem::data::pool::{PatchReader, Region, Scaling};
use askem::data::volume::{CachedLabels, Volume};
use askem::learning::annotator::SimulatedAnnotator;
use askem::learning::protocol::{self, Config, Data, Progress, Test, Unobserved};
use askem::network::model::Model;
use askem::network::unet::UNet;

fn main() -> askem::Result<()> {
    // Any `Volume` would do; `ArrayVolume` wraps an array.
    let shape = [2, 192, 192];
    let pair = Phantom::pair(shape, 1)?;
    let raw: Arc<dyn Volume> = Arc::from(pair.raw);
    let labels = CachedLabels::new(pair.labels, 2);

    let (train_region, test_region) = Region::split_y(shape);
    let scaling = Scaling::measure(&*raw, &train_region)?;
    let train = PatchReader::new(Arc::clone(&raw), train_region, scaling);
    let test = PatchReader::new(raw, test_region, scaling);

    let config = Config {
        strategy: "entropy".into(),
        initial: 4,
        pool: 30,
        query: 4,
        iterations: 2,
        epochs: 10,
        finetune_epochs: 5,
        patch: 32,
        net: UNet { width: 4, dropout: 0.0, ..UNet::paper() },
        ..Config::paper()
    };
    let executor = device::open(&DeviceChoice::Auto, None, PrecisionChoice::Auto)?;
    println!("computing on {}", executor.name());
    let mut model = Model::new(executor, config.net, config.patch)?;
    let annotator = SimulatedAnnotator::new(&labels);
    let data = Data {
        train: &[train],
        annotator: &annotator,
        test: &[Test { reader: &test, labels: &labels }],
    };
    let records = protocol::run(&config, &data, &mut model, Progress::default(), &mut Unobserved)?;
    for record in records {
        println!(
            "{} labelled patches: loss {:.3}, Jaccard index {:.3}",
            record.labelled,
            record.loss,
            record.jaccard_or_nan()
        );
    }
    Ok(())
}
