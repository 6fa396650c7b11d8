//! The last few sections of a volume, kept in memory.
//!
//! Patches are drawn from sections again and again, and reading a section means opening and
//! decompressing a file. The cache holds a fixed number of sections and forgets the one
//! that was used longest ago.

use super::{Dtype, Grid, LabelVolume, Region, Section, Volume, check_block, check_rows};
use crate::Result;
use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One cached value; its own lock lets two threads wait for one reading instead of reading twice.
type Slot<T> = Arc<Mutex<Option<Arc<T>>>>;

/// At most `capacity` values by section, the least recently used forgotten first. Thread-safe.
#[derive(Debug)]
pub struct SectionCache<T> {
    capacity: usize,
    /// The most recently used at the back.
    slots: Mutex<VecDeque<(usize, Slot<T>)>>,
}

impl<T> SectionCache<T> {
    /// An empty cache for `capacity` sections (at least one).
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), slots: Mutex::new(VecDeque::new()) }
    }

    /// How many sections are kept at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The value of section `z`, from memory or by `load`.
    ///
    /// Several threads that ask for the same section wait for one `load`; different sections
    /// load at the same time. A failed `load` leaves nothing behind and may be tried again.
    pub fn get(&self, z: usize, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let slot = self.slot(z);
        let mut value = lock(&slot);
        if let Some(value) = &*value {
            return Ok(Arc::clone(value));
        }
        let loaded = Arc::new(load()?);
        *value = Some(Arc::clone(&loaded));
        Ok(loaded)
    }

    /// The slot of `z`, new or moved to the back.
    fn slot(&self, z: usize) -> Slot<T> {
        let mut slots = lock(&self.slots);
        let entry = match slots.iter().position(|(key, _)| *key == z) {
            Some(at) => slots.remove(at).unwrap_or_else(|| (z, Slot::default())),
            None => (z, Slot::default()),
        };
        let slot = Arc::clone(&entry.1);
        slots.push_back(entry);
        while slots.len() > self.capacity {
            slots.pop_front();
        }
        slot
    }
}

/// Locks, also after another thread panicked: a slot is either empty or whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A volume that keeps its last few sections in memory. Volumes stored in other blocks keep those themselves, and their
/// blocks are read past this cache.
///
/// Memory: `capacity * height * width * 4` bytes ([`Volume::memory_bytes`]), plus
/// sections that callers still hold or that are being read.
#[derive(Debug)]
pub struct CachedVolume<V> {
    volume: V,
    cache: SectionCache<Section>,
}

impl<V: Volume> CachedVolume<V> {
    /// Keeps at most `capacity` sections of `volume` (at least one).
    pub fn new(volume: V, capacity: usize) -> Self {
        let capacity = capacity.min(volume.shape()[0]);
        Self { volume, cache: SectionCache::new(capacity) }
    }

    /// Section `z`, shared instead of copied.
    pub fn section(&self, z: usize) -> Result<Arc<Section>> {
        self.cache.get(z, || self.volume.read_section(z))
    }

    /// Gives `take` the columns `x` of the rows `y` of a section, row by row, from where they lie in memory if they do.
    ///
    /// Errors: as [`Volume::read_block`].
    pub fn for_each_row(
        &self,
        z: usize,
        y: Range<usize>,
        x: Range<usize>,
        mut take: impl FnMut(&[f32]),
    ) -> Result<()> {
        let [_, height, width] = self.shape();
        let block = Region { z: z..z + 1, y, x };
        check_block(&block, self.shape())?;
        let mut take_from = |section: &[f32]| {
            block.y.clone().for_each(|y| take(&section[y * width..][block.x.clone()]));
        };
        if let Some(pixels) = self.volume.section_in_memory(z) {
            take_from(pixels);
        } else if self.chunk() == [1, height, width] {
            take_from(&self.section(z)?.pixels);
        } else {
            self.volume.read_block(&block)?.chunks(block.x.len()).for_each(take);
        }
        Ok(())
    }

    /// The volume behind the cache.
    pub fn inner(&self) -> &V {
        &self.volume
    }
}

impl<V: Volume> Volume for CachedVolume<V> {
    fn shape(&self) -> [usize; 3] {
        self.volume.shape()
    }
    fn dtype(&self) -> Dtype {
        self.volume.dtype()
    }
    fn read_section(&self, z: usize) -> Result<Section> {
        Ok(self.section(z)?.as_ref().clone())
    }
    fn chunk(&self) -> [usize; 3] {
        self.volume.chunk()
    }
    fn memory_bytes(&self) -> usize {
        let [_, height, width] = self.shape();
        let sections = if self.chunk() == [1, height, width] { self.cache.capacity() } else { 0 };
        sections * height * width * size_of::<f32>() + self.volume.memory_bytes()
    }
    fn read_block(&self, block: &Region) -> Result<Vec<f32>> {
        let [_, height, width] = self.shape();
        if self.chunk() != [1, height, width] {
            return self.volume.read_block(block);
        }
        check_block(block, self.shape())?;
        let mut pixels = Vec::with_capacity(block.z.len() * block.y.len() * block.x.len());
        for z in block.z.clone() {
            let section = self.section(z)?;
            for y in block.y.clone() {
                pixels.extend(&section.pixels[y * width..][block.x.clone()]);
            }
        }
        Ok(pixels)
    }
    fn section_in_memory(&self, z: usize) -> Option<&[f32]> {
        self.volume.section_in_memory(z)
    }
    fn section_name(&self, z: usize) -> String {
        self.volume.section_name(z)
    }
    fn section_number(&self, z: usize) -> Option<u64> {
        self.volume.section_number(z)
    }
    fn notes(&self) -> Vec<String> {
        self.volume.notes()
    }
    fn voxel_nm(&self) -> Option<[f64; 3]> {
        self.volume.voxel_nm()
    }
    fn section_file(&self, z: usize) -> Option<&Path> {
        self.volume.section_file(z)
    }
    fn grid(&self) -> Option<[Grid; 3]> {
        self.volume.grid()
    }
}

/// Labels that keep their last few sections in memory, one byte per pixel.
#[derive(Debug)]
pub struct CachedLabels {
    labels: LabelVolume,
    cache: SectionCache<Vec<u8>>,
}

impl CachedLabels {
    /// Keeps at most `capacity` sections of `labels` (at least one).
    pub fn new(labels: LabelVolume, capacity: usize) -> Self {
        let capacity = capacity.min(labels.shape()[0]);
        Self { labels, cache: SectionCache::new(capacity) }
    }

    /// The labels of section `z` as [`LabelVolume::read_labels`] gives them, shared.
    pub fn section(&self, z: usize) -> Result<Arc<Vec<u8>>> {
        self.cache.get(z, || self.labels.read_labels(z))
    }

    /// The labels of some rows of section `z` as [`LabelVolume::read_rows`] gives them. Sections that can only be read whole are read
    /// once for all of their rows; others are read past the cache.
    ///
    /// Errors: as there.
    pub fn read_rows(&self, z: usize, rows: Range<usize>) -> Result<Vec<u8>> {
        let [_, height, width] = self.labels.shape();
        let is_part = rows.start > 0 || rows.end < height;
        if is_part && self.labels.source().chunk()[1] >= height {
            check_rows(&rows, height)?;
            return Ok(self.section(z)?[rows.start * width..rows.end * width].to_vec());
        }
        self.labels.read_rows(z, rows)
    }

    /// Bytes of labels that the cache holds at most.
    pub fn memory_bytes(&self) -> usize {
        let [_, height, width] = self.labels.shape();
        self.cache.capacity() * height * width
    }

    /// The labels behind the cache.
    pub fn inner(&self) -> &LabelVolume {
        &self.labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn forgets_the_section_used_longest_ago() {
        let cache = SectionCache::new(2);
        let loads = AtomicUsize::new(0);
        let get = |z: usize| {
            let value = cache.get(z, || {
                loads.fetch_add(1, Ordering::Relaxed);
                Ok(z * 10)
            });
            assert_eq!(*value.unwrap(), z * 10);
        };
        get(0);
        get(1);
        get(0); // now 1 is the oldest
        get(2); // forgets 1
        get(0);
        assert_eq!(loads.load(Ordering::Relaxed), 3);
        get(1);
        assert_eq!(loads.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn threads_share_one_reading() {
        let cache = SectionCache::new(1);
        let loads = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let value = cache.get(3, || {
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        loads.fetch_add(1, Ordering::Relaxed);
                        Ok(7)
                    });
                    assert_eq!(*value.unwrap(), 7);
                });
            }
        });
        assert_eq!(loads.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_failed_reading_is_tried_again() {
        let cache = SectionCache::new(1);
        assert!(cache.get(0, || Err(Error::Input("torn".into()))).is_err());
        assert_eq!(*cache.get(0, || Ok(5)).unwrap(), 5);
    }
}
