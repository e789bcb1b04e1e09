//! The harness: a directory, a file source over it, and a worker that takes what it reads.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{Timespec, Timestamps, futimens};
use tokio::sync::{Notify, Semaphore};

use super::super::descriptors::DescriptorShare;
use super::super::follower::run_with;
use super::super::reader::read_buffers;
use super::super::setup::FileSetup;
use super::super::watch::DirWatcher;
use super::positions::Positions;
use crate::config::{self, Decoding, FollowLinks, Format, Start, TooLong};
use crate::event::{AckGuard, Backpressure, Budget, Charset, Field, Framing, Timestamp};
use crate::metrics::Metrics;
use crate::pipeline::{Intake, IntakeQueue, Job, Jobs};
use crate::source::{Stop, Stopper};

/// What files are compressed by, as the endings of their names say.
pub(super) const COMPRESSIONS: [&str; 2] = [".gz", ".zst"];

/// A directory with log files, and what became of their lines.
pub(super) struct World {
    dir: tempfile::TempDir,
    pub(super) config: config::FileSource,
    pub(super) framing: Arc<dyn Framing>,
    pub(super) positions: Positions,
    pub(super) metrics: Metrics,
    /// Whether changes are told by inotify.
    pub(super) inotify: bool,
    pub(super) memory: u64,
    /// Chunks that arrived, and the sign that one did.
    arrived: Arc<(Mutex<Arrived>, Condvar)>,
    /// Lines written, by whoever wrote them.
    expected: Vec<Vec<u8>>,
    run: Option<SourceRun>,
}

#[derive(Default)]
pub(super) struct Arrived {
    /// Each chunk's origin and bytes.
    pub(super) chunks: Vec<(String, Vec<u8>)>,
    /// Ack guards that are kept instead of settled.
    pub(super) kept: Vec<AckGuard>,
    /// Whether ack guards are kept.
    pub(super) keep: bool,
    /// What lanes feed that is to be blocked, by origin.
    pub(super) backpressure: Option<(String, Arc<Backpressure>)>,
}

struct SourceRun {
    stopper: Stopper,
    source: JoinHandle<()>,
    worker: JoinHandle<()>,
}

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config::FileSource {
            include: vec![format!("{}/*.log", dir.path().display())],
            exclude: Vec::new(),
            start: Start::Beginning,
            decoding: Decoding {
                format: Format::Lines,
                charset: Charset::UTF8,
                multiline: None,
                max_line: 1_000_000,
                too_long: TooLong::Split,
                max_inflated: 10_000_000,
            },
            follow_links: FollowLinks::SameOwner,
            rescan: Duration::from_mins(1),
            max_open: 64,
            rotate_wait: Duration::from_millis(100),
            remove_after: None,
            ignore_older: None,
        };
        Self {
            dir,
            config,
            framing: Arc::new(super::PlainLineFraming),
            positions: Positions::default(),
            metrics: Metrics::new(),
            inotify: true,
            memory: 64 << 20,
            arrived: Arc::default(),
            expected: Vec::new(),
            run: None,
        }
    }

    /// Includes every file, not only `*.log`.
    pub(super) fn including(mut self, glob: &str) -> Self {
        self.config.include = vec![format!("{}/{glob}", self.dir.path().display())];
        self
    }

    pub(super) fn without_inotify(mut self) -> Self {
        self.inotify = false;
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    // What happens to the files.

    /// Appends lines of its own to a file; each is unlike any other.
    pub(super) fn write(&mut self, name: &str, lines: usize) -> &mut Self {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        self.write_to(&mut file, lines)
    }

    /// The same through an open file.
    pub(super) fn write_to(&mut self, file: &mut File, lines: usize) -> &mut Self {
        let mut text = Vec::new();
        for _ in 0..lines {
            let line = format!("line {} of the test\n", self.expected.len()).into_bytes();
            text.extend_from_slice(&line);
            self.expected.push(line);
        }
        file.write_all(&text).unwrap();
        self
    }

    /// Appends these bytes, which nothing is expected of.
    pub(super) fn append(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(bytes).unwrap();
        self
    }

    /// Expects these bytes as a line.
    pub(super) fn expect(&mut self, line: &[u8]) -> &mut Self {
        self.expected.push(line.to_vec());
        self
    }

    /// Makes a file look as if it was written to so long ago.
    pub(super) fn age(&mut self, name: &str, age: Duration) -> &mut Self {
        let tv_sec = Timestamp::now().before(age).0 / 1_000;
        let time = Timespec { tv_sec, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        futimens(File::open(self.path(name)).unwrap(), &times).unwrap();
        self
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> &mut Self {
        fs::rename(self.path(from), self.path(to)).unwrap();
        self
    }

    pub(super) fn remove(&mut self, name: &str) -> &mut Self {
        fs::remove_file(self.path(name)).unwrap();
        self
    }

    pub(super) fn copytruncate(&mut self, from: &str, to: &str) -> &mut Self {
        fs::copy(self.path(from), self.path(to)).unwrap();
        self.truncate(from)
    }

    pub(super) fn truncate(&mut self, name: &str) -> &mut Self {
        OpenOptions::new().write(true).open(self.path(name)).unwrap().set_len(0).unwrap();
        self
    }

    pub(super) fn gzip(&mut self, name: &str) -> &mut Self {
        self.compress(name, ".gz")
    }

    /// As the tool does whose files have this ending: the compressed file stands complete before the plain one goes.
    pub(super) fn compress(&mut self, name: &str, ending: &str) -> &mut Self {
        let plain = fs::read(self.path(name)).unwrap();
        let compressed = if ending == ".gz" {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&plain).unwrap();
            encoder.finish().unwrap()
        } else {
            zstd::bulk::compress(&plain, 1).unwrap()
        };
        fs::write(self.path(&format!("{name}{ending}")), compressed).unwrap();
        self.remove(name)
    }

    // Running.

    pub(super) fn start(&mut self) -> &mut Self {
        self.launch(false)
    }

    /// Reads what is there, to the end.
    pub(super) fn once(&mut self) -> &mut Self {
        self.launch(true);
        let run = self.run.take().unwrap();
        run.source.join().unwrap();
        run.worker.join().unwrap();
        self
    }

    /// Stops as at SIGTERM; what is on its way still arrives.
    pub(super) fn stop(&mut self) -> &mut Self {
        let run = self.run.take().unwrap();
        run.stopper.stop();
        run.source.join().unwrap();
        run.worker.join().unwrap();
        self
    }

    /// Stops, and keeps only what was acknowledged until then.
    pub(super) fn kill(&mut self) -> &mut Self {
        let saved = self.positions.saved();
        self.stop();
        self.positions = saved;
        self.with(|arrived| arrived.kept.clear());
        self
    }

    fn launch(&mut self, once: bool) -> &mut Self {
        let (jobs, taken) = crossbeam_channel::bounded(4);
        let places = Arc::new(Semaphore::new(4));
        let intake = Intake::new(
            Budget::new(self.memory),
            IntakeQueue { jobs, places: Arc::clone(&places) },
            Arc::new(Notify::new()),
            Arc::clone(&self.framing),
            self.metrics.source("test"),
        );
        let checkpoints = self.positions.next_run();
        let setup = FileSetup {
            name: "test".into(),
            host: "host".into(),
            config: self.config.clone(),
            intake,
            checkpoints,
            buffers: read_buffers(),
            descriptors: DescriptorShare::new(Arc::default(), self.config.max_open),
            once,
            linger: Duration::ZERO,
            activity: Arc::default(),
            status: Arc::default(),
        };
        let (stopper, stop) = Stopper::new();
        let inotify = self.inotify && !once;
        let source = std::thread::spawn(move || run(setup, inotify, stop));
        let arrived = Arc::clone(&self.arrived);
        let worker = std::thread::spawn(move || work(&taken, &places, &arrived));
        self.run = Some(SourceRun { stopper, source, worker });
        self
    }

    // What arrived.

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Arrived) -> T) -> T {
        let arrived = look(&mut self.arrived.0.lock().unwrap());
        self.arrived.1.notify_all();
        arrived
    }

    /// Waits until enough has arrived.
    #[track_caller]
    pub(super) fn until(&self, what: &str, mut is_enough: impl FnMut(&Arrived) -> bool) -> &Self {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut arrived = self.arrived.0.lock().unwrap();
        while !is_enough(&arrived) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not come; {} chunks did", arrived.chunks.len());
            arrived = self.arrived.1.wait_timeout(arrived, left.min(Duration::from_millis(20))).unwrap().0;
        }
        self
    }

    /// Waits until as many lines have arrived as were written.
    #[track_caller]
    pub(super) fn all_arrived(&mut self) -> &mut Self {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.with(|arrived| arrived.lines().len()) < self.expected.len() {
            if Instant::now() >= deadline {
                self.check_lines();
            }
            let arrived = self.arrived.0.lock().unwrap();
            drop(self.arrived.1.wait_timeout(arrived, Duration::from_millis(20)).unwrap());
        }
        self
    }

    /// Stops if it runs, reads once more what may be left, and looks at what came in all.
    #[track_caller]
    pub(super) fn exactly_once(&mut self) {
        if self.run.is_some() {
            self.stop();
        }
        self.once();
        self.check_lines();
    }

    #[track_caller]
    fn check_lines(&self) {
        let mut missing: BTreeMap<&[u8], i64> = BTreeMap::new();
        for line in &self.expected {
            *missing.entry(line).or_default() += 1;
        }
        let lines = self.with(|arrived| arrived.lines());
        for line in &lines {
            *missing.entry(line).or_default() -= 1;
        }
        let text = |line: &[u8]| String::from_utf8_lossy(line).chars().take(80).collect::<String>();
        let lost: Vec<_> = missing.iter().filter(|(_, n)| **n > 0).map(|(line, _)| text(line)).collect();
        let doubled: Vec<_> = missing.iter().filter(|(_, n)| **n < 0).map(|(line, _)| text(line)).collect();
        assert!(
            lost.is_empty() && doubled.is_empty(),
            "{} lost: {:?}; {} too many: {:?}",
            lost.len(),
            lost.iter().take(3).collect::<Vec<_>>(),
            doubled.len(),
            doubled.iter().take(3).collect::<Vec<_>>(),
        );
    }

    pub(super) fn metric(&self, line: &str) -> u64 {
        let text = self.metrics.render().unwrap();
        let found = text.lines().find_map(|of| of.strip_prefix(line)?.strip_prefix(' '));
        found.map_or(0, |value| value.parse().unwrap())
    }

    /// The files of this world that are open under the name they have now.
    pub(super) fn open_files(&self) -> usize {
        let links = fs::read_dir("/proc/self/fd").unwrap();
        let open = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
        open.filter(|path| {
            path.starts_with(self.path("")) && path.extension().is_some_and(|end| end == "log")
        })
        .count()
    }

    /// Whether `a.log` is open.
    pub(super) fn has_open_log(&self) -> bool {
        let links = fs::read_dir("/proc/self/fd").unwrap();
        let mut open = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
        open.any(|path| path == self.path("a.log"))
    }

    /// Waits for something else than an arrival.
    #[track_caller]
    pub(super) fn eventually(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) -> &Self {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what} did not happen");
            let arrived = self.arrived.0.lock().unwrap();
            drop(self.arrived.1.wait_timeout(arrived, Duration::from_millis(10)).unwrap());
        }
        self
    }
}

impl Arrived {
    /// Every line that came, each chunk cut by itself.
    pub(super) fn lines(&self) -> Vec<Vec<u8>> {
        let chunks = self.chunks.iter();
        chunks
            .flat_map(|(_, bytes)| bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec))
            .collect()
    }
}

fn run(setup: FileSetup, inotify: bool, stop: Stop) {
    let watcher = if inotify { DirWatcher::start() } else { DirWatcher::blind() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run_with(setup, watcher, stop)).unwrap();
}

fn work(jobs: &crossbeam_channel::Receiver<Jobs>, places: &Semaphore, arrived: &(Mutex<Arrived>, Condvar)) {
    for (place, Job { chunk, slot, .. }) in jobs.iter().flat_map(|jobs| jobs.into_iter().enumerate()) {
        places.add_permits(usize::from(place == 0));
        let mut state = arrived.0.lock().unwrap();
        let file = chunk.origin.text(Field::File).to_owned();
        if let Some((blocked, backpressure)) = &state.backpressure
            && file.ends_with(blocked)
        {
            slot.lane().feeds(backpressure);
        }
        state.chunks.push((file, chunk.payload.to_vec()));
        if state.keep {
            chunk.ack.hold(chunk.held);
            state.kept.push(chunk.ack);
        } else {
            chunk.ack.settle();
        }
        drop(state);
        arrived.1.notify_all();
    }
}
