//! Writes what is decoded as a sink wants it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use standpipe::batch::{BUFFER_BYTES, Encoder, Output};
use standpipe::config::{
    Buffer, Compression, DirectorySink, Encoding, Packing, SinkConfig, SinkKind, Template, TooLong,
};
use standpipe::event::{Buffers, Event, Events, Origin, PlaceId, Timestamp, Wants};

/// Writes events as one sink wants them.
pub(crate) struct Writer {
    pub(crate) encoder: Encoder,
    pub(crate) output: Output,
    id: Option<PlaceId>,
}

impl Writer {
    /// With an id in each event, or without.
    pub(crate) fn new(encoding: Encoding, id: bool) -> Self {
        let kind =
            SinkKind::Directory(DirectorySink { path: "out".into(), stream: Template { pieces: [].into() } });
        let encoder = Encoder::new(&SinkConfig {
            kind,
            encoding,
            id,
            fields: Vec::new(),
            packing: Packing::Lines,
            compression: Compression::None,
            rate: None,
            linger: Duration::from_secs(1),
            too_long: TooLong::Split,
            max_destinations: 1,
            idle: Duration::from_secs(1),
            buffer: Buffer::Memory,
        });
        let output = Output::new(Buffers::new(BUFFER_BYTES, 8));
        Self { encoder, output, id: id.then(|| PlaceId::new(1, 0)) }
    }

    /// Ends a payload; how much was made of it.
    pub(crate) fn finish(&mut self) -> usize {
        self.output.take(&self.encoder).iter().map(|block| block.data.len()).sum()
    }
}

/// When each payload came.
pub(crate) const READ_AT: Timestamp = Timestamp(1_795_309_323_004);

impl Events for Writer {
    fn wants(&self) -> Wants {
        Wants { events: true, envelopes: false }
    }

    fn keeps_lines(&self) -> bool {
        self.encoder.keeps_lines()
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        self.output.origin(&self.encoder, origin);
    }

    fn lines(&mut self, lines: &Bytes, count: u64) {
        self.output.begin_lines(self.id);
        self.encoder.lines((lines, count), READ_AT, &mut self.output, &mut |_, _| ());
    }

    fn event(&mut self, event: Event<'_>) {
        self.encoder.event(&event, READ_AT, &mut self.output).unwrap();
    }

    fn envelope(&mut self, _: &Bytes) {}

    fn undecodable(&mut self, reason: &'static str, _: &[u8]) {
        assert_eq!(reason, "", "the payload is decodable");
    }
}
