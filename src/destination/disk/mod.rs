//! The task that has one destination's files: it stores what waits, reads back what the sink needs, makes room, and writes down what
//! is delivered.
//!
//! What to do it asks of the queue's [`DiskStorage`](crate::destination::storage::DiskStorage), and tells it what came of it. What
//! blocks runs on threads for blocking work, one write and one read at a time. While a sync is under way, records gather, and the
//! next one covers them all.
//!
//! - `task` opens the log, and runs the three loops until everything is delivered or the process ends;
//! - `store` is the loop that writes, `read` the one that reads, and `note` the one that notes how far delivery has come;
//! - `writer` has the log's files and its cursor, and `evict` gives up the oldest records when they are to make room;
//! - `quota` is the room that a sink's destinations share, and `dir_locks` keeps two tasks from one directory;
//! - `context` is what all of these know, and how they report.

mod context;
mod dir_locks;
mod evict;
mod note;
mod quota;
mod read;
mod store;
mod task;
mod writer;

pub(crate) use context::DiskContext;
pub(crate) use dir_locks::DirLocks;
pub(crate) use quota::DiskQuota;
pub(crate) use task::run;
