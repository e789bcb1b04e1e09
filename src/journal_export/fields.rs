//! The fields of entries, one after the other.

use super::error::ExportError;
use super::name::is_name;

/// A field, where it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExportField<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value: any bytes.
    pub value: &'a [u8],
}

/// Reads fields.
#[derive(Clone, Copy, Debug)]
pub struct ExportFields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ExportFields<'a> {
    /// Those from this place on, where an entry begins.
    #[must_use]
    pub const fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Where the next field, or the next entry, begins.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The next field; none at the end of an entry.
    ///
    /// # Errors
    /// When what follows is no field.
    pub fn field(&mut self) -> Result<Option<ExportField<'a>>, ExportError> {
        let line = self.line()?;
        if line.is_empty() {
            return Ok(None);
        }
        if let Some(end) = memchr::memchr(b'=', line) {
            let (name, value) = line.split_at_checked(end).ok_or(ExportError::Name)?;
            return Ok(Some(ExportField { name, value: value.get(1..).unwrap_or_default() }));
        }
        if !is_name(line) {
            return Err(ExportError::Name);
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (len, rest) = rest.split_first_chunk().ok_or(ExportError::Truncated)?;
        let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| ExportError::Length)?;
        let (value, rest) = rest.split_at_checked(len).ok_or(ExportError::Truncated)?;
        if rest.first().is_none_or(|end| *end != b'\n') {
            return Err(ExportError::Value);
        }
        self.at = self.at.saturating_add(size_of::<u64>()).saturating_add(len).saturating_add(1);
        Ok(Some(ExportField { name: line, value }))
    }

    /// The rest of the line, without its newline.
    fn line(&mut self) -> Result<&'a [u8], ExportError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).ok_or(ExportError::Truncated)?;
        self.at = self.at.saturating_add(end).saturating_add(1);
        Ok(rest.get(..end).unwrap_or_default())
    }
}
