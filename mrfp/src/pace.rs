//! How fast a peer may go: token buckets. Pure: time is an argument, and what happens at the bound is for others. A
//! connection that is over its rate is not read for a while, so that its own socket pauses its sender and nothing is
//! lost; one that floods with bad requests is closed.
//!
//! A bucket is one point in time: the moment at which it would be full again. To take from it moves the point forward,
//! and what lies further ahead than the burst is a debt. So a bucket needs no ticks, and an idle one costs nothing.
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// So many in a second, and so many seconds' worth at once. A rate of 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What one costs, in picoseconds: fine enough for gigabytes in a second.
    each: u64,
    burst: Duration,
}

const PICOSECONDS: u64 = 1_000_000_000_000;

impl Rate {
    /// `per_second` tokens, of which `burst` seconds' worth may come at once.
    pub fn new(per_second: u64, burst: Duration) -> Self {
        let each = PICOSECONDS.checked_div(per_second).map_or(0, |each| each.max(1));
        Self { each, burst }
    }

    /// The same, so many times as fast.
    fn times(self, times: usize) -> Self {
        match u64::try_from(times) {
            Ok(times @ 2..) => Self { each: self.each.div_ceil(times), ..self },
            _ => self,
        }
    }

    fn cost(&self, tokens: u64) -> Duration {
        Duration::from_nanos(self.each.saturating_mul(tokens) / 1000)
    }
}

/// What one peer has left of a rate.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// When it is full again.
    full: Instant,
}

impl Bucket {
    /// A full one.
    pub fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Takes tokens, which always succeeds: they have been spent. How long until the debt is paid, if there is one.
    pub fn take(&mut self, rate: &Rate, tokens: u64, now: Instant) -> Option<Duration> {
        if rate.each == 0 || tokens == 0 {
            return None;
        }
        self.full = self.full.max(now) + rate.cost(tokens);
        let ahead = self.full.saturating_duration_since(now);
        ahead.checked_sub(rate.burst).filter(|debt| !debt.is_zero())
    }

    /// Takes one token if there is one.
    pub fn take_if_any(&mut self, rate: &Rate, now: Instant) -> bool {
        let before = *self;
        let debt = self.take(rate, 1, now);
        if debt.is_some() {
            *self = before;
        }
        debt.is_none()
    }

    fn is_full(&self, now: Instant) -> bool {
        self.full <= now
    }
}

/// How fast one connection may go.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Chunks, for each seat on the connection.
    pub chunks: Rate,
    /// Octets of MSRP.
    pub octets: Rate,
    /// Requests that are turned down.
    pub refused: Rate,
}

impl Rates {
    /// Rates in a second; 0 is no limit.
    pub fn new(chunks: u64, octets: u64, refused: u64) -> Self {
        Self {
            chunks: Rate::new(chunks, BURST),
            octets: Rate::new(octets, BURST),
            refused: Rate::new(refused, REFUSED_BURST),
        }
    }
}

/// A second's worth at once: a round trip and a look at the disk do not make a steady sender lose its rate.
const BURST: Duration = Duration::from_secs(1);

/// A sender whose file is turned down has megabytes of it on the way, in chunks of 2048 octets, and hears of it later.
const REFUSED_BURST: Duration = Duration::from_secs(20);

/// What one batch of input came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Chunks that began in it.
    pub chunks: u64,
    /// Octets of MSRP.
    pub octets: u64,
    /// Requests of it that were turned down.
    pub refused: u64,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Go,
    /// Do not read for so long.
    Rest(Duration, Bound),
    /// A flood of bad requests.
    Close,
}

/// Which rate was met; the label of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Chunks.
    Chunks,
    /// Octets.
    Octets,
}

impl Bound {
    /// The label of the counter.
    pub fn label(self) -> &'static str {
        match self {
            Self::Chunks => "chunks",
            Self::Octets => "octets",
        }
    }
}

/// The buckets of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    chunks: Bucket,
    octets: Bucket,
    refused: Bucket,
}

impl Pace {
    /// Full ones.
    pub fn new(now: Instant) -> Self {
        let bucket = Bucket::new(now);
        Self { chunks: bucket, octets: bucket, refused: bucket }
    }

    /// Charges a batch of input of a connection with so many seats.
    pub fn spend(&mut self, rates: &Rates, spent: Spent, seats: usize, now: Instant) -> Verdict {
        if self.refused.take(&rates.refused, spent.refused, now).is_some() {
            return Verdict::Close;
        }
        let chunks = self.chunks.take(&rates.chunks.times(seats), spent.chunks, now);
        let octets = self.octets.take(&rates.octets, spent.octets, now);
        match (chunks, octets) {
            (None, None) => Verdict::Go,
            (Some(chunks), octets) if octets.is_none_or(|octets| octets <= chunks) => {
                Verdict::Rest(chunks, Bound::Chunks)
            }
            (_, octets) => Verdict::Rest(octets.unwrap_or_default(), Bound::Octets),
        }
    }
}

/// Buckets by key, as many as the table holds.
#[derive(Debug)]
pub struct Table<K> {
    buckets: HashMap<K, Bucket>,
    rate: Rate,
    keys_max: usize,
}

impl<K: Eq + Hash> Table<K> {
    /// An empty table of at most `keys_max`.
    pub fn new(rate: Rate, keys_max: usize) -> Self {
        Self { buckets: HashMap::new(), rate, keys_max }
    }

    /// Takes a token of this key. A key for which there is no place, not even when all full buckets have been
    /// forgotten, is let through: this bound is about one peer, and other bounds are about all of them.
    pub fn take(&mut self, key: K, now: Instant) -> bool {
        if self.rate.each == 0 {
            return true;
        }
        if self.buckets.len() >= self.keys_max && !self.buckets.contains_key(&key) {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
            if self.buckets.len() >= self.keys_max {
                return true;
            }
        }
        self.buckets.entry(key).or_insert_with(|| Bucket::new(now)).take_if_any(&self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn now() -> Instant {
        service::clock::now()
    }

    #[test]
    fn a_burst_passes_and_what_comes_on_top_of_it_waits_for_the_rate() {
        let (start, rate) = (now(), Rate::new(100, SECOND));
        let mut bucket = Bucket::new(start);

        assert_eq!(bucket.take(&rate, 100, start), None);
        assert_eq!(bucket.take(&rate, 5, start), Some(50 * MS));
        assert_eq!(bucket.take(&rate, 0, start), None);
        assert_eq!(bucket.take(&rate, 1, start + 50 * MS), Some(10 * MS));
        assert_eq!(bucket.take(&rate, 1, start + 70 * MS), None);
        assert_eq!(bucket.take(&rate, 100, start + 60 * SECOND), None, "it is full again");
    }

    #[test]
    fn a_steady_sender_at_the_rate_never_waits() {
        let (start, rate) = (now(), Rate::new(1000, SECOND));
        let mut bucket = Bucket::new(start);

        for n in 0..10_000 {
            assert_eq!(bucket.take(&rate, 1, start + n * MS), None, "{n}");
        }
    }

    #[test]
    fn a_rate_of_nought_is_no_limit() {
        let (start, rate) = (now(), Rate::new(0, SECOND));

        assert_eq!(Bucket::new(start).take(&rate, u64::MAX, start), None);
        assert!(Table::new(rate, 0).take(1, start));
    }

    #[test]
    fn no_amount_makes_the_arithmetic_wrap() {
        let (start, rate) = (now(), Rate::new(1, SECOND));

        let debt = Bucket::new(start).take(&rate, u64::MAX, start);

        assert!(debt > Some(Duration::from_secs(3600)), "{debt:?}");
    }

    #[test]
    fn gigabytes_in_a_second_are_not_rounded_away() {
        let (start, rate) = (now(), Rate::new(10_000_000_000, SECOND));

        let debt = Bucket::new(start).take(&rate, 15_000_000_000, start).unwrap();

        assert_eq!(debt, 500 * MS);
    }

    #[test]
    fn of_two_bounds_that_are_met_the_longer_rest_counts() {
        let start = now();
        let rates = Rates::new(10, 1000, 0);
        let spend = |chunks, octets| {
            Pace::new(start).spend(&rates, Spent { chunks, octets, refused: 0 }, 1, start)
        };

        assert_eq!(spend(10, 1000), Verdict::Go);
        assert_eq!(spend(12, 1100), Verdict::Rest(200 * MS, Bound::Chunks));
        assert_eq!(spend(11, 1200), Verdict::Rest(200 * MS, Bound::Octets));
        assert_eq!(spend(0, 1200), Verdict::Rest(200 * MS, Bound::Octets));
    }

    #[test]
    fn each_seat_of_a_connection_brings_its_own_chunks() {
        let start = now();
        let rates = Rates::new(10, 0, 0);
        let spent = Spent { chunks: 20, ..Spent::default() };

        assert_eq!(Pace::new(start).spend(&rates, spent, 2, start), Verdict::Go);
        assert_eq!(
            Pace::new(start).spend(&rates, spent, 1, start),
            Verdict::Rest(SECOND, Bound::Chunks)
        );
    }

    #[test]
    fn megabytes_of_a_refused_file_are_no_flood_and_what_never_ends_is() {
        let start = now();
        let rates = Rates::new(0, 0, 200);
        let (mut pace, mut at) = (Pace::new(start), start);
        let in_flight = Spent { refused: 8 * 1024 * 1024 / 2048 - 96, ..Spent::default() };

        assert_eq!(pace.spend(&rates, in_flight, 1, at), Verdict::Go);
        let mut sent = 0;
        while pace.spend(&rates, Spent { refused: 1, ..Spent::default() }, 1, at) == Verdict::Go {
            at += MS;
            sent += 1;
        }

        assert!(sent < 100, "{sent} more");
    }

    #[test]
    fn a_full_table_forgets_who_has_been_quiet_and_grows_no_further() {
        let (start, rate) = (now(), Rate::new(1, 2 * SECOND));
        let mut table = Table::new(rate, 2);

        assert!(table.take(1, start) && table.take(1, start) && !table.take(1, start));
        assert!(table.take(2, start));
        assert!((0..5).all(|_| table.take(3, start)), "no place, no limit");
        assert_eq!(table.buckets.len(), 2);

        let later = start + 60 * SECOND;
        assert!(table.take(3, later) && table.take(3, later) && !table.take(3, later));
        assert_eq!(table.buckets.len(), 1);
    }
}
