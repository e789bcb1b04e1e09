//! What holds for any bytes as an event stream.

use standpipe::aws::{FrameFault, MessageBuffer, StreamMessage};

/// Messages are the same in pieces of any size, and none is longer than it may be. What the engine cannot make up, checksums, is made for it.
///
/// The first byte is the size of the pieces, and the second how long the headers are of the message that the rest is.
pub fn event_stream(bytes: &[u8]) {
    let Some((size, stream)) = bytes.split_first() else { return };
    check(stream, *size);
    let Some((headers, rest)) = stream.split_first() else { return };
    let message = framed(usize::from(*headers), rest);
    check(&[message.as_slice(), stream].concat(), *size);
    let mut buffer = MessageBuffer::default();
    buffer.push(&message);
    match buffer.take() {
        Ok(None) => panic!("a whole message is one"),
        Ok(Some(StreamMessage::Event { payload, .. })) => {
            assert!(rest.ends_with(&payload), "it is the end of it");
        }
        Ok(Some(StreamMessage::Refusal { .. })) => {}
        Err(fault) => assert!(matches!(fault, FrameFault::Headers | FrameFault::Length), "{fault}"),
    }
}

fn check(stream: &[u8], size: u8) {
    let whole = found(stream, usize::MAX);
    assert_eq!(whole, found(stream, usize::from(size).max(1)), "the size of the pieces matters");
}

/// All messages at the front of it, and why there are no more.
fn found(stream: &[u8], size: usize) -> (Vec<StreamMessage>, Option<FrameFault>) {
    let (mut buffer, mut found) = (MessageBuffer::default(), Vec::new());
    for piece in stream.chunks(size) {
        buffer.push(piece);
        loop {
            match (buffer.next_length(), buffer.take()) {
                (Ok(length), Ok(Some(message))) => {
                    assert!(length.is_some_and(|length| (16..=16 << 20).contains(&length)), "{length:?}");
                    found.push(message);
                }
                (Ok(_), Ok(None)) => break,
                (_, Err(fault)) => return (found, Some(fault)),
                (Err(fault), Ok(_)) => panic!("{fault}, and yet it is read"),
            }
        }
    }
    (found, None)
}

/// A message with these headers and payload, and the checksums of both.
fn framed(headers: usize, rest: &[u8]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    let mut message = [number(rest.len() + 16), number(headers)].concat();
    message.extend(crc32(&message).to_be_bytes());
    message.extend(rest);
    message.extend(crc32(&message).to_be_bytes());
    message
}

/// Of gzip and of zlib.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}
