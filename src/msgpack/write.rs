//! Values that are written: the few that the protocol's answers are made of.

/// Writes the head of an array.
pub(crate) fn put_array(out: &mut Vec<u8>, values: u32) {
    put_count(out, 0x90, 0xdc, values);
}

/// Writes the head of a map.
pub(crate) fn put_map(out: &mut Vec<u8>, pairs: u32) {
    put_count(out, 0x80, 0xde, pairs);
}

/// Writes a truth value.
pub(crate) fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// Writes text.
pub(crate) fn put_str(out: &mut Vec<u8>, text: &[u8]) {
    match u8::try_from(text.len()) {
        Ok(len) if len < 32 => out.push(0xa0 | len),
        Ok(len) => out.extend([0xd9, len]),
        Err(_) => put_len(out, 0xda, text.len()),
    }
    out.extend_from_slice(text);
}

/// Writes bytes.
pub(crate) fn put_bin(out: &mut Vec<u8>, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(len) => out.extend([0xc4, len]),
        Err(_) => put_len(out, 0xc5, bytes.len()),
    }
    out.extend_from_slice(bytes);
}

fn put_count(out: &mut Vec<u8>, small: u8, large: u8, count: u32) {
    match u8::try_from(count) {
        Ok(count) if count < 16 => out.push(small | count),
        Ok(_) | Err(_) => put_len(out, large, usize::try_from(count).unwrap_or(usize::MAX)),
    }
}

/// Writes a length of two bytes behind `marker`, or of four behind the next one.
fn put_len(out: &mut Vec<u8>, marker: u8, len: usize) {
    if let Ok(len) = u16::try_from(len) {
        out.push(marker);
        out.extend(len.to_be_bytes());
    } else {
        out.push(marker.saturating_add(1));
        out.extend(u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    }
}
