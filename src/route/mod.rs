//! Which events go where.
