//! A foreign simulator of IAM, `@cloud-copilot/iam-simulate`, decides as `access verify` does: thousands of generated cases, and
//! each kind of case in which the two differ has its reason in `explained.rs`.

mod cases;
mod draw;
mod explained;
mod vocabulary;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;
use standpipe::access::policy::{AccessDecision, evaluate};

use self::cases::SimulatedCase;
use self::explained::{Answers, EXPLAINED};
use crate::moto::root;

/// How many cases there are, and what they are drawn from: the same at each run.
const CASES: usize = 5_000;
const SEED: u64 = 20_260_101;

/// The simulator's answers, all of one process.
fn simulate(cases: &[SimulatedCase]) -> Vec<String> {
    let input = cases.iter().map(SimulatedCase::simulation).collect::<Value>().to_string();
    let mut node = Command::new("node")
        .arg(root().join("tests/policy/simulate.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = node.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = node.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the simulator failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `access verify` would say of a case; none where it says that it cannot tell.
fn decide(case: &SimulatedCase) -> Option<&'static str> {
    let (request, policies) = case.question();
    Some(match evaluate(&request, &policies).decision {
        AccessDecision::Allowed { .. } => "Allowed",
        AccessDecision::Denied { .. } => "ExplicitlyDenied",
        AccessDecision::Missing { .. } => "ImplicitlyDenied",
        AccessDecision::Undecided { .. } => return None,
    })
}

#[test]
#[expect(clippy::print_stderr, reason = "a test left out is said aloud")]
fn a_foreign_simulator_decides_as_we_do_or_differs_for_a_known_reason() {
    if !root().join(".tools/node_modules/@cloud-copilot/iam-simulate").exists() {
        return eprintln!(
            "left out: `@cloud-copilot/iam-simulate` is missing; `make test` installs it where there is npm"
        );
    }
    let cases = draw::drawn(SEED, CASES);
    let theirs = simulate(&cases);
    assert_eq!(theirs.len(), CASES);
    let mut answers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut explained: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unexplained = Vec::new();
    let mut untold = 0;
    for (case, theirs) in cases.iter().zip(&theirs) {
        let Some(ours) = decide(case) else {
            untold += 1;
            continue;
        };
        *answers.entry(ours).or_default() += 1;
        if ours == theirs {
            continue;
        }
        let differing = Answers { case, ours, theirs };
        match EXPLAINED.iter().find(|reason| (reason.holds)(&differing)) {
            Some(reason) => *explained.entry(reason.why).or_default() += 1,
            None => unexplained.push(format!("ours: {ours}, theirs: {theirs}, of {}", case.simulation())),
        }
    }
    let shown: Vec<&String> = unexplained.iter().take(5).collect();
    assert!(unexplained.is_empty(), "{} of {CASES} differ: {shown:#?}", unexplained.len());
    for reason in EXPLAINED {
        assert!(
            explained.contains_key(reason.why),
            "nothing differs any more for this reason: {}",
            reason.why
        );
    }
    // The cases are worth something only if each answer is frequent.
    assert!(answers.len() == 3 && answers.values().all(|count| *count > CASES / 20), "{answers:?}");
    assert!(untold < CASES / 20, "{untold} are not decided");
    assert!(explained.values().sum::<usize>() < CASES / 20, "{explained:?}");
}
