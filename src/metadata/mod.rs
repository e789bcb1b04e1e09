//! What is known of where standpipe runs: the EC2 instance, the ECS task, the pod. Asked once, again rarely, and never for an event.
//!
//! In:      answers of services on this host, past any proxy; the environment, by arguments; files of the pod.
//! Out:     `HostFacts`, by dotted names, which whoever labels events looks at.
//! Full:    a fixed number of names.
//! Failure: said once with its fix; the run goes on, and asks again.
//! Stop:    whoever keeps them up to date is dropped.

mod ec2;
pub(crate) mod ecs;
mod endpoints;
mod facts;
pub(crate) mod http;
mod keeper;
mod pod;
mod pod_path;

pub use self::endpoints::MetadataEndpoints;
pub(crate) use self::facts::{FactValues, HostFacts};
pub(crate) use self::keeper::FactsKeeper;
pub(crate) use self::pod_path::{is_of_own_pod, of_path};
