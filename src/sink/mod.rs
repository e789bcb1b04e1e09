//! Records to their destination.
