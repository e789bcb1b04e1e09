//! `access apply --watch`: log groups that match are subscribed as they come, gently, whatever fails.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::apply::{APP, ARCHIVE, Accounts, with_profiles};
use crate::moto::Moto;
use crate::world::{World, start_told, until};

/// A watch that runs, and the lines that it wrote.
struct Watch {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    fn start(topology: &Path, home: &Path, env: &BTreeMap<String, String>, more: &[&str]) -> Self {
        let arguments =
            [&["access", "apply", topology.to_str().unwrap(), "--yes", "--watch=1s"], more].concat();
        let mut child = start_told(&arguments, home, env);
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let lines = Arc::clone(&lines);
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    lines.lock().unwrap().push(line);
                }
            });
        }
        Self { child, lines }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn says(&self, part: &str) {
        until(part, || self.lines().iter().any(|line| line.contains(part)).then_some(()));
    }

    /// SIGTERM ends it, and that is no failure.
    fn stop(mut self) -> Vec<String> {
        self.end();
        self.says("stopped");
        self.lines()
    }

    fn end(&mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").arg("-c").arg(kill).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        assert_eq!(code, Some(0), "{:?}", self.lines());
    }
}

#[test]
fn log_groups_that_match_are_subscribed_as_they_come() {
    let Some(moto) = Moto::start() else { return };
    let of_names = "log_groups     = [\"orders\"]";
    let text = with_profiles();
    assert!(text.contains(of_names));
    let text = text.replace(of_names, "match = [\"/aws/lambda/*\", \"orders-*\"]\nexclude = [\"*noisy*\"]");
    let accounts = Accounts::new(&moto, &text);
    accounts.group(ARCHIVE, "everything");
    accounts.group(APP, "/aws/vendedlogs/states/orders");
    accounts.group(APP, "orders-1");
    accounts.group(APP, "/aws/lambda/noisy");
    let (code, report) = accounts.apply(&["--yes"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        report.to_string().matches("\"call\":\"logs:PutSubscriptionFilter\"").count(),
        1,
        "{report:#}"
    );
    let home = accounts.world.path("");
    let watch = Watch::start(&accounts.world.path("topology.toml"), &home, &accounts.env, &[]);
    watch.says("watching account app every 1s for log groups /aws/lambda/*, orders-*");
    accounts.group(APP, "/aws/lambda/new");
    accounts.group(APP, "/aws/lambda/noisy-2");
    accounts.group(APP, "shop");
    watch.says("subscribed: log group `/aws/lambda/new` of account app: filter `standpipe` to arn:aws:logs:us-east-1:222222222222:destination:everything");
    accounts.group(APP, "orders-2");
    watch.says("subscribed: log group `orders-2`");
    let lines = watch.stop();
    assert_eq!(lines.len(), 4, "what has its filter, or does not match, is left alone: {lines:?}");
    let (code, report) = accounts.apply(&["--yes"]);
    assert_eq!((code, &report["done"]), (0, &serde_json::json!([])), "{report:#}");
    let (code, text) = accounts.run(&["apply", "--watch=0s", "--yes"]);
    assert_eq!(code, 2, "{text}");
    let (code, text) = accounts.run(&["apply", "--watch"]);
    assert_eq!(code, 2, "nobody is there to be asked: {text}");
}

/// An account whose log groups cannot be listed the first time, and of whose two one has no room for a filter.
fn full() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let lists = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&lists);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") && reader.read_line(&mut request).unwrap_or(0) > 0 {}
            let length = request.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).ok();
            request.push_str(&String::from_utf8_lossy(&body));
            let (status, answer) = if request.contains("Action=GetCallerIdentity") {
                (
                    200,
                    "<R><GetCallerIdentityResult><Account>111111111111</Account><Arn>arn:aws:iam::111111111111:user/u</Arn></GetCallerIdentityResult></R>",
                )
            } else if request.contains("DescribeLogGroups") && counter.fetch_add(1, Ordering::SeqCst) == 0 {
                (400, "{\"__type\": \"AccessDeniedException\", \"message\": \"not yet\"}")
            } else if request.contains("DescribeLogGroups") {
                (
                    200,
                    "{\"logGroups\": [{\"logGroupName\": \"/a/full\", \"creationTime\": 1}, {\"logGroupName\": \"/a/good\", \"creationTime\": 2}]}",
                )
            } else if request.contains("DescribeSubscriptionFilters") {
                (200, "{\"subscriptionFilters\": []}")
            } else if request.contains("/a/full") {
                (400, "{\"__type\": \"LimitExceededException\", \"message\": \"Resource limit exceeded.\"}")
            } else {
                (200, "{}")
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            stream.write_all((head + answer).as_bytes()).ok();
        }
    });
    (url, lists)
}

#[test]
fn what_fails_is_said_once_and_does_not_keep_the_others() {
    const TOPOLOGY: &str = "region = \"us-east-1\"\n[accounts.app]\nid = \"111111111111\"\n[bucket]\naccount = \"app\"\nname = \"b-1\"\n\
                            [stream]\naccount = \"app\"\nname = \"s\"\n[[subscriptions]]\naccount = \"app\"\nmatch = [\"/a/*\"]\n";
    let world = World::new();
    let (url, lists) = full();
    let topology = world.path("topology.toml");
    fs::write(&topology, TOPOLOGY).unwrap();
    let env = [
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let watch = Watch::start(&topology, &world.path(""), &env, &["--json"]);
    watch.says("log groups could not be listed");
    watch.says("\"log_group\":\"/a/good\"");
    watch.says("not subscribed: log group `/a/full` of account app: `logs:PutSubscriptionFilter`");
    let then = lists.load(Ordering::SeqCst);
    until("it has looked a few times more", || (lists.load(Ordering::SeqCst) > then + 3).then_some(()));
    let lines = watch.stop();
    for (part, count) in
        [("could not be listed", 1), ("/a/good", 1), ("/a/full", 1), ("\"event\":\"watching\"", 1)]
    {
        let found = lines.iter().filter(|line| line.contains(part)).count();
        assert_eq!(found, count, "{part}: {lines:#?}");
    }
    let mut quiet = Watch::start(&topology, &world.path(""), &env, &["--quiet"]);
    quiet.says("not subscribed: log group `/a/full`");
    let then = lists.load(Ordering::SeqCst);
    until("it has looked once more", || (lists.load(Ordering::SeqCst) > then).then_some(()));
    quiet.end();
    let lines = quiet.lines();
    assert!(lines.iter().all(|line| line.contains("/a/full")), "only what is wrong is said: {lines:#?}");
}

#[test]
fn patterns_of_a_subscription_are_seen_to() {
    let world = World::new();
    let check = |subscription: &str, part: &str| {
        let text = format!(
            "region = \"us-east-1\"\n[accounts.app]\nid = \"111111111111\"\n[bucket]\naccount = \"app\"\nname = \"b-1\"\n[stream]\naccount = \"app\"\nname = \"s\"\n[[subscriptions]]\naccount = \"app\"\n{subscription}\n"
        );
        fs::write(world.path("topology.toml"), text).unwrap();
        let path = world.path("topology.toml");
        let output = world.run(&["access", "apply", path.to_str().unwrap(), "--yes", "--watch=1s"], b"");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{words}");
        assert!(words.contains(part), "`{part}`: {words}");
    };
    check("log_groups = [\"a\"]", "nothing to watch; give a subscription `match");
    check("log_groups = [\"a*\"]", "write `match = [..]` with wildcards");
    check("match = [\"*\"]", "subscribe all with `scope = \"account\"`");
    check("match = [\"a*\"]\nlog_groups = [\"b\"]", "make two subscriptions of them");
    check("match = [\"a b\"]", "the name of a log group, in which `*` may stand for anything");
}
