//! One object, from its first byte to its last, or to the reason why there is none.

use std::sync::Arc;

use tracing::warn;

use super::notification::ObjectName;
use super::open::{NoObject, ObjectForm};
use super::progress::ObjectProgress;
use super::reading::ObjectReading;
use super::stream::{Interrupted, ObjectStream};
use crate::event::Closed;
use crate::pipeline::WhenFullDestination;

/// How the reading of an object ended.
pub(super) enum ObjectEnd {
    /// All of it was handed over.
    Read(Arc<ObjectProgress>),
    /// It is gone.
    Vanished,
    /// It is in an archive.
    Archived,
}

/// Reads an object, however long that takes; `note` is told what its chunks end with, before the first.
///
/// # Errors
/// When the pipeline has stopped.
pub(super) async fn read(
    reading: &ObjectReading,
    name: &ObjectName,
    note: impl Fn(&Arc<ObjectProgress>),
) -> Result<ObjectEnd, Closed> {
    let mut patience = reading.holds.patience();
    let mut form = ObjectForm::new(name);
    loop {
        let body = match reading.client.open(&mut form, 0, None, &mut patience).await {
            Ok(body) => body,
            Err(NoObject::Vanished | NoObject::AtEnd | NoObject::Changed) => return Ok(ObjectEnd::Vanished),
            Err(NoObject::Archived) => return Ok(ObjectEnd::Archived),
            Err(NoObject::Unreadable(why)) => return refuse(reading, name, &why, note).await,
        };
        let mut stream = ObjectStream::begin(reading, name, &body).await;
        note(&stream.progress);
        match stream.read(&mut form, body, &mut patience).await {
            Ok(()) => return Ok(ObjectEnd::Read(stream.progress)),
            Err(Interrupted::Closed) => return Err(Closed),
            Err(Interrupted::Changed) => {
                reading.intake.metrics.error("changed");
                stream.progress.forget();
                let (source, object) = (&*reading.origin.source, name.to_string());
                warn!(
                    source,
                    object, "changed while it was read; what is there now is read from its beginning"
                );
            }
        }
        // The content that was announced is not there any more.
        form.take_any();
    }
}

async fn refuse(
    reading: &ObjectReading,
    name: &ObjectName,
    why: &str,
    note: impl Fn(&Arc<ObjectProgress>),
) -> Result<ObjectEnd, Closed> {
    let progress = ObjectProgress::new(None);
    note(&progress);
    let lane = reading.intake.lane(WhenFullDestination::Wait);
    let chunk = reading.refusal(name, why, &progress).await;
    reading.intake.submit_undecodable(&lane, chunk, "unreadable").await?;
    Ok(ObjectEnd::Read(progress))
}
