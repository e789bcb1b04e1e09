//! Promises of the border of a source, kept by a source that acknowledges from afar: see [`remote`].

mod remote;
mod run;

use std::sync::Arc;
use std::time::Duration;

use self::remote::Remote;
use self::run::Daemon;

/// One way that a daemon's life goes on.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// A reload.
    Reload,
    /// A stop that drains, and another start.
    Stop,
    /// A stop that is cut short by a second one, and another start.
    StopAtOnce,
    /// A kill, and another start.
    Kill,
}

/// Lets a daemon read from a faulty remote service while its life takes these turns, and looks that nothing was acknowledged that
/// was not delivered, at any time, and that nothing is lost in the end.
fn check(seed: u64, turns: &[Turn]) {
    let folder = tempfile::tempdir().unwrap();
    let remote = Remote::new(seed);
    let mut daemon = Daemon::start(folder.path(), &remote);
    for turn in turns {
        for _ in 0..6 {
            remote.happen();
            daemon.run_for(Duration::from_millis(25));
            remote.check_acknowledged(|| daemon.delivered());
        }
        match turn {
            Turn::Reload => daemon.reload(),
            Turn::Stop => daemon.stop(),
            Turn::StopAtOnce => daemon.stop_at_once(),
            Turn::Kill => daemon.kill(),
        }
        remote.check_acknowledged(|| daemon.delivered());
        if !matches!(turn, Turn::Reload) {
            daemon = Daemon::start(folder.path(), &remote);
        }
    }
    remote.heal();
    daemon.until(|| remote.is_all_acknowledged());
    daemon.stop();
    remote.check_all(&daemon.delivered());
    assert_eq!(Arc::strong_count(&remote), 1, "every source was dropped");
}

#[test]
fn a_source_that_acknowledges_from_afar_loses_nothing_through_reloads() {
    check(1, &[Turn::Reload, Turn::Reload, Turn::Reload]);
}

#[test]
fn a_source_that_acknowledges_from_afar_loses_nothing_through_stops() {
    check(2, &[Turn::Stop, Turn::StopAtOnce, Turn::Stop, Turn::StopAtOnce]);
}

#[test]
fn a_source_that_acknowledges_from_afar_loses_nothing_through_kills() {
    check(3, &[Turn::Kill, Turn::Reload, Turn::Kill, Turn::Stop, Turn::Kill]);
}
