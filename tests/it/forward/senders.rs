//! Other people's senders, and those that prove who they are.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::{address, lines, start};
use crate::moto::{installed, root};
use crate::world::{Forwarder, Mode, RUN, World, exactly_once, forward_message, text, until};

/// Runs one of `tests/forward`'s programs against the source.
fn play(program: &Path, script: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.current_dir(root()).arg(root().join("tests/forward").join(script)).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_python_client_delivers_every_line() {
    let Some(python) = installed("python") else { return };
    let world = World::new();
    let daemon = start(&world, "record = \"message\"");
    world.standin.expect(RUN, 500);
    fs::write(world.path("lines"), lines(0..500)).unwrap();
    let address = address(&daemon);
    let port = address.rsplit_once(':').unwrap().1;
    play(&python, "client.py", &[port, world.path("lines").to_str().unwrap()]);
    exactly_once(&world.delivered(&daemon), 500);
    daemon.stop().drained();
}

#[test]
#[expect(clippy::print_stderr, reason = "a test left out is said aloud")]
fn the_javascript_client_delivers_every_line_in_every_mode_with_a_shared_key() {
    if !root().join(".tools/node_modules/@fluent-org/logger").exists() {
        return eprintln!(
            "left out: `@fluent-org/logger` is missing; `make test` installs it where there is npm"
        );
    }
    let world = World::new();
    let daemon = start(&world, "shared_key = \"a-key-of-many-letters\"\nself_hostname = \"standpipe\"");
    world.standin.expect(RUN, 400);
    fs::write(world.path("lines"), lines(0..400)).unwrap();
    let address = address(&daemon);
    let port = address.rsplit_once(':').unwrap().1;
    play(
        Path::new("node"),
        "client.js",
        &[port, world.path("lines").to_str().unwrap(), "a-key-of-many-letters"],
    );
    exactly_once(&world.delivered(&daemon), 400);
    daemon.stop().drained();
}

/// Answers HELO with this key.
fn ping(sender: &mut Forwarder, key: &str) -> bool {
    let long = Duration::from_mins(2);
    let hello = sender.value(long).unwrap().unwrap();
    let nonce_at = hello.windows(5).position(|bytes| bytes == b"nonce").unwrap() + 5;
    assert_eq!(hello[nonce_at..nonce_at + 2], [0xc4, 16]);
    let nonce = &hello[nonce_at + 2..nonce_at + 18];
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA512,
        &[b"salt", &b"client"[..], nonce, key.as_bytes()].concat(),
    );
    let hex = digest.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let parts: [&[u8]; 6] = [b"PING", b"client", b"salt", hex.as_bytes(), b"", b""];
    sender.send(&[&[0x96][..], &parts.map(text).concat()].concat());
    let pong = sender.value(long).unwrap().unwrap();
    assert!(pong.starts_with(b"\x95\xa4PONG"), "{pong:x?}");
    pong[6] == 0xc3
}

#[test]
fn only_who_knows_the_shared_key_may_send() {
    let world = World::new();
    let daemon = start(&world, "shared_key = \"a-key-of-many-letters\"");
    let address = address(&daemon);
    world.standin.expect(RUN, 10);
    let mut stranger = Forwarder::to(&address);
    assert!(!ping(&mut stranger, "another key"));
    stranger.ended();
    let mut unaware = Forwarder::to(&address);
    unaware.value(Duration::from_mins(2)).unwrap();
    unaware.send(&forward_message(Mode::Forward, "app", &lines(0..10), None));
    unaware.ended();
    let mut sender = Forwarder::to(&address);
    assert!(ping(&mut sender, "a-key-of-many-letters"));
    sender.deliver(&forward_message(Mode::Forward, "app", &lines(0..10), Some("c")), "c").unwrap();
    exactly_once(&world.delivered(&daemon), 10);
    until("both are counted", || {
        (daemon.scrape().count("source_errors_total", &["reason=\"unauthorized\""]) == 2).then_some(())
    });
    daemon.stop().drained();
}

#[test]
fn lines_come_over_tls() {
    let world = World::new();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(world.path("tls.crt"), key.cert.pem()).unwrap();
    fs::write(world.path("tls.key"), key.signing_key.serialize_pem()).unwrap();
    let daemon = start(&world, "tls = { cert = \"@DIR/tls.crt\", key = \"@DIR/tls.key\" }");
    let address = address(&daemon);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(key.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = rustls::ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(&address).unwrap();
    let mut sender = Forwarder::over(rustls::StreamOwned::new(client, stream));
    world.standin.expect(RUN, 100);
    sender.deliver(&forward_message(Mode::Gzip, "app", &lines(0..100), Some("c")), "c").unwrap();
    exactly_once(&world.delivered(&daemon), 100);
    // Who does not speak TLS is told of.
    let mut plain = TcpStream::connect(&address).unwrap();
    plain.write_all(&forward_message(Mode::Forward, "app", &lines(0..10), None)).unwrap();
    until("it is counted", || {
        (daemon.scrape().count("source_errors_total", &["reason=\"tls\""]) == 1).then_some(())
    });
    daemon.stop().drained();
}
