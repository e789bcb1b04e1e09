//! Which files begin how: whom a new one may be a copy of, without a look at all that are known.

use std::collections::{BTreeMap, BTreeSet};

use super::position::Fingerprint;

/// Things by the first bytes they have.
pub(super) struct HeadIndex<T> {
    heads: BTreeSet<(Fingerprint, T)>,
    /// How many there are of each length: a new file is hashed once for each.
    lens: BTreeMap<u16, usize>,
}

impl<T> Default for HeadIndex<T> {
    fn default() -> Self {
        Self { heads: BTreeSet::new(), lens: BTreeMap::new() }
    }
}

impl<T: Copy + Ord> HeadIndex<T> {
    /// Notes how something begins, unless nothing is known of that.
    pub(super) fn insert(&mut self, head: Fingerprint, what: T) {
        if !head.is_empty() && self.heads.insert((head, what)) {
            let count = self.lens.entry(head.len).or_default();
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn remove(&mut self, head: Fingerprint, what: T) {
        if self.heads.remove(&(head, what))
            && let Some(count) = self.lens.get_mut(&head.len)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.lens.remove(&head.len);
            }
        }
    }

    /// What begins as a file does whose first bytes `of_len` hashes: the latest of each beginning, a bounded number.
    pub(super) fn alike(&self, mut of_len: impl FnMut(u16) -> Option<Fingerprint>) -> Vec<T>
    where
        T: Bounds,
    {
        let mut alike = Vec::new();
        for len in self.lens.keys() {
            let Some(head) = of_len(*len) else { break };
            let same = self.heads.range((head, T::LEAST)..=(head, T::MOST)).rev();
            alike.extend(same.take(MOST_ALIKE).map(|(_, what)| *what));
        }
        alike
    }
}

/// The least and the greatest value of what can be looked up.
pub(super) trait Bounds {
    const LEAST: Self;
    const MOST: Self;
}

/// Where more files begin alike, they have a banner in common, and most are no copies. Each costs a read to tell.
const MOST_ALIKE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    impl Bounds for u8 {
        const LEAST: Self = Self::MIN;
        const MOST: Self = Self::MAX;
    }

    #[test]
    fn what_begins_alike_is_found_at_whatever_length_it_was_known() {
        let text = b"the first line of all\n";
        let of_len = |len: u16| text.get(..usize::from(len)).map(Fingerprint::of_start);
        let mut heads = HeadIndex::<u8>::default();
        heads.insert(of_len(3).unwrap(), 1);
        heads.insert(of_len(9).unwrap(), 2);
        heads.insert(of_len(9).unwrap(), 3);
        heads.insert(Fingerprint::of_start(b"another"), 4);
        heads.insert(Fingerprint::of_start(&[b'x'; 100]), 5);
        heads.insert(Fingerprint::default(), 6);
        assert_eq!(heads.alike(of_len), [1, 3, 2]);
        heads.remove(of_len(9).unwrap(), 3);
        heads.remove(of_len(3).unwrap(), 3);
        assert_eq!(heads.alike(of_len), [1, 2]);
        heads.remove(of_len(3).unwrap(), 1);
        assert_eq!((heads.alike(of_len), heads.lens.len()), (vec![2], 3));
    }
}
