//! Promises of the policy engine.
