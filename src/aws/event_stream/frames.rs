//! Messages of an event stream, found in its bytes in whatever pieces they come. Pure.
//!
//! `aws-smithy-eventstream` reads the same format, but tells nothing of a message before all of it is in memory: how long it is has to
//! be known before, since its memory is waited for.
//! Source: <https://smithy.io/2.0/aws/amazon-eventstream.html>.

use bytes::BytesMut;
use libdeflater::crc32;

use super::message::{MessageHeaders, StreamMessage};

/// Lengths of the message and of its headers, and their checksum.
const PRELUDE: usize = 12;

/// The checksum of all of a message before it.
const TRAILER: usize = 4;

/// The longest message that there may be; the longest event of records of 10 MiB is shorter.
const MOST_MESSAGE: usize = 16 << 20;

/// The longest headers that there may be.
const MOST_HEADERS: usize = 128 << 10;

/// Bytes that are no messages of an event stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrameFault {
    /// What stands before a message has another checksum than it says.
    #[error("the lengths of a message have another checksum")]
    Prelude,
    /// No message is so short or so long.
    #[error("a message has a length that none has")]
    Length,
    /// The message has another checksum than it says.
    #[error("a message has another checksum")]
    Checksum,
    /// What the headers say cannot be read.
    #[error("the headers of a message cannot be read")]
    Headers,
}

/// Bytes of a stream that are no whole message yet.
#[derive(Debug, Default)]
pub struct MessageBuffer {
    bytes: BytesMut,
}

#[derive(Clone, Copy, Debug)]
struct MessagePrelude {
    message: usize,
    headers: usize,
}

impl MessageBuffer {
    /// Adds what came.
    pub fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// Whether nothing of a message is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How long the next message is; none: too little of it is there.
    ///
    /// # Errors
    /// What is there is no message.
    pub fn next_length(&self) -> Result<Option<usize>, FrameFault> {
        Ok(self.prelude()?.map(|prelude| prelude.message))
    }

    /// The next message; none: not all of it is there.
    ///
    /// # Errors
    /// What is there is no message.
    pub fn take(&mut self) -> Result<Option<StreamMessage>, FrameFault> {
        let Some(MessagePrelude { message: length, headers }) = self.prelude()? else { return Ok(None) };
        let Some((_, rest)) = self.bytes.split_at_checked(length) else { return Ok(None) };
        // What follows is little, and must not keep the memory of a long message.
        let rest = BytesMut::from(rest);
        let mut message = std::mem::replace(&mut self.bytes, rest);
        message.truncate(length);
        let message = message.freeze();
        let trailer = length.saturating_sub(TRAILER);
        let (summed, sum) = message.split_at_checked(trailer).ok_or(FrameFault::Length)?;
        if number(sum) != Some(crc32(summed)) {
            return Err(FrameFault::Checksum);
        }
        let payload = PRELUDE.saturating_add(headers)..trailer;
        let found = message.get(PRELUDE..payload.start).and_then(MessageHeaders::read);
        let found = found.ok_or(FrameFault::Headers)?;
        found.message(message.slice(payload)).ok_or(FrameFault::Headers).map(Some)
    }

    fn prelude(&self) -> Result<Option<MessagePrelude>, FrameFault> {
        let Some(prelude) = self.bytes.get(..PRELUDE) else { return Ok(None) };
        let (lengths, sum) = prelude.split_at_checked(PRELUDE - TRAILER).ok_or(FrameFault::Prelude)?;
        if number(sum) != Some(crc32(lengths)) {
            return Err(FrameFault::Prelude);
        }
        let length = |bytes: Option<&[u8]>| usize::try_from(number(bytes?)?).ok();
        let (Some(message), Some(headers)) = (length(lengths.get(..4)), length(lengths.get(4..))) else {
            return Err(FrameFault::Length);
        };
        let is_whole = (PRELUDE + TRAILER..=MOST_MESSAGE).contains(&message);
        if !is_whole || headers > MOST_HEADERS.min(message.saturating_sub(PRELUDE + TRAILER)) {
            return Err(FrameFault::Length);
        }
        Ok(Some(MessagePrelude { message, headers }))
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn framed(headers: &[u8], payload: &[u8]) -> Vec<u8> {
        let length = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
        let all = PRELUDE + headers.len() + payload.len() + TRAILER;
        let mut frame = [length(all), length(headers.len())].concat();
        frame.extend(crc32(&frame).to_be_bytes());
        frame.extend([headers, payload].concat());
        frame.extend(crc32(&frame).to_be_bytes());
        frame
    }

    fn header(name: &str, value: &str) -> Vec<u8> {
        let mut header = vec![u8::try_from(name.len()).unwrap()];
        header.extend(name.as_bytes());
        header.push(7);
        header.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        header.extend(value.as_bytes());
        header
    }

    fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
        let headers: Vec<u8> = headers.iter().flat_map(|(name, value)| header(name, value)).collect();
        framed(&headers, payload.as_bytes())
    }

    fn event(kind: &str, payload: &str) -> (Vec<u8>, StreamMessage) {
        let bytes = message(&[(":event-type", kind), (":message-type", "event")], payload);
        (
            bytes,
            StreamMessage::Event {
                kind: kind.to_owned(),
                payload: Bytes::copy_from_slice(payload.as_bytes()),
            },
        )
    }

    fn take(bytes: &[u8]) -> Result<Option<StreamMessage>, FrameFault> {
        let mut buffer = MessageBuffer::default();
        buffer.push(bytes);
        buffer.take()
    }

    #[test]
    fn the_services_own_example_is_read() {
        // Of `aws-c-event-stream`'s tests: a message of another service, with one header.
        let hex = "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a27626172277d8d9c08b1";
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = hex.as_bytes().chunks(2).map(byte).collect();
        let mut buffer = MessageBuffer::default();
        buffer.push(&bytes);
        assert_eq!(buffer.next_length(), Ok(Some(0x3d)));
        // It does not say what kind of message it is.
        assert_eq!(buffer.take(), Err(FrameFault::Headers));
        assert!(buffer.is_empty(), "all of it was read");
    }

    #[test]
    fn messages_say_what_they_are() {
        let refused = |code: &str, message: &str| {
            Ok(Some(StreamMessage::Refusal { code: code.to_owned(), message: message.to_owned() }))
        };
        let (bytes, expected) = event("SubscribeToShardEvent", "{}");
        assert_eq!(take(&bytes), Ok(Some(expected)));
        let exception = [(":message-type", "exception"), (":exception-type", "ResourceInUseException")];
        assert_eq!(
            take(&message(&exception, r#"{"message":"taken"}"#)),
            refused("ResourceInUseException", "taken")
        );
        assert_eq!(take(&message(&exception, "no JSON")), refused("ResourceInUseException", "no JSON"));
        let error =
            [(":message-type", "error"), (":error-code", "InternalError"), (":error-message", "later")];
        assert_eq!(take(&message(&error, "")), refused("InternalError", "later"));
        assert_eq!(take(&message(&[(":message-type", "error")], "")), Err(FrameFault::Headers));
        assert_eq!(take(&message(&[(":message-type", "event")], "")), Err(FrameFault::Headers));
    }

    #[test]
    fn headers_of_every_type_are_passed_over() {
        let mut headers = Vec::new();
        for (kind, length) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)] {
            headers.extend([1, b'a', kind]);
            headers.extend(vec![0; length]);
        }
        headers.extend([1, b'b', 6, 0, 2, 0, 0]);
        let known = [header(":message-type", "event"), header(":event-type", "e")].concat();
        let bytes = framed(&[headers.clone(), known].concat(), b"x");
        let expected = StreamMessage::Event { kind: "e".to_owned(), payload: Bytes::from_static(b"x") };
        assert_eq!(take(&bytes), Ok(Some(expected)));
        for wrong in [vec![1, b'a', 10], vec![9, b'a', 0], vec![1, b'a', 7, 0, 9, 0], vec![0, 0]] {
            assert_eq!(take(&framed(&wrong, b"")), Err(FrameFault::Headers), "{wrong:?}");
        }
    }

    #[test]
    fn lengths_are_believed_no_further_than_they_may_be() {
        let prelude = |message: u32, headers: u32| {
            let mut bytes = [message.to_be_bytes(), headers.to_be_bytes()].concat();
            bytes.extend(crc32(&bytes).to_be_bytes());
            bytes
        };
        let length = |bytes: &[u8]| {
            let mut buffer = MessageBuffer::default();
            buffer.push(bytes);
            buffer.next_length()
        };
        assert_eq!(length(&prelude(16, 0)), Ok(Some(16)));
        assert_eq!(length(&prelude(16 << 20, 128 << 10)), Ok(Some(16 << 20)));
        for (message, headers) in
            [(15, 0), (0, 0), (16, 1), ((16 << 20) + 1, 0), (1 << 20, (128 << 10) + 1), (20, u32::MAX)]
        {
            assert_eq!(length(&prelude(message, headers)), Err(FrameFault::Length), "{message} {headers}");
        }
        let mut torn = prelude(16, 0);
        torn[11] ^= 1;
        assert_eq!(length(&torn), Err(FrameFault::Prelude));
        assert_eq!(length(&torn[..11]), Ok(None));
    }

    proptest! {
        #[test]
        fn messages_are_the_same_in_pieces_of_any_size(payloads in proptest::collection::vec(".{0,40}", 0..6), size in 1_usize..50) {
            let (bytes, expected): (Vec<_>, Vec<_>) = payloads.iter().map(|payload| event("e", payload)).unzip();
            let (mut buffer, mut found) = (MessageBuffer::default(), Vec::new());
            for piece in bytes.concat().chunks(size) {
                buffer.push(piece);
                while let Some(message) = buffer.take().unwrap() {
                    found.push(message);
                }
            }
            prop_assert_eq!(found, expected);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn one_byte_that_changed_is_noticed(payload in ".{0,40}", at: usize, change in 1_u8..) {
            let (mut bytes, _) = event("e", &payload);
            let at = at % bytes.len();
            bytes[at] ^= change;
            prop_assert!(take(&bytes).is_err());
        }

        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            drop(take(&bytes));
            drop(take(&framed(&bytes, &[])));
        }
    }
}
