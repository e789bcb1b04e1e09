//! How the C library's allocator treats large blocks.

/// Blocks of this size and more go back to the system when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 256 * 1024;

/// Has large blocks given back to the system when they are freed, whatever was allocated before.
///
/// By itself, glibc raises its threshold to the largest block that was freed so far, up to 32 MiB; from then on such blocks come from
/// heaps, one or more for each thread, that keep what is freed
/// (<https://man7.org/linux/man-pages/man3/mallopt.3.html>, `M_MMAP_THRESHOLD`). Elsewhere, this does nothing.
pub fn return_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: `mallopt` takes two numbers and changes settings of the allocator under its own lock; it may be called at any time.
        // A setting that it refuses stays as it is.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    }
}
