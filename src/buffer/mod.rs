//! Records waiting for their sink.
