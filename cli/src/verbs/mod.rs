//! The verbs, one file each: what was typed (`Args`), and what is done about it (`run`).

pub(crate) mod apply;
pub(crate) mod cancel;
pub(crate) mod completion;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod logs;
pub(crate) mod rerun;
pub(crate) mod run;
pub(crate) mod up;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod why;
