//! The API as stock clients use it: kubectl, a third party's controller on kube-rs, and what the server refuses.

mod accounts;
mod controller;
mod kubectl;
mod refusals;
