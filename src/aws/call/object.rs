//! An object of S3, read as it comes: in pieces of any size, from any byte on.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::aws::probe::{CallError, NoAnswer, unanswered};

/// Which object, and what of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ObjectRequest<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The key, as it is.
    pub key: &'a str,
    /// A version of it; needs `s3:GetObjectVersion` instead of `s3:GetObject`.
    pub version: Option<&'a str>,
    /// The first byte that is wanted.
    pub from: u64,
    /// Refused when the object has another `ETag` than this, without quotes.
    pub if_match: Option<&'a str>,
    /// Whoever asks pays.
    pub requester_pays: bool,
}

/// An object on its way.
pub struct ObjectBody {
    /// Of all of the object, without quotes.
    pub etag: Option<Box<str>>,
    /// How many bytes are to come.
    pub length: Option<u64>,
    /// The first byte that comes: not the one that was asked for, where a server knows no ranges.
    pub from: u64,
    body: SdkBody,
    patience: Duration,
}

impl fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectBody").field("length", &self.length).finish_non_exhaustive()
    }
}

impl ObjectBody {
    /// The body of an answer; each piece has to come within `patience`.
    pub(super) fn of(response: HttpResponse, patience: Duration) -> Self {
        let header = |name: &str| response.headers().get(name);
        let from = header("content-range").and_then(range_start).unwrap_or(0);
        let etag = header("etag").map(|etag| etag.trim_matches('"').into());
        let length = header("content-length").and_then(|length| length.parse().ok());
        Self { etag, length, from, body: response.into_body(), patience }
    }

    /// The next bytes; none at the end. Something has to come within the call's deadline each time, however long all of it takes.
    ///
    /// # Errors
    /// When the connection is cut, or nothing comes.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            let Ok(frame) = timeout(self.patience, self.body.frame()).await else {
                let message = format!("nothing of the object came for {} s", self.patience.as_secs_f64());
                return Err(CallError::Unanswered { how: NoAnswer::Other, message });
            };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(unanswered(error.as_ref())),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

/// The first byte of `bytes 10-19/20`.
fn range_start(header: &str) -> Option<u64> {
    header.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}
