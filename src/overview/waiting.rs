//! What a source waits for: which sinks its events may go to, and which of their destinations accept nothing.

use super::destination::{DestinationOverview, SinkOverview};
use super::hold::SourceHold;
use super::source::{RouteOverview, SourceOverview};

/// What holds the source up, among the sinks that its events may go to. None where nothing of it waits, or where it goes on elsewhere
/// and in time.
#[must_use]
pub fn hold_of(source: &SourceOverview, sinks: &[&SinkOverview]) -> Option<SourceHold> {
    let waits = source.oldest_unacknowledged_seconds > 0.0 || source.stands_still();
    let all = || sinks.iter().flat_map(|sink| sink.destinations.iter().map(move |found| (sink, found)));
    let keeps = |sink: &SinkOverview, found: &DestinationOverview| {
        waits || (source.events > 0 && sink.disk.is_some() && found.pending_bytes > 0)
    };
    let mut stuck: Vec<_> =
        all().filter(|(sink, found)| found.state.accepts_nothing() && keeps(sink, found)).collect();
    stuck.sort_by_key(|(_, found)| found.state);
    let (sink, found) = *stuck.first()?;
    let is_everywhere = all().all(|(_, found)| found.state.accepts_nothing())
        && sinks.iter().all(|sink| sink.more_destinations == 0);
    let is_late = source.is_late() || source.stands_still();
    (is_everywhere || is_late).then(|| SourceHold {
        sink: sink.name.clone(),
        stream: found.stream.clone(),
        state: found.state,
        reason: found.reason.clone(),
        fix: found.fix.clone(),
        more: (stuck.len() as u64).saturating_sub(1),
        is_everywhere,
    })
}

/// The sinks that a source's events may go to: those of its routes, or all where there are no routes.
#[must_use]
pub fn sinks_of<'a>(
    source: &str,
    routes: &[RouteOverview],
    sinks: &'a [SinkOverview],
) -> Vec<&'a SinkOverview> {
    let takes =
        |route: &&RouteOverview| route.from.is_empty() || route.from.iter().any(|from| from == source);
    // What a route drops goes to none of those behind it.
    let goes_on = |route: &&RouteOverview| !(route.to.is_empty() && route.when.is_empty());
    let own: Vec<&RouteOverview> = routes.iter().filter(takes).take_while(goes_on).collect();
    let is_named = |sink: &SinkOverview| own.iter().any(|route| route.to.contains(&sink.name));
    sinks.iter().filter(|sink| routes.is_empty() || is_named(sink)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::{DestinationState, DiskUse, SourceState};

    fn destination(stream: &str, state: DestinationState) -> DestinationOverview {
        let is_held = state == DestinationState::Held;
        DestinationOverview {
            stream: stream.to_owned(),
            state,
            reason: is_held.then(|| "access_denied".to_owned()),
            fix: is_held.then(|| "allow it".to_owned()),
            pending_bytes: 10,
            ..DestinationOverview::default()
        }
    }

    fn sink(name: &str, destinations: Vec<DestinationOverview>) -> SinkOverview {
        SinkOverview { name: name.to_owned(), destinations, ..SinkOverview::default() }
    }

    /// A source whose oldest event waits for so many seconds.
    fn source(oldest: f64) -> SourceOverview {
        SourceOverview {
            name: "app".to_owned(),
            events: 1,
            oldest_unacknowledged_seconds: oldest,
            ..SourceOverview::default()
        }
    }

    #[test]
    fn a_source_says_what_holds_it_up_and_only_then() {
        use DestinationState::{Failing, Held, Working};
        let on_disk = |mut sink: SinkOverview| {
            sink.disk = Some(DiskUse { bytes: 10, max_bytes: 100 });
            sink
        };
        let denied = || sink("archive", vec![destination("logs", Held)]);
        let well = || sink("copy", vec![destination("copies", Working)]);
        let check = |oldest: f64, sinks: &[SinkOverview], expected: Option<&str>| {
            let sinks: Vec<_> = sinks.iter().collect();
            let hold = hold_of(&source(oldest), &sinks);
            assert_eq!(hold.as_ref().map(SourceHold::words).as_deref(), expected, "{oldest} {sinks:?}");
            if let Some(hold) = hold.filter(|hold| hold.state == Held) {
                assert_eq!(hold.fix.as_deref(), Some("allow it"));
            }
        };
        check(3.0, &[denied()], Some("held by archive (logs): access_denied"));
        // Nothing of it waits there.
        check(0.0, &[denied()], None);
        check(3.0, &[well()], None);
        check(
            3.0,
            &[sink("archive", vec![destination("logs", Failing)])],
            Some("waits for archive (logs): failing"),
        );
        let two = || sink("archive", vec![destination("a", Failing), destination("b", Held)]);
        check(3.0, &[two()], Some("held by archive (b) and 1 more: access_denied"));
        // What goes on elsewhere may be all that this source has, until it is late.
        check(3.0, &[denied(), well()], None);
        check(70.0, &[denied(), well()], Some("archive (logs) is held: access_denied"));
        let many = SinkOverview { more_destinations: 5, ..denied() };
        check(3.0, &[many], None);
        // A disk buffer has acknowledged what it keeps.
        check(0.0, &[on_disk(denied())], Some("held by archive (logs): access_denied"));
        check(0.0, &[on_disk(well())], None);
        check(3.0, &[], None);
    }

    #[test]
    fn a_sink_holds_up_those_sources_alone_whose_routes_lead_to_it() {
        let sinks = [sink("a", Vec::new()), sink("b", Vec::new())];
        let route = |from: &[&str], to: &[&str]| RouteOverview {
            from: from.iter().map(|name| (*name).to_owned()).collect(),
            to: to.iter().map(|name| (*name).to_owned()).collect(),
            ..RouteOverview::default()
        };
        let check = |routes: &[RouteOverview], expected: &str| {
            let names: String =
                sinks_of("app", routes, &sinks).iter().map(|sink| sink.name.as_str()).collect();
            assert_eq!(names, expected);
        };
        check(&[], "ab");
        check(&[route(&["app"], &["b"])], "b");
        check(&[route(&["other"], &["a"]), route(&[], &["b"])], "b");
        check(&[route(&["app"], &[]), route(&[], &["b"])], "");
        check(&[route(&["other"], &[]), route(&[], &["b"])], "b");
        let debug = RouteOverview { when: "message matches `DEBUG`".to_owned(), ..route(&[], &[]) };
        check(&[debug, route(&[], &["b"])], "b");
    }

    #[test]
    fn what_is_on_disk_is_not_told_as_delivered() {
        let mut source = source(0.0);
        assert_eq!(source.state(), SourceState::Delivered);
        source.buffered_bytes = 10;
        assert_eq!(source.state(), SourceState::Buffered(10));
        source.events = 0;
        assert_eq!(source.state(), SourceState::Delivered, "it may be of another source");
    }
}
