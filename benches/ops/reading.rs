//! Patches on their way to a GPU.

use std::slice::from_ref;
use std::sync::Arc;

use askem::data::pool::{PatchReader, Region, Scaling, draw_pool, read_ahead};
use askem::data::volume::ArrayVolume;
use criterion::Criterion;

use crate::{bench, random};

const SHAPE: [usize; 3] = [8, 1024, 1024];
const PATCH: usize = 128;
const PATCHES: usize = 2048;
/// Those of a batch for hardware.
const BATCH: usize = 64;

pub(crate) fn bench_all(c: &mut Criterion) {
    let mut group = c.benchmark_group("reading");
    let volume = ArrayVolume::new(SHAPE, random(SHAPE.iter().product(), 1)).unwrap();
    let region = Region::whole(SHAPE);
    let positions = draw_pool(&region, PATCH, PATCHES, 0).unwrap();
    let scaling = Scaling { mean: 0.5, deviation: 1.5 };
    let reader = PatchReader::new(Arc::new(volume), region, scaling);
    let mut want = Vec::new();
    reader.read(positions[PATCHES - 1], PATCH, &mut want).unwrap();
    for threads in [1, 2, 4] {
        let bytes = 4.0 * (PATCHES * PATCH * PATCH) as f64;
        bench(&mut group, &format!("read_ahead by {threads}"), (0.0, bytes), || {
            let batches = positions.chunks(BATCH).enumerate().map(|(i, at)| (i, at.to_vec()));
            let last = read_ahead(from_ref(&reader), PATCH, threads, batches, |taken| {
                let mut last = Vec::new();
                for batch in taken {
                    let x = batch?.x;
                    last.clear();
                    last.extend_from_slice(&x[x.len() - PATCH * PATCH..]);
                }
                Ok(last)
            });
            assert_eq!(last.unwrap(), want);
        });
    }
    group.finish();
}
