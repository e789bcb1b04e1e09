//! Fields as `journalctl` prints them.

/// Appends a field.
pub fn put_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    let is_plain = str::from_utf8(value).is_ok_and(|text| text.chars().all(|c| c == '\t' || !c.is_control()));
    if is_plain {
        out.push(b'=');
    } else {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Appends what ends an entry.
pub fn end_entry(out: &mut Vec<u8>) {
    out.push(b'\n');
}
