//! The process itself, under the names that every Prometheus client gives it; read from /proc at each scrape.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge};

use super::register::{CONSTANT, gauge};

/// Reads /proc/self. Where there is none, it shows nothing.
pub(super) struct ProcessCollector {
    start_time: Gauge,
    cpu: Counter,
    resident: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
}

/// What /proc/self/stat says.
#[derive(Debug, PartialEq)]
struct ProcessStat {
    /// In the system's clock ticks.
    cpu: u64,
    /// In clock ticks since the system's start.
    started: u64,
    resident_pages: u64,
}

#[expect(clippy::expect_used, reason = "metric names are constants that a test registers")]
impl ProcessCollector {
    pub(super) fn new() -> Self {
        let gauge = |name, help| IntGauge::new(name, help).expect(CONSTANT);
        let start = "When the process started, in seconds since 1970.";
        let cpu = "CPU time used, user and system, in seconds.";
        Self {
            start_time: Gauge::new("process_start_time_seconds", start).expect(CONSTANT),
            cpu: Counter::new("process_cpu_seconds_total", cpu).expect(CONSTANT),
            resident: gauge("process_resident_memory_bytes", "Resident memory, in bytes."),
            open_fds: gauge("process_open_fds", "Open file descriptors."),
            max_fds: gauge("process_max_fds", "Maximum number of open file descriptors."),
        }
    }
}

impl ProcessCollector {
    #[expect(clippy::cast_precision_loss, reason = "times and ticks are far below 2^52")]
    fn read_times(&self) -> Option<()> {
        let stat = parse_stat(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let ticks = rustix::param::clock_ticks_per_second().max(1) as f64;
        self.cpu.inc_by((stat.cpu as f64 / ticks - self.cpu.get()).max(0.0));
        let page = rustix::param::page_size() as u64;
        self.resident.set(gauge(stat.resident_pages.saturating_mul(page)));
        let booted = boot_time(&fs::read_to_string("/proc/stat").ok()?)?;
        self.start_time.set(booted as f64 + stat.started as f64 / ticks);
        Some(())
    }

    fn read_descriptors(&self) -> Option<()> {
        // The one by which they are read is gone again.
        let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
        self.open_fds.set(gauge(open));
        self.max_fds.set(gauge(max_fds(&fs::read_to_string("/proc/self/limits").ok()?)?));
        Some(())
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        let floats = [self.start_time.desc(), self.cpu.desc()];
        let whole = [self.resident.desc(), self.open_fds.desc(), self.max_fds.desc()];
        floats.into_iter().chain(whole).flatten().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let times = self.read_times().map(|()| [self.start_time.collect(), self.cpu.collect()]);
        let resident = times.is_some().then(|| self.resident.collect());
        let descriptors = self.read_descriptors().map(|()| [self.open_fds.collect(), self.max_fds.collect()]);
        let families = times.into_iter().flatten().chain(resident).chain(descriptors.into_iter().flatten());
        families.flatten().collect()
    }
}

/// The fields are counted from the end of the command's name, which may hold anything.
fn parse_stat(text: &str) -> Option<ProcessStat> {
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(ProcessStat {
        cpu: number(11)?.saturating_add(number(12)?),
        started: number(19)?,
        resident_pages: number(21)?,
    })
}

fn boot_time(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The soft limit.
fn max_fds(text: &str) -> Option<u64> {
    let limits = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    limits.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_move_the_fields() {
        let text = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4 0 123456 99 42 18446744073709551615\n";
        assert_eq!(parse_stat(text), Some(ProcessStat { cpu: 300, started: 123_456, resident_pages: 42 }));
        assert_eq!(parse_stat("7 (a) S 1"), None);
    }

    #[test]
    fn limits_and_the_time_of_the_boot_are_found() {
        let limits = "Limit   Soft Limit   Hard Limit   Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(max_fds(limits), Some(1024));
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000));
    }
}
