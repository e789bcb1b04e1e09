//! A third party's word: two standpipes share a stream of kinesis-local by a lease table of dynalite, or both of moto, none of which is
//! ours. They know shards, sequence numbers and conditional writes as AWS has them; for refusals, limits and faults there is the stand-in.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use crate::fleet::configure;
use crate::moto::{Moto, installed, root};
use crate::standin::Lines;
use crate::world::{Daemon, Envelope, MESSAGE_SINK, RUN, World, at_least_once, exactly_once, until};

/// The two servers; they end when they are dropped.
struct Elsewhere {
    child: Child,
    /// They serve for as long as it is open.
    _input: ChildStdin,
    kinesis: String,
    dynamodb: String,
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const STREAM: &str = "cwl";
const TABLE: &str = "standpipe-cwl";

/// The table's rows: owner and position by shard.
type Rows = BTreeMap<String, (Option<String>, String)>;

impl Elsewhere {
    /// None: they are not installed, which is said aloud.
    #[expect(clippy::print_stderr, reason = "a test left out is said aloud")]
    fn start() -> Option<Self> {
        installed("python")?;
        for package in ["kinesis-local", "dynalite"] {
            if !root().join(".tools/node_modules").join(package).exists() {
                eprintln!("left out: `{package}` is missing; `make test` installs it where there is npm");
                return None;
            }
        }
        let mut command = Command::new("node");
        command.arg(root().join("tests/kinesis/local.js"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut servers = Self { child, _input: input, kinesis: String::new(), dynamodb: String::new() };
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            match line.split_once(" http://") {
                Some(("kinesis", address)) => servers.kinesis = format!("http://{address}"),
                Some(("dynamodb", address)) => servers.dynamodb = format!("http://{address}"),
                _ => {}
            }
            if !servers.kinesis.is_empty() && !servers.dynamodb.is_empty() {
                return Some(servers);
            }
        }
        panic!("the servers ended before they said where they listen");
    }

    /// Runs one step of `stream.py`; what it prints.
    fn play(step: &str, url: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(installed("python").unwrap());
        command.env_clear().arg(root().join("tests/kinesis/stream.py")).args([step, url]).args(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{step}: {words}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A step on the stream.
    fn stream(&self, step: &str, arguments: &[&str]) -> String {
        Self::play(step, &self.kinesis, &[&[STREAM], arguments].concat())
    }

    fn leases(&self) -> Rows {
        serde_json::from_str(&Self::play("leases", &self.dynamodb, &[TABLE])).unwrap()
    }

    /// How many leases each worker has, in order.
    fn shares(&self) -> Vec<usize> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for owner in self.leases().into_values().filter_map(|(owner, _)| owner) {
            *counts.entry(owner).or_default() += 1;
        }
        counts.into_values().collect()
    }

    /// Puts lines of the run as envelopes of 25.
    fn put(&self, world: &World, numbers: Range<u64>) {
        world.standin.expect(RUN, numbers.end);
        let folder = world.path(&format!("envelopes-{}", numbers.start));
        fs::create_dir(&folder).unwrap();
        for first in numbers.clone().step_by(25) {
            let end = numbers.end.min(first + 25);
            let envelope = Envelope::of_lines(RUN, first..end).gzipped();
            fs::write(folder.join(format!("{first:08}")), envelope).unwrap();
        }
        self.stream("put", &[path(&folder)]);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn start(world: &World, servers: &Elsewhere, arn: &str, worker: &str, more: &str) -> Daemon {
    let Elsewhere { kinesis, dynamodb, .. } = servers;
    world.config(&format!(
        "[state]\ndir = \"@DIR/state-{worker}\"\n\n\
         [sources.stream]\ntype = \"kinesis\"\nstream_arn = \"{arn}\"\nendpoint_url = \"{kinesis}\"\n\
         leases = {{ table = \"{TABLE}\", failover = \"2s\", endpoint_url = \"{dynamodb}\" }}\n{more}{MESSAGE_SINK}"
    ));
    world.start()
}

#[test]
fn eight_shards_of_envelopes_arrive_though_a_worker_is_killed_and_shards_are_split_and_merged() {
    let Some(servers) = Elsewhere::start() else { return };
    let world = World::new();
    let arn = servers.stream("create", &["8"]);
    let arn = arn.trim();
    servers.put(&world, 0..2_000);
    let first = start(&world, &servers, arn, "a", "");
    world.delivered(&first);
    let second = start(&world, &servers, arn, "b", "");
    until("each has four of eight", || {
        first.must_run();
        second.must_run();
        (servers.shares() == [4, 4]).then_some(())
    });
    servers.put(&world, 2_000..4_000);
    world.delivered(&second);
    first.kill();
    servers.put(&world, 4_000..5_000);
    servers.stream("split", &[]);
    servers.stream("merge", &[]);
    servers.put(&world, 5_000..7_000);
    at_least_once(&world.delivered(&second), 7_000);
    // Six are as they were, three came of a split or a merge.
    until("what was split or merged is read to its end", || {
        second.must_run();
        let unfinished = servers.leases().into_values().filter(|(_, mark)| mark != "SHARD_END").count();
        (unfinished == 8 && servers.shares().len() == 1).then_some(())
    });
    second.stop().drained();
    let rows = servers.leases();
    assert!(rows.values().all(|(owner, _)| owner.is_none()), "all are given back: {rows:?}");
}

/// It sends its streams of events over HTTP/1.1, which AWS does not, lets anybody subscribe at any time, and goes on with the
/// subscription of a shard that is split meanwhile: `fan_out` follows those.
#[test]
fn shards_are_subscribed_to() {
    let Some(servers) = Elsewhere::start() else { return };
    let world = World::new();
    let arn = servers.stream("create", &["4"]);
    servers.put(&world, 0..1_000);
    let daemon = start(&world, &servers, arn.trim(), "a", "fan_out = \"standpipe\"\n");
    exactly_once(&world.delivered(&daemon), 1_000);
    servers.put(&world, 1_000..2_000);
    exactly_once(&world.delivered(&daemon), 2_000);
    daemon.stop().drained();
}

#[test]
fn two_workers_share_a_stream_of_motos() {
    let Some(moto) = Moto::start() else { return };
    let world = World::new();
    let lines = world.path("lines");
    let put = |numbers: Range<u64>| {
        world.standin.expect(RUN, numbers.end);
        fs::write(&lines, Lines::of_run(RUN).text(numbers)).unwrap();
        moto.play("stream.py", "put", &[Path::new("cwl"), &lines]);
    };
    put(0..1_000);
    let start = |worker: &str| {
        configure(&world, worker, moto.url(), "");
        let config = fs::read_to_string(world.config_path()).unwrap();
        fs::write(world.config_path(), config.replace(":111111111111:stream", ":123456789012:stream"))
            .unwrap();
        world.start()
    };
    let (first, second) = (start("a"), start("b"));
    world.delivered(&first);
    let shares = || -> Vec<usize> {
        let rows: Value =
            serde_json::from_slice(&moto.play("stream.py", "owners", &[Path::new(TABLE)])).unwrap();
        rows.as_object()
            .unwrap()
            .values()
            .map(|count| usize::try_from(count.as_u64().unwrap()).unwrap())
            .collect()
    };
    until("both have some", || (shares() == [2, 2]).then_some(()));
    put(1_000..2_000);
    world.delivered(&second);
    first.kill();
    put(2_000..3_000);
    at_least_once(&world.delivered(&second), 3_000);
    second.stop().drained();
    assert_eq!(shares(), Vec::<usize>::new(), "all are given back");
}
