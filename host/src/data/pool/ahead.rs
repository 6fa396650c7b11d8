//! Patches that are read while a device computes.

use std::ops::Deref;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use super::{PatchReader, Position};
use crate::error::{Error, Result};

/// Batches that wait to be taken.
pub const AHEAD: usize = 4;

/// Scaled pixels of patches, one after another. Once dropped, their memory holds a later batch.
#[derive(Debug)]
pub struct Pixels {
    values: Vec<f32>,
    back: Sender<Vec<f32>>,
}

impl Deref for Pixels {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl Drop for Pixels {
    fn drop(&mut self) {
        // Nobody takes it once the last batch is read.
        let _ = self.back.send(std::mem::take(&mut self.values));
    }
}

/// A batch that was read.
#[derive(Debug)]
pub struct Batch<T> {
    /// What it was asked for with.
    pub tag: T,
    /// Its patches.
    pub positions: Vec<Position>,
    /// Their pixels.
    pub x: Pixels,
}

/// Reads batches of patches of a data set, which has a reader for each of its volumes, by so many threads while `work` takes them, in the order of `batches`. The threads share the patches of one
/// batch, so that no more sections are in use than where one thread reads. An error is that of the first patch that can't be read, and
/// the last thing that comes.
///
/// Memory: [`AHEAD`] batches, the one that is read, and those that `work` holds.
///
/// # Errors
/// What `work` says, or that no thread can be started.
pub fn read_ahead<T: Send, R>(
    readers: &[PatchReader],
    patch: usize,
    threads: usize,
    batches: impl Iterator<Item = (T, Vec<Position>)> + Send,
    work: impl FnOnce(Receiver<Result<Batch<T>>>) -> Result<R>,
) -> Result<R> {
    let read = |(_, positions): &(T, Vec<Position>), values: &mut Vec<f32>| {
        read_batch(readers, patch, positions, values)
    };
    let batch_of = |((tag, positions), x)| Batch { tag, positions, x };
    read_each_ahead(threads, batches, read, batch_of, work)
}

/// A window of a section, as [`PatchReader::read_window_to`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Section.
    pub z: usize,
    /// First row and column, which may lie outside of the volume.
    pub corner: [isize; 2],
    /// Rows and columns.
    pub shape: [usize; 2],
}

/// Reads windows while `work` takes them, in their order, as [`read_ahead`] reads batches.
///
/// # Errors
/// As there.
pub fn read_windows_ahead<R>(
    reader: &PatchReader,
    windows: impl Iterator<Item = Window> + Send,
    work: impl FnOnce(Receiver<Result<(Window, Pixels)>>) -> Result<R>,
) -> Result<R> {
    let read = |window: &Window, values: &mut Vec<f32>| {
        let [height, width] = window.shape;
        values.resize(reader.sections() * height * width, 0.0);
        reader.read_window_to(window.z, window.corner, window.shape, values)
    };
    read_each_ahead(1, windows, read, |taken| taken, work)
}

/// Does each of `jobs` with `read` by so many threads, and gives `work` what `made` makes of the pixels.
fn read_each_ahead<J: Send, M: Send, R>(
    threads: usize,
    jobs: impl Iterator<Item = J> + Send,
    read: impl Fn(&J, &mut Vec<f32>) -> Result<()> + Send,
    made: impl Fn((J, Pixels)) -> M + Send,
    work: impl FnOnce(Receiver<Result<M>>) -> Result<R>,
) -> Result<R> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(|i| format!("reader {i}"))
        .build()
        .map_err(|e| Error::Device(format!("threads that read can't be started: {e}")))?;
    let (send, taken) = sync_channel(AHEAD);
    // The reading ends when nobody takes the batches.
    pool.in_place_scope(|scope| {
        scope.spawn(move |_| {
            let (back, spare) = channel();
            for job in jobs {
                let mut values = spare.try_recv().unwrap_or_default();
                let done = read(&job, &mut values);
                let failed = done.is_err();
                let x = Pixels { values, back: back.clone() };
                if send.send(done.map(|()| made((job, x)))).is_err() || failed {
                    return;
                }
            }
        });
        work(taken)
    })
}

/// Reads patches by all threads of the pool that calls it, each of which takes the next patch.
fn read_batch(
    readers: &[PatchReader],
    patch: usize,
    positions: &[Position],
    values: &mut Vec<f32>,
) -> Result<()> {
    // All are read with as many neighbouring sections.
    let len = readers.first().map_or(0, |reader| reader.sample_len(patch));
    values.resize(positions.len() * len, 0.0);
    let patches = values.chunks_mut(len).zip(positions).enumerate();
    let failed = patches.par_bridge().filter_map(|(number, (to, &at))| {
        readers[at.volume].read_to(at, patch, to).err().map(|error| (number, error))
    });
    failed.min_by_key(|&(number, _)| number).map_or(Ok(()), |(_, error)| Err(error))
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::data::pool::{Region, Scaling};
    use crate::data::volume::{ArrayVolume, Dtype, Section, Volume};

    const SHAPE: [usize; 3] = [6, 20, 24];
    const PATCH: usize = 8;

    /// Sections in a file that ends before section `end`.
    struct Torn {
        whole: ArrayVolume,
        end: usize,
        read: AtomicUsize,
    }

    impl Volume for Torn {
        fn shape(&self) -> [usize; 3] {
            self.whole.shape()
        }

        fn dtype(&self) -> Dtype {
            self.whole.dtype()
        }

        fn read_section(&self, z: usize) -> Result<Section> {
            self.read.fetch_add(1, Ordering::Relaxed);
            if z < self.end {
                return self.whole.read_section(z);
            }
            // The first takes longest to fail.
            std::thread::sleep(Duration::from_millis(10 * (SHAPE[0] - z) as u64));
            Err(Error::Input(format!("section {z} is torn")))
        }
    }

    fn torn(end: usize) -> Arc<Torn> {
        let pixels: Vec<f32> = (0..SHAPE.iter().product()).map(|i| (i % 251) as f32).collect();
        let whole = ArrayVolume::new(SHAPE, pixels).unwrap();
        Arc::new(Torn { whole, end, read: AtomicUsize::new(0) })
    }

    fn reader_of(volume: Arc<dyn Volume>) -> PatchReader {
        let region = Region::whole(volume.shape());
        PatchReader::new(volume, region, Scaling { mean: 100.0, deviation: 37.0 })
    }

    /// Six patches of each section, in batches of five.
    fn batches() -> impl Iterator<Item = (usize, Vec<Position>)> + Send {
        let positions: Vec<Position> = (0..6 * SHAPE[0])
            .map(|i| Position { volume: 0, z: i / 6, y: i % 6 * 2, x: 16 - i % 6 * 3 })
            .collect();
        let batches: Vec<_> = positions.chunks(5).map(<[Position]>::to_vec).collect();
        batches.into_iter().enumerate()
    }

    /// All that comes of it; what comes last if that is an error.
    fn read_all(reader: &PatchReader, threads: usize) -> (Vec<f32>, Option<String>) {
        let mut all = Vec::new();
        let work = |taken: Receiver<Result<Batch<usize>>>| {
            for (number, batch) in taken.iter().enumerate() {
                let batch = batch?;
                assert_eq!(batch.tag, number);
                all.extend_from_slice(&batch.x);
            }
            Ok(())
        };
        let error = read_ahead(from_ref(reader), PATCH, threads, batches(), work).err();
        (all, error.map(|error| error.to_string()))
    }

    #[test]
    fn several_threads_read_what_one_reads() {
        let volume = torn(SHAPE[0]);
        let reader = reader_of(volume.clone());
        let mut want = Vec::new();
        for at in batches().flat_map(|(_, positions)| positions) {
            reader.read(at, PATCH, &mut want).unwrap();
            let (value, pixel) = (want[want.len() - 1], (at.z * 20 + at.y + 7) * 24 + at.x + 7);
            assert_eq!(value, (((pixel % 251) as f64 - 100.0) / 37.0) as f32);
        }
        for threads in [1, 2, 5] {
            volume.read.store(0, Ordering::Relaxed);
            let (found, error) = read_all(&reader, threads);
            assert_eq!(error, None);
            assert!(found.iter().map(|v| v.to_bits()).eq(want.iter().map(|v| v.to_bits())));
            // No section is forgotten while a thread still reads patches of it.
            assert!(
                volume.read.load(Ordering::Relaxed) <= SHAPE[0],
                "{volume:?} {threads}",
                volume = volume.read
            );
        }
        // Where pixels lie in memory they are read there.
        assert_eq!(read_all(&reader_of(Arc::new(volume.whole.clone())), 3).0, want);
    }

    #[test]
    fn the_first_patch_that_cannot_be_read_ends_it() {
        for threads in [1, 2, 4] {
            let volume = torn(3);
            let (found, error) = read_all(&reader_of(volume.clone()), threads);
            // 18 patches can be read; the fourth batch has the next.
            assert_eq!(found.len(), 15 * PATCH * PATCH);
            assert!(error.unwrap().contains("section 3 is torn"));
            assert!(volume.read.load(Ordering::Relaxed) <= 5, "a later batch was read");
        }
        let several = [0, 3, 4, 5].map(|z| Position { volume: 0, z, y: 0, x: 0 });
        let batches = [((), several.to_vec())].into_iter();
        let failed = read_ahead(&[reader_of(torn(3))], PATCH, 4, batches, |taken| {
            taken.iter().try_for_each(|batch| batch.map(drop))
        });
        assert!(failed.unwrap_err().to_string().contains("section 3 is torn"));
    }

    #[test]
    fn reading_stays_a_few_batches_ahead() {
        let asked = AtomicUsize::new(0);
        let many = (0..100).map(|i| {
            asked.fetch_add(1, Ordering::Relaxed);
            (i, vec![Position { volume: 0, z: i % 6, y: 0, x: 0 }; 3])
        });
        let reader = reader_of(torn(SHAPE[0]));
        let taken = read_ahead(&[reader], PATCH, 2, many, |taken| {
            let mut places = std::collections::BTreeSet::new();
            for batch in taken.iter().take(50) {
                let batch = batch?;
                places.insert(batch.x.as_ptr() as usize);
                std::thread::sleep(Duration::from_millis(1));
                let ahead = asked.load(Ordering::Relaxed) - batch.tag;
                // Those that wait, the one that waits to wait, and this one.
                assert!(ahead <= AHEAD + 2, "{ahead}");
            }
            Ok(places.len())
        });
        // Memory is used again, and what nobody takes is not read.
        assert!(taken.unwrap() <= AHEAD + 3);
        assert!(asked.into_inner() <= 50 + AHEAD + 2);
    }
}
