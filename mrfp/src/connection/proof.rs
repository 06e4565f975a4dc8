//! What the certificate of a peer has proved on a connection: its chain is looked at once, however many requests come
//! and whatever names they give. How a chain or a name is checked is for `service::tls`. A certificate that ends while
//! its connection stands proves what it did, as TLS has it.

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Whether the chain leads to a root of ours.
    chain: Option<bool>,
    /// The last name that was asked about.
    name: Option<(String, bool)>,
}

impl Proof {
    /// Whether the peer has proved a name.
    pub(super) fn proves(
        &mut self,
        name: &str,
        chain: impl FnOnce() -> bool,
        names: impl FnOnce() -> bool,
    ) -> bool {
        if !*self.chain.get_or_insert_with(chain) {
            return false;
        }
        match &self.name {
            Some((known, proved)) if known.eq_ignore_ascii_case(name) => *proved,
            _ => {
                let proved = names();
                self.name = Some((name.to_owned(), proved));
                proved
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn m4976_17_a_chain_is_checked_once_on_a_connection_and_each_name_against_it() {
        let (chains, names) = (Cell::new(0), Cell::new(0));
        let ask = |proof: &mut Proof, name: &str, good: bool| {
            let count = |cell: &Cell<u32>| cell.update(|n| n + 1);
            let chain = || {
                count(&chains);
                good
            };
            let named = || {
                count(&names);
                name.eq_ignore_ascii_case("r1.example")
            };
            proof.proves(name, chain, named)
        };
        let (mut proof, mut stranger) = (Proof::default(), Proof::default());

        let asked = ["r1.example", "R1.example", "r2.example", "r1.example"];
        assert_eq!(asked.map(|name| ask(&mut proof, name, true)), [true, true, false, true]);
        assert_eq!((chains.get(), names.get()), (1, 3));
        assert_eq!(asked.map(|name| ask(&mut stranger, name, false)), [false; 4]);
        assert_eq!((chains.get(), names.get()), (2, 3));
    }
}
