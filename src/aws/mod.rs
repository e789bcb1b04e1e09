//! The one place that builds an SDK client.
