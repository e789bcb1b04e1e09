//! Where events come from.
//!
//! In:      files, standard input, requests of Firehose, messages of Fluent Forward, the journal, log groups, Kinesis streams, and objects
//!          of S3.
//! Out:     [`Chunk`](crate::event::Chunk)s of whole events, in the order of each file, by [`Intake`](crate::pipeline::Intake).
//! Full:    waits for memory or for a place in the queue; a file that is not read is the buffer.
//! Failure: what cannot be read is counted, said once, and tried again; the rest goes on.
//! Stop:    reads nothing more; what was not handed over is read again at the next start.

mod carryover;
pub mod cloudwatch_logs;
pub mod dead_letters;
pub mod file;
pub mod firehose_http;
mod fluent_forward;
mod framer;
mod holds;
pub mod journald;
pub mod kinesis;
mod lifecycle;
mod peers;
mod registry;
pub mod s3;
pub mod stdin;
mod stdin_carryover;
mod stop;
mod thread;
mod zstd;

pub use self::carryover::{Carried, SourceCarryover};
pub use self::lifecycle::{Source, SourceContext, SourceError, SourceFuture};
pub use self::registry::{PrepareSource, PreparedSource, prepare};
pub use self::stop::{Stop, Stopper};
pub(crate) use self::thread::on_thread;
