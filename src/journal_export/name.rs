//! Names of fields.

/// The name of the field that each entry begins with as `journalctl` prints it.
pub const CURSOR: &[u8] = b"__CURSOR";

/// Most bytes of a field's name: <https://www.freedesktop.org/software/systemd/man/latest/systemd.journal-fields.html>.
pub(super) const LONGEST_NAME: usize = 64;

/// Whether it can be the name of a field.
pub(super) fn is_name(name: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    (1..=LONGEST_NAME).contains(&name.len()) && name.iter().all(is_part)
}
