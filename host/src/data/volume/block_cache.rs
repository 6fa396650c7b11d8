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
    /// Held by the thread that loads a block.
    loading: HashMap<u64, Arc<Mutex<()>>>,
    /// Grows with each use.
    now: u64,
}

impl BlockCache {
    /// Keeps at most `limit` bytes, and always the latest block.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// A block, from memory or by `load`. Threads that miss the same block at the same time wait for one `load`; different blocks load
    /// at the same time.
    pub(super) fn get(
        &self,
        block: u64,
        load: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Arc<Vec<u8>>> {
        let find = |state: &mut State| match state.find(block) {
            Some(bytes) => Ok(bytes),
            None => Err(Arc::clone(state.loading.entry(block).or_default())),
        };
        let turn = match self.lock(find) {
            Ok(bytes) => return Ok(bytes),
            Err(turn) => turn,
        };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have loaded it, or failed to.
        if let Some(bytes) = self.lock(|state| state.find(block)) {
            return Ok(bytes);
        }
        let loaded = load().map(Arc::new);
        self.lock(|state| {
            state.loading.remove(&block);
            if let Ok(bytes) = &loaded {
                state.insert(block, bytes, self.limit);
            }
        });
        loaded
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
    fn threads_share_one_loading() {
        let (cache, loads) = (BlockCache::new(100), std::sync::atomic::AtomicUsize::new(0));
        let load = || {
            loads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(20));
            Ok(vec![3; 10])
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(*cache.get(7, load).unwrap(), [3; 10]));
            }
        });
        assert_eq!(loads.into_inner(), 1);
        // One that failed is tried again.
        assert!(cache.get(8, || Err(crate::Error::Input("torn".into()))).is_err());
        assert_eq!(*cache.get(8, || Ok(vec![1])).unwrap(), [1]);
        assert!(cache.lock(|state| state.loading.is_empty()));
    }

    #[test]
    fn a_block_beyond_the_limit_is_handed_out_all_the_same() {
        let cache = BlockCache::new(5);
        assert_eq!(cache.get(0, || Ok(vec![1; 10])).unwrap().len(), 10);
        assert_eq!(cache.get(1, || Ok(vec![1; 3])).unwrap().len(), 3);
        assert_eq!(cache.get(1, || panic!("it is there")).unwrap().len(), 3);
    }
}
