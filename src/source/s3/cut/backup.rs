//! Takes records out of what Firehose writes of those that it could not deliver: a JSON object a line, the record in `rawData`.

use bytes::Bytes;
use serde::Deserialize;

use super::plan::{CutPlan, CutState, TARGET};

/// Cuts Firehose's error output.
#[derive(Debug, Default)]
pub(super) struct BackupFramer {
    /// No newline is among so many bytes.
    seen: usize,
}

/// Source: <https://docs.aws.amazon.com/firehose/latest/dev/retry.html>.
#[derive(Deserialize)]
struct BackedUpRecord {
    #[serde(rename = "rawData")]
    raw_data: String,
}

impl BackupFramer {
    pub(super) fn next(&mut self, contents: &[u8], is_end: bool, most: usize) -> Option<CutPlan> {
        let rest = contents.get(self.seen..).unwrap_or_default();
        let line = memchr::memchr(b'\n', rest).map(|at| self.seen + at + 1);
        let Some(taken) = line.or_else(|| is_end.then_some(contents.len())) else {
            self.seen = contents.len();
            // A line of an endless one is refused for its length, piece by piece.
            return (contents.len() > most).then(|| self.refused(contents.len().min(TARGET)));
        };
        let text = contents.get(..taken)?.trim_ascii();
        if text.is_empty() {
            self.seen = 0;
            return Some(CutPlan { taken, state: Some(CutState::Between), ..CutPlan::default() });
        }
        let record = serde_json::from_slice::<BackedUpRecord>(text).ok();
        let decoded = record.and_then(|record| base64_simd::STANDARD.decode_to_vec(record.raw_data).ok());
        let Some(decoded) = decoded else { return Some(self.refused(taken)) };
        self.seen = 0;
        let decoded = Some(Bytes::from(decoded));
        Some(CutPlan { taken, decoded, state: Some(CutState::Between), ..CutPlan::default() })
    }

    fn refused(&mut self, taken: usize) -> CutPlan {
        self.seen = 0;
        CutPlan { refused: Some("firehose_backup"), ..CutPlan::of(0..taken, CutState::Between) }
    }
}
