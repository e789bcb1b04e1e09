//! Credentials that a command prints: the profile's `credential_process`.
//!
//! Its form: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use aws_credential_types::Credentials as Keys;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::clock::left_until;
use super::fault::CredentialsFault;

/// Most of what a command may print.
const MOST: u64 = 64 << 10;

/// So much of what a command says on standard error is shown.
const EXCERPT: usize = 300;

/// Runs the command with the shell, as AWS's own clients do, and reads the credentials that it prints. After `deadline` it is
/// killed, with all that it has started.
pub(super) async fn credentials(command: &str, deadline: Duration) -> Result<Keys, CredentialsFault> {
    let mut running = RunningCommand::start(command).map_err(|error| {
        fault(
            &format!("it cannot be started: {error}"),
            "see that `sh` is there and processes may be started",
        )
    })?;
    let Ok(ended) = timeout(deadline, running.end()).await else {
        let what = format!("it did not end within {} s, and was killed", deadline.as_secs());
        return Err(fault(&what, "run the command by hand as standpipe's user, and see what it waits for"));
    };
    let by_hand =
        "run the command by hand as standpipe's user, with its environment, and correct what it says";
    let CommandOutput { status, out, said } =
        ended.map_err(|error| fault(&format!("its output cannot be read: {error}"), by_hand))?;
    if !status.success() {
        let said = if said.is_empty() { "it said nothing on standard error" } else { &said };
        return Err(fault(&format!("it failed ({status}): {said}"), by_hand));
    }
    let expected = "it must print a JSON object with `Version` 1, `AccessKeyId`, `SecretAccessKey`, and for temporary credentials `SessionToken` and `Expiration`";
    parse(&out).map_err(|why| fault(&why, expected))
}

fn fault(what: &str, fix: &str) -> CredentialsFault {
    CredentialsFault::of_source(
        &format!("the profile's `credential_process` gives no credentials: {what}"),
        fix,
        None,
    )
}

/// A command, and the group of processes that it leads. Its drop ends them all.
#[derive(Debug)]
struct RunningCommand {
    child: Child,
    group: Option<Pid>,
}

#[derive(Debug)]
struct CommandOutput {
    status: std::process::ExitStatus,
    out: Vec<u8>,
    /// The last that it said on standard error.
    said: String,
}

impl RunningCommand {
    fn start(command: &str) -> io::Result<Self> {
        let child = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(Self { child, group })
    }

    async fn end(&mut self) -> io::Result<CommandOutput> {
        let (out, said) = (self.child.stdout.take(), self.child.stderr.take());
        let (out, said) = tokio::try_join!(read(out), read(said))?;
        let status = self.child.wait().await?;
        // What it left running on purpose is its own.
        self.group = None;
        let said = String::from_utf8_lossy(&said);
        let words: Vec<&str> = said.split(|c: char| c.is_whitespace() || c.is_control()).collect();
        let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let first = line.char_indices().rev().nth(EXCERPT).map_or(0, |(at, _)| at);
        Ok(CommandOutput { status, out, said: line.get(first..).unwrap_or_default().to_owned() })
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended by itself.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let read = pipe.take(MOST + 1).read_to_end(&mut bytes).await?;
        if read as u64 > MOST {
            return Err(io::Error::other(format!("it prints more than {MOST} bytes")));
        }
    }
    Ok(bytes)
}

/// Names of fields are told apart without their case.
fn parse(out: &[u8]) -> Result<Keys, String> {
    let read: Value = serde_json::from_slice(out).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("what it printed is no JSON, at line {line}, column {column}")
    })?;
    let fields = read.as_object().ok_or_else(|| "what it printed is no JSON object".to_owned())?;
    let get =
        |name: &str| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let text = |name: &str| get(name).and_then(Value::as_str).map(str::to_owned);
    if get("Version").and_then(Value::as_i64) != Some(1) {
        return Err("what it printed has no `Version` 1".to_owned());
    }
    let needed = |name: &str| text(name).ok_or_else(|| format!("what it printed has no `{name}`"));
    let (id, secret) = (needed("AccessKeyId")?, needed("SecretAccessKey")?);
    let expiry = text("Expiration").map(|time| expiry(&time)).transpose()?;
    Ok(Keys::new(id, secret, text("SessionToken"), expiry, "credential_process"))
}

#[expect(clippy::disallowed_types, reason = "credentials expire by the wall clock")]
fn expiry(text: &str) -> Result<std::time::SystemTime, String> {
    let time = DateTime::from_str(text, Format::DateTimeWithOffset);
    let time = time.ok().and_then(|time| time.try_into().ok());
    let time = time.ok_or_else(|| format!("`Expiration` is no time: `{}`", text.escape_debug()))?;
    if left_until(time).is_zero() {
        return Err(format!("the credentials that it printed have expired, at {}", text.escape_debug()));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[track_caller]
    fn check(printed: &str, expected: Result<&str, &str>) {
        let parsed = parse(printed.as_bytes()).map(|keys| keys.access_key_id().to_owned());
        match (parsed, expected) {
            (Ok(id), Ok(expected)) => assert_eq!(id, expected),
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
            (parsed, expected) => panic!("{printed}: {parsed:?} is not {expected:?}"),
        }
    }

    #[test]
    fn what_a_command_prints_is_read_or_refused_with_the_field_at_fault() {
        check(r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s"}"#, Ok("A"));
        check(
            r#"{"version":1,"accesskeyid":"A","secretAccessKey":"s","Expiration":"2999-01-01T00:00:00+01:00"}"#,
            Ok("A"),
        );
        check(r#"{"AccessKeyId":"A","SecretAccessKey":"s"}"#, Err("`Version` 1"));
        check(r#"{"Version":1,"AccessKeyId":"A"}"#, Err("`SecretAccessKey`"));
        check(
            r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s","Expiration":"2020-01-01T00:00:00Z"}"#,
            Err("have expired, at 2020-01-01"),
        );
        check(
            r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s","Expiration":"soon"}"#,
            Err("`Expiration` is no time"),
        );
        check("Password: ", Err("is no JSON, at line 1"));
        check("", Err("is no JSON"));
        check("[]", Err("is no JSON object"));
    }

    #[tokio::test]
    async fn a_command_that_fails_is_told_with_what_it_said() {
        let fault = credentials("echo not signed in >&2; exit 3", SOON).await.unwrap_err();
        assert!(fault.message.contains("(exit status: 3): not signed in"), "{fault}");
        assert_eq!(fault.fix.unwrap().0, "no_credentials");
        let fault = credentials("yes", SOON).await.unwrap_err();
        assert!(fault.message.contains("more than 65536 bytes"), "{fault}");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let command = format!("sleep 1000 & echo $$ $! > {}; wait", pids.display());
        let began = Instant::now();
        let fault = credentials(&command, Duration::from_secs(1)).await.unwrap_err();
        assert!(fault.message.contains("did not end within 1 s, and was killed"), "{fault}");
        assert!(began.elapsed() < Duration::from_secs(500));
        let pids = fs::read_to_string(pids).unwrap();
        for pid in pids.split_whitespace() {
            // Killed, and at most waiting for whoever takes orphans.
            let mut state = String::new();
            for _ in 0..1_000 {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.get(..1)).unwrap_or("Z").to_owned();
                if state == "Z" || state == "X" {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(state == "Z" || state == "X", "process {pid} is still there: {state}");
        }
    }
}
