//! Standard input, read a block at a time.
//!
//! A read of standard input cannot be called off, so a thread of its own waits until there is something to read, or a stop; only
//! then it reads. It is asked for one block at a time. What it has read is handed over in a stop too: nobody can read it again.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::SourceError;
use super::framer::{Framer, NextFrame, Upcoming};
use super::stdin_carryover::{InFlightInput, StdinCarryover};
use crate::config::StdinSource;
use crate::event::Closed;
use crate::event::{AckGuard, Acknowledge, Chunk, EventPlace, Held, Origin, Outcome, Piece, Timestamp};
use crate::metrics::SourceMetrics;
use crate::pipeline::{Intake, OrderedLane, WhenFullDestination};
use crate::source::{Source, SourceContext, SourceFuture, Stop, on_thread};

/// A source of type `stdin`: reads to the end, or until a stop is asked for; begins with what an earlier run left.
pub struct StandardInput {
    config: StdinSource,
    context: SourceContext,
    carryover: Arc<StdinCarryover>,
}

impl StandardInput {
    /// A source that is ready to run.
    #[must_use]
    pub fn prepare(config: StdinSource, context: SourceContext) -> Self {
        let carryover = context.carryover.get::<StdinCarryover>("");
        Self { config, context, carryover }
    }
}

impl Source for StandardInput {
    fn run(&mut self, intake: Intake, stop: Stop) -> SourceFuture<'_> {
        let SourceContext { name, host, .. } = &self.context;
        let origin = Origin { source: Arc::clone(name), host: Arc::clone(host), ..Origin::default() };
        let (config, carryover) = (self.config.clone(), Arc::clone(&self.carryover));
        let reading = async move { run_from(io::stdin(), origin, &config, intake, carryover, stop).await };
        Box::pin(on_thread(name, reading))
    }
}

/// Input that can be waited for without reading it.
trait WaitableInput: Read {
    /// Waits until a read would not wait; false when it is called off before, by the other end of the pipe being closed.
    fn wait(&mut self, called_off: &PipeReader) -> bool;
}

impl WaitableInput for io::Stdin {
    fn wait(&mut self, called_off: &PipeReader) -> bool {
        loop {
            let mut both = [PollFd::new(self, PollFlags::IN), PollFd::new(called_off, PollFlags::IN)];
            match poll(&mut both, None) {
                Ok(_) => return both.last().is_none_or(|off| off.revents().is_empty()),
                Err(Errno::INTR) => {}
                // The read will tell what is wrong.
                Err(_) => return true,
            }
        }
    }
}

async fn run_from(
    input: impl WaitableInput + Send + 'static,
    origin: Origin,
    config: &StdinSource,
    intake: Intake,
    carryover: Arc<StdinCarryover>,
    stop: Stop,
) -> Result<(), SourceError> {
    let (ask, asked) = mpsc::channel(1);
    let (give, given) = mpsc::channel(1);
    let (called_off, call_off) = io::pipe().map_err(SourceError::Stdin)?;
    let reading = std::thread::Builder::new().name("stdin".to_owned());
    reading.spawn(move || read_when_asked(input, asked, &give, &called_off)).map_err(SourceError::Stdin)?;
    let reader = StdinReader {
        ask,
        given,
        call_off: Some(call_off),
        lane: intake.lane(WhenFullDestination::Wait),
        acks: Arc::new(StdinAcks { metrics: intake.metrics.clone(), carryover }),
        origin: Arc::new(origin),
        framer: Framer::new(&config.decoding, intake.framing()),
        carry: BytesMut::new(),
        held: None,
        intake,
        stop,
    };
    reader.run().await
}

/// The thread's part: one block, or the end, for each question; nothing when it is called off.
fn read_when_asked(
    mut input: impl WaitableInput,
    mut asked: mpsc::Receiver<()>,
    give: &mpsc::Sender<io::Result<Vec<u8>>>,
    called_off: &PipeReader,
) {
    while asked.blocking_recv().is_some() && input.wait(called_off) {
        let block = read_block(&mut input);
        let is_end = !block.as_ref().is_ok_and(|bytes| !bytes.is_empty());
        if give.blocking_send(block).is_err() || is_end {
            return;
        }
    }
}

fn read_block(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; BLOCK];
    loop {
        match input.read(&mut bytes) {
            Ok(read) => {
                bytes.truncate(read);
                return Ok(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Carries blocks to the pipeline.
struct StdinReader {
    ask: mpsc::Sender<()>,
    given: mpsc::Receiver<io::Result<Vec<u8>>>,
    /// Closed to call off the wait for input.
    call_off: Option<PipeWriter>,
    intake: Intake,
    lane: Arc<OrderedLane>,
    acks: Arc<StdinAcks>,
    origin: Arc<Origin>,
    framer: Framer,
    /// What was read and is not handed over.
    carry: BytesMut,
    /// The memory of `carry`; none: it is empty.
    held: Option<Held>,
    stop: Stop,
}

impl Drop for StdinReader {
    /// What is still here was cut short.
    fn drop(&mut self) {
        if !self.carry.is_empty() && !self.leave() {
            self.acks.carryover.lock().lost.add(&self.carry);
        }
    }
}

impl StdinReader {
    /// What was read before a stop is handed over: it cannot be read again.
    async fn run(mut self) -> Result<(), SourceError> {
        if self.resume().await.is_err() {
            return Ok(());
        }
        while let Some(room) = self.room().await {
            let Some(block) = self.next_block().await? else { break };
            self.take(&block, room);
            if self.hand_over(Upcoming::More).await.is_err() {
                return Ok(());
            }
        }
        if !self.leave() {
            // A closed pipeline is a stop.
            self.hand_over(Upcoming::Nothing).await.ok();
        }
        Ok(())
    }

    /// Takes up what an earlier run left. It is in memory already.
    async fn resume(&mut self) -> Result<(), Closed> {
        let (carry, in_flight) = {
            let mut carried = self.acks.carryover.lock();
            carried.has_successor = false;
            self.framer.resume(carried.framer);
            (std::mem::take(&mut carried.carry), std::mem::take(&mut carried.in_flight))
        };
        for InFlightInput { offset, payload, piece, held } in in_flight.into_values() {
            let charged = self.intake.charge(payload.len());
            drop(held);
            self.submit(Some(offset), payload, piece, charged).await?;
        }
        if !carry.is_empty() {
            self.held = Some(self.standing(carry.capacity()));
            self.carry = carry;
        }
        Ok(())
    }

    /// Leaves what is no whole event yet to the next run; whether there will be one.
    fn leave(&mut self) -> bool {
        let mut carried = self.acks.carryover.lock();
        if !carried.has_successor || !self.stop.is_requested() {
            return false;
        }
        carried.carry = std::mem::take(&mut self.carry);
        carried.framer = self.framer.state();
        true
    }

    /// Memory for one block; none at a stop.
    async fn room(&mut self) -> Option<Held> {
        loop {
            let freed = self.intake.room_freed();
            if !self.lane.is_blocked() {
                break;
            }
            tokio::select! {
                () = self.stop.requested() => return None,
                () = freed => {}
            }
        }
        tokio::select! {
            () = self.stop.requested() => None,
            _room = self.intake.admit(BLOCK) => Some(self.standing(BLOCK)),
        }
    }

    /// What waits for input that may never come lets nobody wait for it.
    fn standing(&self, bytes: usize) -> Held {
        let mut held = self.intake.standing();
        held.resize(bytes as u64);
        held
    }

    fn take(&mut self, block: &[u8], room: Held) {
        self.carry.extend_from_slice(block);
        self.held.get_or_insert(room).resize(self.carry.capacity() as u64);
    }

    /// The next block; none at the end. While it does not come, incomplete events become whole by waiting.
    async fn next_block(&mut self) -> Result<Option<Vec<u8>>, SourceError> {
        if self.ask.send(()).await.is_err() {
            return Ok(None);
        }
        let patience = self.intake.framing().patience().filter(|_| !self.carry.is_empty());
        let in_time = match patience {
            Some(patience) => timeout(patience, self.received()).await.ok(),
            None => Some(self.received().await),
        };
        let block = if let Some(block) = in_time {
            block
        } else {
            // A closed pipeline is noticed when the next block is handed over.
            self.hand_over(Upcoming::Quiet).await.ok();
            self.received().await
        };
        match block {
            Some(Ok(bytes)) => Ok(Some(bytes).filter(|bytes| !bytes.is_empty())),
            Some(Err(error)) => Err(SourceError::Stdin(error)),
            None => Ok(None),
        }
    }

    /// What the thread gives next; a stop calls its wait for input off. Cancel-safe.
    async fn received(&mut self) -> Option<io::Result<Vec<u8>>> {
        tokio::select! {
            block = self.given.recv() => block,
            () = self.stop.requested() => {
                drop(self.call_off.take());
                // What was being read still comes.
                self.given.recv().await
            }
        }
    }

    /// Hands over all that is whole.
    async fn hand_over(&mut self, upcoming: Upcoming) -> Result<(), Closed> {
        loop {
            match self.framer.next(self.intake.framing(), &self.carry, upcoming) {
                NextFrame::Events { len, piece } | NextFrame::Part { len, piece } => {
                    self.send(len, piece).await?;
                }
                NextFrame::LeftOut { len, lost, reason } => {
                    drop(self.carry.split_to(len));
                    self.intake.metrics.lost(reason, lost);
                }
                NextFrame::Incomplete => return Ok(()),
            }
        }
    }

    async fn send(&mut self, len: usize, piece: Piece) -> Result<(), Closed> {
        // Copied to its size, so that the chunk does not keep the whole buffer alive.
        let payload = Bytes::copy_from_slice(&self.carry.split_to(len));
        let held = self.intake.charge(len);
        if self.carry.is_empty() {
            self.carry = BytesMut::new();
            self.held = None;
        } else if let Some(all) = &mut self.held {
            all.resize(self.carry.capacity() as u64);
        }
        self.submit(None, payload, piece, held).await
    }

    /// Hands a chunk over; one that was handed over before began at `offset`.
    async fn submit(
        &self,
        offset: Option<u64>,
        payload: Bytes,
        piece: Piece,
        mut held: Held,
    ) -> Result<(), Closed> {
        self.intake.metrics.bytes.inc_by(payload.len() as u64);
        let ack = self.acks.open(offset, &payload, piece, &mut held);
        let chunk =
            Chunk { origin: Arc::clone(&self.origin), payload, piece, read_at: Timestamp::now(), ack, held };
        self.intake.submit(&self.lane, chunk).await
    }
}

/// Standard input has no position to move: what has not ended is kept, and what is given up for good is counted.
struct StdinAcks {
    metrics: SourceMetrics,
    carryover: Arc<StdinCarryover>,
}

impl StdinAcks {
    /// Keeps a copy of a chunk until its guard is gone.
    fn open(
        self: &Arc<Self>,
        offset: Option<u64>,
        payload: &Bytes,
        piece: Piece,
        held: &mut Held,
    ) -> AckGuard {
        let mut kept = held.split(0);
        kept.resize(payload.len() as u64);
        let mut carried = self.carryover.lock();
        let number = carried.next;
        carried.next = number.saturating_add(1);
        let unit = Arc::clone(carried.unit.get_or_insert_with(|| fastrand::u64(..).to_string().into()));
        let offset = offset.unwrap_or(carried.handed_over);
        carried.handed_over = carried.handed_over.max(offset.saturating_add(payload.len() as u64));
        let copy = InFlightInput { offset, payload: payload.clone(), piece, held: kept };
        carried.in_flight.insert(number, copy);
        drop(carried);
        AckGuard::open(Arc::clone(self) as Arc<dyn Acknowledge>, number).placed(EventPlace::new(unit, offset))
    }
}

impl Acknowledge for StdinAcks {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        let mut carried = self.carryover.lock();
        if outcome == Outcome::Abandoned && carried.has_successor {
            return;
        }
        let ended = carried.in_flight.remove(&number);
        drop(carried);
        if let (Outcome::Abandoned, Some(input)) = (outcome, ended) {
            self.carryover.lock().lost.add(&input.payload);
            self.metrics.error("abandoned");
        }
    }
}

/// Most bytes read at once; a pipe holds no more.
const BLOCK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::mpsc as pipe;
    use std::time::Duration;

    use tokio::sync::{Notify, Semaphore};

    use super::*;
    use crate::config::{Decoding, Format, TooLong};
    use crate::event::{Backpressure, Budget, Framing};
    use crate::metrics::Metrics;
    use crate::pipeline::{IntakeQueue, Jobs};
    use crate::source::Stopper;
    use crate::source::file::tests::{IndentedFraming, ObjectFraming, PlainLineFraming};

    /// Input that comes in the pieces it is given in.
    struct Pieces(pipe::Receiver<Vec<u8>>, Option<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.1.take() else { return Ok(0) };
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    impl WaitableInput for Pieces {
        fn wait(&mut self, called_off: &PipeReader) -> bool {
            loop {
                match self.0.recv_timeout(Duration::from_millis(1)) {
                    Ok(piece) => self.1 = Some(piece),
                    Err(pipe::RecvTimeoutError::Disconnected) => {}
                    Err(pipe::RecvTimeoutError::Timeout) if is_open(called_off) => continue,
                    Err(pipe::RecvTimeoutError::Timeout) => return false,
                }
                return true;
            }
        }
    }

    fn is_open(called_off: &PipeReader) -> bool {
        let mut fds = [PollFd::new(called_off, PollFlags::IN)];
        poll(&mut fds, Some(&rustix::event::Timespec::default())).unwrap() == 0
    }

    struct RunningStdin {
        jobs: crossbeam_channel::Receiver<Jobs>,
        budget: Arc<Budget>,
        ended: tokio::task::JoinHandle<Result<(), SourceError>>,
        stopper: Stopper,
        _runtime: tokio::runtime::Runtime,
    }

    fn start(
        input: impl WaitableInput + Send + 'static,
        framing: impl Framing + 'static,
        memory: u64,
    ) -> RunningStdin {
        start_with(input, framing, memory, Arc::default())
    }

    fn intake(
        budget: &Arc<Budget>,
        framing: impl Framing + 'static,
        room_freed: Arc<Notify>,
    ) -> (Intake, crossbeam_channel::Receiver<Jobs>) {
        let (sender, jobs) = crossbeam_channel::bounded(1_000);
        let queue = IntakeQueue { jobs: sender, places: Arc::new(Semaphore::new(1_000)) };
        let metrics = Metrics::new().source("stdin");
        let intake = Intake::new(Arc::clone(budget), queue, room_freed, Arc::new(framing), metrics);
        (intake, jobs)
    }

    fn start_with(
        input: impl WaitableInput + Send + 'static,
        framing: impl Framing + 'static,
        memory: u64,
        carryover: Arc<StdinCarryover>,
    ) -> RunningStdin {
        let budget = Budget::new(memory);
        let (intake, jobs) = intake(&budget, framing, Arc::default());
        let decoding = Decoding {
            format: Format::Lines,
            charset: crate::event::Charset::UTF8,
            multiline: None,
            max_line: 20,
            too_long: TooLong::Split,
            max_inflated: 1_000,
        };
        let (stopper, stop) = Stopper::new();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let ended = runtime.spawn(async move {
            let config = StdinSource { decoding };
            run_from(input, Origin::default(), &config, intake, carryover, stop).await
        });
        RunningStdin { jobs, budget, ended, stopper, _runtime: runtime }
    }

    impl RunningStdin {
        fn next(&self) -> String {
            let job = self.jobs.recv_timeout(Duration::from_secs(30)).unwrap().remove(0);
            job.chunk.ack.settle();
            String::from_utf8(job.chunk.payload.to_vec()).unwrap()
        }

        fn rest(&self) -> Vec<String> {
            let rest =
                self.jobs.iter().flatten().map(|job| String::from_utf8(job.chunk.payload.to_vec()).unwrap());
            rest.collect()
        }
    }

    #[track_caller]
    fn check(framing: impl Framing + 'static, pieces: &[&str], expected: &[&str]) {
        let (give, input) = pipe::channel();
        let running = start(Pieces(input, None), framing, 1 << 20);
        for piece in pieces {
            give.send(piece.as_bytes().to_vec()).unwrap();
        }
        drop(give);
        assert_eq!(running.rest(), expected);
        assert_eq!(running.budget.used(), 0);
    }

    #[test]
    fn lines_come_whole_however_they_were_written() {
        check(PlainLineFraming, &["a\nb", "c\n", "d"], &["a\n", "bc\n", "d"]);
        check(PlainLineFraming, &[], &[]);
        check(
            PlainLineFraming,
            &["0123456789", "0123456789", "0", "123\n"],
            &["01234567890123456789", "0123\n"],
        );
        check(ObjectFraming, &["{\"a\":", "1}"], &["{\"a\":1}"]);
    }

    #[test]
    fn an_event_that_is_not_continued_is_whole_after_a_while() {
        let (give, input) = pipe::channel();
        let running = start(Pieces(input, None), IndentedFraming, 1 << 20);
        give.send(b"a\n b\n".to_vec()).unwrap();
        assert_eq!(running.next(), "a\n b\n");
        give.send(b"c\n".to_vec()).unwrap();
        assert_eq!(running.next(), "c\n");
    }

    #[test]
    fn a_stop_is_heeded_while_nothing_comes_and_ships_what_was_read() {
        let (give, input) = pipe::channel();
        let running = start(Pieces(input, None), PlainLineFraming, 1 << 20);
        give.send(b"a\nhalf".to_vec()).unwrap();
        assert_eq!(running.next(), "a\n");
        running.stopper.stop();
        assert_eq!(running.rest(), ["half"]);
    }

    #[test]
    fn half_a_line_and_what_did_not_end_are_left_to_the_next_run() {
        let carryover = Arc::<StdinCarryover>::default();
        let (give, input) = pipe::channel();
        let running = start_with(Pieces(input, None), PlainLineFraming, 1 << 20, Arc::clone(&carryover));
        give.send(b"a\nb\nha".to_vec()).unwrap();
        assert_eq!(running.next(), "a\nb\n");
        give.send(b"lf\nc\nmore".to_vec()).unwrap();
        let given_up = running.jobs.recv_timeout(Duration::from_secs(30)).unwrap().remove(0);
        carryover.set_successor(true);
        running.stopper.stop();
        assert_eq!(running.rest(), Vec::<String>::new());
        drop(given_up);

        let (give, input) = pipe::channel();
        let next = start_with(Pieces(input, None), PlainLineFraming, 1 << 20, Arc::clone(&carryover));
        assert_eq!(next.next(), "half\nc\n");
        give.send(b" and more\n".to_vec()).unwrap();
        assert_eq!(next.next(), "more and more\n");
        drop(give);
        assert_eq!(next.rest(), Vec::<String>::new());
        assert!(carryover.is_empty());
        assert_eq!(next.budget.used(), 0);
    }

    /// Input whose read ends while the stop is being asked for.
    struct Slow {
        reading: pipe::Sender<()>,
        go_on: pipe::Receiver<()>,
    }

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reading.send(()).unwrap();
            self.go_on.recv().unwrap();
            buffer[..5].copy_from_slice(b"late\n");
            Ok(5)
        }
    }

    impl WaitableInput for Slow {
        fn wait(&mut self, _: &PipeReader) -> bool {
            true
        }
    }

    #[test]
    fn what_is_being_read_at_a_stop_is_shipped() {
        let (reading, is_reading) = pipe::channel();
        let (read, go_on) = pipe::channel();
        let running = start(Slow { reading, go_on }, PlainLineFraming, 1 << 20);
        is_reading.recv().unwrap();
        running.stopper.stop();
        read.send(()).unwrap();
        assert_eq!(running.next(), "late\n");
    }

    #[tokio::test]
    async fn a_destination_that_takes_more_between_the_look_and_the_wait_is_not_missed() {
        let room_freed = Arc::<Notify>::default();
        let (intake, _jobs) = intake(&Budget::new(1 << 20), PlainLineFraming, Arc::clone(&room_freed));
        let lane = intake.lane(WhenFullDestination::Wait);
        let backpressure = Backpressure::new(room_freed);
        lane.feeds(&backpressure);
        backpressure.set_full(true);
        let freed = intake.room_freed();
        assert!(lane.is_blocked());
        backpressure.set_full(false);
        timeout(Duration::from_secs(30), freed).await.unwrap();
    }

    #[test]
    fn memory_smaller_than_a_block_is_enough() {
        let (give, input) = pipe::channel();
        let running = start(Pieces(input, None), PlainLineFraming, 10);
        for _ in 0..100 {
            give.send(b"a line of text\n".to_vec()).unwrap();
            assert_eq!(running.next(), "a line of text\n");
        }
        drop(give);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(running.ended).unwrap().unwrap();
    }
}
