//! How many of a room are on each shard, so that a message need not ask every seat where it goes.
use super::Shards;

#[derive(Debug)]
pub(super) struct Crowd {
    counts: [u32; Shards::COUNT_MAX],
    /// Those whose count is not zero.
    shards: Shards,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { counts: [0; Shards::COUNT_MAX], shards: Shards::default() }
    }
}

impl Crowd {
    pub(super) fn come(&mut self, shard: usize) {
        if let Some(count) = self.counts.get_mut(shard % Shards::COUNT_MAX) {
            *count += 1;
            self.shards = self.shards.with(shard);
        }
    }

    pub(super) fn go(&mut self, shard: usize) {
        if let Some(count) = self.counts.get_mut(shard % Shards::COUNT_MAX) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.shards = self.shards.without(shard);
            }
        }
    }

    /// Where somebody is.
    pub(super) fn shards(&self) -> Shards {
        self.shards
    }
}
