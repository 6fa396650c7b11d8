//! Choosing points that cover a cloud: k-center greedy and k-means on the chosen device.
//!
//! `cargo run --release --example select_from_embeddings`

use askem::compute::device::{self, DeviceChoice};
use askem::compute::precision::PrecisionChoice;
use askem::learning::geometry::{DeviceGeometry, Geometry, Points};
use askem_kernels::rng::{Purpose, normal, stream};

fn main() -> askem::Result<()> {
    let (rows, dim) = (1000, 16);
    let mut rng = stream(7, Purpose::Test, 0, 0);
    let values: Vec<f32> = (0..rows * dim).map(|_| normal(&mut rng) as f32).collect();
    let points = Points { values: &values, dim };
    // The first point is labelled already.
    let labelled = Points { values: &values[..dim], dim };

    let mut executor = device::open(&DeviceChoice::Auto, None, PrecisionChoice::Auto)?;
    println!("computing on {}", executor.name());
    let mut geometry = DeviceGeometry::new(&mut *executor);
    for (index, sq_dist) in geometry.k_center_greedy(points, labelled, 5)? {
        println!("point {index} lies {:.2} from all points before it", sq_dist.sqrt());
    }
    let clusters = geometry.k_means(points, 5, 0)?;
    let inertia: f32 = clusters.sq_dist.iter().sum();
    println!("five clusters leave a sum of squared distances of {inertia:.0}");
    Ok(())
}
