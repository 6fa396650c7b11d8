//! Does the training loop allocate? Counted at the global allocator, on every thread.

// The trait of allocators is unsafe; this one asks the system's and counts.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use askem::compute::cpu::CpuExecutor;
use askem::network::model::Model;
use askem::network::unet::{DropoutKind, Norm, UNet};
use askem_kernels::crop::Site;

static BYTES: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: all calls go to the system's allocator as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that a step allocates each time: the least over several windows of steps. A step that allocates does so in every window;
/// a thread's buffer that grows, because the thread happened to get its largest piece of work only now, does so in one.
fn bytes_per_step(net: UNet, batch: usize) -> usize {
    const STEPS: usize = 10;
    const WINDOWS: usize = 6;
    let patch = 64;
    let weights = net.init(1);
    let executor = CpuExecutor::new(Some(2)).unwrap();
    let mut model = Model::new(Box::new(executor), net, patch).unwrap();
    model.set_weights(&weights).unwrap();
    let x: Vec<f32> = (0..batch * patch * patch).map(|i| (i % 17) as f32 / 17.0).collect();
    let labels: Vec<u8> = (0..x.len()).map(|i| (i / 5 % 2) as u8).collect();
    assert_eq!(model.prepare_training(batch, batch, false).unwrap(), (batch, true));
    model.load_patches(&x, &labels).unwrap();
    let sites: Vec<Site> = (0..batch as u32).map(|z| Site { z, ..Site::default() }).collect();
    let keys: Vec<u64> = (0..batch as u64).collect();
    let mut steps = |count: usize| {
        let before = BYTES.load(Ordering::Relaxed);
        for _ in 0..count {
            model.train_step(&sites, None, &keys, &[1.0, 1.0], [1e-3, 1.0]).unwrap();
        }
        BYTES.load(Ordering::Relaxed) - before
    };
    // Plans are prepared, and most threads' buffers grow to the largest piece of work that they will have.
    let first = steps(20);
    assert!(first > 1 << 20, "the counter does not count: {first} bytes");
    (0..WINDOWS).map(|_| steps(STEPS) / STEPS).min().unwrap_or(usize::MAX)
}

/// Bytes that a step may allocate: queues of the thread pool, and the keys as a device reads them. The smallest map of these
/// networks has 16 times as many.
const ALLOWED: usize = 2048;

#[test]
fn a_training_step_allocates_next_to_nothing() {
    let net = |norm, dropout_kind| UNet { width: 8, norm, dropout_kind, ..UNet::paper() };
    for (norm, kind) in [
        (Norm::Batch, DropoutKind::Channel),
        (Norm::Instance, DropoutKind::Channel),
        (Norm::Batch, DropoutKind::Element),
    ] {
        for batch in [1, 4] {
            let bytes = bytes_per_step(net(norm, kind), batch);
            println!("{norm:?}, {kind:?} dropout, batch {batch}: {bytes} bytes per step");
            assert!(bytes <= ALLOWED, "{norm:?}, {kind:?}, batch {batch}: {bytes} bytes per step");
        }
    }
}
