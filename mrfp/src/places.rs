//! The places of connections that have no seat yet: how many there may be, in all and of one address, and who makes room
//! when all are taken. It closes nothing: whoever is to make room is named, and its shard ends it.
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::pair::Spot;

/// The places of one relay.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    per_address_max: usize,
    taken: Arc<Mutex<Taken>>,
}

/// Who has a place.
#[derive(Debug, Default)]
struct Taken {
    last: u64,
    count: usize,
    /// The places of each address, the oldest first, and where they are served as soon as they are.
    holders: HashMap<IpAddr, BTreeMap<u64, Option<Spot>>>,
}

impl Places {
    pub(crate) fn new(max: usize, per_address_max: usize) -> Self {
        Self { max, per_address_max, taken: Arc::default() }
    }

    /// A place, or the bound that was met. When all are taken, the address that holds most gives up its oldest for one
    /// that holds fewer: so whoever fills them keeps out only itself.
    pub(crate) fn take(&self, address: IpAddr) -> Result<Taking, &'static str> {
        let mut taken = lock(&self.taken);
        let held = taken.holders.get(&address).map_or(0, BTreeMap::len);
        if held >= self.per_address_max {
            return Err("half_open_address");
        }
        let full = taken.count >= self.max;
        let evicted = match full {
            true => Some(taken.evict(held).ok_or("half_open")?),
            false => None,
        };
        taken.last += 1;
        taken.count += 1;
        let number = taken.last;
        taken.holders.entry(address).or_default().insert(number, None);
        drop(taken);
        let place = Place { taken: Arc::clone(&self.taken), address, number };
        Ok(Taking { place, evicted })
    }

    /// How many are taken.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        lock(&self.taken).count
    }
}

/// A place, and what it took.
#[derive(Debug)]
pub(crate) struct Taking {
    pub(crate) place: Place,
    /// Somebody lost theirs for it. Where it is not served yet, it learns of it from [`Place::serve_at`].
    pub(crate) evicted: Option<Option<Spot>>,
}

impl Taken {
    /// Takes its oldest place from the address that holds most, unless that is no more than `held`.
    fn evict(&mut self, held: usize) -> Option<Option<Spot>> {
        let oldest = |places: &BTreeMap<u64, _>| places.keys().next().copied();
        let most = self.holders.iter().max_by_key(|(_, p)| (p.len(), Reverse(oldest(p))));
        let (address, places) = most.filter(|(_, places)| places.len() > held)?;
        let (address, number) = (*address, oldest(places)?);
        self.remove(address, number)
    }

    /// Where it was served, if it was still there.
    fn remove(&mut self, address: IpAddr, number: u64) -> Option<Option<Spot>> {
        let places = self.holders.get_mut(&address)?;
        let spot = places.remove(&number)?;
        if places.is_empty() {
            self.holders.remove(&address);
        }
        self.count -= 1;
        Some(spot)
    }
}

/// One connection's place. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Arc<Mutex<Taken>>,
    address: IpAddr,
    number: u64,
}

impl Place {
    /// Its connection is served here from now on. False if it has lost its place before.
    pub(crate) fn serve_at(&self, spot: Spot) -> bool {
        let mut taken = lock(&self.taken);
        let places = taken.holders.get_mut(&self.address);
        let place = places.and_then(|places| places.get_mut(&self.number));
        place.map(|place| *place = Some(spot)).is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.taken).remove(self.address, self.number);
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// A place that is served as the connection of this number.
    fn served(places: &Places, address: IpAddr, connection: u64) -> Place {
        let place = places.take(address).unwrap().place;
        assert!(place.serve_at(Spot { shard: 0, connection }));
        place
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let places = Places::new(10, 2);
        let first = places.take(address(1)).unwrap();
        let _second = places.take(address(1)).unwrap();

        assert_eq!(places.take(address(1)).unwrap_err(), "half_open_address");
        assert!(places.take(address(2)).is_ok());
        drop(first);
        assert!(places.take(address(1)).is_ok());
        assert_eq!(places.count(), 1);
    }

    #[test]
    fn the_oldest_of_the_address_that_holds_most_makes_room_for_another() {
        let places = Places::new(4, 10);
        let lonely = served(&places, address(1), 1);
        let greedy: Vec<_> = (2..5).map(|n| served(&places, address(2), n)).collect();

        let taking = places.take(address(3)).unwrap();

        assert_eq!(taking.evicted, Some(Some(Spot { shard: 0, connection: 2 })));
        assert_eq!(places.count(), 4);
        assert!(lonely.serve_at(Spot { shard: 1, connection: 1 }));
        drop(greedy);
        assert_eq!(places.count(), 2, "what was lost is not given back twice");
    }

    #[test]
    fn who_holds_most_gets_nobody_elses_place_when_all_are_taken() {
        let places = Places::new(3, 10);
        let _all = [1, 2, 2].map(|last| places.take(address(last)).unwrap().place);

        assert_eq!(places.take(address(2)).unwrap_err(), "half_open");
        assert_eq!(places.count(), 3);
    }

    #[test]
    fn who_lost_its_place_before_it_was_served_learns_of_it() {
        let places = Places::new(1, 1);
        let waiting = places.take(address(1)).unwrap();

        let taking = places.take(address(2)).unwrap();

        assert_eq!(taking.evicted, Some(None));
        assert!(!waiting.place.serve_at(Spot { shard: 0, connection: 1 }));
    }
}
