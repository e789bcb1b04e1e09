//! What the fuzz targets hold, on the inputs that are stored: seeds, and every case that once did not hold.

#[expect(
    unreachable_pub,
    clippy::panic,
    reason = "a library where it is the package of the fuzz targets, which fail by panics"
)]
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[test]
fn every_stored_input_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut size = 0;
    for (name, check) in fuzz::ALL {
        let inputs: Vec<_> =
            fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "`{name}` has no inputs");
        for input in inputs {
            let bytes = fs::read(&input).unwrap();
            size += bytes.len();
            assert!(catch_unwind(|| check(&bytes)).is_ok(), "{}", input.display());
        }
    }
    assert!(size < 1 << 20, "{size} bytes are too many to store");
}

#[test]
fn every_target_has_its_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut targets: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    targets.sort();
    let mut checks = fuzz::ALL.map(|(name, _)| name);
    checks.sort_unstable();
    assert_eq!(targets, checks);
}
