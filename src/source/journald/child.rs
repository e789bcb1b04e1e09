//! A `journalctl` that runs: what it prints, and what it says at its end. It is killed when it is dropped; and where standpipe itself is
//! killed, it ends by itself, since nobody reads what it prints.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fault::JournaldFault;

/// A `journalctl` that runs.
pub(super) struct JournalctlChild {
    program: String,
    child: Child,
    stdout: ChildStdout,
    said: JoinHandle<String>,
}

/// So many of the last bytes that it says are kept.
const MOST_SAID: usize = 1_024;

/// Who prints no more ends within so long.
const END: Duration = Duration::from_secs(5);

impl JournalctlChild {
    pub(super) fn start(program: String, command: Command) -> Result<Self, JournaldFault> {
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // An interrupt from the terminal is for standpipe, which then ends it.
        command.process_group(0);
        let missing = |source| JournaldFault::Missing { program: program.clone(), source };
        let mut child = command.spawn().map_err(missing)?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(missing(io::ErrorKind::BrokenPipe.into()));
        };
        Ok(Self { program, child, stdout, said: tokio::spawn(last_words(stderr)) })
    }

    /// Appends what it prints next; nothing at its end. Cancel-safe.
    pub(super) async fn read(&mut self, into: &mut BytesMut) -> Result<usize, JournaldFault> {
        let read = self.stdout.read_buf(into).await;
        read.map_err(|source| JournaldFault::Pipe { program: self.program.clone(), source })
    }

    /// How it ended, now that it prints no more.
    pub(super) async fn end(mut self) -> Result<(), JournaldFault> {
        let program = self.program;
        let Ok(status) = timeout(END, self.child.wait()).await else {
            return Err(JournaldFault::Silent { program, time: END });
        };
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                // Who else has its standard error may keep that open.
                let said = timeout(END, self.said).await.ok().and_then(Result::ok).unwrap_or_default();
                Err(JournaldFault::Ended { program, status, said })
            }
            Err(source) => Err(JournaldFault::Pipe { program, source }),
        }
    }
}

/// All that is said is read, since its sender would wait otherwise.
async fn last_words(mut from: impl AsyncRead + Unpin) -> String {
    let mut said = Vec::new();
    let mut block = [0; MOST_SAID];
    while let Ok(read @ 1..) = from.read(&mut block).await {
        said.extend_from_slice(block.get(..read).unwrap_or_default());
        let old = said.len().saturating_sub(MOST_SAID);
        said.drain(..old);
    }
    String::from_utf8_lossy(&said).into_owned()
}
