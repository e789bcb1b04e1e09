//! One token at a time: a value, or the head of an array or a map.

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PackToken<'a> {
    /// No value.
    Nil,
    /// A truth value.
    Bool(bool),
    /// A number that is not negative.
    Unsigned(u64),
    /// A negative number.
    Negative(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text, which need not be UTF-8.
    Str(&'a [u8]),
    /// Bytes.
    Bin(&'a [u8]),
    /// Bytes of a type that the application knows.
    Ext(i8, &'a [u8]),
    /// So many values follow.
    Array(u32),
    /// So many pairs of values follow.
    Map(u32),
}

impl<'a> PackToken<'a> {
    /// Text or bytes.
    #[must_use]
    pub const fn text(self) -> Option<&'a [u8]> {
        if let Self::Str(text) | Self::Bin(text) = self { Some(text) } else { None }
    }
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PackError {
    /// The bytes end before it does.
    #[error("the value is cut off")]
    Truncated,
    /// No value begins so.
    #[error("byte 0xc1 begins no value")]
    Reserved,
    /// It says that it is longer than a value may be.
    #[error("the value is longer than it may be")]
    TooLarge,
    /// It is not what has to stand there.
    #[error("the value has another shape")]
    Shape,
}

/// Reads tokens from the front of bytes.
#[derive(Clone, Copy, Debug)]
pub struct PackReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> PackReader<'a> {
    /// From the front.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// From `at` on.
    #[must_use]
    pub const fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// How far it has read.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Reads the next token. After an error it stands where it stood.
    ///
    /// # Errors
    /// When there is none.
    #[inline]
    pub fn token(&mut self) -> Result<PackToken<'a>, PackError> {
        // Short texts are most of what there is.
        if let Some((end, 0)) = self.short()
            && let Some([0xa0..=0xbf, text @ ..]) = self.bytes.get(self.at..end)
        {
            self.at = end;
            return Ok(PackToken::Str(text));
        }
        self.any_token()
    }

    fn any_token(&mut self) -> Result<PackToken<'a>, PackError> {
        let mut ahead = *self;
        let token = ahead.next_token()?;
        *self = ahead;
        Ok(token)
    }

    /// Where the next token ends, and how many values stand below it, where its first two bytes tell; it may be cut off.
    #[inline]
    fn short(&self) -> Option<(usize, u64)> {
        let (behind, below) = match *self.bytes.get(self.at)? {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0.. => (1, 0),
            pairs @ 0x80..=0x8f => (1, u64::from(pairs & 0x0f) * 2),
            count @ 0x90..=0x9f => (1, u64::from(count & 0x0f)),
            text @ 0xa0..=0xbf => (1 + usize::from(text & 0x1f), 0),
            0xd9 | 0xc4 => (2 + usize::from(*self.bytes.get(self.at.checked_add(1)?)?), 0),
            // A time with nanoseconds.
            0xd7 => (10, 0),
            _ => return None,
        };
        Some((self.at.checked_add(behind)?, below))
    }

    /// Passes over the next token, and tells how many values stand below it. After an error it stands where it stood.
    ///
    /// # Errors
    /// When there is none.
    #[inline]
    pub(super) fn pass(&mut self) -> Result<u64, PackError> {
        match self.short() {
            Some((end, below)) if end <= self.bytes.len() => {
                self.at = end;
                Ok(below)
            }
            Some(_) | None => self.any_token().map(below),
        }
    }

    /// Passes over one value, however it is nested.
    ///
    /// # Errors
    /// When it is not whole.
    pub fn skip(&mut self) -> Result<(), PackError> {
        self.skip_many(1)
    }

    /// Passes over so many values.
    ///
    /// # Errors
    /// When they are not all there.
    pub fn skip_many(&mut self, values: u64) -> Result<(), PackError> {
        let mut open = values;
        while open > 0 {
            open = (open - 1).saturating_add(self.pass()?);
        }
        Ok(())
    }

    /// Reads text or bytes.
    ///
    /// # Errors
    /// When something else stands there.
    pub fn text(&mut self) -> Result<&'a [u8], PackError> {
        self.token()?.text().ok_or(PackError::Shape)
    }

    #[expect(clippy::cast_possible_wrap, reason = "the format has two's complement in these bytes")]
    fn next_token(&mut self) -> Result<PackToken<'a>, PackError> {
        let [first] = self.fixed()?;
        Ok(match first {
            0x00..=0x7f => PackToken::Unsigned(first.into()),
            0x80..=0x8f => PackToken::Map((first & 0x0f).into()),
            0x90..=0x9f => PackToken::Array((first & 0x0f).into()),
            0xa0..=0xbf => PackToken::Str(self.take(usize::from(first & 0x1f))?),
            0xc0 => PackToken::Nil,
            0xc1 => return Err(PackError::Reserved),
            0xc2 | 0xc3 => PackToken::Bool(first == 0xc3),
            0xc4..=0xc6 => PackToken::Bin(self.counted(first - 0xc4)?),
            0xc7..=0xc9 => self.counted_ext(first - 0xc7)?,
            0xca => PackToken::Float(f32::from_be_bytes(self.fixed()?).into()),
            0xcb => PackToken::Float(f64::from_be_bytes(self.fixed()?)),
            0xcc..=0xcf => PackToken::Unsigned(self.number(first - 0xcc)?),
            0xd0 => signed(i64::from(i8::from_be_bytes(self.fixed()?))),
            0xd1 => signed(i64::from(i16::from_be_bytes(self.fixed()?))),
            0xd2 => signed(i64::from(i32::from_be_bytes(self.fixed()?))),
            0xd3 => signed(i64::from_be_bytes(self.fixed()?)),
            0xd4..=0xd8 => self.ext(1 << (first - 0xd4))?,
            0xd9..=0xdb => PackToken::Str(self.counted(first - 0xd9)?),
            0xdc => PackToken::Array(u16::from_be_bytes(self.fixed()?).into()),
            0xdd => PackToken::Array(u32::from_be_bytes(self.fixed()?)),
            0xde => PackToken::Map(u16::from_be_bytes(self.fixed()?).into()),
            0xdf => PackToken::Map(u32::from_be_bytes(self.fixed()?)),
            0xe0..=0xff => PackToken::Negative(i64::from(first as i8)),
        })
    }

    /// A number of 1, 2, 4 or 8 bytes, by the power of two.
    fn number(&mut self, power: u8) -> Result<u64, PackError> {
        Ok(match power {
            0 => u8::from_be_bytes(self.fixed()?).into(),
            1 => u16::from_be_bytes(self.fixed()?).into(),
            2 => u32::from_be_bytes(self.fixed()?).into(),
            _ => u64::from_be_bytes(self.fixed()?),
        })
    }

    /// Bytes behind their number.
    fn counted(&mut self, power: u8) -> Result<&'a [u8], PackError> {
        let len = usize::try_from(self.number(power)?).map_err(|_| PackError::TooLarge)?;
        self.take(len)
    }

    fn counted_ext(&mut self, power: u8) -> Result<PackToken<'a>, PackError> {
        let len = usize::try_from(self.number(power)?).map_err(|_| PackError::TooLarge)?;
        self.ext(len)
    }

    fn ext(&mut self, len: usize) -> Result<PackToken<'a>, PackError> {
        let kind = i8::from_be_bytes(self.fixed()?);
        Ok(PackToken::Ext(kind, self.take(len)?))
    }

    fn fixed<const LEN: usize>(&mut self) -> Result<[u8; LEN], PackError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let fixed = rest.first_chunk().ok_or(PackError::Truncated)?;
        self.at = self.at.saturating_add(LEN);
        Ok(*fixed)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], PackError> {
        let end = self.at.checked_add(len).ok_or(PackError::TooLarge)?;
        let taken = self.bytes.get(self.at..end).ok_or(PackError::Truncated)?;
        self.at = end;
        Ok(taken)
    }
}

/// How many values stand below a token.
pub(super) fn below(token: PackToken<'_>) -> u64 {
    match token {
        PackToken::Array(count) => count.into(),
        PackToken::Map(pairs) => u64::from(pairs).saturating_mul(2),
        PackToken::Nil
        | PackToken::Bool(_)
        | PackToken::Unsigned(_)
        | PackToken::Negative(_)
        | PackToken::Float(_)
        | PackToken::Str(_)
        | PackToken::Bin(_)
        | PackToken::Ext(..) => 0,
    }
}

/// Signed forms may hold what is not negative.
fn signed<'a>(value: i64) -> PackToken<'a> {
    u64::try_from(value).map_or(PackToken::Negative(value), PackToken::Unsigned)
}
