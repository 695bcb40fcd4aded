//! Tests of the run plan.
