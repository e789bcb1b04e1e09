//! Promises, kept by the real binary on real sockets and files.
