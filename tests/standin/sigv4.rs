//! Checks AWS signatures, version 4, as the front of every service does.

use std::sync::Arc;

use aws_lc_rs::{constant_time, digest, hmac};
use http::HeaderMap;
use http::request::Parts;
use standpipe::event::Timestamp;

use super::errors::AwsError;
use super::state::{Caller, State};

/// Finds out who signed the request.
pub(crate) fn verify(
    state: &State,
    parts: &Parts,
    body: &[u8],
    service: &str,
) -> Result<Arc<Caller>, AwsError> {
    let header = text(&parts.headers, "authorization").ok_or_else(missing)?;
    let claim = Claim::parse(header).ok_or_else(incomplete)?;
    let date = text(&parts.headers, "x-amz-date").ok_or_else(incomplete)?;
    let caller = state.caller(claim.key).ok_or_else(unknown)?;
    check_token(&caller, text(&parts.headers, "x-amz-security-token"))?;
    if claim.service != service || !date.starts_with(claim.day) {
        return Err(mismatch("Credential should be scoped to the correct service and date."));
    }
    check_time(date, state.clock())?;
    let payload = hex(digest::digest(&digest::SHA256, body).as_ref());
    if text(&parts.headers, "x-amz-content-sha256").is_some_and(|said| said != payload) {
        return Err(mismatch("The provided 'x-amz-content-sha256' header does not match what was computed."));
    }
    let canonical = canonical(parts, &claim, &payload).ok_or_else(incomplete)?;
    let scope = format!("{}/{}/{}/aws4_request", claim.day, claim.region, claim.service);
    let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");
    let expected = hex(&sign(&signing_key(&caller.secret, &claim), &to_sign));
    constant_time::verify_slices_are_equal(expected.as_bytes(), claim.signature.as_bytes())
        .map_err(|_| mismatch(WRONG))?;
    Ok(caller)
}

const WRONG: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                     Access Key and signing method. Consult the service documentation for details.";

/// What the `Authorization` header says.
struct Claim<'a> {
    key: &'a str,
    day: &'a str,
    region: &'a str,
    service: &'a str,
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        let rest = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let member = |name: &str| {
            rest.split(',').find_map(|member| member.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let mut scope = member("Credential")?.split('/');
        let claim = Self {
            key: scope.next()?,
            day: scope.next()?,
            region: scope.next()?,
            service: scope.next()?,
            signed: member("SignedHeaders")?,
            signature: member("Signature")?,
        };
        (scope.next() == Some("aws4_request")).then_some(claim)
    }
}

fn canonical(parts: &Parts, claim: &Claim<'_>, payload: &str) -> Option<String> {
    let mut headers = String::new();
    for name in claim.signed.split(';') {
        let values: Vec<String> = parts
            .headers
            .get_all(name)
            .iter()
            .filter_map(|value| {
                Some(value.to_str().ok()?.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
            })
            .collect();
        if values.is_empty() {
            return None;
        }
        headers.extend([name, ":", &values.join(","), "\n"]);
    }
    let mut query: Vec<&str> = parts.uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let (method, path, query) = (parts.method.as_str(), parts.uri.path(), query.join("&"));
    Some(format!("{method}\n{path}\n{query}\n{headers}\n{}\n{payload}", claim.signed))
}

fn signing_key(secret: &str, claim: &Claim<'_>) -> Vec<u8> {
    let first = format!("AWS4{secret}").into_bytes();
    [claim.day, claim.region, claim.service, "aws4_request"].iter().fold(first, |key, part| sign(&key, part))
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn check_token(caller: &Caller, token: Option<&str>) -> Result<(), AwsError> {
    let Some(session) = &caller.session else {
        return if token.is_none() { Ok(()) } else { Err(unknown()) };
    };
    if token != Some(&session.token) {
        return Err(unknown());
    }
    if now_seconds() >= session.expires {
        let message = "The security token included in the request is expired";
        return Err(AwsError::new(403, "ExpiredTokenException", message));
    }
    Ok(())
}

fn check_time(date: &str, now: i64) -> Result<(), AwsError> {
    const WINDOW: u64 = 300;
    let at = seconds_of(date).ok_or_else(incomplete)?;
    if at.abs_diff(now) > WINDOW {
        return Err(mismatch(&format!("Signature expired: {date} is not within 5 min. of now")));
    }
    Ok(())
}

/// Seconds since 1970 of a time such as `20261122T010203Z`.
fn seconds_of(date: &str) -> Option<i64> {
    let part = |from: usize, to: usize| date.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let years = if month <= 2 { year - 1 } else { year };
    let era = years.div_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = years.rem_euclid(400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + part(9, 11)? * 3_600 + part(11, 13)? * 60 + part(13, 15)?)
}

pub(crate) fn now_seconds() -> i64 {
    Timestamp::now().0.div_euclid(1_000)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn missing() -> AwsError {
    AwsError::new(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
}

fn incomplete() -> AwsError {
    AwsError::new(
        403,
        "IncompleteSignatureException",
        "Authorization header requires existence of its parameters.",
    )
}

fn unknown() -> AwsError {
    let message = "The security token included in the request is invalid.";
    AwsError::new(403, "UnrecognizedClientException", message)
}

fn mismatch(message: &str) -> AwsError {
    AwsError::new(403, "InvalidSignatureException", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds_since_1970() {
        assert_eq!(seconds_of("19700101T000000Z"), Some(0));
        assert_eq!(seconds_of("20240229T235959Z"), Some(1_709_251_199));
        assert_eq!(seconds_of("20261122T010203Z"), Some(1_795_309_323));
        assert_eq!(seconds_of("nonsense"), None);
    }
}
