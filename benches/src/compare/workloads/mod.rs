//! One module for each workload.

pub(crate) mod exchange;
pub(crate) mod fan_out;
pub(crate) mod growth;
pub(crate) mod idle;
mod names;
pub(crate) mod paced;
pub(crate) mod product;
pub(crate) mod python;
pub(crate) mod round_trip;
