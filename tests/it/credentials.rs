//! Where credentials are from, and what is said of those that are of no use.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::standin::Key;
use crate::world::{World, exactly_once, until};

/// A server that gives every request the same answer, or one by its first line.
struct Answering {
    url: String,
    asked: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Answering {
    fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, heads) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counter, seen) = (Arc::clone(&asked), Arc::clone(&heads));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counter.fetch_add(1, Ordering::Relaxed);
                let mut reader = BufReader::new(&stream);
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                        break;
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap_or(0);
                    }
                    head.push_str(&line);
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).ok();
                head.push_str(&String::from_utf8_lossy(&body));
                let body = answer(head.lines().next().unwrap_or_default());
                seen.lock().unwrap().push(head);
                let status = if body.is_empty() { "403 Forbidden" } else { "200 OK" };
                let head = format!(
                    "HTTP/1.1 {status}\r\nconnection: close\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                (&stream).write_all((head + &body).as_bytes()).ok();
            }
        });
        Self { url, asked, heads }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Keys as a container's or an instance's source gives them.
fn issued(id: &str, secret: &str) -> String {
    serde_json::json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "AccessKeyId": id,
        "SecretAccessKey": secret, "Token": "token", "Expiration": "2999-01-01T00:00:00Z"
    })
    .to_string()
}

/// A world whose environment has no keys.
fn keyless() -> World {
    let world = World::new();
    world.env("AWS_ACCESS_KEY_ID", "");
    world.env("AWS_SECRET_ACCESS_KEY", "");
    world
}

fn config_file(world: &World, text: &str) {
    fs::create_dir_all(world.path(".aws")).unwrap();
    fs::write(world.path(".aws/config"), text).unwrap();
}

/// The sink is held for this reason with these words, and everything else goes on.
fn held(world: &World, reason: &str, words: &[&str]) {
    world.write("app.log", 0..100);
    world.file_to_firehose("\n[sinks.copy]\ntype = \"directory\"\npath = \"@DIR/copy\"\nencoding = \"message\"\nlinger = \"100ms\"\n");
    let daemon = world.spawn();
    let issue = until(&format!("the log explains {reason}"), || {
        daemon.must_run();
        daemon.issues().into_iter().find(|line| line.contains(reason))
    });
    for word in words {
        assert!(issue.contains(word), "it names `{word}`: {issue}");
    }
    until("the other sink delivers", || {
        daemon.must_run();
        (daemon.scrape().count("sink_delivered_events_total", &["sink=\"copy\""]) == 100).then_some(())
    });
    drop(daemon);
    let doctor = world.run(&["doctor", "-c", world.config_path().to_str().unwrap()], b"");
    assert_eq!(doctor.status.code(), Some(1), "doctor finds it and ends by itself: {doctor:?}");
}

#[test]
fn a_key_that_cannot_be_signed_with_holds_its_sink_alone() {
    const REASON: &str = "unrecognized_credentials";
    const NEWLINE: &str = "the access key id has a newline at its end";
    let world = World::new();
    world.env("AWS_ACCESS_KEY_ID", "AKIA\n");
    held(&world, REASON, &[NEWLINE, "the environment", "echo -n"]);

    let world = World::new();
    world.env("AWS_SECRET_ACCESS_KEY", "secret\r");
    held(&world, REASON, &["the secret access key has a carriage return at its end"]);

    let world = World::new();
    world.env("AWS_SESSION_TOKEN", "to\nken");
    held(&world, REASON, &["the session token has a newline in it"]);

    let world = keyless();
    let printed = r#"printf '{"Version":1,"AccessKeyId":"AKIA\\n","SecretAccessKey":"s"}'"#;
    config_file(&world, &format!("[default]\ncredential_process = {printed}\n"));
    held(&world, REASON, &[NEWLINE, "profile `default`"]);

    // Its role would be assumed with it.
    let world = keyless();
    config_file(
        &world,
        &format!(
            "[default]\nrole_arn = arn:aws:iam::222222222222:role/r\nsource_profile = p\n[profile p]\ncredential_process = {printed}\n"
        ),
    );
    held(&world, REASON, &[NEWLINE]);

    let world = keyless();
    let container = Answering::start(|_| issued("AKIA\n", "s"));
    world.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/creds", container.url));
    held(&world, REASON, &[NEWLINE, "container"]);
}

#[test]
fn a_source_that_gives_no_credentials_is_named_with_its_own_fix() {
    const REASON: &str = "no_credentials";
    let world = keyless();
    config_file(&world, "[default]\ncredential_process = echo not signed in >&2; exit 4\n");
    held(&world, REASON, &["credential_process", "exit status: 4", "not signed in", "by hand"]);

    let world = keyless();
    config_file(&world, "[default]\nsso_session = work\nsso_account_id = 1\nsso_role_name = r\n");
    held(&world, REASON, &["standpipe does not use sign-ins of persons"]);

    let world = keyless();
    world.env("AWS_ACCESS_KEY_ID", "AKIA");
    held(&world, REASON, &["AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not"]);

    let world = keyless();
    world.env("AWS_WEB_IDENTITY_TOKEN_FILE", "/there/is/none");
    world.env("AWS_ROLE_ARN", "arn:aws:iam::222222222222:role/pod");
    held(&world, REASON, &["/there/is/none", "mounted"]);

    let world = keyless();
    fs::write(world.path("token"), "a.web.token").unwrap();
    let sts = Answering::start(|_| String::new());
    world.env("AWS_WEB_IDENTITY_TOKEN_FILE", world.path("token").to_str().unwrap());
    world.env("AWS_ROLE_ARN", "arn:aws:iam::222222222222:role/pod");
    world.env("AWS_ENDPOINT_URL_STS", &sts.url);
    held(&world, REASON, &["sts:AssumeRoleWithWebIdentity", "HTTP 403", "no answer of AWS"]);
    let heads = sts.heads.lock().unwrap();
    assert!(heads.iter().any(|head| head.contains("WebIdentityToken=a.web.token")), "{heads:?}");

    let world = keyless();
    let container = Answering::start(|_| String::new());
    world.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/creds", container.url));
    held(&world, REASON, &["container", "403", "pod identity"]);
}

#[test]
fn credentials_that_are_renewed_in_their_file_are_used() {
    let world = keyless();
    let key = Key::default();
    fs::create_dir_all(world.path(".aws")).unwrap();
    let write = |id: &str| {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {}\n", key.secret);
        fs::write(world.path(".aws/credentials"), text).unwrap();
    };
    write("AKIDNOTKNOWN");
    world.write("app.log", 0..1_000);
    let daemon = world.file_to_firehose("").spawn();
    daemon.until_readyz(503);
    write(&key.id);
    exactly_once(&world.delivered(&daemon), 1_000);
    daemon.ready();
    daemon.stop().drained();
}

#[test]
fn sources_of_credentials_on_this_host_are_asked_without_a_proxy() {
    let key = Key::default();
    let (id, secret) = (key.id.clone(), key.secret.clone());
    let proxy = Answering::start(|_| String::new());
    let container = Answering::start({
        let (id, secret) = (id.clone(), secret.clone());
        move |_| issued(&id, &secret)
    });
    let instance = Answering::start(move |line| {
        if line.starts_with("PUT ") {
            "a-token".to_owned()
        } else if line.contains("/security-credentials/ ") {
            "a-role".to_owned()
        } else {
            issued(&id, &secret)
        }
    });
    for (variable, url) in [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/creds", container.url)),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", instance.url.clone()),
    ] {
        let world = keyless();
        world.env("AWS_EC2_METADATA_DISABLED", "false");
        world.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a-pod-token");
        world.env("HTTP_PROXY", &proxy.url);
        world.env("http_proxy", &proxy.url);
        world.env(variable, &url);
        world.write("app.log", 0..1_000);
        let daemon = world.file_to_firehose("").spawn();
        let refused = until("the source is asked and its credentials are used", || {
            daemon.must_run();
            (world.standin.report().calls > 0).then(|| world.standin.report().errors)
        });
        // The stand-in knows the key without a token.
        assert!(refused.len() <= 1, "{refused:?}");
        assert_eq!(proxy.asked(), 0, "{variable}: the proxy sees nothing of it");
    }
    assert!(container.asked() > 0 && instance.asked() > 0);
    assert!(container.heads.lock().unwrap().iter().all(|head| head.contains("a-pod-token")));
}
