//! Senders that are broken, slow, or large: they cost their own connection.

use std::net::TcpStream;

use super::{address, lines, start};
use crate::world::{Forwarder, Mode, RUN, World, bin, exactly_once, forward_message, until};

#[test]
fn bad_bytes_end_their_connection_and_keep_what_was_good() {
    let world = World::new();
    let daemon = start(&world, "");
    let address = address(&daemon);
    let cases: [(&str, Vec<u8>); 6] = [
        ("json", b"[\"tag\", 1, {\"log\": \"x\"}]\n".to_vec()),
        ("bad_message", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("bad_message", vec![0x93, 0xc1]),
        ("bad_message", vec![0x81, 0xa1, b'a', 1]),
        ("too_large", vec![0x92, 0xa1, b't', 0xc6, 0x7f, 0xff, 0xff, 0xff]),
        ("too_large", vec![0x93, 0xa1, b't', 0xdd, 0xff, 0xff, 0xff, 0xff]),
    ];
    world.standin.expect(RUN, 700);
    let mut other = Forwarder::to(&address);
    for (number, (reason, bad)) in (0..).zip(&cases) {
        let reason = format!("reason=\"{reason}\"");
        let before = daemon.scrape().count("source_errors_total", &[&reason]);
        let mut sender = Forwarder::to(&address);
        sender.send(
            &[
                &forward_message(Mode::Forward, "app", &lines(number * 100..number * 100 + 100), None)[..],
                bad,
            ]
            .concat(),
        );
        sender.ended();
        until(&format!("{bad:x?} is counted"), || {
            (daemon.scrape().count("source_errors_total", &[&reason]) == before + 1).then_some(())
        });
    }
    // One that ends in the middle of a message is no worse.
    let message = forward_message(Mode::Forward, "app", &lines(0..100), None);
    Forwarder::to(&address).send(&message[..message.len() / 2]);
    // A look whether somebody listens is no error, and no more is a heartbeat.
    drop(TcpStream::connect(&address).unwrap());
    other.send(&[0xc0]);
    other.deliver(&forward_message(Mode::Packed, "app", &lines(600..700), Some("last")), "last").unwrap();
    exactly_once(&world.delivered(&daemon), 700);
    until("the half is counted", || {
        (daemon.scrape().count("source_errors_total", &["reason=\"aborted\""]) == 1).then_some(())
    });
    until("each is told of", || {
        let issues = daemon.issues();
        let ended = issues.iter().filter(|line| line.contains("a connection was ended")).count();
        let names_json = |line: &String| line.contains("sends JSON") && line.contains("127.0.0.1:");
        (ended == 7 && issues.iter().any(names_json)).then_some(())
    });
    daemon.stop().drained();
}

#[test]
fn large_messages_that_never_come_cost_no_more_than_their_connections() {
    let world = World::new();
    let daemon = start(&world, "[limits]\nmemory = \"8MiB\"");
    let address = address(&daemon);
    world.standin.expect(RUN, 40_000);
    let idle = daemon.memory("VmRSS");
    let begun = [&[0x92, 0xa1, b't'][..], &bin(&vec![b'x'; 15 << 20])[..200_000]].concat();
    let slow: Vec<Forwarder> = (0..20)
        .map(|_| {
            let mut sender = Forwarder::to(&address);
            sender.send(&begun[..100_000]);
            sender
        })
        .collect();
    let mut sender = Forwarder::to(&address);
    for first in (0..40_000).step_by(500) {
        let chunk = first.to_string();
        sender
            .deliver(&forward_message(Mode::Forward, "app", &lines(first..first + 500), Some(&chunk)), &chunk)
            .unwrap();
    }
    exactly_once(&world.delivered(&daemon), 40_000);
    let more = daemon.memory("VmHWM").saturating_sub(idle);
    assert!(more < 40 << 20, "{more} bytes of memory");
    drop(slow);
    daemon.stop().drained();
}

#[test]
fn a_large_message_is_taken_whole() {
    const LINES: u64 = 60_000;
    let world = World::new();
    let daemon = start(&world, "[limits]\nmemory = \"16MiB\"");
    world.standin.expect(RUN, LINES * 2);
    let mut sender = Forwarder::to(&address(&daemon));
    for (mode, first) in [(Mode::Packed, 0), (Mode::Forward, LINES)] {
        let message = forward_message(mode, "app", &lines(first..first + LINES), Some("large"));
        assert!(message.len() > 4 << 20, "{} bytes", message.len());
        sender.deliver(&message, "large").unwrap();
    }
    exactly_once(&world.delivered(&daemon), LINES * 2);
    daemon.stop().drained();
}
