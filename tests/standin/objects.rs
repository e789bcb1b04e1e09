//! S3, to be read from: `GetObject` and `ListObjectsV2` with the bucket in the path, with bodies that break off.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use standpipe::event::Timestamp;

use super::errors::AwsError;
use super::reply::Promised;
use super::sigv4;
use super::state::State;

/// Keys and folders of a page: fewer than the service gives, so that there are pages.
const PAGE: usize = 50;

/// An object.
#[derive(Clone, Debug)]
struct Object {
    body: Bytes,
    etag: String,
    modified: Timestamp,
    /// So many gets go wrong next: by turns the body breaks off, and S3 is too busy.
    bad_gets: u32,
}

/// All objects.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// By bucket and key.
    objects: BTreeMap<(String, String), Object>,
    next: u64,
}

/// A key of a list with its object, or a folder.
type Listed<'o> = (String, Option<&'o Object>);

impl Objects {
    /// Puts an object, of which so many gets go wrong; gives its `ETag`.
    pub(crate) fn put(&mut self, bucket: &str, key: &str, body: Vec<u8>, bad_gets: u32) -> String {
        self.next += 1;
        let etag = format!("{:032x}", self.next);
        let object = Object { body: body.into(), etag: etag.clone(), modified: Timestamp::now(), bad_gets };
        self.objects.insert((bucket.to_owned(), key.to_owned()), object);
        etag
    }

    fn get(&mut self, bucket: &str, key: &str, parts: &Parts) -> Result<Response<Bytes>, AwsError> {
        let absent = || AwsError::new(404, "NoSuchKey", "The specified key does not exist.");
        let place = (bucket.to_owned(), key.to_owned());
        let object = self.objects.get_mut(&place).ok_or_else(absent)?;
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        if header("if-match").is_some_and(|wanted| wanted.trim_matches('"') != object.etag) {
            let message = "At least one of the pre-conditions you specified did not hold";
            return Err(AwsError::new(412, "PreconditionFailed", message));
        }
        let range = header("range").map(|range| from(range).filter(|from| *from < object.body.len()));
        let Some(from) = range.unwrap_or(Some(0)) else {
            return Err(AwsError::new(416, "InvalidRange", "The requested range is not satisfiable"));
        };
        let goes_wrong = object.bad_gets;
        object.bad_gets = goes_wrong.saturating_sub(1);
        if goes_wrong > 0 && goes_wrong.is_multiple_of(2) {
            return Err(AwsError::new(503, "SlowDown", "Please reduce your request rate."));
        }
        let whole = object.body.len();
        let modified = aws_smithy_types::DateTime::from_millis(object.modified.0);
        let modified = modified.fmt(aws_smithy_types::date_time::Format::HttpDate).unwrap();
        let mut reply = Response::builder()
            .header("etag", format!("\"{}\"", object.etag))
            .header("last-modified", modified)
            .header("accept-ranges", "bytes");
        if range.is_some() {
            reply = reply
                .status(206)
                .header("content-range", format!("bytes {from}-{}/{whole}", whole.saturating_sub(1)));
        }
        let body = object.body.slice(from..);
        if goes_wrong == 0 {
            return Ok(reply.body(body).unwrap());
        }
        Ok(reply.extension(Promised(body.len() as u64)).body(body.slice(..body.len() / 2)).unwrap())
    }

    /// A page of a list, and whether there is more.
    fn page(&self, bucket: &str, query: &str) -> (Vec<Listed<'_>>, bool) {
        let prefix = parameter(query, "prefix");
        let after = parameter(query, "start-after").max(parameter(query, "continuation-token"));
        let delimiter = parameter(query, "delimiter");
        let most = parameter(query, "max-keys").parse().unwrap_or(PAGE);
        let mut listed: Vec<Listed<'_>> = Vec::new();
        for ((_, key), object) in self.objects.iter().filter(|((of, _), _)| of == bucket) {
            let Some(below) = key.strip_prefix(&prefix) else { continue };
            let folder = below.split_once(&delimiter).filter(|_| !delimiter.is_empty());
            match folder.map(|(name, _)| format!("{prefix}{name}{delimiter}")) {
                Some(folder) => listed.push((folder, None)),
                None => listed.push((key.clone(), Some(object))),
            }
        }
        listed.dedup_by(|(one, _), (other, _)| one == other);
        listed.retain(|(name, _)| *name > after);
        let is_truncated = listed.len() > most;
        listed.truncate(most);
        (listed, is_truncated)
    }

    fn list(&self, bucket: &str, query: &str) -> Response<Bytes> {
        let (listed, is_truncated) = self.page(bucket, query);
        let mut body = format!(
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{bucket}</Name>\
             <EncodingType>url</EncodingType><KeyCount>{}</KeyCount><IsTruncated>{is_truncated}</IsTruncated>",
            listed.len()
        );
        if let Some((last, _)) = listed.last().filter(|_| is_truncated) {
            write!(body, "<NextContinuationToken>{last}</NextContinuationToken>").unwrap();
        }
        for (name, object) in listed {
            let name = utf8_percent_encode(&name, NON_ALPHANUMERIC);
            match object {
                None => write!(body, "<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>").unwrap(),
                Some(Object { body: content, etag, modified, .. }) => write!(
                    body,
                    "<Contents><Key>{name}</Key><LastModified>{}</LastModified><ETag>&quot;{etag}&quot;</ETag>\
                     <Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                    modified.to_rfc3339(),
                    content.len()
                )
                .unwrap(),
            }
        }
        body.push_str("</ListBucketResult>");
        Response::builder().header("content-type", "application/xml").body(Bytes::from(body)).unwrap()
    }
}

/// The first byte of `bytes=10-`.
fn from(range: &str) -> Option<usize> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

fn parameter(query: &str, name: &str) -> String {
    let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    decoded(value.unwrap_or_default())
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Whether a call is one: no other service is asked by a GET.
pub(crate) fn is_meant(parts: &Parts) -> bool {
    parts.method == Method::GET
}

/// Answers it.
pub(crate) fn answer(state: &State, parts: &Parts) -> Response<Bytes> {
    call(state, parts).unwrap_or_else(|error| {
        let AwsError { status, code, message } = error;
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        let reply = Response::builder().status(status).header("content-type", "application/xml");
        reply.body(Bytes::from(body)).unwrap()
    })
}

fn call(state: &State, parts: &Parts) -> Result<Response<Bytes>, AwsError> {
    sigv4::verify(state, parts, &[], "s3")?;
    let path = parts.uri.path().trim_start_matches('/');
    match path.split_once('/') {
        Some((bucket, key)) if !key.is_empty() => state.objects().get(bucket, &decoded(key), parts),
        Some((bucket, _)) => Ok(state.objects().list(bucket, parts.uri.query().unwrap_or_default())),
        None => Ok(state.objects().list(path, parts.uri.query().unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(keys: &[&str]) -> Objects {
        let mut objects = Objects::default();
        for key in keys {
            objects.put("b", key, b"0123456789".to_vec(), 0);
        }
        objects
    }

    #[test]
    fn a_list_has_what_is_below_a_prefix_page_by_page_with_its_folders() {
        let objects = objects(&["a/1/x", "a/1/y", "a/2", "a/3/z", "b"]);
        let check = |query: &str, names: &[&str], more: bool| {
            let (listed, is_truncated) = objects.page("b", query);
            let found: Vec<String> = listed.into_iter().map(|(name, _)| name).collect();
            assert_eq!(found, names, "{query}");
            assert_eq!(is_truncated, more, "{query}");
        };
        check("list-type=2&prefix=a%2F", &["a/1/x", "a/1/y", "a/2", "a/3/z"], false);
        check("prefix=a%2F&delimiter=%2F", &["a/1/", "a/2", "a/3/"], false);
        check("prefix=a%2F&delimiter=%2F&max-keys=1", &["a/1/"], true);
        check("prefix=a%2F&delimiter=%2F&continuation-token=a%2F1%2F", &["a/2", "a/3/"], false);
        check("start-after=a%2F3", &["a/3/z", "b"], false);
        assert!(objects.page("other", "").0.is_empty());
    }

    #[test]
    fn a_get_has_the_range_and_the_content_that_were_asked_for() {
        let mut objects = objects(&["k"]);
        let etag = objects.put("b", "k", b"0123456789".to_vec(), 2);
        let mut get = |headers: &[(&str, &str)]| {
            let mut request = http::Request::builder();
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let reply = objects.get("b", "k", &request.body(()).unwrap().into_parts().0);
            reply.map_err(|error| error.code).map(|reply| {
                let promised = reply.extensions().get::<Promised>().map(|promised| promised.0);
                (reply.status().as_u16(), promised, String::from_utf8(reply.into_body().to_vec()).unwrap())
            })
        };
        assert_eq!(get(&[]), Err("SlowDown"));
        assert_eq!(get(&[("if-match", &etag)]), Ok((200, Some(10), "01234".to_owned())));
        assert_eq!(get(&[("range", "bytes=5-")]), Ok((206, None, "56789".to_owned())));
        assert_eq!(get(&[("range", "bytes=10-")]), Err("InvalidRange"));
        assert_eq!(get(&[("if-match", "\"other\"")]), Err("PreconditionFailed"));
    }
}
