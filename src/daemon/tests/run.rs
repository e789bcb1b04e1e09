//! A daemon in this process: its own threads, its own folder, signals by hand.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::remote::Remote;
use crate::config;
use crate::daemon::{Environment, Run, RunError, RunOutcome, Signal, run};
use crate::metadata::MetadataEndpoints;
use crate::source::Source;

/// A running daemon.
pub(super) struct Daemon {
    folder: PathBuf,
    runtime: Option<Runtime>,
    signals: mpsc::Sender<Signal>,
    running: Option<JoinHandle<Result<RunOutcome, RunError>>>,
}

impl Daemon {
    /// Starts one that reads from `remote`, and delivers to a directory below the folder.
    pub(super) fn start(folder: &Path, remote: &Arc<Remote>) -> Self {
        let dir = folder.display();
        let text = format!(
            "[server]\nlisten = '127.0.0.1:0'\n[state]\ndir = '{dir}/state'\n[limits]\nshutdown = '5s'\n\
             [sources.remote]\ntype = 'stdin'\n\
             [sinks.out]\ntype = 'directory'\npath = '{dir}/out'\nencoding = 'message'\nlinger = '5ms'\n"
        );
        let path = folder.join("standpipe.toml");
        fs::write(&path, text).unwrap();
        let checked =
            config::inspect(std::slice::from_ref(&path), &std::collections::BTreeMap::new()).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (sender, signals) = mpsc::channel(4);
        let (remote, reread) = (Arc::clone(remote), path);
        let environment = Environment {
            host: "host".into(),
            once: false,
            metadata: MetadataEndpoints::default(),
            load: Arc::new(move || {
                config::inspect(std::slice::from_ref(&reread), &std::collections::BTreeMap::new())
            }),
            prepare: Arc::new(move |_, context| {
                let source: Box<dyn Source> = Box::new(remote.prepare(context));
                Box::pin(async move { Ok(Some(source)) })
            }),
            report: None,
        };
        let running = runtime.spawn(run(Run { config: checked.config, environment, signals }));
        let folder = folder.to_owned();
        Self { folder, runtime: Some(runtime), signals: sender, running: Some(running) }
    }

    /// Everything that was delivered.
    pub(super) fn delivered(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        let mut folders = vec![self.folder.join("out")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    // One that is being written may have gone, or have another name by now.
                    let text = fs::read_to_string(&path).unwrap_or_default();
                    lines.extend(text.lines().map(str::to_owned));
                }
            }
        }
        lines
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        self.block_on(async move { tokio::time::sleep(time).await });
    }

    /// Waits until it is so, with a wide margin.
    pub(super) fn until(&mut self, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_mins(1), "it did not come about");
            self.run_for(Duration::from_millis(10));
        }
    }

    pub(super) fn reload(&mut self) {
        self.signal(Signal::Reload);
        self.run_for(Duration::from_millis(50));
    }

    pub(super) fn stop(&mut self) {
        self.signal(Signal::Stop);
        let outcome = self.end().unwrap();
        assert_eq!(outcome, RunOutcome::Drained);
    }

    pub(super) fn stop_at_once(&mut self) {
        self.signal(Signal::Stop);
        self.signal(Signal::Stop);
        self.end().unwrap();
    }

    /// Nothing is drained, and nothing is finished.
    pub(super) fn kill(&mut self) {
        self.running.take().unwrap().abort();
        self.runtime.take().unwrap().shutdown_timeout(Duration::from_secs(30));
    }

    fn end(&mut self) -> Result<RunOutcome, RunError> {
        let running = self.running.take().unwrap();
        let ended = self.block_on(running).unwrap();
        self.runtime.take().unwrap().shutdown_timeout(Duration::from_secs(30));
        ended
    }

    fn signal(&mut self, signal: Signal) {
        let sender = self.signals.clone();
        self.block_on(sender.send(signal)).unwrap();
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.as_ref().unwrap().block_on(future)
    }
}
