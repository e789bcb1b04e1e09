//! The life of the daemon: what is started, in which order it ends, and by when.
//!
//! A `Generation` is what one configuration builds: workers, sinks (as events need them), sources. At a
//! stop, by a signal or because every source has ended, the sources end, then the workers have processed what is left, then the
//! sinks have delivered it, then the sources are finished; each stage ends because its input has. The whole has one deadline. A
//! reload is a stop after which another generation starts; what survives it is the `Carryover`.

mod carryover;
mod checkpoint_task;
mod drain;
mod error;
mod generation;
mod options;
mod overview;
mod rehearsal;
mod reload;
mod replay;
mod reporting;
mod running;
mod signals;
mod source_rates;
mod sources;
mod systemd;

#[cfg(test)]
mod allocations;
#[cfg(test)]
mod tests;

use tracing::{error, info, warn};

use self::carryover::Carryover;
use self::reload::Prepared;
use self::running::{Next, RunningGeneration};
use self::signals::SignalQueue;
use crate::metrics::RunTotals;
use crate::state::StateDir;

pub use self::drain::RunOutcome;
pub use self::error::RunError;
pub use self::options::{Environment, Load, Run, RunReport, TellReport};
pub use self::rehearsal::{Rehearsal, Rehearsed, RehearsedDelivery};
pub use self::replay::{LetterTarget, Replay, replay};
pub use self::signals::Signal;

/// Runs the daemon until it is told to stop, or every source has ended.
///
/// # Errors
/// When something cannot be started, or a source fails.
pub async fn run(run: Run) -> Result<RunOutcome, RunError> {
    let Run { config, environment, signals } = run;
    let state = StateDir::lock(&config.state.dir)?;
    let mut carryover = Carryover::open(environment, state, SignalQueue::new(signals))?;
    let mut prepared = Prepared::new(config, &carryover, None).await?;
    prepared.generation.shared.dead_letters.recover();
    loop {
        let running = RunningGeneration::start(prepared, &mut carryover).await;
        match running.run(&mut carryover).await? {
            Next::Generation(next) => prepared = *next,
            Next::End(outcome) => {
                say_goodbye(outcome, &carryover);
                return Ok(outcome);
            }
        }
    }
}

/// The last line: what the run has done.
fn say_goodbye(outcome: RunOutcome, carryover: &Carryover) {
    let RunTotals { read, delivered, dead_letters, filtered, dropped, billed_bytes, .. } =
        carryover.metrics.totals();
    let elapsed = carryover.began.elapsed();
    let seconds = elapsed.as_secs_f64();
    if carryover.environment.once && outcome == RunOutcome::Drained && read == 0 && delivered == 0 {
        let state_dir = carryover.state.path().display();
        info!(
            %state_dir,
            "stopped: nothing new was found; what was read before is not read again, by the checkpoints in the state directory"
        );
        return;
    }
    if let Some(report) = carryover.environment.report.as_ref().filter(|_| carryover.environment.once) {
        report(&RunReport { totals: carryover.metrics.totals(), elapsed, outcome: Some(outcome) });
        return;
    }
    match outcome {
        RunOutcome::Drained => {
            info!(
                read,
                delivered,
                dead_letters,
                filtered,
                dropped,
                billed_bytes,
                seconds,
                "stopped: everything that was read was delivered"
            );
        }
        RunOutcome::Lost => {
            error!(
                read,
                delivered,
                dead_letters,
                filtered,
                dropped,
                billed_bytes,
                seconds,
                "stopped: a part of standard input is lost, which nobody can read again"
            );
        }
        RunOutcome::Undelivered => {
            warn!(
                read,
                delivered,
                dead_letters,
                filtered,
                dropped,
                billed_bytes,
                seconds,
                "stopped: not everything was delivered; the rest is read or sent again"
            );
        }
    }
}
