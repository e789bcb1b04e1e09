//! One object, from its first byte to its last, or to the reason why there is none.

use std::sync::Arc;

use tracing::warn;

use super::notification::ObjectName;
use super::open::{NoObject, ObjectForm};
use super::progress::ObjectProgress;
use super::reading::ObjectReading;
use super::stream::{Interrupted, ObjectStream};
use crate::aws::ObjectBody;
use crate::event::Closed;
use crate::pipeline::WhenFullDestination;
use crate::source::holds::HoldPatience;

/// How the reading of an object ended.
pub(super) enum ObjectEnd {
    /// All of it was handed over, with this `ETag` if it has one.
    Read(Arc<ObjectProgress>, Option<Box<str>>),
    /// It is gone.
    Vanished,
    /// It is in an archive.
    Archived,
}

/// An object that is asked for.
pub(super) struct ObjectReader<'r> {
    reading: &'r ObjectReading,
    name: &'r ObjectName,
    form: ObjectForm<'r>,
    patience: HoldPatience,
}

impl<'r> ObjectReader<'r> {
    pub(super) fn new(reading: &'r ObjectReading, name: &'r ObjectName) -> Self {
        let (form, patience) = (ObjectForm::new(name), reading.holds.patience());
        Self { reading, name, form, patience }
    }

    /// Opens it, however long that takes. Where there is nothing to open, gives its end; `note` is told what its chunks end with,
    /// before the first.
    ///
    /// # Errors
    /// When the pipeline has stopped.
    pub(super) async fn open(
        &mut self,
        note: &impl Fn(&Arc<ObjectProgress>),
    ) -> Result<Result<ObjectBody, ObjectEnd>, Closed> {
        let Self { reading, name, form, patience } = self;
        Ok(match reading.client.open(form, 0, None, patience).await {
            Ok(body) => Ok(body),
            Err(NoObject::Vanished | NoObject::AtEnd | NoObject::Changed) => Err(ObjectEnd::Vanished),
            Err(NoObject::Archived) => Err(ObjectEnd::Archived),
            Err(NoObject::Unreadable(why)) => Err(refuse(reading, name, &why, note).await?),
        })
    }

    /// Reads what was opened, however long that takes.
    ///
    /// # Errors
    /// When the pipeline has stopped.
    pub(super) async fn read(
        mut self,
        mut body: ObjectBody,
        note: &impl Fn(&Arc<ObjectProgress>),
    ) -> Result<ObjectEnd, Closed> {
        loop {
            let etag = body.etag.clone();
            let mut stream = ObjectStream::begin(self.reading, self.name, &body).await;
            note(&stream.progress);
            match stream.read(&mut self.form, body, &mut self.patience).await {
                Ok(()) => return Ok(ObjectEnd::Read(stream.progress, etag)),
                Err(Interrupted::Closed) => return Err(Closed),
                Err(Interrupted::Changed) => {
                    self.reading.intake.metrics.error("changed");
                    stream.progress.forget();
                    let (source, object) = (&*self.reading.origin.source, self.name.to_string());
                    warn!(
                        source,
                        object, "changed while it was read; what is there now is read from its beginning"
                    );
                }
            }
            // The content that was announced is not there any more.
            self.form.take_any();
            body = match self.open(note).await? {
                Ok(body) => body,
                Err(end) => return Ok(end),
            };
        }
    }
}

async fn refuse(
    reading: &ObjectReading,
    name: &ObjectName,
    why: &str,
    note: &impl Fn(&Arc<ObjectProgress>),
) -> Result<ObjectEnd, Closed> {
    let progress = ObjectProgress::new(None);
    note(&progress);
    let lane = reading.intake.lane(WhenFullDestination::Wait);
    let chunk = reading.refusal(name, why, &progress).await;
    reading.intake.submit_undecodable(&lane, chunk, "unreadable").await?;
    Ok(ObjectEnd::Read(progress, None))
}
