//! Messages of the Fluent Forward protocol, over real sockets to the real binary.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::moto::{installed, root};
use crate::standin::{Lines, Refusal};
use crate::world::{
    Daemon, Forwarder, MESSAGE_SINK, Mode, RUN, WEB, World, at_least_once, bin, docker, exactly_once,
    forward_message, progress, text, until,
};

const SOURCE: &str = "[sources.containers]\ntype = \"fluent_forward\"\nlisten = \"127.0.0.1:0\"\n";

fn start(world: &World, more: &str) -> Daemon {
    world.config(&format!("{SOURCE}{more}\n{MESSAGE_SINK}")).start()
}

fn address(daemon: &Daemon) -> String {
    daemon.listening("forward endpoint listening")
}

/// One without its newline.
fn line(number: u64) -> Vec<u8> {
    Lines::of_run(RUN).line(number)
}

fn lines(numbers: std::ops::Range<u64>) -> Vec<u8> {
    Lines::of_run(RUN).text(numbers)
}

/// Longer than any answer that is not to come would take.
const SHORT: Duration = Duration::from_millis(300);

const MODES: [Mode; 4] = [Mode::Forward, Mode::Packed, Mode::Gzip, Mode::Zstd];

#[test]
fn lines_of_every_mode_are_delivered_once_over_either_socket() {
    for listen in ["127.0.0.1:0", "unix:@DIR/fluent.sock"] {
        let world = World::new();
        let daemon =
            world.config(&format!("{}{MESSAGE_SINK}", SOURCE.replace("127.0.0.1:0", listen))).start();
        let address = address(&daemon);
        world.standin.expect(RUN, 9_000);
        thread::scope(|scope| {
            for (at, mode) in (0..).zip(MODES) {
                let mut sender = Forwarder::to(&address);
                scope.spawn(move || {
                    for part in 0..4 {
                        let first = (at * 4 + part) * 500;
                        let chunk = format!("chunk-{first}");
                        let message = forward_message(mode, "app", &lines(first..first + 500), Some(&chunk));
                        sender.deliver(&message, &chunk).unwrap();
                    }
                });
            }
            let mut sender = Forwarder::to(&address);
            scope.spawn(move || {
                for number in 8_000..9_000 {
                    sender.send(&docker("0123456789ab", &line(number), &WEB, None));
                }
            });
        });
        exactly_once(&world.delivered(&daemon), 9_000);
        let scrape = daemon.conserved();
        assert_eq!(scrape.count("source_events_total", &["source=\"containers\""]), 9_000);
        daemon.stop().drained();
        assert!(!world.path("fluent.sock").exists(), "the socket's file goes with the process");
    }
}

#[test]
fn a_chunk_is_answered_when_it_is_delivered_and_not_before() {
    let world = World::new();
    let daemon = start(&world, "");
    world.standin.expect(RUN, 200);
    world.standin.faults(|faults| faults.refusal = Some(Refusal::AccessDenied));
    let mut sender = Forwarder::to(&address(&daemon));
    sender.send(&forward_message(Mode::Forward, "app", &lines(0..100), Some("one")));
    until("the sink is held", || {
        (daemon.scrape().count("sink_held", &["reason=\"access_denied\""]) == 1).then_some(())
    });
    sender.answer(SHORT).unwrap_err();
    world.standin.faults(|faults| faults.refusal = None);
    sender.deliver(&forward_message(Mode::Packed, "app", &lines(100..200), Some("two")), "one").unwrap();
    assert_eq!(sender.answer(Duration::from_mins(2)).unwrap().as_deref(), Some("two"));
    assert_eq!(world.standin.report().missing, 0, "what is answered is delivered");
    exactly_once(&world.delivered(&daemon), 200);
    daemon.stop().drained();
}

#[test]
fn a_chunk_that_is_sent_again_is_answered_and_not_doubled() {
    let world = World::new();
    let daemon = start(&world, "");
    world.standin.expect(RUN, 200);
    let address = address(&daemon);
    let message = forward_message(Mode::Gzip, "app", &lines(0..100), Some("one"));
    // Its answer is not read.
    world.standin.faults(|faults| faults.hang = true);
    let mut cut = Forwarder::to(&address);
    cut.send(&message);
    until("it is under way", || (daemon.scrape().count("source_events_total", &[]) == 100).then_some(()));
    drop(cut);
    let mut again = Forwarder::to(&address);
    again.send(&message);
    again.answer(SHORT).unwrap_err();
    world.standin.faults(|faults| faults.hang = false);
    assert_eq!(again.answer(Duration::from_mins(2)).unwrap().as_deref(), Some("one"));
    again.deliver(&message, "one").unwrap();
    // An id that is used again for something else is no repetition.
    again.deliver(&forward_message(Mode::Gzip, "app", &lines(100..200), Some("one")), "one").unwrap();
    exactly_once(&world.delivered(&daemon), 200);
    daemon.stop().drained();
}

/// Sends chunks of lines, each again until it is answered, by a sender that connects again whenever it must.
fn send_until_answered(path: &str, chunks: std::ops::Range<u64>) {
    let mut sender: Option<Forwarder> = None;
    for chunk in chunks {
        let id = chunk.to_string();
        let message = forward_message(Mode::Packed, "app", &lines(chunk * 100..(chunk + 1) * 100), Some(&id));
        progress("a chunk is answered", || {
            let again = |sender: &mut Option<Forwarder>| {
                *sender = None;
                Err((0, format!("chunk {id}")))
            };
            if sender.is_none() {
                sender = Forwarder::try_to(path).ok();
            }
            let Some(connected) = &mut sender else { return again(&mut sender) };
            if connected.try_send(&message).is_err() {
                return again(&mut sender);
            }
            match connected.answer(Duration::from_secs(20)) {
                Ok(Some(answer)) => {
                    assert_eq!(answer, id);
                    Ok(())
                }
                Ok(None) | Err(_) => again(&mut sender),
            }
        });
    }
}

#[test]
fn kills_lose_nothing_of_what_was_not_answered() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", SOURCE.replace("127.0.0.1:0", "unix:@DIR/fluent.sock")));
    world.standin.faults(|faults| faults.delay_ms = 20);
    const CHUNKS: u64 = 60;
    world.standin.expect(RUN, CHUNKS * 2 * 100);
    let path = format!("unix:{}", world.path("fluent.sock").display());
    thread::scope(|scope| {
        let senders: Vec<_> = [0..CHUNKS, CHUNKS..CHUNKS * 2]
            .into_iter()
            .map(|chunks| {
                let path = &path;
                scope.spawn(move || send_until_answered(path, chunks))
            })
            .collect();
        let mut daemon = world.start();
        for round in 1..6 {
            world.seen(&daemon, round * 1_500);
            daemon.kill();
            daemon = world.start();
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        at_least_once(&world.delivered(&daemon), CHUNKS * 2 * 100);
        daemon.stop().drained();
    });
}

#[test]
fn a_stop_and_a_reload_answer_what_is_under_way_and_double_nothing() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", SOURCE.replace("127.0.0.1:0", "unix:@DIR/fluent.sock")));
    world.standin.expect(RUN, 12_000);
    let path = format!("unix:{}", world.path("fluent.sock").display());
    thread::scope(|scope| {
        let mut daemon = world.start();
        let sender = scope.spawn(|| send_until_answered(&path, 0..120));
        for round in 1..4 {
            world.seen(&daemon, round * 2_000);
            daemon.reload();
        }
        world.seen(&daemon, 8_000);
        daemon.stop().drained();
        daemon = world.start();
        sender.join().unwrap();
        exactly_once(&world.delivered(&daemon), 12_000);
        daemon.stop().drained();
    });
}

#[test]
fn lines_that_have_arrived_at_a_stop_are_taken() {
    let world = World::new();
    let daemon = start(&world, "");
    world.standin.expect(RUN, 1_000);
    let mut sender = Forwarder::to(&address(&daemon));
    let all: Vec<u8> = (0..1_000).flat_map(|number| docker("tag", &line(number), &WEB, None)).collect();
    sender.send(&all);
    daemon.stop().drained();
    exactly_once(&world.standin.report(), 1_000);
}

#[test]
fn a_destination_that_holds_its_share_lets_the_sender_wait_and_loses_nothing() {
    let world = World::new();
    let daemon = start(&world, "[limits]\nmemory = \"8MiB\"");
    world.standin.faults(|faults| faults.hang = true);
    const LINES: u64 = 100_000;
    world.standin.expect(RUN, LINES);
    let address = address(&daemon);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut sender = Forwarder::to(&address);
            for first in (0..LINES).step_by(1_000) {
                sender.send(&forward_message(Mode::Forward, "app", &lines(first..first + 1_000), None));
            }
        });
        until("the source waits", || {
            (daemon.scrape().sum("source_lag_seconds", &["source=\"containers\""]) > 1.0).then_some(())
        });
        world.standin.faults(|faults| faults.hang = false);
        at_least_once(&world.delivered(&daemon), LINES);
    });
    daemon.stop().drained();
}

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
        assert_eq!(daemon.scrape().count("source_errors_total", &[&reason]), before + 1, "{bad:x?}");
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
    let issues = daemon.issues();
    assert!(
        issues.iter().any(|line| line.contains("sends JSON") && line.contains("127.0.0.1:")),
        "{issues:#?}"
    );
    assert_eq!(
        issues.iter().filter(|line| line.contains("a connection was ended")).count(),
        7,
        "{issues:#?}"
    );
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
    let world = World::new();
    let daemon = start(&world, "[limits]\nmemory = \"16MiB\"");
    const LINES: u64 = 60_000;
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

/// Each line of a folder's objects, with the name of the object's file.
fn written(folder: &Path) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let name = entry.file_name().into_string().unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            found.extend(text.lines().map(|line| (name.clone(), serde_json::from_str(line).unwrap())));
        }
    }
    found
}

#[test]
fn lines_of_containers_are_joined_named_and_routed() {
    let world = World::new();
    let daemon = world
        .config(&format!(
            "{SOURCE}[sinks.web]\ntype = \"directory\"\npath = \"@DIR/web\"\nstream = \"{{tag}}-{{container}}\"\nlinger = \"50ms\"\n\
             [sinks.rest]\ntype = \"directory\"\npath = \"@DIR/rest\"\nstream = \"rest\"\nlinger = \"50ms\"\n\
             [[routes]]\nwhen = {{ tag = [\"drop.*\"] }}\ndrop = true\n\
             [[routes]]\nwhen = {{ container = [\"web\"], stream = [\"stdout\"] }}\nto = [\"web\"]\n[[routes]]\nwhen = {{ container = [\"db\"] }}\nto = [\"rest\"]\n"
        ))
        .start();
    let mut sender = Forwarder::to(&address(&daemon));
    let part = |log: &str, ordinal: &str, is_last: &str| {
        let fields = [
            &WEB[..],
            &[
                ("partial_message", "true"),
                ("partial_id", "p1"),
                ("partial_ordinal", ordinal),
                ("partial_last", is_last),
            ],
        ]
        .concat();
        docker("t", log.as_bytes(), &fields, None)
    };
    let other = [("container_name", "/db"), ("source", "stderr"), ("level", "info")];
    sender.send(&part("first, ", "1", "false"));
    sender.send(&docker("t", b"between", &WEB, None));
    sender.send(&part("second, ", "2", "false"));
    sender.send(&part("last", "3", "true"));
    sender.send(&docker("drop.it", b"unseen", &WEB, None));
    sender.send(&docker("t", b"a \"row\"", &other, None));
    sender.send(&part("of two, ", "1", "false"));
    until("all but the open line is read", || {
        (daemon.scrape().count("source_events_total", &[]) == 4).then_some(())
    });
    daemon.stop().drained();
    let web = written(&world.path("web"));
    let messages: Vec<&str> = web.iter().map(|(_, line)| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["between", "first, second, last", "of two, "], "what is open at a stop is whole");
    assert!(web.iter().all(|(name, _)| name.starts_with("t-web-")), "{web:?}");
    let first = &web[0].1;
    assert_eq!(first["timestamp"], "2023-11-14T22:13:20.000Z");
    assert_eq!(
        (&first["tag"], &first["container"], &first["stream"]),
        (&"t".into(), &"web".into(), &"stdout".into())
    );
    let rest = written(&world.path("rest"));
    let record: Value = serde_json::from_str(rest[0].1["message"].as_str().unwrap()).unwrap();
    assert_eq!((rest.len(), &record["log"], &record["level"]), (1, &"a \"row\"".into(), &"info".into()));
}

#[test]
fn a_container_that_waits_for_each_answer_is_not_held_up_by_a_line_in_parts() {
    let world = World::new();
    let daemon = world
        .config(&format!("{SOURCE}[sinks.out]\ntype = \"directory\"\npath = \"@DIR/out\"\nstream = \"all\"\nlinger = \"50ms\"\n"))
        .start();
    let mut sender = Forwarder::to(&address(&daemon));
    for (chunk, log, is_last) in [("1", "one ", "false"), ("2", "two ", "false"), ("3", "three", "true")] {
        let fields = [
            &WEB[..],
            &[
                ("partial_message", "true"),
                ("partial_id", "p"),
                ("partial_ordinal", chunk),
                ("partial_last", is_last),
            ],
        ]
        .concat();
        sender.deliver(&docker("t", log.as_bytes(), &fields, Some(chunk)), chunk).unwrap();
    }
    daemon.stop().drained();
    let mut parts: Vec<_> = written(&world.path("out"))
        .into_iter()
        .map(|(_, line)| (line["message"].clone(), line["part"].clone()))
        .collect();
    parts.sort_by_key(|(_, part): &(Value, Value)| part["offset"].as_u64());
    let part = |text: &str, offset: u64, last: bool| {
        (text.into(), serde_json::json!({ "offset": offset, "last": last }))
    };
    assert_eq!(parts, [part("one ", 0, false), part("two ", 4, false), part("three", 8, true)]);
}

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
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
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
    assert_eq!(daemon.scrape().count("source_errors_total", &["reason=\"unauthorized\""]), 2);
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
