//! Tests of the source against a model of the service.

mod day;
mod model;
