//! What is kept until it is dealt with, in its order: a device that is stopped in between finds it when it comes back. What
//! it is, and when it is dealt with, whoever keeps it knows.
use mls::storage::{Octets, Records};

/// Something that is kept until it is dealt with. Dropped before, it is there again when the device comes back.
#[derive(Debug)]
#[must_use]
pub(crate) struct Kept {
    records: Records,
    names: Vec<Vec<u8>>,
}

impl Kept {
    /// It is dealt with. That is forgotten with the next transaction: nothing depends on it.
    pub(crate) fn done(self) {
        self.names.iter().for_each(|name| self.records.forget_lazily(name));
    }

    /// Two parts of one thing.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        self
    }
}

/// Things of one kind.
#[derive(Debug)]
pub(crate) struct Row {
    records: Records,
    prefix: Vec<u8>,
    /// Of the next one.
    number: u64,
}

impl Row {
    /// Those whose names begin so, and what there is of them.
    pub(crate) fn open(records: &Records, prefix: Vec<u8>) -> (Self, Vec<(Kept, Octets)>) {
        let (mut row, mut all) = (Self { records: records.clone(), prefix, number: 0 }, Vec::new());
        for (name, value) in records.noted_under(&row.prefix) {
            let number = name.get(row.prefix.len()..).and_then(|end| end.try_into().ok());
            let Some(number) = number.map(u64::from_be_bytes) else { continue };
            row.number = number.saturating_add(1);
            all.push((Kept { records: records.clone(), names: vec![name] }, value));
        }
        (row, all)
    }

    /// Keeps this behind the others. It is on the disk after the vault's next commit.
    pub(crate) fn keep(&mut self, value: Vec<u8>) -> Kept {
        let name = [&*self.prefix, &self.number.to_be_bytes()].concat();
        self.number += 1;
        self.records.note(&name, value);
        Kept { records: self.records.clone(), names: vec![name] }
    }
}
