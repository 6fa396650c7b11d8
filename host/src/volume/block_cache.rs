//! Decoded blocks of chunked volumes, kept while they fit a number of bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Result;

/// Blocks by number, the least recently used forgotten first. Thread-safe.
#[derive(Debug)]
pub(super) struct BlockCache {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blocks: HashMap<u64, (Arc<Vec<u8>>, u64)>,
    /// Blocks by when they were used last.
    order: BTreeMap<u64, u64>,
    bytes: usize,
    /// Grows with each use.
    now: u64,
}

impl BlockCache {
    /// Keeps at most `limit` bytes, and always the latest block.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// A block, from memory or by `load`. Threads that miss the same block at the same time load it each.
    pub(super) fn get(
        &self,
        block: u64,
        load: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Arc<Vec<u8>>> {
        if let Some(bytes) = self.lock(|state| state.find(block)) {
            return Ok(bytes);
        }
        let bytes = Arc::new(load()?);
        self.lock(|state| state.insert(block, &bytes, self.limit));
        Ok(bytes)
    }

    fn lock<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn find(&mut self, block: u64) -> Option<Arc<Vec<u8>>> {
        self.now += 1;
        let (bytes, used) = self.blocks.get_mut(&block)?;
        self.order.remove(used);
        self.order.insert(self.now, block);
        *used = self.now;
        Some(Arc::clone(bytes))
    }

    fn insert(&mut self, block: u64, bytes: &Arc<Vec<u8>>, limit: usize) {
        self.now += 1;
        if let Some((old, used)) = self.blocks.insert(block, (Arc::clone(bytes), self.now)) {
            self.order.remove(&used);
            self.bytes -= old.len();
        }
        self.order.insert(self.now, block);
        self.bytes += bytes.len();
        while self.bytes > limit && self.blocks.len() > 1 {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some((bytes, _)) = self.blocks.remove(&oldest) {
                self.bytes -= bytes.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn forgets_the_block_used_longest_ago() {
        let cache = BlockCache::new(25);
        let loads = Cell::new(0);
        let get = |block: u64| {
            let load = || {
                loads.set(loads.get() + 1);
                Ok(vec![block as u8; 10])
            };
            assert_eq!(cache.get(block, load).unwrap()[9], block as u8);
            loads.get()
        };
        assert_eq!([get(1), get(2), get(1), get(3), get(1), get(2)], [1, 2, 2, 3, 3, 4]);
    }

    #[test]
    fn a_block_beyond_the_limit_is_handed_out_all_the_same() {
        let cache = BlockCache::new(5);
        assert_eq!(cache.get(0, || Ok(vec![1; 10])).unwrap().len(), 10);
        assert_eq!(cache.get(1, || Ok(vec![1; 3])).unwrap().len(), 3);
        assert_eq!(cache.get(1, || panic!("it is there")).unwrap().len(), 3);
    }
}
