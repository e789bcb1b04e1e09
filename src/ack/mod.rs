//! What is done, in order.
