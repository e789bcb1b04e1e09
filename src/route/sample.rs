//! A share of all events, chosen by their ids: of one event, whenever it comes, the same becomes. Pure.

/// A share of all events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SampleShare {
    /// The greatest hash of an id that is chosen.
    most: u64,
}

impl SampleShare {
    /// The share, above 0 and up to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is beyond the range becomes its end"
    )]
    pub(super) fn new(share: f64) -> Self {
        Self { most: (share * TWO_TO_64) as u64 }
    }

    /// Whether an event is chosen whose id has this hash.
    pub(super) const fn has(self, hash: u64) -> bool {
        hash <= self.most
    }
}

const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

/// The hash of an id that samples are chosen by. It is the same on every host and in every version.
#[must_use]
pub fn sample_hash(id: &[u8]) -> u64 {
    let (words, rest) = id.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let mut hash = (id.len() as u64).wrapping_mul(ODD);
    for word in words.iter().chain(std::iter::once(&last)) {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
        hash ^= hash >> 29;
    }
    // As MurmurHash3 ends: each bit of the input changes each of the result in half of all cases.
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

/// The golden ratio of 2⁶⁴.
const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_stays_from_version_to_version() {
        for (id, hash) in HASHES {
            assert_eq!(sample_hash(id.as_bytes()), hash, "{id}: {:#x}", sample_hash(id.as_bytes()));
        }
    }

    const HASHES: [(&str, u64); 3] = [
        ("", 0x0000_0000_0000_0000),
        ("6f1e0c7b2d9a4e58-1048576", 0xED46_4872_9E29_4FEA),
        ("event", 0xBDF4_BD6F_12D9_8E39),
    ];

    proptest::proptest! {
        #[test]
        fn a_sample_of_ids_that_differ_little_is_as_large_as_it_is_to_be(
            share in 0.01_f64..=1.0,
            unit in proptest::prelude::any::<u64>(),
            step in 1_u64..500,
        ) {
            const IDS: u32 = 20_000;
            let sample = SampleShare::new(share);
            let ids = (0..IDS).map(|number| format!("{unit:016x}-{}", u64::from(number) * step));
            let chosen = ids.filter(|id| sample.has(sample_hash(id.as_bytes()))).count();
            let (expected, ids) = (share * f64::from(IDS), f64::from(IDS));
            let chosen = f64::from(u32::try_from(chosen).unwrap());
            // Six standard deviations, and one for what is less than one.
            let most = 6.0 * (ids * share * (1.0 - share)).sqrt() + 1.0;
            proptest::prop_assert!((chosen - expected).abs() <= most, "{chosen} of {expected}");
        }

        #[test]
        fn a_larger_sample_holds_all_of_a_smaller_one(
            hash in proptest::prelude::any::<u64>(),
            share in 0.0_f64..1.0,
            more in 0.0_f64..1.0,
        ) {
            let larger = share + more * (1.0 - share);
            proptest::prop_assert!(!SampleShare::new(share).has(hash) || SampleShare::new(larger).has(hash));
            proptest::prop_assert!(SampleShare::new(1.0).has(hash));
        }
    }
}
