//! Who asks on the socket is served until he is gone: what comes of his tap is written to him, and what he does not read is skipped.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, warn};

use super::event_tap::OfferedEvent;
use super::hub::TapHub;
use super::protocol::{TapReply, TapRequest};
use super::socket::{LiveSocketFile, ShortPath};

/// Budgets are filled so often.
const REFILL: Duration = Duration::from_millis(100);

/// So many refills are between two counts that are told.
const COUNT_AFTER: u32 = 10;

/// How long who asks may take to ask, and to read.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest question.
const LONGEST_REQUEST: u64 = 64 << 10;

/// Most connections at once.
const MOST_CONNECTIONS: usize = 32;

/// The socket, served.
#[derive(Debug)]
pub(crate) struct LiveServer {
    listener: UnixListener,
    hub: Arc<TapHub>,
}

impl LiveServer {
    /// Makes the socket in the state directory, which is locked. Its file goes with the second value.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn bind(state: &Path, hub: Arc<TapHub>) -> io::Result<(Self, LiveSocketFile)> {
        let (file, listener) = LiveSocketFile::bind(state)?;
        Ok((Self { listener, hub }, file))
    }

    /// Serves whoever comes, for ever.
    pub(crate) async fn serve(self) {
        let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // Who finds no slot is let go, and may come again.
                        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
                        let hub = Arc::clone(&self.hub);
                        connections.spawn(async move {
                            if let Err(error) = converse(stream, &hub).await {
                                debug!(%error, "a live view ended");
                            }
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        warn!(%error, "cannot accept a connection to the socket for live views");
                        sleep(Duration::from_secs(1)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn converse(stream: UnixStream, hub: &Arc<TapHub>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader.take(LONGEST_REQUEST));
    let mut line = String::new();
    timeout(PATIENCE, reader.read_line(&mut line)).await??;
    let begun = match serde_json::from_str::<TapRequest>(&line) {
        Ok(request) => hub.begin(request),
        Err(error) => Err(format!("the request cannot be read: {error}")),
    };
    let mut handle = match begun {
        Ok(handle) => handle,
        Err(words) => return tell(&mut writer, &TapReply::Failed(words)).await,
    };
    tell(&mut writer, &TapReply::Begun(handle.target)).await?;
    let mut clock = interval(REFILL);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refills: u32 = 0;
    let mut said = [0; 64];
    loop {
        tokio::select! {
            Some(event) = handle.events_rx.recv() => {
                tell(&mut writer, &TapReply::Event(shown(event))).await?;
            }
            _ = clock.tick() => {
                handle.tap.refill();
                refills = refills.wrapping_add(1);
                if refills.is_multiple_of(COUNT_AFTER) {
                    let (events, looked_at) = handle.tap.counts();
                    tell(&mut writer, &TapReply::Passed { events, looked_at }).await?;
                }
            }
            // Nothing more is to be said; an end is an end.
            read = reader.read(&mut said) => if read? == 0 {
                return Ok(());
            },
        }
    }
}

async fn tell(writer: &mut OwnedWriteHalf, reply: &TapReply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    timeout(PATIENCE, writer.write_all(&line)).await?
}

/// An event as an object: its origin's fields, where it goes, its time, and what it says.
fn shown(event: OfferedEvent) -> Value {
    let OfferedEvent { origin, stream, timestamp, text, is_cut } = event;
    let mut object = match serde_json::to_value(&origin.fields) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => serde_json::Map::new(),
    };
    object.insert("source".to_owned(), (*origin.source).into());
    object.insert("host".to_owned(), (*origin.host).into());
    if let Some(stream) = stream {
        object.insert("destination".to_owned(), stream.into());
    }
    if let Some(timestamp) = timestamp {
        object.insert("timestamp".to_owned(), timestamp.to_rfc3339().into());
    }
    if is_cut {
        object.insert("cut".to_owned(), true.into());
    }
    object.insert("message".to_owned(), words(&text).into());
    Value::Object(object)
}

fn words(text: &[u8]) -> String {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    if text.starts_with(&GZIP) { "(gzip)".to_owned() } else { String::from_utf8_lossy(text).into_owned() }
}

/// Connects to the daemon that has this state directory.
///
/// # Errors
/// When none runs there, or it is another user's.
pub(crate) fn connect(state: &Path) -> io::Result<std::os::unix::net::UnixStream> {
    let short = ShortPath::of_socket(state)?;
    std::os::unix::net::UnixStream::connect(&short.path)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Write};

    use super::*;
    use crate::event::Origin;
    use crate::tap::event_tap::OfferedText;
    use crate::tap::protocol::TapTarget;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_asks_sees_events_until_he_is_gone_and_who_asks_wrongly_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let hub = Arc::<TapHub>::default();
        hub.name(["app".to_owned()].into_iter(), std::iter::empty());
        let (server, file) = LiveServer::bind(folder.path(), Arc::clone(&hub)).unwrap();
        let serving = tokio::spawn(server.serve());
        let ask = |question: &'static str| {
            let folder = folder.path().to_owned();
            tokio::task::spawn_blocking(move || {
                let mut stream = connect(&folder).unwrap();
                writeln!(stream, "{question}").unwrap();
                let mut reader = io::BufReader::new(stream);
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                (serde_json::from_str::<TapReply>(&line).unwrap(), reader)
            })
        };
        for question in ["{\"name\":\"other\"}", "nonsense", "{\"name\":\"app\",\"filter\":\"(\"}"] {
            let (reply, _) = ask(question).await.unwrap();
            assert!(matches!(reply, TapReply::Failed(_)), "{reply:?}");
        }
        let (reply, mut reader) = ask("{\"name\":\"app\"}").await.unwrap();
        assert_eq!(reply, TapReply::Begun(TapTarget::Source));
        let mut taps = hub.of(TapTarget::Source, "app").unwrap();
        let origin = Arc::new(Origin::new("app", "host"));
        taps.pass(1);
        taps.offer(OfferedText::of(b"hello \xff"), &origin, None, None);
        drop(taps);
        let event = tokio::task::spawn_blocking(move || {
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let TapReply::Event(event) = serde_json::from_str(&line).unwrap() {
                    return event;
                }
            }
        });
        let event = event.await.unwrap();
        assert_eq!((&event["message"], &event["source"]), (&"hello \u{fffd}".into(), &"app".into()));
        // The connection is gone with its reader.
        while hub.is_tapped() {
            tokio::task::yield_now().await;
        }
        serving.abort();
        drop(file);
    }
}
