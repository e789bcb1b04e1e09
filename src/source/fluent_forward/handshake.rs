//! Who may send: the handshake of those who share a key. Pure; the nonces are arguments.
//!
//! Source of the messages: <https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1.5>.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA512};

use crate::config::{ForwardUser, Secret};
use crate::msgpack::{PackReader, PackToken, put_array, put_bin, put_bool, put_map, put_str};

/// What senders prove that they know.
#[derive(Debug)]
pub(super) struct ForwardAdmission {
    pub(super) shared_key: Secret,
    /// None: whoever knows the key.
    pub(super) users: Vec<ForwardUser>,
    /// What the source calls itself.
    pub(super) hostname: String,
}

/// Random bytes of one connection.
pub(super) type Nonce = [u8; 16];

/// What a connection is asked with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Challenge {
    pub(super) nonce: Nonce,
    /// For passwords.
    pub(super) salt: Nonce,
}

/// What the sender says of itself.
#[derive(Clone, Copy, Debug)]
struct PingMessage<'a> {
    hostname: &'a [u8],
    salt: &'a [u8],
    key_digest: &'a [u8],
    user: &'a [u8],
    password_digest: &'a [u8],
}

/// Why a sender is not admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NotAdmitted {
    NoPing,
    Key,
    User,
}

impl NotAdmitted {
    /// For the sender, and for the log.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::NoPing => "expected a PING of the forward protocol: the sender needs the shared key",
            Self::Key => "the shared key is another one",
            Self::User => "the user or the password is wrong",
        }
    }
}

impl ForwardAdmission {
    /// The first message of a connection.
    pub(super) fn hello(&self, challenge: &Challenge) -> Vec<u8> {
        let mut out = Vec::new();
        put_array(&mut out, 2);
        put_str(&mut out, b"HELO");
        put_map(&mut out, 3);
        put_str(&mut out, b"nonce");
        put_bin(&mut out, &challenge.nonce);
        put_str(&mut out, b"auth");
        if self.users.is_empty() {
            put_str(&mut out, b"");
        } else {
            put_bin(&mut out, &challenge.salt);
        }
        put_str(&mut out, b"keepalive");
        put_bool(&mut out, true);
        out
    }

    /// Judges the answer, and writes the last message of the handshake, which is sent either way.
    pub(super) fn pong(&self, challenge: &Challenge, ping: &[u8]) -> (Vec<u8>, Result<(), NotAdmitted>) {
        let parsed = PingMessage::read(ping);
        let admitted = parsed.ok_or(NotAdmitted::NoPing).and_then(|ping| self.admit(challenge, &ping));
        let mut out = Vec::new();
        put_array(&mut out, 5);
        put_str(&mut out, b"PONG");
        put_bool(&mut out, admitted.is_ok());
        put_str(&mut out, admitted.err().map_or("", NotAdmitted::words).as_bytes());
        put_str(&mut out, self.hostname.as_bytes());
        // Who does not know the key is told nothing that is made of it.
        let digest = parsed.filter(|_| admitted.is_ok()).map(|ping| {
            hex_digest(&[
                ping.salt,
                self.hostname.as_bytes(),
                &challenge.nonce,
                self.shared_key.expose().as_bytes(),
            ])
        });
        put_str(&mut out, &digest.unwrap_or_default());
        (out, admitted)
    }

    fn admit(&self, challenge: &Challenge, ping: &PingMessage<'_>) -> Result<(), NotAdmitted> {
        let key = self.shared_key.expose().as_bytes();
        let expected = hex_digest(&[ping.salt, ping.hostname, &challenge.nonce, key]);
        verify_slices_are_equal(&expected, ping.key_digest).map_err(|_| NotAdmitted::Key)?;
        if self.users.is_empty() {
            return Ok(());
        }
        // Every user is compared, so that time does not tell which there are.
        let matches = |user: &&ForwardUser| {
            let password = user.password.expose().as_bytes();
            let expected = hex_digest(&[&challenge.salt, user.name.as_bytes(), password]);
            let is_password = verify_slices_are_equal(&expected, ping.password_digest).is_ok();
            (user.name.as_bytes() == ping.user) & is_password
        };
        if self.users.iter().filter(matches).count() > 0 { Ok(()) } else { Err(NotAdmitted::User) }
    }
}

impl<'a> PingMessage<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = PackReader::new(bytes);
        let PackToken::Array(6) = reader.token().ok()? else { return None };
        if reader.text().ok()? != b"PING" {
            return None;
        }
        let mut next = || reader.text().ok();
        let (hostname, salt, key_digest) = (next()?, next()?, next()?);
        let (user, password_digest) = (next()?, next()?);
        Some(Self { hostname, salt, key_digest, user, password_digest })
    }
}

/// SHA-512 over the parts, in hexadecimal.
fn hex_digest(parts: &[&[u8]]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut context = Context::new(&SHA512);
    for part in parts {
        context.update(part);
    }
    let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
    context.finish().as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: Challenge = Challenge { nonce: [7; 16], salt: [9; 16] };

    fn admission(users: &[(&str, &str)]) -> ForwardAdmission {
        let user = |(name, password): &(&str, &str)| ForwardUser {
            name: (*name).to_owned(),
            password: Secret::new((*password).to_owned()),
        };
        ForwardAdmission {
            shared_key: Secret::new("a-key".to_owned()),
            users: users.iter().map(user).collect(),
            hostname: "server".to_owned(),
        }
    }

    fn ping(key: &str, user: &str, password: &str) -> Vec<u8> {
        let mut out = Vec::new();
        put_array(&mut out, 6);
        put_str(&mut out, b"PING");
        put_str(&mut out, b"client");
        put_bin(&mut out, b"salt");
        put_str(&mut out, &hex_digest(&[b"salt", b"client", &CHALLENGE.nonce, key.as_bytes()]));
        put_str(&mut out, user.as_bytes());
        put_str(&mut out, &hex_digest(&[&CHALLENGE.salt, user.as_bytes(), password.as_bytes()]));
        out
    }

    #[track_caller]
    fn check(users: &[(&str, &str)], ping: &[u8], expected: Result<(), NotAdmitted>) {
        let (answer, admitted) = admission(users).pong(&CHALLENGE, ping);
        assert_eq!(admitted, expected);
        let mut reader = PackReader::new(&answer);
        assert_eq!(reader.token(), Ok(PackToken::Array(5)));
        assert_eq!(reader.text(), Ok(&b"PONG"[..]));
        assert_eq!(reader.token(), Ok(PackToken::Bool(expected.is_ok())));
        assert_eq!(reader.text().unwrap().is_empty(), expected.is_ok());
        assert_eq!(reader.text(), Ok(&b"server"[..]));
        let digest = reader.text().unwrap();
        let own = hex_digest(&[b"salt", b"server", &CHALLENGE.nonce, b"a-key"]);
        assert_eq!(digest, if expected.is_ok() { &own[..] } else { b"" });
        assert!(reader.is_at_end());
    }

    #[test]
    fn who_knows_the_key_is_admitted_and_sees_that_we_know_it() {
        check(&[], &ping("a-key", "", ""), Ok(()));
        check(&[], &ping("a-key", "anybody", "x"), Ok(()));
        check(&[], &ping("another", "", ""), Err(NotAdmitted::Key));
        check(&[], &[0x93, 0xa1, b't', 0x01, 0x80], Err(NotAdmitted::NoPing));
        check(&[], &ping("a-key", "", "")[..40], Err(NotAdmitted::NoPing));
    }

    #[test]
    fn a_user_needs_the_password_too() {
        let users = [("ann", "one"), ("bob", "two")];
        check(&users, &ping("a-key", "bob", "two"), Ok(()));
        check(&users, &ping("a-key", "bob", "one"), Err(NotAdmitted::User));
        check(&users, &ping("a-key", "eve", "two"), Err(NotAdmitted::User));
        check(&users, &ping("another", "bob", "two"), Err(NotAdmitted::Key));
    }

    #[test]
    fn passwords_are_asked_for_only_where_there_are_users() {
        let asks = |users: &[(&str, &str)]| {
            let hello = admission(users).hello(&CHALLENGE);
            hello.windows(16).any(|bytes| bytes == CHALLENGE.salt)
        };
        assert!(!asks(&[]) && asks(&[("ann", "one")]));
        let mut out = Vec::new();
        put_str(&mut out, &hex_digest(&[b"abc"]));
        assert!(out.ends_with(b"2a9ac94fa54ca49f"), "SHA-512 of `abc`");
    }
}
