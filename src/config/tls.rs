//! Reads `tls = { cert, key }` of sources that listen.

use super::section::Section;
use super::types::Tls;
use super::values::path;

pub(super) fn tls(mut section: Section<'_>) -> Option<Tls> {
    let cert = section.required("cert", "/etc/standpipe/tls.crt", path);
    let key = section.required("key", "/etc/standpipe/tls.key", path);
    section.finish();
    Some(Tls { cert: cert?, key: key? })
}
