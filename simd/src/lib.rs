//! Wide instructions behind safe functions, chosen by what the CPU has; and what the memory of a program is made of: a setting of the
//! allocator, and the pages of the code.
//!
//! This is the one crate of standpipe with `unsafe` in it. A function that may use wide instructions must only be called on a CPU that
//! has them; the compiler cannot see that a check was made, so each such call is `unsafe`, and says why it is right.

mod code;
mod grammar;
mod heap;
mod sha256;
mod specials;
mod tokens;

pub use code::give_back_code;
pub use grammar::{JsonMarks, JsonScan, gather, parity, scan_json};
pub use heap::return_large_blocks;
pub use sha256::{EightLanes, Sha256Digest, SixteenLanes};
pub use specials::{BLOCK, BlockScan, Specials, scan};
pub use tokens::{TokenMarks, TokenScan, WINDOW, scan_tokens};

/// Whether the CPU hashes by instructions of its own.
#[must_use]
pub fn has_sha_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("sha");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// Whether the CPU has registers of 256 bits, and what else the functions for them are compiled with.
fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Whether [`scan_json`] has registers of 512 bits: without them it is slower than to look at each string by itself where strings are short.
#[must_use]
pub fn scans_json_widely() -> bool {
    has_avx512()
}

/// Whether the CPU has registers of 512 bits, and what else the functions for them are compiled with. Asked for each line of some logs:
/// the answer is remembered as one.
#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    static KNOWN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *KNOWN.get_or_init(|| {
        has_avx2()
            && std::arch::is_x86_feature_detected!("popcnt")
            && std::arch::is_x86_feature_detected!("pclmulqdq")
            && std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512cd")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
    })
}

#[cfg(not(target_arch = "x86_64"))]
const fn has_avx512() -> bool {
    false
}
