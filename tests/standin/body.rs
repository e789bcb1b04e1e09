//! Takes the body of a put apart without a copy: a JSON library would spend more time here than the rest of the stand-in.

/// A request, borrowed from its body.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Put<'a> {
    pub(crate) stream: &'a str,
    /// Each record's base64.
    pub(crate) records: Vec<&'a [u8]>,
}

/// Reads `{"DeliveryStreamName":"..","Records":[{"Data":".."},..]}`, the members in any order.
pub(crate) fn parse(body: &[u8]) -> Option<Put<'_>> {
    let mut put = Put::default();
    let mut at = Cursor { rest: body };
    at.object(|name, at| {
        match name {
            b"DeliveryStreamName" => put.stream = std::str::from_utf8(at.string()?).ok()?,
            b"Records" => at.array(|at| {
                let mut data = None;
                at.object(|name, at| {
                    if name == b"Data" {
                        data = Some(at.string()?);
                        return Some(());
                    }
                    None
                })?;
                put.records.push(data?);
                Some(())
            })?,
            _ => return None,
        }
        Some(())
    })?;
    at.rest.trim_ascii().is_empty().then_some(put)
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, token: u8) -> bool {
        self.rest = self.rest.trim_ascii_start();
        if let Some(rest) = self.rest.strip_prefix(&[token]) {
            self.rest = rest;
            return true;
        }
        false
    }

    fn expect(&mut self, token: u8) -> Option<()> {
        self.take(token).then_some(())
    }

    /// A string's inside. Names and base64 hold no escapes; a string with one is refused.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let end = memchr::memchr2(b'"', b'\\', self.rest)?;
        let (inside, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.strip_prefix(b"\"")?;
        Some(inside)
    }

    fn object(&mut self, mut member: impl FnMut(&'a [u8], &mut Self) -> Option<()>) -> Option<()> {
        self.list(b'{', b'}', |at| {
            let name = at.string()?;
            at.expect(b':')?;
            member(name, at)
        })
    }

    fn array(&mut self, item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.list(b'[', b']', item)
    }

    fn list(&mut self, open: u8, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(open)?;
        if self.take(close) {
            return Some(());
        }
        loop {
            item(self)?;
            if self.take(close) {
                return Some(());
            }
            self.expect(b',')?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<(&str, &[&str])>) {
        let put = parse(body.as_bytes());
        let put = put.map(|put| {
            let records = put.records.iter().map(|data| String::from_utf8_lossy(data).into_owned()).collect();
            (put.stream.to_owned(), records)
        });
        let expected = expected.map(|(stream, records)| {
            (stream.to_owned(), records.iter().map(ToString::to_string).collect::<Vec<_>>())
        });
        assert_eq!(put, expected, "{body}");
    }

    #[test]
    fn a_put_is_read_in_any_member_order() {
        let expected = Some(("s", ["YQ==", ""].as_slice()));
        check(r#"{"DeliveryStreamName":"s","Records":[{"Data":"YQ=="},{"Data":""}]}"#, expected);
        check(
            r#" { "Records" : [ {"Data":"YQ=="} , {"Data":""} ] , "DeliveryStreamName" : "s" } "#,
            expected,
        );
        check(r#"{"DeliveryStreamName":"s","Records":[]}"#, Some(("s", &[])));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(tail: Vec<u8>) {
            parse(&tail);
            parse(&[br#"{"DeliveryStreamName":"s","Records":[{"Data":"#.as_slice(), &tail].concat());
        }
    }

    #[test]
    fn anything_else_is_refused() {
        check("", None);
        check("{", None);
        check(r#"{"DeliveryStreamName":"s","Records":[{}]}"#, None);
        check(r#"{"DeliveryStreamName":"s","Records":[{"Data":"YQ=="}"#, None);
        check(r#"{"DeliveryStreamName":"s","Other":1}"#, None);
    }
}
